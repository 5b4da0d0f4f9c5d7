"""The guard before the writer: what would take away too much at once waits for an administrator.

A pass sees only the keys that are due, and a directory that was emptied comes in many passes. So each pass
that takes something away is judged by all that is in Asterisk and no longer in the directory.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import structlog

from agentbridge.model import EndpointId, QueueName, Totals
from agentbridge.plan.difference import Limit, Plan, Refusal, takes_away, within

log = structlog.get_logger()


class Holdings(Protocol):
    """What of Asterisk is ours."""

    def owned(self) -> Collection[EndpointId]:
        """Endpoint ids that our AstDB family lists."""
        ...

    def count_members(self, queues: Collection[QueueName]) -> int: ...


class Judge(Protocol):
    async def totals(self) -> Totals: ...

    async def refused(self, removals: int, owned: int) -> bool:
        """Notes a refusal; True when an administrator has confirmed removals of this size."""
        ...


class Removals:
    """`limited` gives back the part of a plan that may be done."""

    def __init__(self, directory: Judge, asterisk: Holdings, limit: Limit) -> None:
        self._directory = directory
        self._asterisk = asterisk
        self._limit = limit
        self.refusal: Refusal | None = None
        """what is held back now"""

    async def limited(self, planned: Plan, queues: frozenset[QueueName]) -> Plan:
        if not takes_away(planned):
            return planned
        limited, refusal = within(
            self._limit,
            planned,
            owned=Totals(endpoints=len(self._asterisk.owned()), members=self._asterisk.count_members(queues)),
            wanted=await self._directory.totals(),
        )
        if refusal is None:
            return planned
        if await self._directory.refused(refusal.removals, refusal.owned):
            log.warning("removals.confirmed", removals=refusal.removals, owned=refusal.owned)
            self.refusal = None
            return planned
        if self.refusal != refusal:
            log.error("removals.refused", kind=refusal.kind, removals=refusal.removals, owned=refusal.owned)
        self.refusal = refusal
        return limited
