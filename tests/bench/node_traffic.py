"""What happens in a centre of several nodes while it is measured: phones that call, and agents who go on pause."""

from __future__ import annotations

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from lab.manager import Manager, Message
from lab.phones import Phone
from lab.processes import until
from tests.bench.stand import Db
from tests.nodes.cluster import Place

BRIEF = "brief"
"""what the phones dial: a call of half a second"""
DIALPLAN = f"\n[queues](+)\nexten => {BRIEF},1,Answer()\n same => n,Wait(0.5)\n same => n,Hangup()\n"
HEARD = "Event: (DeviceStateChange|QueueMemberPause)"
PAUSED_WITHIN_S = 30.0
LOOK_S = 0.002
_STATES = ("INUSE", "NOT_INUSE")


class Ear:
    """When a node tells each change of a phone's state, and each pause of a member; by a bare AMI client."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.listens = asyncio.Event()
        self.changes: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.pauses: dict[tuple[str, str], float] = {}
        """queue and state interface → when it was paused"""

    def forget(self) -> None:
        self.changes.clear()
        self.pauses.clear()

    async def listen(self) -> None:
        async with Manager(self.place.pbx, events="call,agent", on_event=self._hear) as manager:
            answer = await manager.ask("Filter", {"Operation": "Add", "Filter": HEARD})
            assert answer[0]["Response"] == "Success", answer
            self.listens.set()
            while True:
                self._hear(await manager.read())

    def _hear(self, message: Message) -> None:
        match message.get("Event"):
            case "DeviceStateChange" if message["State"] in _STATES:
                self.changes[message["Device"], message["State"]].append(time.perf_counter())
            case "QueueMemberPause" if message["Paused"] == "1":
                self.pauses[message["Queue"], message["StateInterface"]] = time.perf_counter()


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent at work: its user name, its phone, and the node where that is registered."""

    username: str
    phone: Phone
    ear: Ear

    @property
    def device(self) -> str:
        return f"PJSIP/{self.phone.user}"

    @property
    def lamp(self) -> str:
        """Of a number beside the agent's own, whose lamp the daemon would put right."""
        return f"Custom:agent9{self.phone.user:0>6}"


class Traffic(ABC):
    """Makes `rate` changes of state a second, one agent after the other, and finds out how late each node was told."""

    changes_of_a_step = 1

    def __init__(self, seats: Sequence[Seat], ears: Sequence[Ear], rate: float) -> None:
        self._seats, self._ears, self._rate = seats, ears, rate
        self.made = 0
        self._sent: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        """device and state → when it was caused"""

    @abstractmethod
    def device(self, seat: Seat) -> str:
        """The device whose state is changed."""

    @abstractmethod
    async def step(self, seat: Seat) -> str:
        """Changes the state of the agent's device; returns the state that comes first."""

    async def go_on(self, seconds: float) -> None:
        """Makes changes for so long."""
        began = time.perf_counter()
        for number, seat in enumerate(itertools.cycle(self._seats)):
            due = began + number * self.changes_of_a_step / self._rate
            if max(due, time.perf_counter()) > began + seconds:
                return
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent = time.perf_counter()
            self._sent[self.device(seat), await self.step(seat)].append(sent)
            self.made += self.changes_of_a_step

    def untold(self) -> int:
        """How many changes some node did not tell, or not before the next one of that device."""
        caused = len(self._ears) * sum(map(len, self._sent.values()))
        return caused - len(self.at_its_node()) - len(self.at_another())

    def at_its_node(self) -> list[float]:
        """Seconds from the cause of each change until the agent's own node told it."""
        return [late for seat in self._seats for late in self._late(seat, seat.ear)]

    def at_another(self) -> list[float]:
        """The same until each other node told it."""
        return [
            late for seat in self._seats for ear in self._ears if ear is not seat.ear for late in self._late(seat, ear)
        ]

    def _late(self, seat: Seat, ear: Ear) -> Iterator[float]:
        """Seconds from each change to the first that was told before the next; nothing for one that was not."""
        for state in _STATES:
            key = self.device(seat), state
            sent, told = self._sent[key], ear.changes[key]
            for began, following in zip(sent, (*sent[1:], float("inf")), strict=False):
                if after := [moment for moment in told if began <= moment < following]:
                    yield after[0] - began


class Calls(Traffic):
    """Short calls of the phones: each makes two changes, and each is what a call costs the whole centre."""

    changes_of_a_step = 2

    def device(self, seat: Seat) -> str:
        return seat.device

    async def step(self, seat: Seat) -> str:
        seat.phone.dial(BRIEF)
        return "INUSE"


class Lamps(Traffic):
    """Lamps as each agent has one, written at the node of its phone as daemons do: changes and no calls."""

    async def go_on(self, seconds: float) -> None:
        async with AsyncExitStack() as stack:
            self._on: set[str] = set()
            self._hands = {ear: await stack.enter_async_context(Manager(ear.place.pbx)) for ear in self._ears}
            await super().go_on(seconds)

    def device(self, seat: Seat) -> str:
        return seat.lamp

    async def step(self, seat: Seat) -> str:
        device = self.device(seat)
        self._on ^= {device}
        state = "INUSE" if device in self._on else "NOT_INUSE"
        await self._hands[seat.ear].ask("Setvar", {"Variable": f"DEVICE_STATE({device})", "Value": state})
        return state


@dataclass(slots=True)
class Pauses:
    """Seconds from COMMIT to the last member's pause, wherever its queue is, and to the gate of the phone's node."""

    members: list[float]
    gates: list[float]


class Pausing:
    """Puts one agent after the other on pause, with one queue's node after the other hearing of it."""

    def __init__(self, db: Db, ears: Mapping[str, Ear]) -> None:
        self._db, self._ears = db, ears

    async def each(self, seats: Collection[Seat], every_s: float) -> Pauses:
        """Pauses each, `every_s` after the one before, and then ends all pauses."""
        found = Pauses([], [])
        for seat in seats:
            await asyncio.sleep(every_s)
            committed, member, gate = await self._one(seat)
            found.members.append(member - committed)
            if gate:
                found.gates.append(gate - committed)
        for seat in seats:
            await self._db.execute("SELECT agentbridge.unpause($1, source => 'admin')", seat.username)
        return found

    async def _one(self, seat: Seat) -> tuple[float, float, float]:
        """Returns when it was committed, when the last member was on pause, and when the phone's node knew; 0 where
        there is one node, which has no need of it."""
        rows = await self._db.fetch(
            "SELECT q.name, q.serving_node FROM agentbridge.effective_members m"
            " JOIN agentbridge.queues q ON q.id = m.queue_id JOIN agentbridge.agents a ON a.id = m.agent_id"
            " WHERE a.username = $1",
            seat.username,
        )
        wanted = [(self._ears[row["serving_node"]], (row["name"], seat.device)) for row in rows]
        for ear, key in wanted:
            ear.pauses.pop(key, None)
        async with Manager(seat.ear.place.pbx) as manager, asyncio.timeout(PAUSED_WITHIN_S):
            await self._db.execute("BEGIN")
            await self._db.execute("SELECT agentbridge.pause($1, 'lunch', source => 'admin')", seat.username)
            committed = time.perf_counter()
            committing = asyncio.create_task(self._db.execute("COMMIT"))
            gate = await _closed(manager, seat.phone.user) if len(self._ears) > 1 else 0.0
            await committing
            await until(
                lambda: all(key in ear.pauses for ear, key in wanted),
                within=PAUSED_WITHIN_S,
                what=f"the pause of {seat.username} in all queues",
            )
        return committed, max(ear.pauses[key] for ear, key in wanted), gate


async def _closed(manager: Manager, number: str) -> float:
    """When the phone's node has the key by which it refuses calls."""
    key = {"Family": "agentbridge", "Key": f"agent/{number}/paused"}
    while True:
        if (await manager.ask("DBGet", key))[0]["Response"] == "Success":
            return time.perf_counter()
        await asyncio.sleep(LOOK_S)
