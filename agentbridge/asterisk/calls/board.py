"""What goes on now: the state of each agent, its calls, and the queues; from Asterisk's events, and from a look at
everything after a start, a reconnect and at intervals.

Told by plain functions, which only note what is to be written. `run` writes it, at most ten times a second: a viewer
needs no more, and a busy centre costs one statement for many events.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import NoReturn, Protocol

import structlog

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live import (
    TIMEOUT_SECONDS,
    UP,
    Asks,
    Channel,
    Policy,
    agent_on,
    channels,
    endpoint_of_channel,
    known,
)
from agentbridge.asterisk.retrying import repeat
from agentbridge.model import EndpointId, Member, QueueName, queue_name
from agentbridge.model.live import AgentState, Direction, LiveAgent, LiveCall, LiveQueue, RecordingState

log = structlog.get_logger()

WRITE_EVERY_SECONDS = 0.1
ALIVE_EVERY_SECONDS = 5.0
"""so often at least something is written: rows of a silent node are not believed"""
RETRY_SECONDS = 1.0
AT_ONCE = 250
"""rows in one statement: building and sending more would hold the event loop up"""
GONE = 2000
"""channels of which it is remembered that they have ended: a list that was asked for before may still name them"""
EXPECTED = 1000
ENDED = 10_000
"""calls that have ended and are not written yet: so many of an outage of the database get into the history"""
SETTLES_SECONDS = (0.3, 1.2, 4.0)
"""after something is recorded or listened to: the other parts ask Asterisk about it, and know more by then"""
_DEVICE = re.compile(r"PJSIP/(.+)")
_AGENT_KEY = re.compile(r"agent/([0-9]{1,16})/")
_TELEPHONE_KEY = re.compile(r"telephone/[^/]+/agent")
_ABSENT = frozenset({"", "UNAVAILABLE", "INVALID", "UNKNOWN"})
_DIALLED = "(Outgoing Line)"
"""the application's data of a channel that was called"""


class LiveStore(Protocol):
    """The directory. Every method raises Unavailable."""

    async def write(
        self,
        agents: Sequence[LiveAgent],
        calls: Sequence[LiveCall],
        queues: Sequence[LiveQueue],
        *,
        gone_agents: Collection[str] = (),
        ended_calls: Sequence[LiveCall] = (),
    ) -> None: ...

    async def keep(self, agents: Collection[str], calls: Collection[str], queues: Collection[str]) -> None:
        """What is not named is gone."""
        ...

    async def counts_of(self, day: date) -> Mapping[str, tuple[int, int, int]]:
        """Queue → answered, abandoned, answered within its service level."""
        ...


class Surroundings(Protocol):
    """What the other parts know that is shown here."""

    def device_state(self, device: EndpointId) -> str:
        """As Asterisk names it; '' for one that was never heard of."""
        ...

    def members_of(self, device: EndpointId) -> Mapping[QueueName, Member]: ...

    def wrapup_seconds(self, queue: QueueName) -> float: ...

    async def refresh(self) -> None:
        """Before a look at everything."""
        ...

    def recording_of(self, uniqueid: str, channel: str) -> tuple[RecordingState, tuple[int, ...]]:
        """Of a channel; which of the call's two files are being written."""
        ...

    def spies_of(self, agent: EndpointId) -> tuple[str, ...]: ...


@dataclass(slots=True)
class _Call:
    """A channel of an agent's device."""

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


@dataclass(slots=True)
class _Queue:
    callers: dict[str, datetime] = field(default_factory=dict)
    """Uniqueid → since when it waits"""
    answered: int = 0
    abandoned: int = 0
    in_level: int = 0
    level_seconds: int = 0


class Board:
    """`now` is the time of day, `clock` only grows, in seconds; `agents` are the internal numbers that are ours.

    While this daemon is not `active` for its node, nothing is written; the look that follows makes up for it.
    """

    def __init__(
        self,
        link: Asks,
        store: LiveStore,
        policy: Policy,
        around: Surroundings,
        *,
        agents: Callable[[], Iterable[EndpointId]],
        active: Callable[[], bool],
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._link, self._store, self._policy, self._around = link, store, policy, around
        self._active = active
        self._agents, self._now, self._clock = agents, now, clock
        self._calls: dict[str, _Call] = {}
        """by Uniqueid"""
        self._by_name: dict[str, str] = {}
        self._of_agent: dict[EndpointId, set[str]] = {}
        self._gone: dict[str, None] = {}
        self._expected: dict[str, str] = {}
        """Uniqueid → the number that the agent is being connected to by click"""
        self._queues: dict[QueueName, _Queue] = {}
        self._day: date | None = None
        self._counted = False
        self._since: dict[EndpointId, tuple[AgentState, datetime]] = {}
        self._wrapup: dict[EndpointId, float] = {}
        self._places: dict[EndpointId, Mapping[QueueName, AgentState]] = {}
        """how each agent counts in each of its queues"""
        self._sums: dict[tuple[QueueName, AgentState], int] = {}
        self._dirty_agents: set[EndpointId] = set()
        self._dirty_calls: set[str] = set()
        self._dirty_queues: set[QueueName] = set()
        self._ended: dict[str, LiveCall] = {}
        """by Uniqueid: not written yet"""
        self._later: list[tuple[float, str]] = []
        """calls to be looked at again, and when; in no order"""
        self._look = self._looked = False
        self._written_at = float("-inf")
        self._wake = asyncio.Event()

    # ------------------------------------------------------------ what is told

    def on_event(self, event: Message) -> None:
        if (told := _TOLD.get(event.event or "")) is not None:
            told(self, event)

    def on_device(self, device: EndpointId) -> None:
        """The state of a device became known."""
        self._device(f"PJSIP/{device}")

    def on_policy(self, path: str, value: str) -> None:
        """A policy was written to Asterisk; '' when it was removed."""
        if match := _AGENT_KEY.match(path):
            self._mark(EndpointId(match[1]))
        elif _TELEPHONE_KEY.fullmatch(path) and value:
            self._mark(EndpointId(value))

    def look_again(self) -> None:
        """After a start, a reconnect, and at intervals: everything is read and written anew."""
        self._look = True
        self._wake.set()

    def expect(self, uniqueid: str, number: str) -> None:
        """This channel is rung to be connected to that number: its call goes out."""
        if (call := self._calls.get(uniqueid)) is not None:
            call.direction, call.number = Direction.OUT, number
            self._touch(call)
            return
        if len(self._expected) >= EXPECTED:
            del self._expected[next(iter(self._expected))]
        self._expected[uniqueid] = number

    def calls_of(self, agent: EndpointId) -> list[LiveCall]:
        """The agent's calls on this node, as they are shown."""
        return [self._shown(self._calls[uniqueid]) for uniqueid in self._of_agent.get(agent, ())]

    def channel_names(self, agent: EndpointId) -> list[tuple[str, LiveCall]]:
        """The same with the names of their channels."""
        return [(self._calls[one].name, self._shown(self._calls[one])) for one in self._of_agent.get(agent, ())]

    # ------------------------------------------------------------ calls

    def _make(self, event: Message) -> None:
        # a phone's own call begins as Ring; what is called is Down until it rings
        direction = Direction.OUT if event.get("ChannelStateDesc") == "Ring" else Direction.IN
        call = self._new(event.get("Channel"), event.get("Uniqueid"), event.get("Linkedid"), direction, self._now())
        if call is not None and direction is Direction.OUT:
            call.number = event.get("Exten")

    def _new(self, name: str, uniqueid: str, linkedid: str, direction: Direction, at: datetime) -> _Call | None:
        """None for a channel of nobody's, or one that has ended."""
        endpoint = endpoint_of_channel(name)
        agent = agent_on(endpoint, self._policy) if name.startswith("PJSIP/") else None
        if agent is None or uniqueid in self._gone:
            return None
        call = _Call(name, uniqueid, linkedid, endpoint, agent, direction, at)
        if (expected := self._expected.pop(uniqueid, None)) is not None:
            call.direction, call.number = Direction.OUT, expected
        self._calls[uniqueid] = call
        self._by_name[name] = uniqueid
        self._of_agent.setdefault(agent, set()).add(uniqueid)
        self._touch(call)
        return call

    def _change(self, event: Message) -> None:
        call = self._calls.get(event.get("Uniqueid"))
        if call is None:
            return
        call.linkedid = event.get("Linkedid") or call.linkedid
        match event.event:
            case "Newstate" if event.get("ChannelStateDesc") == UP:
                call.answered_at = call.answered_at or self._now()
            case "NewConnectedLine":
                self._tell_party(call, event.get("ConnectedLineNum"), event.get("ConnectedLineName"))
            case "Hold":
                call.held_at = call.held_at or self._now()
            case "Unhold":
                call.held_at = None
            case _:
                pass
        self._touch(call)

    def _tell_party(self, call: _Call, number: str, name: str) -> None:
        number, name = known(number), known(name)
        # what the agent's telephone is told may be masked; who may see it is decided where it is shown
        if number and "*" not in number:
            call.number, call.party = number, "" if "*" in name else name

    def _begin_dial(self, event: Message) -> None:
        """Of the caller's own channel the number is whole, whatever the called telephone is told."""
        call = self._calls.get(event.get("DestUniqueid"))
        if call is not None and call.direction is Direction.IN:
            call.number, call.party = known(event.get("CallerIDNum")), known(event.get("CallerIDName"))
            call.linkedid = event.get("DestLinkedid") or call.linkedid
            self._touch(call)

    def _end(self, uniqueid: str) -> None:
        self._expected.pop(uniqueid, None)
        call = self._calls.pop(uniqueid, None)
        if call is None:
            return
        self._gone[uniqueid] = None
        if len(self._gone) > GONE:
            del self._gone[next(iter(self._gone))]
        self._by_name.pop(call.name, None)
        others = self._of_agent[call.agent]
        others.discard(uniqueid)
        if not others:
            del self._of_agent[call.agent]
        self._dirty_calls.discard(uniqueid)
        if len(self._ended) >= ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[uniqueid] = replace(self._shown(call), ended_at=self._now())
        self._mark(call.agent)

    def _touch(self, call: _Call) -> None:
        self._dirty_calls.add(call.uniqueid)
        self._mark(call.agent)

    def _look_later(self, uniqueid: str) -> None:
        if uniqueid in self._calls and len(self._later) < GONE:
            moment = self._clock()
            self._later += [(moment + seconds, uniqueid) for seconds in SETTLES_SECONDS]
            self._dirty_calls.add(uniqueid)
            self._wake.set()

    # ------------------------------------------------------------ queues

    def _queue_call(self, event: Message) -> None:
        queue = queue_name(event.get("Queue"))
        call = self._calls.get(event.get("DestUniqueid"))
        if call is not None:
            call.queue = queue
            self._touch(call)
        match event.event:
            case "AgentConnect":
                counts = self._queue(queue)
                counts.answered += 1
                waited = event.get("HoldTime")
                if counts.level_seconds and waited.isdigit() and int(waited) <= counts.level_seconds:
                    counts.in_level += 1
                self._mark_queue(queue)
            case "AgentComplete":
                endpoint = _DEVICE.fullmatch(event.get("Interface"))
                agent = agent_on(EndpointId(endpoint[1]), self._policy) if endpoint else None
                seconds = self._around.wrapup_seconds(queue)
                if agent is not None and seconds > 0:
                    self._wrapup[agent] = max(self._wrapup.get(agent, 0.0), self._clock() + seconds)
                    self._mark(agent)
            case _:
                pass

    def _queue_caller(self, event: Message) -> None:
        queue, uniqueid = queue_name(event.get("Queue")), event.get("Uniqueid")
        waiting = self._queue(queue)
        if event.event == "QueueCallerJoin":
            waiting.callers[uniqueid] = self._now()
        else:
            waiting.callers.pop(uniqueid, None)
            waiting.abandoned += event.event == "QueueCallerAbandon"
        self._mark_queue(queue)

    def _queue(self, queue: QueueName) -> _Queue:
        return self._queues.setdefault(queue, _Queue())

    def _mark_queue(self, queue: QueueName) -> None:
        self._dirty_queues.add(queue)
        self._wake.set()

    # ------------------------------------------------------------ agents

    def _told_of_device(self, event: Message) -> None:
        self._device(event.get("Device"))

    def _told_of_member(self, event: Message) -> None:
        self._device(event.get("Interface"))

    def _told_of_end(self, event: Message) -> None:
        self._end(event.get("Uniqueid"))

    def _told_of_recording(self, event: Message) -> None:
        self._look_later(event.get("Uniqueid"))

    def _told_of_spy(self, _event: Message) -> None:
        for uniqueid in self._calls:
            self._look_later(uniqueid)

    def _device(self, interface: str) -> None:
        if (match := _DEVICE.fullmatch(interface)) and (agent := agent_on(EndpointId(match[1]), self._policy)):
            self._mark(agent)

    def _mark(self, agent: EndpointId) -> None:
        self._dirty_agents.add(agent)
        self._wake.set()

    def _agent(self, agent: EndpointId) -> LiveAgent:
        device = EndpointId(self._policy(f"agent/{agent}/device"))
        members = self._around.members_of(device) if device else {}
        # of an agent that is logged out its own phone counts: a browser's registers before the login
        contact = self._around.device_state(device or agent) not in _ABSENT
        state = self._state(agent, device, members, contact=contact)
        was, since = self._since.get(agent, (None, self._now()))
        if was is not state:
            since = self._now()
            self._since[agent] = (state, since)
        self._count(agent, members, state)
        return LiveAgent(
            internal=agent,
            state=state,
            since=since,
            pauses={queue: member.reason for queue, member in members.items() if member.paused},
            device=device,
            contact=contact,
            calls=len(self._of_agent.get(agent, ())),
        )

    def _state(
        self, agent: EndpointId, device: EndpointId, members: Mapping[QueueName, Member], *, contact: bool
    ) -> AgentState:
        calls = [self._calls[uniqueid] for uniqueid in self._of_agent.get(agent, ())]
        answered = [call for call in calls if call.answered_at is not None or call.direction is Direction.OUT]
        if answered:
            held = all(call.held_at is not None for call in answered)
            return AgentState.HELD if held else AgentState.TALKING
        if calls:
            return AgentState.RINGING
        if not device:
            return AgentState.OFFLINE
        if not contact:
            return AgentState.UNREACHABLE
        if self._wrapup.get(agent, 0.0) > self._clock():
            return AgentState.WRAPUP
        paused = all(member.paused for member in members.values()) if members else self._is_paused(agent)
        return AgentState.PAUSED if paused else AgentState.READY

    def _is_paused(self, agent: EndpointId) -> bool:
        """Of an agent that is in no queue."""
        return self._policy(f"agent/{agent}/paused") == "1"

    def _count(self, agent: EndpointId, members: Mapping[QueueName, Member], state: AgentState) -> None:
        fresh = {queue: AgentState.PAUSED if member.paused else state for queue, member in members.items()}
        if (before := self._places.get(agent, {})) == fresh:
            return
        for queue, counted in before.items():
            self._sums[queue, counted] -= 1
            if not self._sums[queue, counted]:
                del self._sums[queue, counted]
            self._dirty_queues.add(queue)
        for queue, counted in fresh.items():
            self._sums[queue, counted] = self._sums.get((queue, counted), 0) + 1
            self._dirty_queues.add(queue)
        if fresh:
            self._places[agent] = fresh
        else:
            self._places.pop(agent, None)

    # ------------------------------------------------------------ what is shown

    def _shown(self, call: _Call) -> LiveCall:
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

    def _row(self, queue: QueueName) -> LiveQueue:
        counts = self._queue(queue)
        talking = self._sum(queue, AgentState.TALKING) + self._sum(queue, AgentState.HELD)
        return LiveQueue(
            queue=queue,
            waiting=len(counts.callers),
            longest_since=min(counts.callers.values(), default=None),
            ready=self._sum(queue, AgentState.READY),
            paused=self._sum(queue, AgentState.PAUSED),
            talking=talking,
            day=self._day or self._today(),
            answered=counts.answered,
            abandoned=counts.abandoned,
            in_level=counts.in_level,
            level_seconds=counts.level_seconds,
        )

    def _sum(self, queue: QueueName, state: AgentState) -> int:
        return self._sums.get((queue, state), 0)

    # ------------------------------------------------------------ the loop

    async def run(self) -> NoReturn:
        await repeat(
            self._work,
            self._wake,
            name="live",
            retry_seconds=RETRY_SECONDS,
            idle_seconds=lambda: ALIVE_EVERY_SECONDS / 5,
        )

    async def _work(self) -> None:
        began = self._clock()
        if not self._active():
            for marks in (self._dirty_agents, self._dirty_calls, self._dirty_queues):
                marks.clear()
            self._ended.clear()
            return
        self._new_day()
        self._wake_up_what_is_due()
        try:
            if self._look:
                self._look = False
                await self._read_all()
                await self._write_all()
                self._looked = True
            # until the first look the rows are those of the daemon before: to say that they hold would be a guess
            elif self._looked and self._due():
                await self._write_changes()
        except BaseException:
            self._look = True  # what was taken for this write is not known to be there
            raise
        # what comes meanwhile goes together
        await asyncio.sleep(max(0.0, began + WRITE_EVERY_SECONDS - self._clock()))

    def _due(self) -> bool:
        changed = self._dirty_agents or self._dirty_calls or self._dirty_queues or self._ended
        return bool(changed) or self._clock() - self._written_at >= ALIVE_EVERY_SECONDS

    def _today(self) -> date:
        return self._now().astimezone().date()

    def _new_day(self) -> None:
        if self._day is not None and self._day != self._today():
            for queue, counts in self._queues.items():
                counts.answered = counts.abandoned = counts.in_level = 0
                self._dirty_queues.add(queue)
        self._day = self._today()

    def _wake_up_what_is_due(self) -> None:
        moment = self._clock()
        due = [uniqueid for at, uniqueid in self._later if at <= moment]
        if due:
            self._later = [(at, uniqueid) for at, uniqueid in self._later if at > moment]
            self._dirty_calls.update(uniqueid for uniqueid in due if uniqueid in self._calls)
        for agent in [agent for agent, until in self._wrapup.items() if until <= moment]:
            del self._wrapup[agent]
            self._dirty_agents.add(agent)

    async def _write_changes(self) -> None:
        agents = list(islice(self._dirty_agents, AT_ONCE))
        self._dirty_agents.difference_update(agents)
        calls = list(islice(self._dirty_calls, AT_ONCE))
        self._dirty_calls.difference_update(calls)
        ended = list(islice(self._ended.values(), AT_ONCE))
        living = [agent for agent in agents if self._is_ours(agent)]
        gone = [agent for agent in agents if agent not in living]
        for agent in gone:
            self._forget(agent)
        rows = [self._agent(agent) for agent in living]
        queues = list(islice(self._dirty_queues, AT_ONCE))
        self._dirty_queues.difference_update(queues)
        await self._store.write(
            rows,
            [self._shown(self._calls[uniqueid]) for uniqueid in calls if uniqueid in self._calls],
            [self._row(queue) for queue in queues],
            gone_agents=gone,
            ended_calls=ended,
        )
        self._written(ended)
        self._written_at = self._clock()
        if self._dirty_agents or self._dirty_calls or self._dirty_queues or self._ended:
            self._wake.set()

    def _written(self, ended: Iterable[LiveCall]) -> None:
        for call in ended:
            self._ended.pop(call.channel, None)

    def _is_ours(self, agent: EndpointId) -> bool:
        return bool(self._policy(f"agent/{agent}/id"))

    def _forget(self, agent: EndpointId) -> None:
        self._since.pop(agent, None)
        self._wrapup.pop(agent, None)
        self._count(agent, {}, AgentState.OFFLINE)

    # ------------------------------------------------------------ a look at everything

    async def _read_all(self) -> None:
        await self._around.refresh()
        if not self._counted:
            for queue, counts in (await self._store.counts_of(self._day or self._today())).items():
                found = self._queue(QueueName(queue))
                # events that came before this was known are added
                found.answered += counts[0]
                found.abandoned += counts[1]
                found.in_level += counts[2]
            self._counted = True
        await self._read_queues()
        asked_at = self._now()
        living = await channels(self._link)
        self._take_over(living, asked_at)

    async def _read_queues(self) -> None:
        asked_at = self._now()
        # a member that there is not: only queues and their callers are listed
        items = await self._link.action_list(
            "QueueStatus", {"Member": "agentbridge/nobody"}, timeout=12 * TIMEOUT_SECONDS
        )
        waiting: dict[QueueName, dict[str, datetime]] = {}
        for item in items:
            queue = queue_name(item.get("Queue"))
            match item.event:
                case "QueueParams":
                    waiting.setdefault(queue, {})
                    level = item.get("ServiceLevel")
                    self._queue(queue).level_seconds = int(level) if level.isdigit() else 0
                case "QueueEntry":
                    seconds = item.get("Wait")
                    since = asked_at - timedelta(seconds=int(seconds) if seconds.isdigit() else 0)
                    waiting.setdefault(queue, {})[item.get("Uniqueid")] = since
                case _:
                    pass
        for queue in self._queues.keys() - waiting.keys():
            del self._queues[queue]
        for queue, callers in waiting.items():
            counts = self._queue(queue)
            joined = {uniqueid: at for uniqueid, at in counts.callers.items() if at >= asked_at}
            known_since = {uniqueid: counts.callers.get(uniqueid, at) for uniqueid, at in callers.items()}
            counts.callers = known_since | joined

    def _take_over(self, living: Sequence[Channel], asked_at: datetime) -> None:
        """Calls that began, and ended, without us."""
        alive = {channel.uniqueid: channel for channel in living}
        for call in [call for call in self._calls.values() if call.uniqueid not in alive and call.rang_at < asked_at]:
            self._end(call.uniqueid)
        by_call: dict[str, list[Channel]] = {}
        for channel in living:
            by_call.setdefault(channel.linkedid, []).append(channel)
        for channel in living:
            others = [other for other in by_call[channel.linkedid] if other is not channel]
            known_call = self._calls.get(channel.uniqueid)
            if known_call is not None:
                known_call.linkedid = channel.linkedid
            else:
                self._find(channel, others)

    def _find(self, channel: Channel, others: Sequence[Channel]) -> None:
        dialled = channel.data == _DIALLED
        direction = Direction.IN if dialled else Direction.OUT
        at = self._now() - timedelta(seconds=channel.seconds)
        call = self._new(channel.name, channel.uniqueid, channel.linkedid, direction, at)
        if call is None:
            return
        if call.direction is Direction.OUT:
            call.number = call.number or channel.extension
        else:
            callers = [other for other in others if other.data != _DIALLED]
            call.number, call.party = callers[0].caller if callers else channel.connected
            queues = [other.data.partition(",")[0] for other in callers if other.application == "Queue"]
            call.queue = queue_name(queues[0]) if queues else ""
        if channel.up:
            call.answered_at = self._now()
            if self._around.device_state(call.endpoint) == "ONHOLD":
                call.held_at = self._now()

    async def _write_all(self) -> None:
        """In parts, so that nothing waits for a thousand agents; then what is not among them is gone."""
        agents = list(self._agents())
        ours = set(agents)
        for agent in self._since.keys() - ours:
            self._forget(agent)
        for start in range(0, len(agents), AT_ONCE):
            part = agents[start : start + AT_ONCE]
            self._dirty_agents.difference_update(part)
            await self._store.write([self._agent(agent) for agent in part], [], [])
        calls = list(self._calls)
        for start in range(0, len(calls), AT_ONCE):
            some = calls[start : start + AT_ONCE]
            self._dirty_calls.difference_update(some)
            await self._store.write([], [self._shown(self._calls[one]) for one in some if one in self._calls], [])
        queues = list(self._queues)
        for start in range(0, len(queues), AT_ONCE):
            names = queues[start : start + AT_ONCE]
            self._dirty_queues.difference_update(names)
            await self._store.write([], [], [self._row(queue) for queue in names])
        while ended := list(islice(self._ended.values(), AT_ONCE)):
            await self._store.write([], [], [], ended_calls=ended)
            self._written(ended)
        await self._store.keep(list(ours), list(self._calls), queues)
        self._written_at = self._clock()


_TOLD: Mapping[str, Callable[[Board, Message], None]] = {
    "Newchannel": Board._make,
    "Newstate": Board._change,
    "NewConnectedLine": Board._change,
    "Hold": Board._change,
    "Unhold": Board._change,
    "BridgeEnter": Board._change,
    "DialBegin": Board._begin_dial,
    "Hangup": Board._told_of_end,
    "AgentCalled": Board._queue_call,
    "AgentConnect": Board._queue_call,
    "AgentComplete": Board._queue_call,
    "QueueCallerJoin": Board._queue_caller,
    "QueueCallerLeave": Board._queue_caller,
    "QueueCallerAbandon": Board._queue_caller,
    "DeviceStateChange": Board._told_of_device,
    "QueueMemberAdded": Board._told_of_member,
    "QueueMemberRemoved": Board._told_of_member,
    "QueueMemberPause": Board._told_of_member,
    "QueueMemberPenalty": Board._told_of_member,
    "MixMonitorStart": Board._told_of_recording,
    "MixMonitorStop": Board._told_of_recording,
    "MixMonitorMute": Board._told_of_recording,
    "ChanSpyStart": Board._told_of_spy,
    "ChanSpyStop": Board._told_of_spy,
}
