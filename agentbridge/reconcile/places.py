"""Each agent has one place in a queue, whichever endpoints the passes under way would give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agentbridge.model import AddMember, AgentId, DesiredState, EndpointId, QueueName, Step
from agentbridge.plan.difference import Observed, Plan

Place = tuple[AgentId, QueueName]


class Places:
    """Locks on the places of agents in queues, so that no agent becomes a member by two endpoints.

    Passes with an older and a newer reading of an agent that moves run side by side; and the policy by which Asterisk
    knows an agent's endpoints may be missing. So who joins a queue takes the lock on the agent's place there first.
    """

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._joined_by: dict[Place, EndpointId] = {}
        """by which endpoint each agent joined each queue last"""
        self._joined_at: dict[tuple[EndpointId, QueueName], AgentId] = {}
        """which agent joined each queue last by an endpoint; another one where two agents exchange their numbers"""
        self._locked: set[Place] = set()

    def lock(self, planned: Plan, desired: Mapping[EndpointId, DesiredState]) -> tuple[Plan, set[Place]]:
        """The plan without those who would join twice, and the places that it locks until `unlock`.

        Their keys wait, and are compared again soon.
        """
        locked: set[Place] = set()
        waiting: dict[EndpointId, str] = {}
        steps: list[Step] = []
        for step in planned.steps:
            agent = desired[step.key].agent
            if not isinstance(step.action, AddMember) or agent is None:
                steps.append(step)
                continue
            place = (agent, step.action.member.queue)
            if not self._is_free(place, step.key):
                waiting[step.key] = ""
                continue
            steps.append(step)
            self._joined_by[place] = step.key
            self._joined_at[step.key, place[1]] = agent
            locked.add(place)
        self._locked |= locked
        return replace(planned, steps=tuple(steps), waiting={**waiting, **planned.waiting}), locked

    def unlock(self, locked: set[Place]) -> None:
        """The pass is over: its members are observed from now on, or it has failed."""
        self._locked -= locked

    def _is_free(self, place: Place, key: EndpointId) -> bool:
        """Whether the key may join there: no other key of that agent is in the queue, or about to join it."""
        agent, queue = place
        holder = self._joined_by.get(place, key)
        if holder == key or self._joined_at.get((holder, queue)) != agent:
            return True
        return place not in self._locked and queue not in self._observed.state(holder).members
