"""Which devices are registered with this Asterisk: from full reads, and from the events between them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Protocol

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.ami.wire import Message
from agentbridge.errors import Refused
from agentbridge.model import Contact, EndpointId

BULK_SECONDS = 60.0
# a contact that doesn't answer Asterisk's OPTIONS does not ring either
_GONE = frozenset({"Removed", "Unreachable"})
# a registered contact is `desk7;@1f3…`, that of a fixed address `desk7@@8c2…`
_AOR = re.compile(r"(.*)(;@|@@)[0-9a-f]+")


class ContactListener(Protocol):
    """Is told which devices are registered. Called synchronously: a method may not block."""

    def came(self, device: EndpointId) -> None:
        """A contact of the device has come, its first one or another; before `changed`."""
        ...

    def changed(self, device: EndpointId, registered: bool) -> None:
        """The first contact of the device has come, or its last one has gone."""
        ...

    def turned_away(self, device: EndpointId) -> None:
        """The last contact of the device was deleted by us."""
        ...

    def all_read(self, devices: frozenset[EndpointId]) -> None:
        """These devices and no others are registered."""
        ...

    def unknown(self) -> None:
        """The connection is gone, and nothing is known of any device."""
        ...


class NoContactListener:
    """A ContactListener that ignores everything."""

    def came(self, device: EndpointId) -> None:
        """Ignored."""

    def changed(self, device: EndpointId, registered: bool) -> None:
        """Ignored."""

    def turned_away(self, device: EndpointId) -> None:
        """Ignored."""

    def all_read(self, devices: frozenset[EndpointId]) -> None:
        """Ignored."""

    def unknown(self) -> None:
        """Ignored."""


class ContactListeners:
    """A ContactListener that tells several others, in their order."""

    def __init__(self, *listeners: ContactListener) -> None:
        self._listeners = listeners

    def came(self, device: EndpointId) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.came(device)

    def changed(self, device: EndpointId, registered: bool) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.changed(device, registered)

    def turned_away(self, device: EndpointId) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.turned_away(device)

    def all_read(self, devices: frozenset[EndpointId]) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.all_read(devices)

    def unknown(self) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.unknown()


class Contacts:
    """Knows which devices are registered with this Asterisk, by full reads and by events, and tells the listener.

    It counts contacts, not events: a phone that registers from another port is added first, then removed.
    """

    def __init__(self, bulk: AmiLink, listener: ContactListener, *, timeout: float = BULK_SECONDS) -> None:
        self._bulk = bulk
        self._listener = listener
        self._timeout = timeout
        self._contacts: dict[EndpointId, set[str]] = {}
        self._touched: dict[tuple[EndpointId, str], bool] = {}
        """what the events said while a read was under way: newer than the read"""
        self._details: dict[EndpointId, Contact] = {}
        """of the registrations of the last full read"""
        self._unreachable: set[EndpointId] = set()
        """AORs with a contact that does not answer Asterisk's OPTIONS"""
        self._located_at: dict[EndpointId, float] = {}
        """see `located`"""

    def registered(self, device: EndpointId) -> bool:
        return bool(self._contacts.get(device))

    def uris(self, device: EndpointId) -> frozenset[str]:
        return frozenset(self._contacts.get(device, ()))

    def contact(self, device: EndpointId) -> Contact | None:
        """Returns where a device is reached; None where it is not registered."""
        uris = self._contacts.get(device)
        if not uris:
            return None
        known = self._details.get(device)
        return known if known is not None and known.uri in uris else Contact(max(uris))

    def all(self) -> Mapping[EndpointId, Contact]:
        """Returns every device that is registered, with where it is reached."""
        return {device: contact for device in self._contacts if (contact := self.contact(device)) is not None}

    def unreachable(self, names: Collection[str]) -> list[str]:
        """Returns those of these AORs of which a contact does not answer; not one that Asterisk does not have."""
        return [name for name in names if name in self._unreachable]

    def located(self, moments: Mapping[EndpointId, float]) -> None:
        """Notes that the directory knows these devices' contacts, and as of which moment it told their places.

        Not for a device that got a new contact since it was asked: see `located_at`.
        """
        self._located_at |= moments

    def located_at(self, device: EndpointId) -> float | None:
        """The last such moment; None while the directory does not know of the newest contact."""
        return self._located_at.get(device)

    def seen(self, event: Message) -> None:
        """Takes a ContactStatus event, and tells the listener when the device has thereby come or gone."""
        device, uri = EndpointId(event.get("AOR")), event.get("URI")
        there = event.get("ContactStatus") not in _GONE
        self._note_reach(device, event.get("ContactStatus"))
        if there and uri not in self._contacts.get(device, ()):
            self._located_at.pop(device, None)
            self._listener.came(device)
        self._touched[device, uri] = there
        was = self.registered(device)
        self._note(self._contacts, device, uri, there)
        if (now := self.registered(device)) != was:
            self._listener.changed(device, now)

    def forget(self, device: EndpointId, uri: str) -> None:
        """Forgets a contact that we have deleted, and tells the listener; its event comes sooner or later."""
        self._touched[device, uri] = False
        self._note(self._contacts, device, uri, False)
        if not self.registered(device):
            self._listener.turned_away(device)

    def forget_all(self, device: EndpointId) -> None:
        """Forgets the contacts of an AOR that was deleted, and tells the listener: Asterisk drops them with it, and
        tells nobody of it, or late."""
        uris = self._contacts.pop(device, set())
        self._touched.update({(device, uri): False for uri in uris})
        self._unreachable.discard(device)
        self._located_at.pop(device, None)
        if uris:
            self._listener.changed(device, False)

    async def read_all(self) -> None:
        """Reads all contacts and tells the listener; what events told meanwhile is newer and stays. Raises Unavailable
        or Refused."""
        self._touched.clear()
        found = await self._read()
        for (device, uri), there in self._touched.items():
            self._note(found, device, uri, there)
        for device, uris in found.items():
            if uris - self._contacts.get(device, set()):
                self._located_at.pop(device, None)
        self._contacts = found
        self._listener.all_read(frozenset(found))

    def lost(self) -> None:
        """Forgets all contacts and tells the listener that nothing is known, since the connection is gone."""
        self._contacts = {}
        self._details, self._unreachable, self._located_at = {}, set(), {}
        self._listener.unknown()

    async def _read(self) -> dict[EndpointId, set[str]]:
        """Returns the reachable contacts of each device. Raises Unavailable or Refused."""
        found: dict[EndpointId, set[str]] = {}
        details: dict[EndpointId, Contact] = {}

        def take(item: Message) -> None:
            """Takes one contact, whose id is the name of its AOR and a hash."""
            aor = _AOR.fullmatch(item.get("ObjectName"))
            if aor is None:
                return
            device = EndpointId(aor[1])
            self._note_reach(device, item.get("Status"))
            if item.get("Status") not in _GONE:
                self._note(found, device, item.get("Uri"), True)
                details[device] = Contact(item.get("Uri"), item.get("Path"), _moment(item.get("RegExpire")))

        try:
            await self._bulk.action_list("PJSIPShowContacts", {}, timeout=self._timeout, on_item=take)
        except Refused as answer:
            if "No Contacts found" not in str(answer):
                raise
        self._details = details
        return found

    def _note_reach(self, aor: EndpointId, status: str) -> None:
        """Notes by an event whether a contact of the AOR answers Asterisk's OPTIONS."""
        if status == "Unreachable":
            self._unreachable.add(aor)
        else:
            self._unreachable.discard(aor)

    @staticmethod
    def _note(contacts: dict[EndpointId, set[str]], device: EndpointId, uri: str, there: bool) -> None:
        """Adds a contact to `contacts`, or takes it away."""
        if there:
            contacts.setdefault(device, set()).add(uri)
        elif uris := contacts.get(device):
            uris.discard(uri)
            if not uris:
                del contacts[device]


def _moment(seconds: str) -> datetime | None:
    """Returns a moment that is told in seconds since 1970; None for 0, which is for ever."""
    return datetime.fromtimestamp(int(seconds), UTC) if seconds.isdecimal() and int(seconds) else None
