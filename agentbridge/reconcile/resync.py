"""When everything is looked at again: at once after a connect, a reload or a TRUNCATE, and else little by little, for
ever.

A comparison at once takes all that Asterisk, PostgreSQL and this process can give, a second for 5,000 agents, in which
changes wait. Where nothing asks for it there is time until the next one is due: the comparison is spread over that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from agentbridge import metrics
from agentbridge.errors import Refused, Unavailable

log = structlog.get_logger()

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 15.0
"""between two tries: each reads all of Asterisk"""
BETWEEN_SECONDS = 1.0
"""from one comparison that the directory asks for to the next: of many such statements each is one"""
SOONEST_SECONDS = 60.0
SECONDS_A_KEY = 0.03
"""What a key costs daemon, PostgreSQL and Asterisk together, 0.2 ms, is then less than a hundredth of a processor."""


class Resync:
    """Compares everything whenever `now` or `directory_changed` was called, and little by little in between.

    look: begins a comparison and returns of how many keys; reads Asterisk first where its argument is true.
    look_through: reads and compares everything spread over so many seconds, and returns the same. Both raise
    Unavailable or Refused when they can't. wanted: False for a daemon that must not compare; what is due is kept then.
    every: the longest time in seconds in which everything is looked through; with few keys it is shorter, a minute at
    least. clock: seconds, monotonic.
    """

    def __init__(
        self,
        look: Callable[[bool], Awaitable[int]],
        look_through: Callable[[float], Awaitable[int]],
        *,
        wanted: Callable[[], bool],
        every: float,
        clock: Callable[[], float],
    ) -> None:
        self._look = look
        self._look_through = look_through
        self._wanted = wanted
        self._every = every
        self._clock = clock
        self._due = asyncio.Event()
        self._is_stale = True
        """what is known of Asterisk may not be so"""
        self._tried_at = float("-inf")
        self._failures = 0
        self._keys = 0
        self.postponed = ""
        """why the last look could not be taken; empty when it was"""
        self.done_at = float("-inf")
        """when the last look ended, by the clock"""
        self.done = asyncio.Event()
        """set after the first look"""

    def now(self) -> None:
        """Has Asterisk read and everything compared at once."""
        self._is_stale = True
        self._due.set()

    def directory_changed(self) -> None:
        """Has everything compared at once with what is known of Asterisk, of which its events tell."""
        self._due.set()

    async def run(self) -> None:
        """Compares everything when that was asked for and little by little in between, until it is cancelled."""
        while True:
            if self._failures:
                await self._asked_within(self._retry_seconds())
            elif not self._due.is_set() and not await self._asked_meanwhile():
                continue
            if not self._is_stale:
                await self._stale_within(self._tried_at + BETWEEN_SECONDS - self._clock())
            self._due.clear()
            if self._wanted():
                await self._try()

    async def _asked_within(self, seconds: float) -> bool:
        """Waits until a comparison at once is asked for; returns whether it was within so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._due.wait()
        return self._due.is_set()

    async def _stale_within(self, seconds: float) -> None:
        """Waits until Asterisk has to be read, no more than so many seconds."""
        while not self._is_stale and seconds > 0:
            self._due.clear()
            began = self._clock()
            await self._asked_within(seconds)
            seconds -= self._clock() - began

    def _retry_seconds(self) -> float:
        """Returns the seconds until the next try after a failure."""
        return min(FIRST_RETRY_SECONDS * 2.0 ** min(self._failures - 1, 16), LAST_RETRY_SECONDS)

    async def _try(self) -> None:
        """Compares everything once; after a failure the next try comes sooner."""
        started, is_stale = self._clock(), self._is_stale
        self._tried_at = started
        self._is_stale = False  # what becomes stale from now on is for the next one
        try:
            self._keys = await self._look(is_stale)
        except (Unavailable, Refused) as reason:
            self._is_stale = True
            self._postpone(str(reason))
            return
        self._note_done(started)
        metrics.RESYNC_SECONDS.observe(self.done_at - started)

    async def _asked_meanwhile(self) -> bool:
        """Looks through everything little by little; returns whether a comparison at once was asked for meanwhile,
        which ends that."""
        seconds = min(self._every, max(SOONEST_SECONDS, self._keys * SECONDS_A_KEY))
        if not self._wanted() or not self.done.is_set():
            return await self._asked_within(seconds)
        started = self._clock()
        looking = asyncio.ensure_future(self._look_through(seconds))
        asked = asyncio.ensure_future(self._due.wait())
        try:
            await asyncio.wait((looking, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            looking.cancel()
            await asyncio.wait((looking, asked))
        if not looking.cancelled():
            try:
                self._keys = looking.result()
                self._note_done(started)
            except (Unavailable, Refused) as reason:
                self._is_stale = True
                self._postpone(str(reason))
        return self._due.is_set()

    def _note_done(self, started: float) -> None:
        """Notes that everything was looked at."""
        self._failures, self.postponed, self.done_at = 0, "", self._clock()
        self.done.set()
        log.debug("resync.marked", keys=self._keys, duration_ms=round((self.done_at - started) * 1000))

    def _postpone(self, reason: str) -> None:
        """Notes and logs why a comparison failed; the same reason is logged once, not at every try of a long outage."""
        self._failures += 1
        if reason != self.postponed:
            log.warning("resync.postponed", reason=reason, meanwhile="the full comparison is tried again")
        self.postponed = reason
