"""The picture of what goes on now: the state of each agent, its calls, and the queues; from Asterisk's events, and
from a look at everything after a start, a reconnect and at intervals.

Events only mark which rows changed. `run` writes those: at once after a silence, in a busy centre 25 times a second, so
that many events cost one statement, and more seldom where the directory is slow.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import NoReturn, Protocol

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live import TIMEOUT_SECONDS, Asks, Policy, agent_on, channels
from agentbridge.asterisk.calls.live_agents import AgentStates
from agentbridge.asterisk.calls.live_calls import GONE, AgentCalls
from agentbridge.asterisk.calls.live_marks import Marks, in_parts, take
from agentbridge.asterisk.calls.live_queues import QueueFigures
from agentbridge.asterisk.calls.surroundings import Surroundings
from agentbridge.asterisk.retrying import repeat
from agentbridge.model import EndpointId, queue_name
from agentbridge.model.live import LiveAgent, LiveCall, LiveQueue

WRITE_EVERY_SECONDS = 0.04
"""between the beginnings of two writes, at least"""
LONGEST_REST_SECONDS = 0.2
"""after a write: a slow directory has as long for others as the write took, but no longer than this"""
ALIVE_EVERY_SECONDS = 5.0
"""so often at least something is written: rows of a silent node are not believed"""
RETRY_SECONDS = 1.0
AT_ONCE = 100
"""rows in one statement: building and sending more would hold the event loop up"""
SETTLES_SECONDS = (0.3, 1.2, 4.0)
"""after something is recorded or listened to: the other parts ask Asterisk about it, and know more by then"""
_DEVICE = re.compile(r"PJSIP/(.+)")
_AGENT_KEY = re.compile(r"agent/([0-9]{1,16})/")
_TELEPHONE_KEY = re.compile(r"telephone/[^/]+/agent")


class LiveStore(Protocol):
    """The rows of live agents, calls and queues in the directory. Every method raises Unavailable."""

    async def write(
        self,
        agents: Sequence[LiveAgent],
        calls: Sequence[LiveCall],
        queues: Sequence[LiveQueue],
        *,
        gone_agents: Collection[str] = (),
        ended_calls: Sequence[LiveCall] = (),
    ) -> None:
        """Writes these rows of this node, deletes those of agents that are gone, and ends those of calls that are."""
        ...

    async def keep(self, agents: Collection[str], calls: Collection[str], queues: Collection[str]) -> None:
        """Deletes this node's rows that are not named."""
        ...

    async def counts_of(self, day: date) -> Mapping[str, tuple[int, int, int]]:
        """Queue → answered, abandoned, answered within its service level."""
        ...


class Board:
    """Keeps the directory's live rows: each agent's state, its calls, and the queues' figures, for supervisors'
    screens.

    `on_event`, `on_device` and `on_policy` mark rows as changed; `run` writes them. agents: the internal numbers that
    are ours. active: whether this daemon acts for its node; while it does not, nothing is written, and a full reading
    follows. now: the time of day. clock: seconds, monotonic.
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
        self._ours, self._active, self._now, self._clock = agents, active, now, clock
        self._marks = Marks()
        self._calls = AgentCalls(policy, around, self._marks, now)
        self._queues = QueueFigures(self._marks, now)
        self._agents = AgentStates(policy, around, self._calls, self._queues, self._marks, now=now, clock=clock)
        self._later: list[tuple[float, str]] = []
        """calls to be looked at again, and when; in no order"""
        self._counted = False
        self._look = self._looked = False
        self._written_at = float("-inf")

    # ------------------------------------------------------------ what happens

    def on_event(self, event: Message) -> None:
        """Takes an AMI event: notes changes of calls, waiting callers and members, and marks the rows that they
        concern."""
        self._calls.on_event(event)
        match event.event:
            case "AgentCalled" | "AgentConnect" | "AgentComplete":
                self._on_queue_call(event)
            case "QueueCallerJoin" | "QueueCallerLeave" | "QueueCallerAbandon":
                self._queues.caller_moved(event)
            case "DeviceStateChange":
                self._on_interface(event.get("Device"))
            case "QueueMemberAdded" | "QueueMemberRemoved" | "QueueMemberPause" | "QueueMemberPenalty":
                self._on_interface(event.get("Interface"))
            case "MixMonitorStart" | "MixMonitorStop" | "MixMonitorMute":
                self._look_later(event.get("Uniqueid"))
            case "ChanSpyStart" | "ChanSpyStop":
                for uniqueid in self._calls.uniqueids():
                    self._look_later(uniqueid)
            case _:
                pass

    def on_device(self, device: EndpointId) -> None:
        """The state of a device became known."""
        self._on_interface(f"PJSIP/{device}")

    def on_recording(self, uniqueid: str) -> None:
        """A recording of this call was found, after the board may have looked at it."""
        self._look_later(uniqueid)

    def on_policy(self, path: str, value: str) -> None:
        """Marks the agent whom a policy entry concerns that was written to Asterisk's AstDB; value is '' when it was
        removed."""
        if match := _AGENT_KEY.match(path):
            self._marks.agent(EndpointId(sys.intern(match[1])))
        elif _TELEPHONE_KEY.fullmatch(path) and value:
            self._marks.agent(EndpointId(value))

    def look_again(self) -> None:
        """Makes everything be read and written anew: after a start, a reconnect, and at intervals."""
        self._look = True
        self._marks.wake.set()

    def expect(self, uniqueid: str, number: str) -> None:
        """Notes that this channel is rung to be connected to that number: its call goes out."""
        self._calls.expect(uniqueid, number)

    def _on_queue_call(self, event: Message) -> None:
        """Takes the event that a queue called an agent, that the agent answered, or that this call is over."""
        queue = queue_name(event.get("Queue"))
        self._calls.came_by_queue(event.get("DestUniqueid"), queue)
        match event.event:
            case "AgentConnect":
                self._queues.answered(queue, event.get("HoldTime"))
            case "AgentComplete":
                agent = self._agent_at(event.get("Interface"))
                seconds = self._around.wrapup_seconds(queue)
                if agent is not None and seconds > 0:
                    self._agents.begin_wrapup(agent, seconds)
            case _:
                pass

    def _on_interface(self, interface: str) -> None:
        if agent := self._agent_at(interface):
            self._marks.agent(agent)

    def _agent_at(self, interface: str) -> EndpointId | None:
        """Returns the agent whose calls ring at this interface; None where there is none."""
        match = _DEVICE.fullmatch(interface)
        return agent_on(EndpointId(match[1]), self._policy) if match else None

    def _look_later(self, uniqueid: str) -> None:
        """Marks a call's row now and a few times later, since who records or spies on it is known with a delay."""
        if uniqueid in self._calls and len(self._later) < GONE:
            moment = self._clock()
            self._later += [(moment + seconds, uniqueid) for seconds in SETTLES_SECONDS]
            self._marks.call(uniqueid)

    # ------------------------------------------------------------ what is asked

    def calls_of(self, agent: EndpointId) -> list[LiveCall]:
        """The agent's calls on this node, as they are shown."""
        return [self._calls.row(call) for call in self._calls.of(agent)]

    def channel_names(self, agent: EndpointId) -> list[tuple[str, LiveCall]]:
        """The same, each with the name of its channel."""
        return [(call.name, self._calls.row(call)) for call in self._calls.of(agent)]

    # ------------------------------------------------------------ the loop

    async def run(self) -> NoReturn:
        """Writes marked rows to the directory, until it is cancelled."""
        await repeat(
            self._work,
            self._marks.wake,
            name="live",
            retry_seconds=RETRY_SECONDS,
            idle_seconds=lambda: ALIVE_EVERY_SECONDS / 5,
        )

    async def _work(self) -> None:
        """Writes the marked rows; reads and writes everything when that is due. Raises Unavailable or Refused."""
        began = self._clock()
        if not self._active():
            self._marks.forget_changes()
            return
        self._queues.begin_day()
        self._mark_what_is_due()
        self._agents.end_wrapups()
        try:
            if self._look:
                self._look = False
                await self._read_all()
                await self._write_all()
                self._looked = True
            # until the first look the rows are those of the daemon before: to say that they hold would be a guess
            elif self._looked and (self._marks or self._clock() - self._written_at >= ALIVE_EVERY_SECONDS):
                await self._write_changes()
        except BaseException:
            self._look = True  # what was taken for this write is not known to be there
            raise
        # what comes meanwhile goes together
        took = self._clock() - began
        await asyncio.sleep(min(LONGEST_REST_SECONDS, max(WRITE_EVERY_SECONDS - took, took)))

    def _mark_what_is_due(self) -> None:
        """Marks the calls that `_look_later` has put off and whose time has come."""
        moment = self._clock()
        due = [uniqueid for at, uniqueid in self._later if at <= moment]
        if due:
            self._later = [(at, uniqueid) for at, uniqueid in self._later if at > moment]
            self._marks.calls.update(uniqueid for uniqueid in due if uniqueid in self._calls)

    async def _write_changes(self) -> None:
        """Writes the marked rows, at most AT_ONCE of each kind. Raises Unavailable."""
        marks = self._marks
        agents, calls = take(marks.agents, AT_ONCE), take(marks.calls, AT_ONCE)
        ended = list(islice(marks.ended.values(), AT_ONCE))
        gone = [agent for agent in agents if not self._agents.is_ours(agent)]
        for agent in gone:
            self._agents.forget(agent)
        # an agent's row counts the agent in its queues, whose rows come after it
        rows = [self._agents.row(agent) for agent in agents if agent not in gone]
        queues = take(marks.queues, AT_ONCE)
        await self._store.write(
            rows,
            self._calls.rows(calls),
            [self._queues.row(queue) for queue in queues],
            gone_agents=gone,
            ended_calls=ended,
        )
        marks.ended_written(ended)
        self._written_at = self._clock()
        if marks:
            marks.wake.set()

    # ------------------------------------------------------------ a look at everything

    async def _read_all(self) -> None:
        """Reads waiting callers, today's counts, wrap-up times and all channels. Raises Unavailable or Refused."""
        await self._around.refresh()
        if not self._counted:
            # events that came before this was known are added
            self._queues.add_counts(await self._store.counts_of(self._queues.day()))
            self._counted = True
        asked_at = self._now()
        # a member that there is not: only queues and their callers are listed
        self._queues.take_over(
            await self._link.action_list("QueueStatus", {"Member": "agentbridge/nobody"}, timeout=12 * TIMEOUT_SECONDS),
            asked_at,
        )
        asked_at = self._now()
        self._calls.take_over(await channels(self._link), asked_at)

    async def _write_all(self) -> None:
        """Writes every row, in parts so that nothing waits for a thousand agents, and deletes all other rows of this
        node."""
        marks = self._marks
        agents = list(self._ours())
        self._agents.forget_others(agents)
        for some in in_parts(agents, AT_ONCE):
            marks.agents.difference_update(some)
            await self._store.write([self._agents.row(agent) for agent in some], [], [])
        for part in in_parts(self._calls.uniqueids(), AT_ONCE):
            marks.calls.difference_update(part)
            await self._store.write([], self._calls.rows(part), [])
        queues = self._queues.names()
        for names in in_parts(queues, AT_ONCE):
            marks.queues.difference_update(names)
            await self._store.write([], [], [self._queues.row(queue) for queue in names])
        while ended := list(islice(marks.ended.values(), AT_ONCE)):
            await self._store.write([], [], [], ended_calls=ended)
            marks.ended_written(ended)
        await self._store.keep(agents, self._calls.uniqueids(), queues)
        self._written_at = self._clock()
