"""What passes came to: recorded in the directory, logged, and counted for `status` and the metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

import structlog

from agentbridge import memory, metrics
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId, QueueName
from agentbridge.reconcile.ports import SUCCESS, Asterisk, Directory, Outcome

log = structlog.get_logger()

TOLD_ONE_BY_ONE = 5
"""keys that fail for one reason in one pass; above that they are one line in the log"""
RECORD_SECONDS = 0.05
"""between two records of what can wait: at once after a silence, and together when many come"""
MANY = 1000
"""results that leave gaps in the memory when they are recorded together"""
PART_OF_RECORDS = 20
"""of what can wait, records take one part of so many of the time: each of many keys looks through all changes"""
TRUST_SECONDS = 3600.0
"""for so long a success that was recorded is taken to be there still"""


class Results:
    """The results of passes by key: which keys fail and why, and which changes Asterisk does not have yet.

    They are recorded in the directory together, as known up to the snapshot `known`. retired: the queues that left
    the directory, which are the administrator's as soon as none of our members is in them. on_lost: told of keys whose
    results could not be recorded, and why. on_recorded: called when some were. clock: seconds, monotonic.
    """

    def __init__(
        self,
        directory: Directory,
        asterisk: Asterisk,
        clock: Callable[[], float],
        *,
        retired: Callable[[], Collection[QueueName]],
        on_lost: Callable[[Collection[EndpointId], str], None],
        on_recorded: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._asterisk = asterisk
        self._clock = clock
        self._retired = retired
        self._on_lost, self._on_recorded = on_lost, on_recorded
        self.failed: dict[EndpointId, str] = {}
        """keys that Asterisk can't have as the directory says, each with the reason"""
        self.known = ""
        """the snapshot of the directory up to which every change has marked its keys"""
        self._heard_at: dict[EndpointId, float] = {}
        """when each change was heard of that Asterisk does not have yet"""
        self._handed_over: set[QueueName] = set()
        self._unrecorded: dict[EndpointId, Outcome] = {}
        """what keys came to; of one that is marked again it is forgotten, and the pass that follows tells"""
        self._recording: dict[EndpointId, Outcome] = {}
        """what is being recorded just now, without those that have changed meanwhile"""
        self._recorded: dict[EndpointId, None] = {}
        """keys whose success is in the directory already and of which it has not changed since: of 20,000 keys a set
        is 1 MB, a dictionary half of it"""
        self._recorded_since = clock()
        self._waiting, self._now = asyncio.Event(), asyncio.Event()
        """that something is to be recorded, and that it can't wait"""
        self._may_record = asyncio.Event()
        self._may_record.set()

    def __len__(self) -> int:
        """How many results are not recorded yet."""
        return len(self._unrecorded)

    # ------------------------------------------------------------ what the loop tells

    def marked(self, key: EndpointId, *, is_wish: bool) -> None:
        """Notes that the key is to be compared again; is_wish: since the directory has changed, of several changes the
        first counts."""
        self._unrecorded.pop(key, None)
        if is_wish:
            self._recording.pop(key, None)
            self._recorded.pop(key, None)
            self._heard_at.setdefault(key, self._clock())

    def put(self, outcomes: Mapping[EndpointId, Outcome]) -> None:
        """Has these results recorded soon, but for successes that are in the directory already."""
        for key, outcome in outcomes.items():
            if outcome != SUCCESS or key not in self._recorded:
                self._unrecorded[key] = outcome
                self._waiting.set()

    def record_now(self) -> None:
        """Has what is to be recorded not wait for more of it."""
        self._now.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is recorded within the block, in which all keys are marked one after the other."""
        self._may_record.clear()
        try:
            yield
        finally:
            self._may_record.set()

    def forget(self) -> None:
        """Forgets what is recorded and what is to be: the directory is lost, and may be another one when it is back."""
        self._unrecorded.clear()
        self._recording.clear()
        self._recorded.clear()

    def distrust(self) -> None:
        """Forgets what is recorded once an hour, so that it is recorded again in case somebody has deleted it."""
        if self._clock() - self._recorded_since > TRUST_SECONDS:
            self._recorded.clear()
            self._recorded_since = self._clock()

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

    # ------------------------------------------------------------ the directory

    async def run(self) -> NoReturn:
        """Records what is to be recorded, until it is cancelled."""
        while True:
            await self._waiting.wait()
            await self._may_record.wait()
            self._waiting.clear()
            self._now.clear()
            began = self._clock()
            await self._record()
            rest = max(RECORD_SECONDS, (PART_OF_RECORDS - 1) * (self._clock() - began))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._now.wait()

    async def _record(self) -> None:
        """Writes what is to be recorded into the directory; tells where that can't be."""
        outcomes, self._unrecorded = self._unrecorded, {}
        self._recording = dict(outcomes)
        for key in outcomes:
            self._recorded.pop(key, None)
        try:
            await self._directory.record(self.known, outcomes)
            await self._hand_over()
        except (Unavailable, Refused) as lost:
            self._on_lost(outcomes, str(lost))
        else:
            if len(outcomes) > MANY:
                memory.give_back()
            self._recorded |= {key: None for key, outcome in self._recording.items() if outcome == SUCCESS}
            self._on_recorded()

    async def _hand_over(self) -> None:
        """Tells the directory which retired queues have no member of ours any more. Raises Unavailable or Refused."""
        retired = set(self._retired())
        if left := retired - self._handed_over:
            ours = {queue for key in self._asterisk.owned() for queue in self._asterisk.members_of(key)}
            if empty := left - ours:
                await self._directory.hand_over(empty)
                self._handed_over |= empty
        self._handed_over &= retired
