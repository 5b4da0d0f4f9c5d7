"""What happens in a centre of several nodes while it is measured: phones that call, and agents who go on pause."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.manager import Manager, Message
from lab.phones import Phone
from lab.processes import until
from tests.bench.stand import Db
from tests.nodes.cluster import Place

CHANGES_OF_A_CALL = 2
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


class Calls:
    """Calls of one phone after the other, `rate` changes of state a second in all, and how late each node was told."""

    def __init__(self, seats: Sequence[Seat], ears: Sequence[Ear], rate: float) -> None:
        self._seats, self._ears, self._rate = seats, ears, rate
        self._dialled: defaultdict[str, list[float]] = defaultdict(list)

    async def go_on(self, seconds: float) -> None:
        began = time.perf_counter()
        for number, seat in enumerate(itertools.cycle(self._seats)):
            due = began + number * CHANGES_OF_A_CALL / self._rate
            if due > began + seconds:
                return
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self._dialled[seat.device].append(time.perf_counter())
            seat.phone.dial(BRIEF)

    @property
    def made(self) -> int:
        return CHANGES_OF_A_CALL * sum(map(len, self._dialled.values()))

    def at_the_phones_node(self) -> list[float]:
        """Seconds from each dialling until the phone's own node told that it is in use."""
        return [late for seat in self._seats for late in _late(self._dialled[seat.device], seat.ear, seat.device)]

    def at_another_node(self) -> list[float]:
        """Seconds from the moment at which the phone's node told a change to that at which each other node did."""
        return [
            late
            for seat in self._seats
            for ear in self._ears
            if ear is not seat.ear
            for state in _STATES
            for late in _late(seat.ear.changes[seat.device, state], ear, seat.device, state)
        ]

    def untold(self) -> int:
        """How many changes some node did not tell, or told once more."""
        return sum(
            abs(len(ear.changes[seat.device, state]) - len(self._dialled[seat.device]))
            for seat in self._seats
            for ear in self._ears
            for state in _STATES
        )


def _late(since: Sequence[float], ear: Ear, device: str, state: str = "INUSE") -> Iterator[float]:
    """What can't be told which is which, since one is missing, is left out; `untold` counts it."""
    told = ear.changes[device, state]
    if len(told) == len(since):
        yield from (moment - began for began, moment in zip(since, told, strict=True))


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
