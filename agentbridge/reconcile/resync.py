"""When everything is looked at again: at a connect, a reload, a TRUNCATE, and at intervals."""

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
SOONEST_SECONDS = 60.0
SECONDS_A_KEY = 0.03
"""What a key costs daemon, PostgreSQL and Asterisk together, 0.2 ms, is then less than a hundredth of a processor."""


class Resync:
    """Compares everything at intervals and whenever `now` was called.

    look: begins the comparison and returns of how many keys; raises Unavailable or Refused when it can't. wanted: False
    for a daemon that must not compare; what is due is kept then. every: the longest interval in seconds; with few keys
    it is shorter, a minute at least. clock: seconds, monotonic.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[int]],
        *,
        wanted: Callable[[], bool],
        every: float,
        clock: Callable[[], float],
    ) -> None:
        self._look = look
        self._wanted = wanted
        self._every = every
        self._clock = clock
        self._due = asyncio.Event()
        self._failures = 0
        self._keys = 0
        self.postponed = ""
        """why the last look could not be taken; empty when it was"""
        self.done_at = float("-inf")
        """when the last look ended, by the clock"""
        self.done = asyncio.Event()
        """set after the first look"""

    def now(self) -> None:
        self._due.set()

    async def run(self) -> None:
        """Compares everything when `now` was called and at the interval, until it is cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_seconds()):
                    await self._due.wait()
            self._due.clear()
            if self._wanted():
                await self._try()

    def _wait_seconds(self) -> float:
        """Returns the seconds until the next comparison: by the number of keys, less after a failure."""
        if not self._failures:
            return min(self._every, max(SOONEST_SECONDS, self._keys * SECONDS_A_KEY))
        return min(FIRST_RETRY_SECONDS * 2.0 ** min(self._failures - 1, 16), LAST_RETRY_SECONDS)

    async def _try(self) -> None:
        """Compares everything once; after a failure the next try comes sooner."""
        started = self._clock()
        try:
            self._keys = await self._look()
        except (Unavailable, Refused) as reason:
            self._postpone(str(reason))
            return
        self._failures, self.postponed, self.done_at = 0, "", self._clock()
        metrics.RESYNC_SECONDS.observe(self.done_at - started)
        self.done.set()
        log.debug("resync.marked", keys=self._keys, duration_ms=round((self.done_at - started) * 1000))

    def _postpone(self, reason: str) -> None:
        """Notes and logs why a comparison failed; the same reason is logged once, not at every try of a long outage."""
        self._failures += 1
        if reason != self.postponed:
            log.warning("resync.postponed", reason=reason, meanwhile="the full comparison is tried again")
        self.postponed = reason
