"""In which state each agent is, and since when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from agentbridge.asterisk.calls.live import Policy
from agentbridge.asterisk.calls.live_calls import AgentCalls
from agentbridge.asterisk.calls.live_marks import Marks
from agentbridge.asterisk.calls.live_queues import QueueFigures
from agentbridge.asterisk.calls.surroundings import Surroundings
from agentbridge.model import EndpointId, Member, QueueName
from agentbridge.model.live import AgentState, LiveAgent

_ABSENT = frozenset({"", "UNAVAILABLE", "INVALID", "UNKNOWN"})


class AgentStates:
    """Each agent's state (ready, talking, paused, …) and since when, from its calls, memberships and device.

    Making an agent's row also counts the agent in its queues. now: the time of day. clock: seconds, monotonic.
    """

    def __init__(
        self,
        policy: Policy,
        around: Surroundings,
        calls: AgentCalls,
        queues: QueueFigures,
        marks: Marks,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._policy, self._around, self._calls, self._queues, self._marks = policy, around, calls, queues, marks
        self._now, self._clock = now, clock
        self._since: dict[EndpointId, tuple[AgentState, datetime]] = {}
        self._wrapup: dict[EndpointId, float] = {}
        """when each agent's wrap-up ends, by the clock"""

    def is_ours(self, agent: EndpointId) -> bool:
        """Whether our AstDB family lists the agent."""
        return bool(self._policy(f"agent/{agent}/id"))

    def row(self, agent: EndpointId) -> LiveAgent:
        """Returns the agent's row for the directory, and counts the agent in its queues."""
        device = EndpointId(self._policy(f"agent/{agent}/device"))
        members = self._around.members_of(device) if device else {}
        # of an agent that is logged out its own phone counts: a browser's registers before the login
        contact = self._around.device_state(device or agent) not in _ABSENT
        state = self._state(agent, device, members, contact=contact)
        was, since = self._since.get(agent, (None, self._now()))
        if was is not state:
            since = self._now()
            self._since[agent] = (state, since)
        places = {queue: AgentState.PAUSED if member.paused else state for queue, member in members.items()}
        self._queues.count_agent(agent, places)
        return LiveAgent(
            internal=agent,
            state=state,
            since=since,
            pauses={queue: member.reason for queue, member in members.items() if member.paused},
            device=device,
            contact=contact,
            calls=len(self._calls.of(agent)),
        )

    def _state(
        self, agent: EndpointId, device: EndpointId, members: Mapping[QueueName, Member], *, contact: bool
    ) -> AgentState:
        """Returns the agent's state: a call comes before all else, then no device, no contact, wrap-up and pause."""
        calls = self._calls.of(agent)
        talking = [call for call in calls if call.talks]
        if talking:
            held = all(call.held_at is not None for call in talking)
            return AgentState.HELD if held else AgentState.TALKING
        if calls:
            return AgentState.RINGING
        if not device:
            return AgentState.OFFLINE
        if not contact:
            return AgentState.UNREACHABLE
        if self._wrapup.get(agent, 0.0) > self._clock():
            return AgentState.WRAPUP
        if members:
            paused = all(member.paused for member in members.values())
        else:
            paused = self._policy(f"agent/{agent}/paused") == "1"
        return AgentState.PAUSED if paused else AgentState.READY

    def begin_wrapup(self, agent: EndpointId, seconds: float) -> None:
        """Begins the agent's wrap-up of so many seconds after a queue's call; of two that overlap the longer one
        counts."""
        self._wrapup[agent] = max(self._wrapup.get(agent, 0.0), self._clock() + seconds)
        self._marks.agent(agent)

    def end_wrapups(self) -> None:
        """Marks the agents whose wrap-up is over."""
        moment = self._clock()
        for agent in [agent for agent, until in self._wrapup.items() if until <= moment]:
            del self._wrapup[agent]
            self._marks.agents.add(agent)

    def forget(self, agent: EndpointId) -> None:
        """Forgets an agent that is not ours any more."""
        self._since.pop(agent, None)
        self._wrapup.pop(agent, None)
        self._queues.count_agent(agent, {})

    def forget_others(self, ours: Iterable[EndpointId]) -> None:
        """Forgets the agents that are not among these."""
        for agent in self._since.keys() - set(ours):
            self.forget(agent)
