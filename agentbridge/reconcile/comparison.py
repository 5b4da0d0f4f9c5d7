"""Compares what the directory says of some keys with what Asterisk has.

Part by part, so that events are taken in meanwhile, and so that a comparison of everything needs the memory of one
part and of what differs, not that of the whole directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import desired, desired_in_range, session_pause
from agentbridge.model import AgentId, DesiredState, EndpointId, ObjectKind, QueueName, Reading, SessionPause, Subject
from agentbridge.plan.difference import Plan, joined, plan
from agentbridge.plan.pauses import plan_pauses
from agentbridge.reconcile.ports import Asterisk, Directory
from agentbridge.reconcile.work_queue import Cause

log = structlog.get_logger()

KEYS_AT_ONCE = 20
"""read and compared without a break; about 2 ms, and each part is a query"""
MARKED_AT_ONCE = 500
"""only looked up or marked without a break; about 1 ms"""
NAMED = 20
"""of many numbers so many are named in the log"""
TAKEN = (
    "internal: Asterisk has {0} by its own files (pjsip.conf); give this one another number, or take that device out "
    "of the files"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between directory and Asterisk for some keys."""

    queues: frozenset[QueueName]
    """whose members are ours, `retired` included"""
    plan: Plan
    keys: Collection[EndpointId]
    """what was compared: those that are ours"""
    desired: Mapping[EndpointId, DesiredState]
    """of the keys that the plan has steps for"""
    agents: Mapping[EndpointId, AgentId]
    """whose number a key is"""
    changed: frozenset[EndpointId]
    """keys with a change of which no hint had come yet: what differs there is wished, and no drift"""

    def of(self, keys: Collection[EndpointId]) -> Comparison:
        """Returns the part of this comparison that concerns these keys."""
        if len(keys) == len(self.keys) and all(key in keys for key in self.keys):
            return self
        steps = tuple(step for step in self.plan.steps if step.key in keys)
        problems = {key: problem for key, problem in self.plan.problems.items() if key in keys}
        waiting = {key: reason for key, reason in self.plan.waiting.items() if key in keys}
        return replace(
            self,
            plan=Plan(steps=steps, problems=problems, waiting=waiting),
            keys=[key for key in self.keys if key in keys],
            desired={key: state for key, state in self.desired.items() if key in keys},
            agents={key: agent for key, agent in self.agents.items() if key in keys},
        )

    def split(self) -> tuple[Comparison | None, Comparison | None]:
        """Returns two parts, the keys for which nothing is to be done and the others; None for a part without keys."""
        differing = {step.key for step in self.plan.steps}
        if not differing:
            return self, None
        if differing.issuperset(self.keys):
            return None, self
        return self.of(set(self.keys) - differing), self.of(differing)


def merged(parts: Sequence[Comparison]) -> Comparison:
    """Merges comparisons of different keys, at least one, into one."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        plan=joined(part.plan for part in parts),
        keys=[key for part in parts for key in part.keys],
        desired={key: state for part in parts for key, state in part.desired.items()},
        agents={key: agent for part in parts for key, agent in part.agents.items()},
        changed=frozenset().union(*(part.changed for part in parts)),
    )


class Comparer:
    """Compares one directory with one Asterisk; changes neither."""

    def __init__(self, directory: Directory, asterisk: Asterisk, sip: SipDefaults) -> None:
        self._directory = directory
        self._asterisk = asterisk
        self._sip = sip
        self._reserve: Collection[EndpointId] = ()
        """the numbers of the configured range"""
        self.taken: frozenset[EndpointId] = frozenset()
        """numbers of the range that Asterisk has by its own files, at the last look at everything"""
        self._queues: frozenset[QueueName] = frozenset()
        self.retired: frozenset[QueueName] = frozenset()
        """queues that left the directory, as the last reading said"""

    @property
    def knows_queues(self) -> bool:
        """Whether any key was compared yet, so that it is known which queues are ours."""
        return bool(self._queues)

    async def all_keys(self) -> set[EndpointId]:
        """Returns every key that should be or is in Asterisk, numbers of the range without an AOR included. Raises
        Unavailable."""
        keys = await self._directory.keys()
        self._reserve = await self._directory.reserve()
        keys |= set(self._asterisk.owned())
        taken: set[EndpointId] = set()
        async for part in in_parts(self._reserve, MARKED_AT_ONCE):
            others = {number for number in part if self._asterisk.is_others(number)}
            taken |= others
            keys |= {number for number in others if self._has_left_over(number)}
            rest = [number for number in part if number not in keys and number not in others]
            keys |= {number for number in rest if not self._asterisk.state(number).objects}
        self._tell_taken(frozenset(taken))
        return keys

    def _tell_taken(self, taken: frozenset[EndpointId]) -> None:
        """Notes which numbers of the range Asterisk has from its own files, and logs those that are new."""
        if taken - self.taken:
            numbers = sorted(taken - self.taken, key=lambda number: (len(number), number))
            shown = " ".join(numbers[:NAMED])
            reason = "Asterisk has them by its own files (pjsip.conf): no agent gets one"
            log.warning("numbers.taken", count=len(numbers), numbers=shown, reason=reason)
        self.taken = taken

    async def compare(self, part: Mapping[EndpointId, Cause], reading: Reading | None = None) -> Comparison:
        """Compares these keys, each with its cause, and returns the differences. Raises Unavailable.

        reading: what was already read of them; without it they are read now.
        """
        reading = reading or await self._directory.read(part)
        self._queues, self.retired = reading.queues, reading.retired
        changed = reading.changed & part.keys()
        causes = {**part, **dict.fromkeys(changed, Cause.CHANGE)}
        ours = self._ours(causes, reading)
        planned = plan(ours, self._asterisk, reading.queues)
        return Comparison(
            queues=reading.queues,
            plan=planned,
            keys=list(ours),
            desired={step.key: ours[step.key] for step in planned.steps},
            agents={key: agent.id for key in ours if (agent := reading.subjects[key].agent)},
            changed=changed,
        )

    def compare_pauses(self, pauses: Mapping[EndpointId, SessionPause]) -> Comparison:
        """Compares keys of which nothing has changed but the pause of their session."""
        wanted = {key: session_pause(pause.paused, pause.reason) for key, pause in pauses.items()}
        return Comparison(
            queues=self._queues,
            plan=plan_pauses(wanted, self._asterisk, self._queues),
            keys=list(pauses),
            desired={},
            agents={},
            changed=frozenset(),
        )

    async def compare_again(self, states: Mapping[EndpointId, DesiredState], queues: frozenset[QueueName]) -> Plan:
        """Returns the plan for what still differs after something was written; the directory is not read again."""
        parts = [plan({key: states[key] for key in part}, self._asterisk, queues) async for part in in_parts(states)]
        return joined(parts)

    def _ours(self, causes: Mapping[EndpointId, Cause], reading: Reading) -> dict[EndpointId, DesiredState]:
        """Returns the desired state of each key that agentbridge manages; the other keys are left out."""
        states = {
            key: self._asterisk.expressible(self._desired(reading.subjects[key], cause))
            for key, cause in causes.items()
        }
        return {
            key: state
            for key, state in states.items()
            if state or state.problem or self._was_ours(key, causes[key]) or self._has_left_over(key)
        }

    def _was_ours(self, key: EndpointId, cause: Cause) -> bool:
        """Whether a key that the directory does not hold was managed by agentbridge, so that it is to be cleaned up.

        It has just left the directory, or our AstDB entries or a voicemail box remain. Anything else, such as a
        telephone that somebody added to a queue by hand, stays as it is.
        """
        if cause.is_wish:
            return True
        found = self._asterisk.state(key)
        return bool(found.policy or found.mailbox)

    def _has_left_over(self, key: EndpointId) -> bool:
        """Whether our AOR is still there for a number that the administrator has since added to Asterisk's own
        files."""
        return self._asterisk.is_others(key) and ObjectKind.AOR in self._asterisk.state(key).objects

    def _desired(self, subject: Subject, cause: Cause) -> DesiredState:
        """Returns the desired state of one key, with a problem where Asterisk has the name by its own files."""
        if self._asterisk.is_others(subject.key):
            # nothing of it is pushed: ARI would refuse a part, and the rest would stay behind
            wanted = desired(subject, self._sip)
            return DesiredState(problem=TAKEN.format(subject.key)) if wanted else DesiredState()
        if subject.key not in self._reserve or self._is_a_strangers(subject.key, cause):
            return desired(subject, self._sip)
        return desired_in_range(subject, self._sip)

    def _is_a_strangers(self, key: EndpointId, cause: Cause) -> bool:
        return not self._was_ours(key, cause) and ObjectKind.ENDPOINT in self._asterisk.state(key).objects


async def in_parts(keys: Collection[EndpointId], size: int = KEYS_AT_ONCE) -> AsyncIterator[Sequence[EndpointId]]:
    """Yields the keys in lists of so many and lets other tasks run between them."""
    left = keys if isinstance(keys, Sequence) else list(keys)
    for start in range(0, len(left), size):
        if start:
            await asyncio.sleep(0)
        yield left[start : start + size]
