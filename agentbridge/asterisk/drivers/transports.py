"""The driver that takes back registrations over a transport that the row does not allow (A5).

No option of PJSIP restricts an endpoint to a transport, so the REGISTER is answered and the contact then
deleted through ARI: alone, without its AOR, whose renewal would make Asterisk walk all endpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.drivers.registrar import RegistrarContacts
from agentbridge.asterisk.observed.contacts import Contacts
from agentbridge.asterisk.observed.displacements import Displacements
from agentbridge.model import DropContact, EndpointId, ObservedState
from agentbridge.plan.registration import transport_of

log = structlog.get_logger()


class Transports:
    """Knows over which transport each device registered, and deletes contacts over one that is not allowed (A5).

    on_registered: called with a device that has one contact more than before.
    """

    def __init__(
        self,
        registrar: RegistrarContacts,
        contacts: Contacts,
        on_registered: Callable[[EndpointId], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._displacements = Displacements(clock)
        self._registrar = registrar
        self._contacts = contacts
        self._on_registered = on_registered
        self._turned_away: dict[EndpointId, str] = {}

    def added_to(self, state: ObservedState, key: EndpointId) -> ObservedState:
        """Returns the state with the key's registered contacts and with what was turned away or displaced."""
        contacts, turned_away = self._contacts.uris(key), self._turned_away.get(key, "")
        displaced = self._displacements.pair(key)
        if not contacts and not turned_away and not displaced:
            return state
        located_at = self._contacts.located_at(key)
        return replace(state, contacts=contacts, turned_away=turned_away, displaced=displaced, located_at=located_at)

    def seen(self, event: Message) -> None:
        """Takes a ContactStatus event: notes contacts that came and went."""
        key, uri = EndpointId(event.get("AOR")), event.get("URI")
        before = self._contacts.uris(key)
        self._contacts.seen(event)
        now = self._contacts.uris(key)
        if uri in before - now:
            self._displacements.went(key, uri)
        if uri not in now - before:
            return
        if self._displacements.came(key, uri, before):
            devices = " and ".join(self._displacements.pair(key))
            reason = "both register with one SIP secret: calls reach the one that registered last"
            log.warning("contact.displaced", agent=key, devices=devices, reason=reason)
        if transport_of(uri) != self._turned_away.get(key):
            self._turned_away.pop(key, None)
        self._on_registered(key)

    def forget(self, key: EndpointId) -> None:
        """Forgets what was turned away and displaced at this endpoint, which was deleted: who gets its number next
        begins anew."""
        self._turned_away.pop(key, None)
        self._displacements.forget(key)

    async def apply(self, action: DropContact) -> None:
        """Deletes the contact; one that is gone already counts as deleted. Raises Refused or Unavailable."""
        await self._registrar.delete(action.id, action.uri)
        self._turned_away[action.id] = transport_of(action.uri)
        self._contacts.forget(action.id, action.uri)
