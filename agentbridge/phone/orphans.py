"""Phones of a lost node that are reached through a SIP proxy: another node takes them over, without a new REGISTER."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NoReturn, Protocol

import structlog

from agentbridge.errors import InvalidValue, Refused, Unavailable
from agentbridge.model import Contact, EndpointId

log = structlog.get_logger()

AGAIN_SECONDS = 30.0
"""until a phone is tried again that is still said to be nobody's"""


class Asterisk(Protocol):
    """One Asterisk, as far as it takes phones over."""

    @property
    def up(self) -> bool: ...

    async def register(self, device: EndpointId, contact: Contact) -> None:
        """Registers the device by that contact. Raises Refused, InvalidValue or Unavailable."""
        ...


class Orphans:
    """Registers the phones of lost nodes with this Asterisk that the directory has given to this node.

    `heard` takes what the directory says at each heartbeat, `run` does it. Asterisk tells of the new registration as of
    any other, and by that the directory knows that the phone is here. active: whether this daemon acts for its node.
    """

    def __init__(self, asterisk: Asterisk, *, active: Callable[[], bool], clock: Callable[[], float]) -> None:
        self._asterisk = asterisk
        self._active = active
        self._clock = clock
        self._given: dict[EndpointId, Contact] = {}
        self._tried: dict[EndpointId, float] = {}
        """when each of them was tried last"""
        self._wake = asyncio.Event()

    def heard(self, given: Mapping[EndpointId, Contact]) -> None:
        """Notes the phones that this node is to take over now; these and no others."""
        now = self._clock()
        self._tried = {device: at for device, at in self._tried.items() if now - at < AGAIN_SECONDS}
        self._given = {device: contact for device, contact in given.items() if device not in self._tried}
        if self._given:
            self._wake.set()

    async def run(self) -> NoReturn:
        """Registers with this Asterisk the phones of lost nodes that `heard` has noted, until it is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._active() and self._asterisk.up:
                given, self._given = self._given, {}
                self._tried |= dict.fromkeys(given, self._clock())
                await asyncio.gather(*(self._take(device, contact) for device, contact in given.items()))

    async def _take(self, device: EndpointId, contact: Contact) -> None:
        """Registers one phone here, and logs what came of it."""
        try:
            await self._asterisk.register(device, contact)
        except (Refused, InvalidValue, Unavailable) as reason:
            log.warning("phone.not_taken_over", device=device, reason=str(reason), meanwhile="tries again")
        else:
            log.info("phone.taken_over", device=device, path=contact.path, reason="the node that had it is lost")
