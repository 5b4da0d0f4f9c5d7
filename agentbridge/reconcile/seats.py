"""One seat for each agent in a queue, whichever endpoints the passes under way would seat it at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agentbridge.model import AddMember, AgentId, EndpointId, QueueName, State, Step
from agentbridge.plan.difference import Observed, Plan

Seat = tuple[AgentId, QueueName]


class Seats:
    """Passes with an older and a newer look at an agent that moves go side by side; and the policy by which
    Asterisk knows an agent's endpoints may be missing. So who joins a queue takes the agent's seat there first.
    """

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._holders: dict[Seat, EndpointId] = {}
        """by which endpoint each agent joined each queue last"""
        self._sitting: dict[tuple[EndpointId, QueueName], AgentId] = {}
        """who joined last by each endpoint: another's since, where two agents exchange their numbers"""
        self._joining: set[Seat] = set()

    def taken(self, planned: Plan, wanted: Mapping[EndpointId, State]) -> tuple[Plan, set[Seat]]:
        """The plan without who would sit twice, and the seats that it takes, to be given back when it is done."""
        taken: set[Seat] = set()
        late: set[EndpointId] = set()
        steps: list[Step] = []
        for step in planned.steps:
            seat = _seat(step, wanted[step.key].agent)
            if seat is not None and not self._is_free(seat, step.key):
                late.add(step.key)
                continue
            steps.append(step)
            if seat is not None:
                self._holders[seat] = step.key
                self._sitting[step.key, seat[1]] = seat[0]
                taken.add(seat)
        self._joining |= taken
        return replace(planned, steps=tuple(steps), waiting=planned.waiting | late), taken

    def give_back(self, taken: set[Seat]) -> None:
        """The pass is over: its members are observed from now on, or it has failed."""
        self._joining -= taken

    def _is_free(self, seat: Seat, key: EndpointId) -> bool:
        agent, queue = seat
        holder = self._holders.get(seat, key)
        if holder == key or self._sitting.get((holder, queue)) != agent:
            return True
        return seat not in self._joining and queue not in self._observed.state(holder).members


def _seat(step: Step, agent: AgentId | None) -> Seat | None:
    match step.action:
        case AddMember(member) if agent is not None:
            return agent, member.queue
        case _:
            return None
