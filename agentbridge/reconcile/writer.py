"""The paced writer: does the steps of a plan, rank by rank, as fast as Asterisk takes them, and logs each one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from agentbridge import metrics
from agentbridge.errors import InvalidValue, Refused, Unavailable
from agentbridge.model import (
    ABSENT,
    Action,
    AddMember,
    DeleteMailbox,
    DeleteObject,
    DeletePolicy,
    DropContact,
    EndpointId,
    Member,
    MemberAction,
    MemberId,
    ObjectKind,
    PauseMember,
    PutMailbox,
    PutObject,
    PutPolicy,
    RemoveMember,
    SetPenalty,
    SetRingInUse,
    Step,
    member_id,
)
from agentbridge.plan.difference import rank, shown_member
from agentbridge.plan.registration import transport_of
from agentbridge.reconcile.pace import AT_ONCE, TASKS_A_WRITE, Pace
from agentbridge.reconcile.ports import Asterisk
from agentbridge.reconcile.work_queue import Cause

log = structlog.get_logger()

Failures = dict[EndpointId, str]


@dataclass(slots=True)
class Written:
    """What of a plan was not written: keys that failed, and keys whose member took a call."""

    failures: Failures = field(default_factory=dict)
    """keys that failed, each with the reason"""
    engaged: set[EndpointId] = field(default_factory=set)
    """keys whose member took a call just before it would have been made anew"""

    def goes_on(self, key: EndpointId) -> bool:
        """Whether the further steps of the key are done."""
        return key not in self.failures and key not in self.engaged


class Writer:
    """Carries out the steps of a plan in Asterisk, as fast as the pace allows."""

    def __init__(self, asterisk: Asterisk, pace: Pace, clock: Callable[[], float]) -> None:
        self._asterisk = asterisk
        self._pace = pace
        self._clock = clock
        self._at_work: dict[MemberId, asyncio.Event] = {}
        """members that are being written, each with what is set when that is over"""

    async def write(
        self,
        steps: Sequence[Step],
        causes: Mapping[EndpointId, Cause],
        check: Callable[[], None],
        anew: Collection[MemberId] = (),
    ) -> Written:
        """Carries out the steps rank by rank; a key whose step fails gets no further step. Returns what was not
        written.

        check: called before each write, also while Asterisk is behind; what it raises ends the writing. anew: the
        members that are taken out to be added again, only if they are free until then. Raises Unavailable when Asterisk
        is gone.
        """
        written = Written()
        for _, group in itertools.groupby(steps, key=rank):
            todo = [step for step in group if written.goes_on(step.key)]
            aors = [step for step in todo if is_new_aor(step)]
            if self._asterisk.takes_together(len(aors)):
                check()
                await self._put_aors(aors, causes, written.failures)
                todo = [step for step in todo if not is_new_aor(step)]
            await self._write_rank(todo, causes, written, check, anew)
        return written

    async def _put_aors(self, steps: Sequence[Step], causes: Mapping[EndpointId, Cause], failures: Failures) -> None:
        """Makes many new AORs together and notes failures. Raises Unavailable when Asterisk is gone."""
        started = self._clock()
        aors = {step.key: step.action.fields for step in steps if isinstance(step.action, PutObject)}
        try:
            failed = await self._asterisk.put_new_aors(aors)
        except (Refused, Unavailable) as error:
            if not self._asterisk.up:
                raise Unavailable(str(error)) from error
            failed = dict.fromkeys(aors, str(error))
        failures |= failed
        for step in steps:
            if step.key not in failed:
                log_step(step, cause=causes[step.key], seconds=self._clock() - started)

    async def _write_rank(
        self,
        todo: Sequence[Step],
        causes: Mapping[EndpointId, Cause],
        written: Written,
        check: Callable[[], None],
        anew: Collection[MemberId],
    ) -> None:
        """Carries out steps of equal rank at the same time, as many at once as the pace allows. Raises Unavailable."""
        flight = _Flight()
        try:
            while todo and not flight.unanswered:
                tasks = self._tasks(todo[0])
                granted = await self._pace.take(len(todo), tasks=tasks)
                now, todo = todo[:granted], todo[granted:]
                free: Sequence[Step] = ()
                try:
                    check()
                    free = await self._free(now, anew, written)
                finally:
                    self._pace.answered(len(now) - len(free), tasks=tasks)
                if len(free) == 1 and not todo:  # most changes are one write, which needs no task of its own
                    await self._do(free[0], causes, written.failures, flight, tasks)
                    break
                for step in free:
                    await flight.room()
                    flight.begin(self._do(step, causes, written.failures, flight, tasks))
        except asyncio.CancelledError:
            flight.cancel()
            raise
        finally:
            await flight.landed()
        if flight.unanswered:
            if not self._asterisk.up:
                raise Unavailable(flight.unanswered)
            # a part of Asterisk does not answer: to ask on would make every key wait for its own deadline
            written.failures.update({step.key: flight.unanswered for step in todo})

    async def _free(self, steps: Sequence[Step], anew: Collection[MemberId], written: Written) -> Sequence[Step]:
        """Returns the steps without the removals of members that have taken a call since the plan was made; notes
        these."""
        removed = {member: step.key for step in steps if (member := _taken_out(step)) in anew and member is not None}
        if not removed:
            return steps
        written.engaged |= {removed[member] for member in await self._asterisk.reserve(removed)}
        return [step for step in steps if written.goes_on(step.key)]

    async def _do(
        self, step: Step, causes: Mapping[EndpointId, Cause], failures: Failures, flight: _Flight, tasks: int
    ) -> None:
        """Carries out a step and notes its failure. tasks: those for which the pace has let it go."""
        try:
            error = await self._try(step, causes)
        finally:
            self._pace.answered(tasks=tasks)
        if error is not None:
            failures.setdefault(step.key, str(error))
        if isinstance(error, Unavailable):
            flight.unanswered = str(error)

    async def _try(self, step: Step, causes: Mapping[EndpointId, Cause]) -> Exception | None:
        """Applies one step and logs it. Returns the error with which Asterisk refused or was lost, None when done."""
        started = self._clock()
        try:
            written = await self._apply(step)
        except (Refused, InvalidValue, Unavailable) as error:
            return error
        if written:
            log_step(step, cause=causes[step.key], seconds=self._clock() - started)
        return None

    async def _apply(self, step: Step) -> bool:
        """Applies one step, after the one that is under way for the same queue member; returns False where that has
        left nothing to do.

        An agent who moves has two keys, and the passes of both may want the same pause of the member that is still
        there: written twice it would look like a new one. Raises Refused, InvalidValue or Unavailable.
        """
        if not isinstance(step.action, MemberAction):
            await self._asterisk.apply(step)
            return True
        member = member_id(step.action)
        while (other := self._at_work.get(member)) is not None:
            await other.wait()
        self._at_work[member] = over = asyncio.Event()
        try:
            if _is_so(step, self._asterisk.member(*member)):
                return False
            await self._asterisk.apply(step)
        finally:
            del self._at_work[member]
            over.set()
        return True

    def _tasks(self, step: Step) -> int:
        """Returns how many tasks a step may leave in Asterisk's task processors."""
        match step.action:
            case AddMember() | RemoveMember() | PauseMember() | SetPenalty() | SetRingInUse():
                return TASKS_A_WRITE
            case PutPolicy() | DeletePolicy() | PutObject(kind=ObjectKind.AUTH) | DeleteObject(kind=ObjectKind.AUTH):
                return 0
            case PutObject() if is_new_aor(step):
                return self._asterisk.tasks_of_an_aor
            case _:
                return 1


def _is_so(step: Step, there: Member | None) -> bool:
    """Whether a change in place is what the member is already."""
    if there is None:
        return False
    match step.action:
        case PauseMember(paused=paused, reason=reason):
            return there.paused == paused and (not paused or there.reason == reason)
        case SetPenalty(penalty=penalty):
            return there.penalty == penalty
        case SetRingInUse(ring_in_use=ring_in_use):
            return there.ring_in_use == ring_in_use
        case _:
            return False


def _taken_out(step: Step) -> MemberId | None:
    return member_id(step.action) if isinstance(step.action, RemoveMember) else None


def is_new_aor(step: Step) -> bool:
    """Whether a step makes an AOR that is not there yet."""
    return isinstance(step.action, PutObject) and step.action.kind is ObjectKind.AOR and step.was == ABSENT


class _Flight:
    """The writes that are on their way, at most AT_ONCE."""

    def __init__(self) -> None:
        self.unanswered = ""
        """the reason of the last write that got no answer; '' when all did"""
        self._bug: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def room(self) -> None:
        """Waits until there is room for one more write."""
        await self._room.acquire()

    def begin(self, write: Coroutine[Any, Any, None]) -> None:
        """Begins a write for which there is room."""
        task = asyncio.create_task(write)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if not task.cancelled():
            self._bug = self._bug or task.exception()

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def landed(self) -> None:
        """Waits for all writes that were begun; raises what a bug in one of them raised."""
        try:
            if self._tasks:
                await asyncio.wait(list(self._tasks))
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._bug is not None:
            raise self._bug


# ---------------------------------------------------------------- the log


def log_step(step: Step, *, cause: Cause, seconds: float) -> None:
    """Logs one line for a step that was done, at a level that depends on its cause.

    A drift is logged as `drift.repaired` with both values. AORs and auths are written along with their endpoint and
    logged at debug. What is absent when everything is compared is new and no drift: so it is at a first start.
    """
    name, now, where = _described(step.action)
    fields = {"agent": step.key, **where, "now": now, "duration_ms": round(seconds * 1000, 1)}
    if isinstance(step.action, DropContact):
        log.warning(name, was=step.was, **fields)
    elif isinstance(step.action, PutObject | DeleteObject) and step.action.kind is not ObjectKind.ENDPOINT:
        log.debug(name, **fields)
    elif cause is Cause.EVENT or (cause is Cause.RESYNC and step.was != ABSENT):
        metrics.DRIFT_REPAIRED.labels(name).inc()
        log.warning("drift.repaired", what=name, was=step.was, **fields)
    else:
        log.info(name, was=step.was, **fields)


def _described(action: Action) -> tuple[str, str, dict[str, str]]:
    """Returns how an action is logged: the event's name, the new value, and further fields such as the queue."""
    match action:
        case AddMember(member):
            return "member.added", shown_member(member), {"queue": member.queue}
        case RemoveMember(member):
            return "member.removed", ABSENT, {"queue": member.queue}
        case PauseMember(queue, _, paused, reason):
            name = "member.paused" if paused else "member.unpaused"
            return name, f"paused reason={reason!r}" if paused else "unpaused", {"queue": queue}
        case SetPenalty(queue, _, penalty):
            return "member.penalty_set", f"penalty={penalty}", {"queue": queue}
        case SetRingInUse(queue, _, ring_in_use):
            return "member.ring_in_use_set", f"ring_in_use={ring_in_use}", {"queue": queue}
        case _:
            return _described_otherwise(action)


def _described_otherwise(
    action: PutObject | DeleteObject | PutPolicy | DeletePolicy | PutMailbox | DeleteMailbox | DropContact,
) -> tuple[str, str, dict[str, str]]:
    """Returns the same as `_described` for an action that concerns no queue member."""
    match action:
        case PutObject(kind, _, fields):
            return f"{kind}.pushed", ",".join(fields), {}
        case DeleteObject(kind, _):
            return f"{kind}.removed", ABSENT, {}
        case PutPolicy(path, value):
            return "policy.set", value, {"path": path}
        case DeletePolicy(path):
            return "policy.removed", ABSENT, {"path": path}
        case PutMailbox(_, fields):
            return "mailbox.pushed", ",".join("PIN" if name == "password" else name for name in fields), {}
        case DeleteMailbox():
            return "mailbox.removed", ABSENT, {}
        case DropContact(_, uri):
            return "contact.refused", ABSENT, {"transport": transport_of(uri)}
