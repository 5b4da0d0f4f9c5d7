"""Every attempt to listen to an agent, on its way to the directory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import NoReturn, Protocol

import structlog

from agentbridge.asterisk.retrying import repeat
from agentbridge.model import EndpointId
from agentbridge.model.calls import SpyAttempt

log = structlog.get_logger()

CROWDED = "too many wait for the database: the directory's log lacks this attempt to listen"

RETRY_SECONDS = 0.25
KEPT = 10_000
"""attempts that wait for the database at most; each is in the log whatever happens"""
AT_ONCE = 500


class Audit(Protocol):
    """The log of listening in the directory. Methods raise Unavailable and are safe to repeat."""

    async def note_spying(self, attempts: Sequence[SpyAttempt]) -> None:
        """Writes these attempts, new ones and those that changed."""
        ...

    async def unended_spying(self) -> Sequence[SpyAttempt]:
        """Returns the attempts that have begun to listen and have no end."""
        ...


class SpyAttempts:
    """The attempts to listen that are going on, by the listener's Uniqueid; `run` writes each change to the directory.

    now: the time of day.
    """

    def __init__(self, audit: Audit, now: Callable[[], datetime]) -> None:
        self._audit, self._now = audit, now
        self._running: dict[str, SpyAttempt] = {}
        """the latest attempt of each, until it is over"""
        self._unwritten: dict[tuple[str, datetime], SpyAttempt] = {}
        self._living: frozenset[str] | None = None
        """Uniqueids; not None when what the directory says goes on must be compared with them"""
        self._stopped: Collection[str] = ()
        self._revoked: set[str] = set()
        """Uniqueids of those that were thrown out and whose end is not queued yet, also of such as the directory alone
        knows"""
        self._wake = asyncio.Event()

    def get(self, channel: str) -> SpyAttempt | None:
        """The attempt that goes on at this channel."""
        return self._running.get(channel)

    def running(self) -> list[tuple[str, SpyAttempt]]:
        """All attempts that go on, with the Uniqueids of their channels."""
        return list(self._running.items())

    def spies_of(self, agent: EndpointId) -> tuple[str, ...]:
        """Returns the numbers of those who listen to the agent now."""
        listening = (one for one in self._running.values() if one.started_at is not None and one.target == agent)
        return tuple(sorted(one.spyer for one in listening))

    def keep(self, attempt: SpyAttempt) -> None:
        """Keeps an attempt that is new or has changed, and queues it for the directory."""
        self._running[attempt.channel] = attempt
        self._note(attempt)

    def forget(self, channel: str) -> None:
        """Forgets the attempt at this channel, which never began to listen."""
        self._running.pop(channel, None)

    def revoke(self, channel: str) -> None:
        """Notes that who listens on this channel is thrown out: whenever that ends, this is why."""
        self._revoked.add(channel)

    def end(self, channel: str, ending: str) -> None:
        """Ends the attempt on this channel and queues it for the directory. ending: why, unless it was revoked."""
        attempt = self._running.pop(channel)
        if channel in self._revoked:
            ending = "revoked"
            self._revoked.discard(channel)
        log.info("spy.ended", **log_fields(attempt), ending=ending)
        self._note(replace(attempt, channel=channel, ended_at=self._now(), ending=ending))

    def recall(self, living: Collection[str], stopped: Collection[str]) -> None:
        """Makes the next write compare the attempts without an end in the directory with the channels that live.

        stopped: channels that live and have stopped listening.
        """
        self._living = frozenset(living)
        self._stopped = stopped
        self._wake.set()

    def _note(self, attempt: SpyAttempt) -> None:
        """Queues an attempt for the directory; one that no longer fits into the queue is logged and dropped."""
        key = (attempt.channel, attempt.at)
        if key not in self._unwritten and len(self._unwritten) >= KEPT:
            log.error("spy.not_kept", **log_fields(attempt), reason=CROWDED, meanwhile="the listening itself goes on")
            return
        self._unwritten[key] = attempt
        self._wake.set()

    async def run(self) -> NoReturn:
        """Writes what is queued, for ever."""
        await repeat(self._write, self._wake, name="spy_audit", retry_seconds=RETRY_SECONDS)

    async def _write(self) -> None:
        """Writes what is queued to the directory. Raises Unavailable."""
        if self._living is not None:
            await self._take_over(self._living)
            self._living = None
        while batch := list(islice(self._unwritten.items(), AT_ONCE)):
            await self._audit.note_spying([attempt for _, attempt in batch])
            for key, attempt in batch:
                if self._unwritten.get(key) is attempt:
                    del self._unwritten[key]

    async def _take_over(self, living: frozenset[str]) -> None:
        """Reads from the directory the attempts without an end, ends those that are over and follows the others.

        They began before this daemon started, or ended while nobody saw it.
        """
        for attempt in await self._audit.unended_spying():
            if attempt.channel in self._running or (attempt.channel, attempt.at) in self._unwritten:
                continue
            if attempt.channel in living - set(self._stopped):
                self._running[attempt.channel] = attempt
            else:
                ending = "revoked" if attempt.channel in self._revoked else "unseen"
                self._note(replace(attempt, ended_at=self._now(), ending=ending))
        self._revoked &= living | self._running.keys()


def log_fields(attempt: SpyAttempt) -> dict[str, str]:
    """Returns what the log tells of an attempt."""
    return {"agent": attempt.target, "spyer": attempt.spyer, "mode": attempt.mode}
