"""The two ways of comparing everything: at once, and little by little."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentbridge import memory
from agentbridge.reconcile.comparison import KEYS_AT_ONCE
from agentbridge.reconcile.work_queue import Cause

if TYPE_CHECKING:
    from agentbridge.service.parts import Parts

READING = 0.3
"""the share of the time for a look through everything that its lists have; the rest is for comparing"""
SPARED = 11
"""so many looks in a row may spare the keys, of a directory in which nothing is written"""


class Looks:
    """Compares everything for the resync, which says when.

    `parts` is set once all of them are there, and before any of them runs.
    """

    parts: Parts

    def __init__(self) -> None:
        self._keys = 0
        """how many there were at the last look at all of them"""
        self._fingerprint: str | None = None
        """the directory's, as it was before that look"""
        self._spared = 0
        """looks since then that spared the keys"""

    async def at_once(self, is_stale: bool) -> int:
        """Marks every key; returns how many. Unavailable or Refused where a side can't be read.

        is_stale: what is known of Asterisk may not be so, and all of it is read first.
        """
        parts = self.parts
        if not is_stale and parts.reconciler.has_all_marked:
            return self._keys  # by a comparison that had begun before this one was asked for
        since = parts.reconciler.token()
        if is_stale:
            await parts.node.read_all()
            await parts.node.finish_new_aors()
        fingerprint = await parts.directory.fingerprint()
        parts.node.forget_missing_queues()
        keys = await parts.reconciler.resync(since)
        self._looked(keys, fingerprint)
        if is_stale:
            parts.calls.look_again()
        return keys

    async def through(self, seconds: float) -> int:
        """Reads Asterisk and compares every key little by little, in so many seconds; returns how many. Unavailable or
        Refused where a side can't be read.

        Nothing is held up by it for longer than one of Asterisk's lists takes. What a list shows that was not known is
        compared at once. So where nothing was written in the directory since the last look at all keys, there is
        nothing left to be found in them, and they are spared.
        """
        parts = self.parts
        reads = parts.node.reads()
        for read in reads:
            await asyncio.sleep(seconds * READING / len(reads))
            await read()
        seconds *= 1 - READING
        fingerprint = await parts.directory.fingerprint()
        is_spared = fingerprint == self._fingerprint and parts.reconciler.is_in_order and self._spared < SPARED
        if is_spared:
            self._spared += 1
            await asyncio.sleep(seconds)
        else:
            self._looked(await self._mark_all(seconds), fingerprint)
        parts.calls.look_again(spare_agents=is_spared)
        memory.give_back()
        return self._keys

    async def _mark_all(self, seconds: float) -> int:
        """Marks every key, some at a time, in so many seconds; returns how many. Raises Unavailable."""
        self.parts.node.forget_missing_queues()
        keys = sorted(await self.parts.reconciler.everything())
        rest = seconds / (len(keys) // KEYS_AT_ONCE + 1)
        for start in range(0, len(keys), KEYS_AT_ONCE):
            self.parts.reconciler.mark(keys[start : start + KEYS_AT_ONCE], Cause.RESYNC)
            await asyncio.sleep(rest)
        return len(keys)

    def _looked(self, keys: int, fingerprint: str) -> None:
        """Notes that all of so many keys were marked, of a directory with that fingerprint or a later one."""
        self._keys, self._fingerprint, self._spared = keys, fingerprint, 0
