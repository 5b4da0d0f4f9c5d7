"""Each agent has one place in a queue, whichever endpoints the passes under way would give it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from agentbridge.model import AddMember, AgentId, DesiredState, EndpointId, Member, QueueName, Step
from agentbridge.plan.difference import Observed, Plan

AgentPlace = tuple[AgentId, QueueName]
_Joined = tuple[AgentId | None, tuple[str, ...]]
"""which agent joined a queue by an endpoint, another one where two agents exchange their numbers, and by which names:
somebody may have added another member there since by hand"""
_NOBODY: _Joined = None, ()


class Places:
    """Locks on an agent's place in a queue, so that no agent becomes a member of one queue by two endpoints.

    Passes with an older and a newer reading of an agent that moves run at the same time, and the entries by which
    Asterisk knows an agent's endpoints may be missing. So whoever joins a queue takes the lock on that place first.
    """

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._joined_by: dict[QueueName, dict[AgentId, EndpointId]] = defaultdict(dict)
        """by which endpoint each agent joined each queue last"""
        self._joined_at: dict[QueueName, dict[EndpointId, _Joined]] = defaultdict(dict)
        """who joined each queue last by an endpoint"""
        self._noted = _NOBODY
        """what was noted last, of which an agent in many queues needs no copies"""
        self._locked: set[AgentPlace] = set()

    def lock(self, planned: Plan, desired: Mapping[EndpointId, DesiredState]) -> tuple[Plan, set[AgentPlace]]:
        """Locks the places of the agents who join queues by the plan; returns the plan without those that are taken,
        and the locked places.

        The keys left out wait and are compared again soon. The places are to be given to `unlock`.
        """
        locked: set[AgentPlace] = set()
        if not any(isinstance(step.action, AddMember) for step in planned.steps):
            return planned, locked
        waiting: dict[EndpointId, str] = {}
        steps: list[Step] = []
        for step in planned.steps:
            agent = desired[step.key].agent
            if not isinstance(step.action, AddMember) or agent is None:
                steps.append(step)
                continue
            joining = step.action.member
            place = (agent, joining.queue)
            if not self._is_free(place, step.key):
                waiting[step.key] = ""
                continue
            steps.append(step)
            self._joined_by[joining.queue][agent] = step.key
            self._note(step.key, joining, agent)
            locked.add(place)
        self._locked |= locked
        return replace(planned, steps=tuple(steps), waiting={**waiting, **planned.waiting}), locked

    def _note(self, key: EndpointId, joining: Member, agent: AgentId) -> None:
        """Notes that an agent joins a queue by this key; whether the member then has the new name or still one of those
        before is not known before it is seen."""
        joined, names = self._joined_at[joining.queue].get(key, _NOBODY)
        known = names if joined == agent else ()
        noted = agent, known if joining.name in known else (*known, joining.name)
        if noted != self._noted:
            self._noted = noted
        self._joined_at[joining.queue][key] = self._noted

    def unlock(self, locked: set[AgentPlace]) -> None:
        """The pass is over: its members are observed from now on, or it has failed."""
        self._locked -= locked

    def _is_free(self, place: AgentPlace, key: EndpointId) -> bool:
        """Whether the key may join there: its agent is not in that queue by another key, and no other pass is adding
        it."""
        agent, queue = place
        holder = self._joined_by[queue].get(agent, key)
        joined, names = self._joined_at[queue].get(holder, _NOBODY)
        if holder == key or joined != agent:
            return True
        there = self._observed.members_of(holder).get(queue)
        return place not in self._locked and (there is None or there.name not in names)
