"""The loop: for a key that is due, read what should be, compare it with what is, send the difference.

There is this one path for a change, a start, a restart, a drift and a repair. Whatever happens only marks keys. A pass
takes all keys that are due; passes run side by side, and a key is in one pass at a time.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import structlog

from agentbridge import memory, metrics
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId, Fate, MemberId, QueueName, Reading, SessionPause
from agentbridge.plan.difference import Plan, held_back
from agentbridge.plan.limit import Limit, Refusal, losses_of
from agentbridge.plan.postponement import interrupted, postponed
from agentbridge.reconcile.autopauses import Autopauses
from agentbridge.reconcile.comparison import MARKED_AT_ONCE, Comparer, Comparison, in_parts, merged
from agentbridge.reconcile.fence import Fence, FenceToken
from agentbridge.reconcile.filling import Filling
from agentbridge.reconcile.guard import RemovalGuard
from agentbridge.reconcile.pace import Pace
from agentbridge.reconcile.places import Places
from agentbridge.reconcile.ports import SUCCESS, Asterisk, Directory, Outcome
from agentbridge.reconcile.results import Results
from agentbridge.reconcile.waiting import WaitingKeys
from agentbridge.reconcile.work_queue import Batch, Cause, WorkQueue
from agentbridge.reconcile.writer import Writer

log = structlog.get_logger()

WAIT_FOR_LEAVE_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 2.0
"""between two comparisons of a key that a call, another key or another writer keeps from being done"""
RETRY_AFTER_LOSS_SECONDS = 0.5
BIG = 1000
"""a pass over more keys, as a cold start is, leaves much memory behind"""
POLITE_SECONDS = 1.0
"""for so long after a change a comparison of everything that only the directory asks for leaves room to the next"""
PART_OF_POLITE = 4
"""it takes one part of so many of the time"""
AUTOPAUSE_SECONDS = 0.05
"""app_queue pauses a member in each of its queues one after the other: they are adopted together"""


class Reconciler:
    """The loop that makes one Asterisk as one directory says: `mark` makes keys due, `run` compares and writes them.

    limit: how many agents may vanish without a confirmation. clock: seconds, monotonic.
    """

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
        self._comparer = Comparer(directory, asterisk, sip)
        self._guard = RemovalGuard(directory, asterisk, limit)
        self._autopauses = Autopauses(directory, asterisk)
        self._places = Places(asterisk)
        self._writer = Writer(asterisk, pace, clock)
        self._fence = Fence(lambda: asterisk.losses, clock)
        self._clock = clock
        self.work = WorkQueue(clock)
        self._results = Results(
            directory,
            asterisk,
            clock,
            retired=lambda: self._comparer.retired,
            on_lost=self._unrecorded,
            on_recorded=lambda: self._note_postponed(""),
        )
        self._readings: dict[EndpointId, Reading] = {}
        """what came along with the last hint of a key"""
        self._pauses: dict[EndpointId, SessionPause] = {}
        """the last pause of keys that are marked for it"""
        self._hinted = ""
        """the snapshot of the directory up to which all hints have come"""
        self._missed: dict[EndpointId, Cause] = {}
        """marks from while the directory was away"""
        self._everything_changed = self._everything_marked = 0
        """how often everything changed in the directory, and how many of those a resync has marked"""
        self._changed_at = float("-inf")
        """when the directory changed a single key the last time"""
        self._giving_way = asyncio.Lock()
        self._waiting = WaitingKeys(asterisk)
        self._pass_ids = itertools.count(1)
        self._passes: dict[int, float] = {}
        """when each pass under way began, or was last seen to go on"""
        self._postponed = ""
        """why the last pass could not be done"""

    @property
    def refusal(self) -> Refusal | None:
        """What is held until it is confirmed."""
        return self._guard.refusal

    def stuck_seconds(self) -> float:
        """Returns for how long the slowest pass has made no progress; 0 when no pass runs.

        A pass of many thousand writes may take minutes: Asterisk takes few a second where it has many members.
        """
        return self._clock() - min(self._passes.values()) if self._passes else 0.0

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits to be compared, written or recorded."""
        return not self.work and not self._results

    @property
    def is_in_order(self) -> bool:
        """Whether Asterisk is known to have all that the directory wishes: nothing waits, failed or is held back."""
        return self.is_settled and not self.failed and self.refusal is None

    @property
    def failed(self) -> Mapping[EndpointId, str]:
        """Keys that Asterisk can't have as the directory says, each with the reason."""
        return self._results.failed

    @property
    def taken(self) -> Collection[EndpointId]:
        """The numbers of the range that Asterisk has by its own files."""
        return self._comparer.taken

    # ------------------------------------------------------------ marks

    def mark(self, keys: Collection[EndpointId], cause: Cause, reading: Reading | None = None) -> None:
        """Makes these keys due for comparison; when writes are suspended they are kept for the next `resync`.

        reading: what was just read of them, which saves the pass a query; a newer change marks the key again.
        """
        if cause.is_wish and cause.is_urgent and keys:
            self._changed_at = self._clock()
        for key in keys:
            self._results.marked(key, is_wish=cause.is_wish)
            if reading is None or self.work.is_in_work(key):
                self._readings.pop(key, None)
            else:
                self._readings[key] = reading
        if not self._fence.open:
            self._keep_missed(dict.fromkeys(keys, cause))
            return
        if cause in (Cause.EVENT, Cause.RESYNC) and (half := {key for key in keys if self._autopauses.waits(key)}):
            # the event of an autopause is one of a member too: at once it would bring the first queue's pause alone
            self.work.mark_later(dict.fromkeys(half, cause), after=AUTOPAUSE_SECONDS)
            keys = [key for key in keys if key not in half]
        self.work.mark(keys, cause)

    def mark_pauses(self, pauses: Mapping[EndpointId, SessionPause]) -> None:
        """Makes keys due of which nothing has changed but the pause of their session; one that was not in order is due
        for everything."""
        whole = set(pauses) if self._guard.refusal else pauses.keys() & self.failed.keys()
        self.mark(whole, Cause.CHANGE)
        self._pauses.update({key: pause for key, pause in pauses.items() if key not in whole})
        self.mark(pauses.keys() - whole, Cause.PAUSE)

    def autopaused(self, key: EndpointId, queue: QueueName) -> None:
        """Notes that app_queue paused a member by itself, and makes its key due, so that the directory adopts the
        pause."""
        self._autopauses.note(key, queue)
        if self._fence.open:
            self.work.mark_later({key: Cause.EVENT}, after=AUTOPAUSE_SECONDS)
        else:
            self._keep_missed({key: Cause.EVENT})

    def hinted(self, snapshot: str) -> None:
        """Notes that all changes up to that snapshot of the directory have been told, and so what keys come to is
        recorded as known up to it."""
        self._hinted = snapshot
        if self.has_all_marked:
            self._results.known = snapshot

    @property
    def has_all_marked(self) -> bool:
        """Whether a resync has marked every key since everything changed the last time."""
        return self._everything_changed == self._everything_marked

    def everything_changed(self) -> None:
        """The next resync brings what the directory wishes, of whichever keys: what differs then is no drift."""
        self._everything_changed += 1

    def suspend(self) -> None:
        """Stops all writes until the next `resync`, because the directory is lost."""
        self._fence.close()
        self._keep_missed(self.work.clear())
        self._results.forget()
        self._pauses.clear()

    def _keep_missed(self, marks: Mapping[EndpointId, Cause]) -> None:
        """Keeps marks that can't be worked on now for the next resync.

        It would not compare devices that are not ours, and could not know that a change was wished.
        """
        for key, cause in marks.items():
            if cause is not Cause.RESYNC:
                self._missed[key] = cause.joined(self._missed.get(key, cause))

    def token(self) -> FenceToken:
        """Returns a token for `resync`, which proves that neither side was lost since; to be taken before Asterisk is
        read."""
        return self._fence.token()

    async def resync(self, since: FenceToken | None = None) -> int:
        """Allows writes again and makes every key due; returns how many. Raises Unavailable where the directory was
        lost since that token."""
        since = since or self.token()
        changed = self._everything_changed  # what changes from now on is for the resync after this
        keys = await self.everything()
        log.debug("resync.started", keys=len(keys))
        self._fence.reopen(since)
        for key, cause in self._missed.items():
            self.mark([key], cause)
        self._missed.clear()
        cause = Cause.EVERYTHING if changed > self._everything_marked else Cause.RESYNC
        with self.work.gathering(), self._results.held():  # what was compared before is forgotten by the mark
            async for part in in_parts(keys, MARKED_AT_ONCE):
                self.mark(part, cause)
            self._everything_marked = changed
            self.hinted(self._hinted)
        return len(keys)

    async def everything(self) -> set[EndpointId]:
        """Returns every key that should be or is in Asterisk. Raises Unavailable."""
        self._results.distrust()
        keys = await self._comparer.all_keys()
        return keys | await self._guard.look() if self._guard.has_to_look else keys

    # ------------------------------------------------------------ passes

    async def run(self) -> None:
        """Takes due keys and works on them, several passes at a time, until it is cancelled."""
        async with asyncio.TaskGroup() as passes:
            passes.create_task(self._fence.run())
            passes.create_task(self._results.run())
            passes.create_task(self._next_pass(passes))

    async def _next_pass(self, passes: asyncio.TaskGroup) -> None:
        """Waits until keys are due and does a pass over them; the next one waits meanwhile in a task of its own."""
        batch = await self.work.take()
        passes.create_task(self._next_pass(passes))
        await self._pass(batch)

    async def _pass(self, batch: Batch) -> None:
        """Does one pass over a batch; where directory or Asterisk is lost meanwhile, its keys are compared again
        later."""
        pass_id, is_big = next(self._pass_ids), len(batch) > BIG
        metrics.PASSES.inc()
        self._passes[pass_id] = self._clock()
        with structlog.contextvars.bound_contextvars(pass_id=pass_id):
            try:
                await self._work(batch, pass_id)
            except (Unavailable, Refused) as lost:
                self._postpone(batch, str(lost))
            finally:
                del self._passes[pass_id]
                self.work.release(batch)
        if is_big:
            memory.give_back()

    def _unrecorded(self, keys: Collection[EndpointId], reason: str) -> None:
        self._postpone(dict.fromkeys(keys, Cause.CHANGE), reason)

    def _note_postponed(self, reason: str, keys: int = 0) -> None:
        """Notes and logs why so many keys have to wait; '' when the last ones did not."""
        if reason and reason != self._postponed:  # once, and not at every try of a long outage
            log.warning("pass.postponed", keys=keys, reason=reason, meanwhile="these changes wait")
        self._postponed = reason

    def _postpone(self, causes: Mapping[EndpointId, Cause], reason: str) -> None:
        """Has keys compared again after a side was lost, for these causes."""
        self._note_postponed(reason, len(causes))
        if self._fence.open:
            self.work.mark_later(causes, after=RETRY_AFTER_LOSS_SECONDS)
        else:
            self._keep_missed(causes)

    async def _work(self, batch: Batch, pass_id: int) -> None:
        """Compares a batch part by part and writes what differs; adopts autopauses first. Raises Unavailable."""
        since = self._fence.token()

        def check() -> None:
            self._passes[pass_id] = self._clock()
            self._fence.check(since)

        pauses = self._pauses_of(batch)
        # also while Asterisk is away: kept until then, it could undo what the agent has done since
        adopted = await self._autopauses.adopt(batch)
        batch.set_changed(adopted)  # what follows from the adoption is no drift
        if not self._asterisk.up:
            raise Unavailable("Asterisk is not connected")
        if pauses and not adopted:
            await self._write_pauses(pauses, batch, check)
            return
        batch.set_changed([key for key, cause in batch.items() if cause is Cause.PAUSE])
        keys = set(batch)
        if len(batch) > BIG:
            await self._fill(batch, adopted, check)
        else:
            await self._write_together(await self._compare_in_parts(batch, adopted, check), batch, check)
        if self._guard.is_over(keys, self.failed):
            self.mark(await self._guard.look(), Cause.RESYNC)

    async def _fill(self, batch: Batch, adopted: Mapping[EndpointId, str], check: Callable[[], None]) -> None:
        """Compares a big batch and writes what differs; what is only added, slice by slice. Raises Unavailable."""
        filling = Filling(
            self._comparer,
            self._writer,
            self.work,
            batch,
            check,
            self._conclude,
            with_aors=not self._asterisk.takes_together(len(batch)),
        )
        async with filling:
            await self._write_together(await self._compare_in_parts(batch, adopted, check, filling), batch, check)
            if rest := await filling.finish():
                await self._write(rest, batch, check)
        self._results.record_now()

    async def _write_together(self, differing: Sequence[Comparison], batch: Batch, check: Callable[[], None]) -> None:
        """Writes what differs, all together: the ranks hold for all of it, such as AORs ahead of all endpoints."""
        if differing:
            compared = merged(differing)
            await self._write(compared.of(batch.begin(compared.keys)), batch, check)

    def _pauses_of(self, batch: Batch) -> dict[EndpointId, SessionPause]:
        """Returns the pauses that were marked, if they are all that the pass has to look at; else none."""
        found = {key: self._pauses.pop(key, None) for key in batch}
        pauses = {key: pause for key, pause in found.items() if pause is not None and batch[key] is Cause.PAUSE}
        return pauses if len(pauses) == len(batch) and self._comparer.knows_queues else {}

    async def _write_pauses(
        self, pauses: Mapping[EndpointId, SessionPause], batch: Batch, check: Callable[[], None]
    ) -> None:
        """Does a pass over keys of which nothing has changed but the pause of their session."""
        batch.begin(pauses)
        compared = self._comparer.compare_pauses(pauses)
        written = await self._writer.write(compared.plan.steps, batch, check)
        self._conclude(compared, written.failures, batch, self._comparer.compare_pauses(pauses).plan)

    async def _compare_in_parts(
        self,
        batch: Batch,
        adopted: Mapping[EndpointId, str],
        check: Callable[[], None],
        filling: Filling | None = None,
    ) -> list[Comparison]:
        """Compares a batch part by part, and is done with the keys that are in order; returns the comparisons of the
        others. Raises Unavailable.

        adopted: the keys with an autopause, each with the reason why the directory refused it, or ''. filling: writes
        those that are only added to.
        """
        reading = None if adopted else self._reading_of(batch)
        refused = {key: reason for key, reason in adopted.items() if reason}
        differing: list[Comparison] = []
        async for some in in_parts(batch):
            began = self._clock()
            if part := batch.begin(some):
                compared = await self._compare(batch, part, reading, refused)
                check()
                same, different = compared.split()
                if same:
                    self._conclude(same, {}, batch, Plan())
                # with those that are not ours
                self.work.release(batch, part.keys() - set(different.keys if different else ()))
                new, different = filling.split(different) if filling and different else (None, different)
                if different:
                    differing.append(different)
                    self.work.set_aside(batch, different.keys)
                if filling and new:
                    await filling.add(new)
                if Cause.EVERYTHING in part.values():
                    await self._give_way(self._clock() - began)
        return differing

    async def _give_way(self, took: float) -> None:
        """Rests after a part of a comparison of everything that took so many seconds, while single changes come; of
        several passes one after the other."""
        if self._clock() - self._changed_at < POLITE_SECONDS:
            async with self._giving_way:
                await asyncio.sleep((PART_OF_POLITE - 1) * took)

    def _reading_of(self, batch: Collection[EndpointId]) -> Reading | None:
        """Returns the reading that came along with the marks, if it covers the batch; else None."""
        found = [self._readings.pop(key, None) for key in batch]
        return found[0] if found and all(reading is found[0] for reading in found) else None

    async def _compare(
        self,
        batch: Batch,
        part: Mapping[EndpointId, Cause],
        reading: Reading | None,
        refused: Mapping[EndpointId, str],
    ) -> Comparison:
        """Compares a part of the batch; keys with an autopause to be adopted, or refused by the directory, get no
        steps."""
        compared = await self._comparer.compare(part, reading)
        batch.set_changed(compared.changed & batch.keys())
        self.mark(self._waiting.left_for(compared.agents, batch), Cause.CHANGE)
        held = {key: reason for key, reason in refused.items() if key in part}
        planned = held_back(compared.plan, held)
        if unheard := self._autopauses.unheard(planned, batch):
            steps = tuple(step for step in planned.steps if step.key not in unheard)
            planned = replace(planned, steps=steps, waiting={**planned.waiting, **dict.fromkeys(unheard, "")})
        return compared if planned is compared.plan else replace(compared, plan=planned)

    async def _write(self, compared: Comparison, batch: Batch, check: Callable[[], None]) -> None:
        """Writes what may be written now: no removal that is held back, no interrupted call, no agent twice in a
        queue."""
        planned, anew = await self._allowed(compared)
        planned, places = self._places.lock(planned, compared.desired)
        try:
            check()
            written = await self._writer.write(planned.steps, batch, check, anew)
        finally:
            self._places.unlock(places)
        if written.engaged:  # their next pass, a moment later, finds the call and says what they wait for
            planned = replace(planned, waiting={**dict.fromkeys(written.engaged, ""), **planned.waiting})
        # what was written must now be seen; a difference means that somebody else wrote meanwhile
        states = {step.key: compared.desired[step.key] for step in planned.steps}
        proof = await self._comparer.compare_again(states, compared.queues)
        self._conclude(replace(compared, plan=planned), written.failures, batch, proof)
        self._results.record_now()

    async def _allowed(self, compared: Comparison) -> tuple[Plan, Collection[MemberId]]:
        """Returns the plan without removals held back and calls to be interrupted, and the members that it removes and
        adds again.

        Those members are free now, and must still be when they are taken out.
        """
        losses = losses_of(compared.plan, self._asterisk)
        fates = await self._directory.judge(losses) if losses else {}
        planned = await self._guard.limited(compared.plan, fates)
        places = interrupted(planned, compared.desired, fates, self._asterisk)
        anew = {place for place, key in places.items() if place[0] in compared.desired[key].members}
        engaged = await self._asterisk.engaged(places, anew) if places else {}
        for loss, fate in fates.items():
            if fate is Fate.MOVED and loss.agent is not None and any(places[place] == loss.key for place in engaged):
                self._waiting.moves(loss.key, loss.agent)
        return postponed(planned, engaged, places, compared.desired, self._asterisk), places.keys() - engaged.keys()

    # ------------------------------------------------------------ afterwards

    def _conclude(self, compared: Comparison, failures: Mapping[EndpointId, str], batch: Batch, proof: Plan) -> None:
        """Notes what keys came to, to be recorded in the directory; what is not done is retried.

        proof: what still differs after the writing.
        """
        planned = compared.plan
        errors = {**self._guard.told_at(compared.agents), **planned.problems, **failures}
        written = {step.key for step in planned.steps}
        unseen = {step.key for step in proof.steps}
        unfinished = (unseen - errors.keys()) | planned.waiting.keys()
        self.work.retry(
            {key: batch[key] for key in unfinished}, first=WAIT_FOR_LEAVE_SECONDS, last=LONGEST_WAIT_SECONDS
        )
        self.work.rest(written)
        self.work.retry({key: batch[key] for key in failures})
        done = {
            key: Outcome(errors[key]) if key in errors else SUCCESS for key in compared.keys if key not in unfinished
        }
        self.work.forget_back_off(key for key, outcome in done.items() if not outcome.error)
        self._results.note(done)
        self.mark(self._waiting.stop(done), Cause.CHANGE)
        waiting = {key: Outcome(errors.get(key, ""), reason) for key, reason in self._waiting.begin(planned).items()}
        outcomes = done | waiting
        self._results.put({key: outcomes[key] for key in outcomes if not self.work.is_due_again(key)})
