"""Which telephones are registered, kept in the directory; and agents whose telephone or browser is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import structlog

from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId
from agentbridge.settings import Browser, HotDesk

log = structlog.get_logger()

UNWRITTEN = "the directory does not know yet which telephones are registered"

RETRY_SECONDS = 1.0
LOOK_SECONDS = 2.0
"""between looks for lost telephones and browsers: how much later than configured an agent is paused at most"""
AT_ONCE = 1000
"""of changes in one statement"""


class Settled(Protocol):
    """What was done to an agent whose telephone was lost or came back: `pause`, `logout` or `unpause`."""

    @property
    def agent(self) -> str: ...

    @property
    def telephone(self) -> EndpointId: ...

    @property
    def done(self) -> str: ...


class Takeover(Protocol):
    """An administrator gave `telephone`, at which `agent` was logged in, to `taken_by`."""

    @property
    def agent(self) -> str: ...

    @property
    def telephone(self) -> EndpointId: ...

    @property
    def taken_by(self) -> str: ...


class Telephones(Protocol):
    """How registrations are kept in the directory. Every method raises Unavailable without the database."""

    async def changed(self, registered: Mapping[EndpointId, bool]) -> None: ...

    async def set_registered(self, registered: Collection[EndpointId]) -> None:
        """Notes that these telephones, and no others, are registered with this node."""
        ...

    async def unknown(self) -> None: ...

    async def settle_lost(self, after: float, action: str, back: str) -> Sequence[Settled]: ...

    async def settle_lost_browsers(self, after: float, action: str, back: str) -> Sequence[tuple[str, str]]:
        """Returns each agent's username with what was done: `pause`, `logout` or `unpause`."""
        ...

    async def taken_over(self) -> Sequence[Takeover]:
        """Those that no daemon has told of yet."""
        ...


class Registrations:
    """Keeps in the directory which telephones are registered; events only note the current state, `run` writes it.

    A telephone is written at once, and then not again for `settle_seconds`: one that comes and goes costs a write in
    that time (two, where it is turned away), and the last write is always the current state.
    """

    def __init__(
        self,
        telephones: Telephones,
        settings: HotDesk,
        browser: Browser,
        *,
        is_telephone: Callable[[EndpointId], bool],
        active: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._telephones = telephones
        self._settings = settings
        self._browser = browser
        self._is_telephone = is_telephone
        self._active = active
        self._clock = clock
        self._now: dict[EndpointId, bool] = {}
        """what differs from what was written, or may"""
        self._written: dict[EndpointId, tuple[bool, float]] = {}
        """the last write of each, and when"""
        self._at_once: set[EndpointId] = set()
        """those that were turned away: their next write does not wait"""
        self._whole: frozenset[EndpointId] | None = None
        self._lost = False
        self._wake = asyncio.Event()

    # ------------------------------------------------------------ what Asterisk says

    def came(self, device: EndpointId) -> None:
        """Ignored: whether a telephone is registered is all that counts."""

    def changed(self, device: EndpointId, registered: bool) -> None:
        """Notes that a telephone registered, or is not registered any more."""
        if not self._is_telephone(device):
            return
        self._now[device] = registered
        self._wake.set()

    def listed(self, device: EndpointId, *, registered: bool) -> None:
        """Notes that our AstDB family lists a device as a telephone, or does not any more.

        One that is deleted and created anew is another one for the directory, which knows nothing of it: neither what
        was written of the other, nor a registration that has outlived it.
        """
        if not self._is_telephone(device):
            self._written.pop(device, None)
            self._now.pop(device, None)
        elif registered and device not in self._written:
            self.changed(device, True)

    def turned_away(self, device: EndpointId) -> None:
        """Notes that a telephone's registration was taken back, since it came over a transport that it may not use.

        That is written without the usual delay, so that nobody picks this telephone meanwhile.
        """
        if self._is_telephone(device):
            self._at_once.add(device)  # also while its registration is just being written
        self.changed(device, False)

    def all_read(self, devices: frozenset[EndpointId]) -> None:
        """Notes that these devices and no others are registered, after all contacts were read."""
        self._whole, self._lost = devices, False
        self._now.clear()
        self._wake.set()

    def unknown(self) -> None:
        """Notes that it is not known any more which telephones are registered, since Asterisk is lost."""
        self._whole, self._lost = None, True
        self._now.clear()
        self._wake.set()

    # ------------------------------------------------------------ what is written

    async def run(self) -> None:
        """Writes registrations to the directory, and acts on lost telephones, until it is cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait()):
                    await self._wake.wait()
            # cleared before the work: what comes during it is a reason for another round
            self._wake.clear()
            if self._active():
                await self._round()

    def _wait(self) -> float:
        due = [self._due(device) - self._clock() for device in self._now]
        return max(0.0, min([LOOK_SECONDS, *due])) if self._active() else LOOK_SECONDS

    def _due(self, device: EndpointId) -> float:
        """Returns the time, by the clock, at which the telephone's next change may be written; 0 for at once."""
        last = self._written.get(device)
        if last is None or device in self._at_once:
            return 0.0
        return last[1] + self._settings.settle_seconds

    async def _round(self) -> None:
        """Writes what changed, then acts on lost telephones and logs takeovers; without the database it tries again
        soon."""
        try:
            await self._write()
            await self._settle()
            await self._tell_takeovers()
        except Unavailable as away:  # the changes' connection says so in the log
            log.debug("telephones.postponed", reason=str(away), meanwhile=UNWRITTEN)
            await asyncio.sleep(RETRY_SECONDS)
            self._wake.set()

    async def _write(self) -> None:
        """Writes to the directory that nothing is known, all registered telephones, or single changes. Raises
        Unavailable."""
        if self._lost:
            await self._telephones.unknown()
            self._lost = False
            self._written.clear()
        if (whole := self._whole) is not None:
            await self._telephones.set_registered(whole)
            # a telephone that was deleted is never told of again
            self._written = {
                device: (device in whole, at) for device, (_, at) in self._written.items() if self._is_telephone(device)
            }
            if self._whole is whole:
                self._whole = None
        await self._write_changes()

    async def _write_changes(self) -> None:
        """Writes and logs the changes of single telephones that are due. Raises Unavailable, and keeps the changes
        then."""
        now = self._clock()
        due = [device for device in self._now if self._due(device) <= now][:AT_ONCE]
        changes = {device: self._now.pop(device) for device in due}
        self._at_once.difference_update(due)
        news = {device: there for device, there in changes.items() if self._last(device) is not there}
        if not news:
            return
        try:
            await self._telephones.changed(news)
        except Unavailable:
            self._now = changes | self._now  # what came meanwhile is newer
            raise
        for device, there in news.items():
            self._written[device] = (there, now)
            log.info("telephone.registered" if there else "telephone.unregistered", telephone=device)

    def _last(self, device: EndpointId) -> bool | None:
        last = self._written.get(device)
        return last[0] if last is not None else None

    async def _settle(self) -> None:
        """Pauses or logs out agents whose device is lost, unpauses those whose device is back, and logs it."""
        settings = self._settings
        done = await self._telephones.settle_lost(
            settings.lost_after_seconds, settings.lost_action, settings.back_action
        )
        for one in done:
            event = "telephone.back" if one.done == "unpause" else "telephone.lost"
            log.warning(event, agent=one.agent, telephone=one.telephone, done=one.done)

        browser = self._browser
        for agent, what in await self._telephones.settle_lost_browsers(
            browser.lost_after_seconds, browser.lost_action, browser.back_action
        ):
            log.warning("browser.back" if what == "unpause" else "browser.lost", agent=agent, done=what)

    async def _tell_takeovers(self) -> None:
        for one in await self._telephones.taken_over():
            log.warning("telephone.taken_over", agent=one.agent, telephone=one.telephone, by=one.taken_by)
