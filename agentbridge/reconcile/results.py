"""What passes came to: recorded in the directory, logged, and counted for `status` and the metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

import structlog

from agentbridge import metrics
from agentbridge.model import EndpointId, QueueName
from agentbridge.reconcile.ports import Asterisk, Directory, Outcome

log = structlog.get_logger()

TOLD_ONE_BY_ONE = 5
"""keys that fail for one reason in one pass; above that they are one line in the log"""


class Results:
    """The results of passes by key: which keys fail and why, and which changes Asterisk does not have yet.

    clock: seconds, monotonic.
    """

    def __init__(self, directory: Directory, asterisk: Asterisk, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._asterisk = asterisk
        self._clock = clock
        self.failed: dict[EndpointId, str] = {}
        """keys that Asterisk can't have as the directory says, each with the reason"""
        self._heard_at: dict[EndpointId, float] = {}
        """when each change was heard of that Asterisk does not have yet"""
        self._handed_over: set[QueueName] = set()

    def heard(self, key: EndpointId) -> None:
        """Notes that the directory has changed the key now; of several changes the first counts."""
        self._heard_at.setdefault(key, self._clock())

    def note(self, outcomes: Mapping[EndpointId, Outcome]) -> None:
        """Takes what became of keys that are done, and logs which of them newly failed and which recovered."""
        fresh: dict[str, list[EndpointId]] = defaultdict(list)
        for key, outcome in outcomes.items():
            if not outcome.error:
                self._succeeded(key)
            elif self.failed.get(key) != outcome.error:
                self.failed[key] = outcome.error
                fresh[outcome.error].append(key)
        for reason, keys in fresh.items():
            if len(keys) > TOLD_ONE_BY_ONE:
                log.warning("keys.failed", agents=len(keys), first=min(keys), last=max(keys), reason=reason)
            else:
                for key in keys:
                    log.warning("key.failed", agent=key, reason=reason)

    def _succeeded(self, key: EndpointId) -> None:
        """Notes that Asterisk has the key as the directory says; logs it where the key had failed."""
        if self.failed.pop(key, ""):
            log.info("key.healed", agent=key)
        if (heard_at := self._heard_at.pop(key, None)) is not None:
            metrics.CHANGE_APPLY.observe(self._clock() - heard_at)

    async def record(
        self, snapshot: str, outcomes: Mapping[EndpointId, Outcome], retired: Collection[QueueName]
    ) -> None:
        """Writes into the directory what a pass found by the rows of that snapshot. Raises Unavailable or Refused.

        retired: queues that left the directory. They are the administrator's as soon as none of our members is in them.
        """
        await self._directory.record(snapshot, outcomes)
        if left := set(retired) - self._handed_over:
            ours = {queue for key in self._asterisk.owned() for queue in self._asterisk.members_of(key)}
            if empty := left - ours:
                await self._directory.hand_over(empty)
                self._handed_over |= empty
        self._handed_over &= set(retired)
