"""Which devices are registered here, told to the directory where there are several nodes: it decides which has each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NoReturn, Protocol

import structlog

from agentbridge.errors import Refused, Unavailable
from agentbridge.model import Contact, EndpointId, Location

log = structlog.get_logger()

UNWRITTEN = "the directory does not know yet where these devices are registered"

RETRY_SECONDS = 1.0


class Registrar(Protocol):
    """What `Locations` asks about one Asterisk's registrations."""

    def contact(self, device: EndpointId) -> Contact | None: ...

    def contacts(self) -> Mapping[EndpointId, Contact]: ...

    def located(self, moments: Mapping[EndpointId, float]) -> None: ...

    async def whole_contact(self, device: EndpointId) -> Contact | None:
        """Returns the device's contact with its path; None where it is gone. Raises Refused or Unavailable."""
        ...


class LocationStore(Protocol):
    """How the directory keeps which node has a device. Every method raises Unavailable without the database."""

    @property
    def node(self) -> str:
        """This node's name."""
        ...

    async def registered(self, contacts: Mapping[EndpointId, Contact]) -> Mapping[EndpointId, Location]:
        """These have just registered here; returns where each of them is now."""
        ...

    async def gone(self, devices: Collection[EndpointId]) -> None: ...

    async def replace_all(self, contacts: Mapping[EndpointId, Contact]) -> Mapping[EndpointId, Location]:
        """These and no others are registered here; returns where each of them is now."""
        ...


class Locations:
    """Keeps in the directory which devices are registered with this node, where there are several nodes; else it does
    nothing.

    Events only note the current state, `run` writes it. active: whether this daemon acts for its node. elsewhere:
    called with devices that this Asterisk still has and that have since registered with another node.
    """

    def __init__(
        self, store: LocationStore, *, active: Callable[[], bool], elsewhere: Callable[[EndpointId], None]
    ) -> None:
        self._store = store
        self._active = active
        self._elsewhere = elsewhere
        self._came: set[EndpointId] = set()
        self._gone: set[EndpointId] = set()
        self._whole = False
        self.others: Sequence[str] = ()
        """the other nodes of the centre, as the last heartbeat heard"""
        self._wake = asyncio.Event()

    def heard(self, others: Sequence[str]) -> None:
        """Notes the other nodes; with the first of them everything is written that was not needed before."""
        if others and not self.others:
            self._whole = True
            self._wake.set()
        self.others = others

    # ------------------------------------------------------------ what Asterisk says

    def came(self, device: EndpointId) -> None:
        """Notes that a device has registered."""
        self._came.add(device)
        self._gone.discard(device)
        self._wake.set()

    def changed(self, device: EndpointId, registered: bool) -> None:
        """Notes that a device is not registered any more."""
        if not registered:
            self._came.discard(device)
            self._gone.add(device)
            self._wake.set()

    def turned_away(self, device: EndpointId) -> None:
        """Its contact here was deleted by us."""
        self.changed(device, False)

    def all_read(self, _devices: frozenset[EndpointId]) -> None:
        """Notes that all registrations were read, and are to be written."""
        self._whole = True
        self._came.clear()
        self._gone.clear()
        self._wake.set()

    def unknown(self) -> None:
        """Notes that registrations are not known, since Asterisk is lost: the directory keeps what it was told last."""
        self._whole = False
        self._came.clear()
        self._gone.clear()

    # ------------------------------------------------------------ what is told

    async def run(self, registrar: Registrar) -> NoReturn:
        """Writes to the directory what was noted, until it is cancelled."""
        while True:
            await self._wake.wait()
            # cleared before the work: what comes during it is a reason for another round
            self._wake.clear()
            if not self.others:
                self._came.clear()
                self._gone.clear()
            elif not self._active():
                await self._again()
            else:
                await self._round(registrar)

    async def _again(self) -> None:
        await asyncio.sleep(RETRY_SECONDS)
        self._wake.set()

    async def _round(self, registrar: Registrar) -> None:
        """Writes what was noted; what the database can't take now comes again soon."""
        whole, came, gone = self._whole, self._came, self._gone
        self._whole, self._came, self._gone = False, set(), set()
        try:
            if whole:
                self._located(registrar, await self._store.replace_all(registrar.contacts()))
            elif came:
                found = await asyncio.gather(*(_contact(registrar, device) for device in came))
                contacts = {device: contact for device, contact in zip(came, found, strict=True) if contact is not None}
                self._located(registrar, await self._store.registered(contacts))
            if gone and not whole:
                await self._store.gone(gone)
        except Unavailable as away:  # the changes' connection says so in the log
            log.debug("locations.postponed", reason=str(away), meanwhile=UNWRITTEN)
            self._whole = self._whole or whole
            self._came |= came - self._gone
            self._gone |= gone - self._came
            await self._again()

    def _located(self, registrar: Registrar, locations: Mapping[EndpointId, Location]) -> None:
        """Tells the registrar where the directory has these devices, but for those that have registered again
        meanwhile."""
        settled = {device: location for device, location in locations.items() if device not in self._came}
        registrar.located({device: location.since for device, location in settled.items()})
        for device, location in settled.items():
            if location.node != self._store.node:
                self._elsewhere(device)


async def _contact(registrar: Registrar, device: EndpointId) -> Contact | None:
    """Returns where the device is reached: with its path where Asterisk says it, as an event alone does not."""
    try:
        return await registrar.whole_contact(device)
    except (Refused, Unavailable) as reason:
        log.debug("locations.without_path", device=device, reason=str(reason))
        return registrar.contact(device)
