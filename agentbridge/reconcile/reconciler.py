"""The loop: a key is dirty; read what should be, compare with what is, send the difference.

There is this one path for a change, a start, a restart, a drift and a repair. Everything that happens only
marks keys. A pass takes all keys that are due; passes run side by side, a key is in one pass at a time.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from agentbridge import metrics
from agentbridge.desired.state import SipDefaults
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import (
    AUTOPAUSE,
    EndpointId,
    PauseMember,
    QueueName,
    Reading,
)
from agentbridge.plan.difference import Plan, held_back
from agentbridge.plan.limit import Limit, Owned, Refusal
from agentbridge.reconcile.comparison import Found, Look, Looker, Source, divided, in_parts, one_look
from agentbridge.reconcile.footing import Footing, Moment
from agentbridge.reconcile.guard import Judge, RemovalGuard
from agentbridge.reconcile.pace import Pace
from agentbridge.reconcile.seats import Seats
from agentbridge.reconcile.work_queue import Batch, Cause, Dirty
from agentbridge.reconcile.writer import Target, Writer

log = structlog.get_logger()

WAIT_FOR_LEAVE_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 2.0
"""between two looks at a key that another key or another writer keeps from being done"""
RETRY_AFTER_LOSS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass found for a key: `error` is empty when Asterisk has what the directory says."""

    error: str = ""


class Directory(Source, Judge, Protocol):
    async def record(self, snapshot: str, outcomes: Mapping[EndpointId, Outcome]) -> None: ...

    async def adopt_pause(self, key: EndpointId, queue: QueueName, reason: str) -> None: ...


class Asterisk(Found, Target, Owned, Protocol):
    """What is there, what is ours of it, and how it is changed."""

    @property
    def losses(self) -> int:
        """How often it was lost."""
        ...


class Reconciler:
    """Marks come from any side (`mark`, `resync`); `run` works them off until it is cancelled."""

    def __init__(
        self,
        directory: Directory,
        asterisk: Asterisk,
        pace: Pace,
        *,
        sip: SipDefaults,
        limit: Limit,
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._asterisk = asterisk
        self._writer = Writer(asterisk, pace, clock)
        self._guard = RemovalGuard(directory, asterisk, limit)
        self._looker = Looker(directory, asterisk, sip)
        self._clock = clock
        self.dirty = Dirty(clock)
        self.failed: dict[EndpointId, str] = {}
        self._adoptions: dict[tuple[EndpointId, QueueName], str] = {}
        self._pass_ids = itertools.count(1)
        self._readings: dict[EndpointId, Reading] = {}
        """what came along with the last mark of a key"""
        self._postponed = ""
        """why the last pass could not be done"""
        self._passes: dict[int, float] = {}
        """when each pass under way began, or was last seen to go on"""
        self._footing = Footing(lambda: asterisk.losses, clock)
        self._seats = Seats(asterisk)
        self._missed: dict[EndpointId, Cause] = {}
        self._heard_at: dict[EndpointId, float] = {}
        """when each change was heard of that Asterisk does not have yet"""
        self._wishes = self._wishes_marked = 0
        """how often everything changed in the directory, and how many of those a resync has marked"""

    def stuck_seconds(self) -> float:
        """How long no step was taken in the pass that stands still the longest; 0 when there is none.

        A pass of many thousand writes may take minutes: Asterisk takes few a second where it has many members.
        """
        return self._clock() - min(self._passes.values()) if self._passes else 0.0

    @property
    def refusal(self) -> Refusal | None:
        """What is held back until it is confirmed."""
        return self._guard.refusal

    @property
    def taken(self) -> Collection[EndpointId]:
        """The numbers of the range that Asterisk has by its own files."""
        return self._looker.taken

    # ------------------------------------------------------------ marks

    def suspend(self) -> None:
        """Without the directory nothing is to be done; `resync` goes on again."""
        self._footing.suspend()
        self._miss(self.dirty.clear())

    def mark(self, keys: Collection[EndpointId], cause: Cause, reading: Reading | None = None) -> None:
        """`reading` spares the pass a look at the directory; anything newer is hinted and marks the key anew."""
        for key in keys:
            if cause is Cause.CHANGE:
                self._heard_at.setdefault(key, self._clock())
            if reading is None or self.dirty.is_looked_at(key):
                self._readings.pop(key, None)
            else:
                self._readings[key] = reading
        if self._footing.active:
            self.dirty.mark(keys, cause)
        else:
            self._miss(dict.fromkeys(keys, cause))

    def _miss(self, marks: Mapping[EndpointId, Cause]) -> None:
        """Kept for the next resync: it looks at no stranger's member, and can't know that a change was wished."""
        for key, cause in marks.items():
            if cause is not Cause.RESYNC:
                self._missed[key] = max(cause, self._missed.get(key, cause))

    def autopaused(self, key: EndpointId, queue: QueueName) -> None:
        """app_queue has paused a member by itself: to be adopted before the next pass could undo it."""
        self._adoptions[key, queue] = AUTOPAUSE
        self.mark([key], Cause.EVENT)

    def moment(self) -> Moment:
        """To be noted before Asterisk is read for a resync."""
        return self._footing.moment()

    def all_changed(self) -> None:
        """The next resync brings what the directory wishes, of whichever keys: what differs then is no drift."""
        self._wishes += 1

    async def resync(self, since: Moment | None = None) -> None:
        """Everything that should be or is, is looked at again. Unavailable where the directory was lost since."""
        since = since or self.moment()
        wishes = self._wishes  # one that comes from now on is for the resync after this
        keys = await self._looker.everything()
        if self._guard.has_to_look:
            keys |= await self._guard.look()
        log.debug("resync.started", keys=len(keys))
        self._footing.resume(since)
        for key, cause in self._missed.items():
            self.mark([key], cause)
        self._missed.clear()
        self.mark(keys, Cause.CHANGE if wishes > self._wishes_marked else Cause.RESYNC)
        self._wishes_marked = wishes

    # ------------------------------------------------------------ passes

    async def run(self) -> None:
        async with asyncio.TaskGroup() as passes:
            passes.create_task(self._footing.run())
            while True:
                batch = await self.dirty.take()
                passes.create_task(self._pass(batch))

    async def _pass(self, batch: Batch) -> None:
        pass_id = next(self._pass_ids)
        metrics.PASSES.inc()
        self._passes[pass_id] = self._clock()
        with structlog.contextvars.bound_contextvars(pass_id=pass_id):
            try:
                await self._work(batch, pass_id)
            except (Unavailable, Refused) as lost:
                # nothing is done without both sides; the keys stay dirty
                self._tell_postponed(str(lost), len(batch))
                if self._footing.active:
                    self.dirty.mark_later(batch, after=RETRY_AFTER_LOSS_SECONDS)
                else:
                    self._miss(batch)
            finally:
                del self._passes[pass_id]
                self.dirty.release(batch)

    def _tell_postponed(self, reason: str, keys: int) -> None:
        """Once, and not at every try of a long outage."""
        if reason != self._postponed:
            log.warning("pass.postponed", keys=keys, reason=reason)
        self._postponed = reason

    async def _work(self, batch: Batch, pass_id: int) -> None:
        since = self._footing.moment()
        # also while Asterisk is away: kept until then, it could undo what the agent has done since
        adopted = await self._adopt(batch)
        if not self._asterisk.up:
            raise Unavailable("Asterisk is not connected")

        def going_on() -> None:
            self._passes[pass_id] = self._clock()
            self._footing.check(since)

        brought = None if adopted else self._brought(batch)
        refused = {key: reason for key, reason in adopted.items() if reason}
        looked_at = set(batch)
        differing: list[Look] = []
        unrecorded: Unavailable | None = None
        async for keys in in_parts(batch):
            if part := batch.begin(keys):
                look = await self._look(part, brought, refused)
                going_on()
                done, rest = divided(look)
                try:
                    if done.looked_at:
                        await self._conclude(done, done.plan, {}, part)
                    self.dirty.release(batch, part.keys() - set(rest.looked_at))
                except Unavailable as lost:  # a database that can't be written to keeps no repair from Asterisk
                    unrecorded = lost
                differing += [rest] if rest.looked_at else []
        if differing:
            # all together: the ranks hold for all that is written, such as AORs ahead of all endpoints
            await self._write(one_look(differing), batch, going_on)
        if unrecorded is not None:
            raise unrecorded
        self._postponed = ""
        if self._guard.is_over(looked_at, self.failed):
            self.dirty.mark(await self._guard.look(), Cause.RESYNC)

    async def _look(
        self, part: Mapping[EndpointId, Cause], brought: Reading | None, refused: Mapping[EndpointId, str]
    ) -> Look:
        look = await self._looker.look(part, brought)
        held = {key: reason for key, reason in refused.items() if key in part}
        return replace(look, plan=self._adopt_found(held_back(look.plan, held), part))

    async def _write(self, look: Look, batch: Mapping[EndpointId, Cause], going_on: Callable[[], None]) -> None:
        planned = await self._guard.limited(look.plan)
        planned, seats = self._seats.taken(planned, look.wanted)
        try:
            going_on()
            failures = await self._writer.write(planned.steps, batch, going_on)
        finally:
            self._seats.give_back(seats)
        await self._conclude(look, planned, failures, batch)

    def _brought(self, batch: Collection[EndpointId]) -> Reading | None:
        """What came along with the marks, if one look covers the batch."""
        found = [self._readings.pop(key, None) for key in batch]
        return found[0] if found and all(reading is found[0] for reading in found) else None

    # ------------------------------------------------------------ adoption

    async def _adopt(self, keys: Collection[EndpointId]) -> Mapping[EndpointId, str]:
        """The keys with a pause of app_queue's, about which the directory says something new; each with the
        reason why the directory refused it, '' where it did not."""
        adopted: dict[EndpointId, str] = {}
        for (key, queue), reason in list(self._adoptions.items()):
            if key in keys:
                adopted[key] = await self._adopt_one(key, queue, reason) or adopted.get(key, "")
                self._adoptions.pop((key, queue), None)
        return adopted

    async def _adopt_one(self, key: EndpointId, queue: QueueName, reason: str) -> str:
        try:
            await self._directory.adopt_pause(key, queue, reason)
        except Refused as refused:  # the agent stays on pause in Asterisk, and the next resync asks again
            return f"the pause by Asterisk in {queue} is not in the directory: {refused}"
        log.info("pause.adopted", agent=key, queue=queue, reason=reason)
        return ""

    def _adopt_found(self, planned: Plan, batch: Mapping[EndpointId, Cause]) -> Plan:
        """An autopause that happened while nobody listened is adopted too.

        Only where the directory has not changed: else an unpause in the directory could never win.
        """
        found = [
            (step.key, step.action.queue)
            for step in planned.steps
            if isinstance(step.action, PauseMember) and not step.action.paused
            if batch[step.key] is not Cause.CHANGE
            if self._asterisk.state(step.key).members[step.action.queue].reason == AUTOPAUSE
        ]
        if not found:
            return planned
        for key, queue in found:
            self.autopaused(key, queue)
        keys = {key for key, _ in found}
        return Plan(
            steps=tuple(step for step in planned.steps if step.key not in keys),
            problems=planned.problems,
            waiting=planned.waiting | keys,
        )

    # ------------------------------------------------------------ afterwards

    async def _conclude(
        self, look: Look, planned: Plan, failures: Mapping[EndpointId, str], batch: Mapping[EndpointId, Cause]
    ) -> None:
        errors = {**self._guard.told_at(look.agents), **planned.problems, **failures}
        written = {step.key for step in planned.steps}
        # what was written must now be seen; a difference means that somebody else wrote meanwhile
        proof = await self._looker.compared({key: look.wanted[key] for key in written}, look.queues)
        unseen = {step.key for step in proof.steps}
        unfinished = (unseen - errors.keys()) | planned.waiting
        self.dirty.retry(
            {key: batch[key] for key in unfinished}, first=WAIT_FOR_LEAVE_SECONDS, last=LONGEST_WAIT_SECONDS
        )
        self.dirty.rest(written)
        done = {key: Outcome(errors.get(key, "")) for key in look.looked_at if key not in unfinished}
        self._note_failures(done)
        self.dirty.retry({key: batch[key] for key in failures})
        await self._directory.record(look.snapshot, done)

    def _note_failures(self, outcomes: Mapping[EndpointId, Outcome]) -> None:
        for key, outcome in outcomes.items():
            if not outcome.error:
                if self.failed.pop(key, ""):
                    log.info("key.healed", agent=key)
                self.dirty.succeeded(key)
                if (heard_at := self._heard_at.pop(key, None)) is not None:
                    metrics.CHANGE_APPLY.observe(self._clock() - heard_at)
            elif self.failed.get(key) != outcome.error:
                self.failed[key] = outcome.error
                log.warning("key.failed", agent=key, reason=outcome.error)
