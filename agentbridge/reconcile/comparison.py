"""A look at keys: what the directory says of each against what Asterisk has.

Part by part, so that events are taken in meanwhile, and so that a look at everything needs the memory of one
part and of what differs, not that of the whole directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from agentbridge.desired.state import SipDefaults, desired, desired_in_range
from agentbridge.model import AgentId, EndpointId, ObjectKind, QueueName, Reading, State, Subject
from agentbridge.plan.difference import Observed, Plan, joined, plan
from agentbridge.reconcile.work_queue import Cause

log = structlog.get_logger()

KEYS_AT_ONCE = 50
"""read and compared without a break; about 5 ms"""
NAMED = 20
"""of many numbers so many are named in the log"""
TAKEN = (
    "internal: Asterisk has {0} by its own files (pjsip.conf); give this one another number, or take that device out "
    "of the files"
)


class Source(Protocol):
    async def keys(self) -> set[EndpointId]:
        """Every endpoint id of the directory."""
        ...

    async def reserve(self) -> Collection[EndpointId]:
        """The numbers of the configured range, whose AORs are kept ahead of their agents."""
        ...

    async def read(self, keys: Collection[EndpointId]) -> Reading: ...


class Found(Observed, Protocol):
    def owned(self) -> Collection[EndpointId]:
        """Endpoint ids that our AstDB family lists."""
        ...

    def is_others(self, key: EndpointId) -> bool:
        """Whether Asterisk has a device of that name by its own files."""
        ...

    def expressible(self, wanted: State) -> State:
        """`wanted` without what this Asterisk has no word for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`queues` are those of the directory."""

    snapshot: str
    queues: frozenset[QueueName]
    plan: Plan
    looked_at: Collection[EndpointId]
    """those that are ours"""
    wanted: Mapping[EndpointId, State]
    """of the keys that the plan has steps for"""
    agents: Mapping[EndpointId, AgentId]
    """whose number a key is"""


def one_look(looks: Sequence[Look]) -> Look:
    """Of at least one. The snapshot is that of the first: what is newer is looked at again, never missed."""
    return Look(
        snapshot=looks[0].snapshot,
        queues=looks[0].queues,
        plan=joined(look.plan for look in looks),
        looked_at=[key for look in looks for key in look.looked_at],
        wanted={key: state for look in looks for key, state in look.wanted.items()},
        agents={key: agent for look in looks for key, agent in look.agents.items()},
    )


def divided(look: Look) -> tuple[Look, Look]:
    """Of the keys with nothing to be done, and of the others."""
    differing = {step.key for step in look.plan.steps}
    return _of(look, set(look.looked_at) - differing), _of(look, differing)


def _of(look: Look, keys: set[EndpointId]) -> Look:
    """The part of a look that is about these keys."""
    of_these = Plan(
        steps=tuple(step for step in look.plan.steps if step.key in keys),
        problems={key: problem for key, problem in look.plan.problems.items() if key in keys},
        waiting=look.plan.waiting & keys,
    )
    return replace(
        look,
        plan=of_these,
        looked_at=[key for key in look.looked_at if key in keys],
        agents={key: agent for key, agent in look.agents.items() if key in keys},
    )


class Looker:
    """For one directory and one Asterisk."""

    def __init__(self, source: Source, asterisk: Found, sip: SipDefaults) -> None:
        self._source = source
        self._asterisk = asterisk
        self._sip = sip
        self._reserve: frozenset[EndpointId] = frozenset()
        self.taken: frozenset[EndpointId] = frozenset()
        """numbers of the range that Asterisk has by its own files, at the last look at everything"""

    async def everything(self) -> set[EndpointId]:
        """Whatever should be or is, the numbers without an AOR included."""
        keys = await self._source.keys()
        reserve = frozenset(await self._source.reserve())
        taken = frozenset(number for number in reserve if self._asterisk.is_others(number))
        self._tell_taken(taken)
        self._reserve = reserve - taken
        keys |= set(self._asterisk.owned())
        keys |= {number for number in taken if self._has_left_over(number)}
        return keys | {
            number
            async for part in in_parts(self._reserve - keys)
            for number in part
            if not self._asterisk.state(number).objects
        }

    def _tell_taken(self, taken: frozenset[EndpointId]) -> None:
        """Once, by name: numbers of the range that are Asterisk's own are nobody's."""
        if taken - self.taken:
            numbers = sorted(taken - self.taken, key=lambda number: (len(number), number))
            log.warning("numbers.taken", count=len(numbers), numbers=" ".join(numbers[:NAMED]))
        self.taken = taken

    async def look(self, part: Mapping[EndpointId, Cause], brought: Reading | None = None) -> Look:
        """At one of `in_parts`. brought: what was read of all of them already."""
        reading = brought or await self._source.read(part)
        ours = self._ours(part, reading)
        planned = plan(ours, self._asterisk, reading.queues)
        return Look(
            snapshot=reading.snapshot,
            queues=reading.queues,
            plan=planned,
            looked_at=list(ours),
            wanted={step.key: ours[step.key] for step in planned.steps},
            agents={key: agent.id for key in ours if (agent := reading.subjects[key].agent)},
        )

    async def compared(self, wanted: Mapping[EndpointId, State], queues: frozenset[QueueName]) -> Plan:
        return joined([
            plan({key: wanted[key] for key in part}, self._asterisk, queues) async for part in in_parts(wanted)
        ])  # fmt: skip

    def _ours(self, part: Mapping[EndpointId, Cause], reading: Reading) -> dict[EndpointId, State]:
        """What should be for the keys of the part, but for those that are not ours."""
        wanted = {
            key: self._asterisk.expressible(self._desired(reading.subjects[key], part[key])) for key in part
        }
        return {
            key: state
            for key, state in wanted.items()
            if state or state.problem or self._was_ours(key, part[key]) or self._has_left_over(key)
        }

    def _was_ours(self, key: EndpointId, cause: Cause) -> bool:
        """Of an id that the directory does not hold: it has just lost it, or our AstDB family or a box lists it.

        Anything else, such as a telephone that somebody added to a queue by hand, stays as it is.
        """
        found = self._asterisk.state(key)
        return cause is Cause.CHANGE or bool(found.policy or found.mailbox)

    def _has_left_over(self, key: EndpointId) -> bool:
        """Whether an AOR of ours stands before the one of a device that the administrator has added since."""
        return self._asterisk.is_others(key) and ObjectKind.AOR in self._asterisk.state(key).objects

    def _desired(self, subject: Subject, cause: Cause) -> State:
        if self._asterisk.is_others(subject.key):
            # nothing of it is pushed: ARI would refuse a part, and the rest would stay behind
            wanted = desired(subject, self._sip)
            return State(problem=TAKEN.format(subject.key)) if wanted else State()
        if subject.key not in self._reserve or self._is_a_strangers(subject.key, cause):
            return desired(subject, self._sip)
        return desired_in_range(subject, self._sip)

    def _is_a_strangers(self, key: EndpointId, cause: Cause) -> bool:
        return ObjectKind.ENDPOINT in self._asterisk.state(key).objects and not self._was_ours(key, cause)


async def in_parts(keys: Collection[EndpointId]) -> AsyncIterator[list[EndpointId]]:
    """So that events are taken in while many thousand keys are looked at."""
    left = list(keys)
    for start in range(0, len(left), KEYS_AT_ONCE):
        if start:
            await asyncio.sleep(0)
        yield left[start : start + KEYS_AT_ONCE]
