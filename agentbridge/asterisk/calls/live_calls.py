"""Which calls each agent has: from the events, and from a list of all channels after a start or a reconnect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live import UP, Channel, Policy, agent_on, endpoint_of_channel, known
from agentbridge.asterisk.calls.live_marks import Marks
from agentbridge.asterisk.calls.surroundings import Surroundings
from agentbridge.model import EndpointId, QueueName, queue_name
from agentbridge.model.live import Direction, LiveCall

GONE = 2000
"""channels of which it is remembered that they have ended: a list that was asked for before may still name them"""
EXPECTED = 1000
ANSWERED_ELSEWHERE = "26"
"""hang-up cause of a ringing channel: app_queue, app_dial and a pick-up set it when another one has taken the call"""
_CALLED = "(Outgoing Line)"
"""the application's data of a channel that was called"""


@dataclass(slots=True)
class AgentCall:
    """A running call of an agent: one channel of the agent's device."""

    name: str
    uniqueid: str
    linkedid: str
    endpoint: EndpointId
    agent: EndpointId
    direction: Direction
    rang_at: datetime
    queue: str = ""
    number: str = ""
    party: str = ""
    answered_at: datetime | None = None
    held_at: datetime | None = None

    @property
    def talks(self) -> bool:
        """Whether the agent is beyond ringing: has answered, or is the one who calls."""
        return self.answered_at is not None or self.direction is Direction.OUT


class AgentCalls:
    """The agents' running calls, changed by events and by `take_over`; each change marks the row of the call and of its
    agent.

    now: the time of day.
    """

    def __init__(self, policy: Policy, around: Surroundings, marks: Marks, now: Callable[[], datetime]) -> None:
        self._policy, self._around, self._marks, self._now = policy, around, marks, now
        self._calls: dict[str, AgentCall] = {}
        """by Uniqueid"""
        self._of_agent: dict[EndpointId, set[str]] = {}
        self._gone: dict[str, None] = {}
        self._expected: dict[str, str] = {}
        """Uniqueid → the number that the agent is being connected to by click"""

    # ------------------------------------------------------------ what is known

    def __contains__(self, uniqueid: str) -> bool:
        return uniqueid in self._calls

    def uniqueids(self) -> list[str]:
        """Of all calls."""
        return list(self._calls)

    def of(self, agent: EndpointId) -> list[AgentCall]:
        """The agent's calls."""
        return [self._calls[uniqueid] for uniqueid in self._of_agent.get(agent, ())]

    def rows(self, uniqueids: Iterable[str]) -> list[LiveCall]:
        """Those of the calls that still run, as they are shown."""
        return [self.row(self._calls[uniqueid]) for uniqueid in uniqueids if uniqueid in self._calls]

    def row(self, call: AgentCall) -> LiveCall:
        """Returns the call's row for the directory, with its recording and who listens."""
        recording, parts = self._around.recording_of(call.uniqueid, call.name)
        return LiveCall(
            channel=call.uniqueid,
            linkedid=call.linkedid,
            internal=call.agent,
            direction=call.direction,
            queue=call.queue,
            number=call.number,
            name=call.party,
            rang_at=call.rang_at,
            answered_at=call.answered_at,
            held_at=call.held_at,
            recording=recording,
            parts=parts,
            spied_by=self._around.spies_of(call.agent) if call.answered_at is not None else (),
        )

    # ------------------------------------------------------------ events

    def on_event(self, event: Message) -> None:
        """Takes a channel's event and changes the call that it belongs to; ignores channels that are no agent's."""
        match event.event:
            case "Newchannel":
                self._begin(event)
            case "Newstate" | "NewConnectedLine" | "Hold" | "Unhold" | "BridgeEnter":
                self._change(event)
            case "DialBegin":
                self._take_caller(event)
            case "Hangup":
                self._end(event.get("Uniqueid"), event.get("Cause"))
            case _:
                pass

    def expect(self, uniqueid: str, number: str) -> None:
        """Notes that this channel will be connected to that number once its agent has answered, so that the call counts
        as outgoing."""
        if (call := self._calls.get(uniqueid)) is not None:
            call.direction, call.number = Direction.OUT, number
            self._touch(call)
            return
        if len(self._expected) >= EXPECTED:
            del self._expected[next(iter(self._expected))]
        self._expected[uniqueid] = number

    def _begin(self, event: Message) -> None:
        # a phone's own call begins as Ring; what is called is Down until it rings
        """Adds the call of a new channel, if it is an agent's."""
        direction = Direction.OUT if event.get("ChannelStateDesc") == "Ring" else Direction.IN
        call = self._add(event.get("Channel"), event.get("Uniqueid"), event.get("Linkedid"), direction, self._now())
        if call is not None and direction is Direction.OUT:
            call.number = event.get("Exten")

    def _change(self, event: Message) -> None:
        """Takes an event's answer, other party, hold or, of a BridgeEnter, the linkedid, which a transfer changes."""
        call = self._calls.get(event.get("Uniqueid"))
        if call is None:
            return
        call.linkedid = event.get("Linkedid") or call.linkedid
        match event.event:
            case "Newstate" if event.get("ChannelStateDesc") == UP:
                call.answered_at = call.answered_at or self._now()
            case "NewConnectedLine":
                number, name = known(event.get("ConnectedLineNum")), known(event.get("ConnectedLineName"))
                # what the agent's telephone is told may be masked; who may see it is decided where it is shown
                if number and "*" not in number:
                    call.number, call.party = number, "" if "*" in name else name
            case "Hold":
                call.held_at = call.held_at or self._now()
            case "Unhold":
                call.held_at = None
            case _:
                pass
        self._touch(call)

    def _take_caller(self, event: Message) -> None:
        """Takes the caller's number and name from the caller's own channel, where they are not masked."""
        call = self._calls.get(event.get("DestUniqueid"))
        if call is not None and call.direction is Direction.IN:
            call.number, call.party = known(event.get("CallerIDNum")), known(event.get("CallerIDName"))
            call.linkedid = event.get("DestLinkedid") or call.linkedid
            self._touch(call)

    def came_by_queue(self, uniqueid: str, queue: QueueName) -> None:
        """Notes that the call on this channel came through the queue."""
        if (call := self._calls.get(uniqueid)) is not None:
            call.queue = queue
            self._touch(call)

    def _end(self, uniqueid: str, cause: str = "") -> None:
        """Ends the call on this channel and keeps it for the history; ignores a channel that is no agent's. cause: the
        hang-up's, '' where it is not known."""
        self._expected.pop(uniqueid, None)
        call = self._calls.pop(uniqueid, None)
        if call is None:
            return
        self._gone[uniqueid] = None
        if len(self._gone) > GONE:
            del self._gone[next(iter(self._gone))]
        others = self._of_agent[call.agent]
        others.discard(uniqueid)
        if not others:
            del self._of_agent[call.agent]
        elsewhere = cause == ANSWERED_ELSEWHERE and not call.talks
        self._marks.call_ended(replace(self.row(call), answered_elsewhere=elsewhere, ended_at=self._now()))
        self._marks.agent(call.agent)

    def _add(self, name: str, uniqueid: str, linkedid: str, direction: Direction, at: datetime) -> AgentCall | None:
        """Adds a call and returns it; None for a channel that is no agent's or has ended."""
        endpoint = endpoint_of_channel(name)
        agent = agent_on(endpoint, self._policy) if name.startswith("PJSIP/") else None
        if agent is None or uniqueid in self._gone:
            return None
        call = AgentCall(name, uniqueid, linkedid, endpoint, agent, direction, at)
        if (expected := self._expected.pop(uniqueid, None)) is not None:
            call.direction, call.number = Direction.OUT, expected
        self._calls[uniqueid] = call
        self._of_agent.setdefault(agent, set()).add(uniqueid)
        self._touch(call)
        return call

    def _touch(self, call: AgentCall) -> None:
        self._marks.call(call.uniqueid)
        self._marks.agent(call.agent)

    # ------------------------------------------------------------ a look at everything

    def take_over(self, living: Sequence[Channel], asked_at: datetime) -> None:
        """Corrects the calls by a list of all channels: adds those whose events were missed, drops those that are over.

        living: all channels, as listed at `asked_at`; a call that began later is not dropped.
        """
        alive = {channel.uniqueid for channel in living}
        for call in [call for call in self._calls.values() if call.uniqueid not in alive and call.rang_at < asked_at]:
            self._end(call.uniqueid)
        by_call: dict[str, list[Channel]] = {}
        for channel in living:
            by_call.setdefault(channel.linkedid, []).append(channel)
        for channel in living:
            known_call = self._calls.get(channel.uniqueid)
            if known_call is not None:
                known_call.linkedid = channel.linkedid
            else:
                self._find(channel, [other for other in by_call[channel.linkedid] if other is not channel])

    def _find(self, channel: Channel, others: Sequence[Channel]) -> None:
        """Adds the call of a listed channel, if it is an agent's. others: the other channels of the call."""
        direction = Direction.IN if channel.data == _CALLED else Direction.OUT
        at = self._now() - timedelta(seconds=channel.seconds)
        call = self._add(channel.name, channel.uniqueid, channel.linkedid, direction, at)
        if call is None:
            return
        if call.direction is Direction.OUT:
            call.number = call.number or channel.extension
        else:
            callers = [other for other in others if other.data != _CALLED]
            call.number, call.party = callers[0].caller if callers else channel.connected
            queues = [other.data.partition(",")[0] for other in callers if other.application == "Queue"]
            call.queue = queue_name(queues[0]) if queues else ""
        if channel.up:
            call.answered_at = self._now()
            if self._around.device_state(call.endpoint) == "ONHOLD":
                call.held_at = self._now()
