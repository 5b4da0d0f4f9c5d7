"""Which devices are registered with this Asterisk: from full reads, and from the events between them."""

from __future__ import annotations

import re
from typing import Protocol

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.ami.wire import Message
from agentbridge.errors import Refused
from agentbridge.model import EndpointId

BULK_SECONDS = 60.0
# a contact that doesn't answer Asterisk's OPTIONS does not ring either
_GONE = frozenset({"Removed", "Unreachable"})
# a registered contact is `desk7;@1f3…`, that of a fixed address `desk7@@8c2…`
_AOR = re.compile(r"(.*)(?:;@|@@)[0-9a-f]+")


class ContactListener(Protocol):
    """Is told which devices are registered. Called synchronously: a method may not block."""

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

    def changed(self, device: EndpointId, registered: bool) -> None:
        """Ignored."""

    def turned_away(self, device: EndpointId) -> None:
        """Ignored."""

    def all_read(self, devices: frozenset[EndpointId]) -> None:
        """Ignored."""

    def unknown(self) -> None:
        """Ignored."""


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

    def registered(self, device: EndpointId) -> bool:
        return bool(self._contacts.get(device))

    def uris(self, device: EndpointId) -> frozenset[str]:
        return frozenset(self._contacts.get(device, ()))

    def seen(self, event: Message) -> None:
        """Takes a ContactStatus event, and tells the listener when the device has thereby come or gone."""
        device, uri = EndpointId(event.get("AOR")), event.get("URI")
        there = event.get("ContactStatus") not in _GONE
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

    async def read_all(self) -> None:
        """Reads all contacts and tells the listener; what events told meanwhile is newer and stays. Raises Unavailable
        or Refused."""
        self._touched.clear()
        found = await self._read()
        for (device, uri), there in self._touched.items():
            self._note(found, device, uri, there)
        self._contacts = found
        self._listener.all_read(frozenset(found))

    def lost(self) -> None:
        """Forgets all contacts and tells the listener that nothing is known, since the connection is gone."""
        self._contacts = {}
        self._listener.unknown()

    async def _read(self) -> dict[EndpointId, set[str]]:
        """Returns the reachable contacts of each device. Raises Unavailable or Refused."""
        found: dict[EndpointId, set[str]] = {}

        def take(item: Message) -> None:
            aor = _AOR.fullmatch(item.get("ObjectName"))
            if aor is not None and item.get("Status") not in _GONE:
                self._note(found, EndpointId(aor[1]), item.get("Uri"), True)

        try:
            await self._bulk.action_list("PJSIPShowContacts", {}, timeout=self._timeout, on_item=take)
        except Refused as answer:
            if "No Contacts found" not in str(answer):
                raise
        return found

    @staticmethod
    def _note(contacts: dict[EndpointId, set[str]], device: EndpointId, uri: str, there: bool) -> None:
        """Adds a contact to `contacts`, or takes it away."""
        if there:
            contacts.setdefault(device, set()).add(uri)
        elif uris := contacts.get(device):
            uris.discard(uri)
            if not uris:
                del contacts[device]
