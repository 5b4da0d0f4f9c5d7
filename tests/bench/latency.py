"""From COMMIT to 'Asterisk has it': the daemon beside its peers, on one database and one Asterisk.

`python -m tests.bench.latency [CONDITION]`. They take turns at the same agents. While one works the others are
stopped (SIGSTOP); who comes back finds the changes of the others' turns, and its first change, which is not counted,
shows that it has caught up. 'Has it' is app_queue's event on a third connection. Changes come at their times, whether
or not those before are done. Realtime has an Asterisk of its own, where the question about the queue is measured.
"""

import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from tests.bench.peers.realtime import Realtime, realtime
from tests.bench.peers.running import (
    AGENTBRIDGE,
    REALTIME,
    SCRIPTS,
    Db,
    Peer,
    Pusher,
    looking,
    script,
)
from tests.bench.stand import FIRST, WITHIN_S, Stand

QUEUE = "queue0"
EVENT_WITHIN_S = 60.0
COMPARE_EVERY_S = 0.2
REST_S = 0.01
"""between one change and the next where each waits for the one before"""
REALTIME_CHANGES = 5
"""of a queue with thousands of members, where each takes seconds"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """rate: changes a second; 0 for each after the one before is done, and a pause.

    turns: of each peer, of so many changes. comparing: full comparisons, all the time.
    """

    name: str
    members: int
    rate: float
    turns: int
    changes: int
    comparing: bool = False


CONDITIONS = (
    Condition(name="at rest", members=200, rate=0, turns=10, changes=100),
    Condition(name="5,000 members", members=5000, rate=0, turns=8, changes=40),
    Condition(name="50 a second", members=5000, rate=50, turns=6, changes=100),
    Condition(name="200 a second", members=5000, rate=200, turns=4, changes=400),
    Condition(name="in a full comparison", members=5000, rate=20, turns=6, changes=60, comparing=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Figures":
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        p50, p90, p99, worst = (round(value * 1000, 2) for value in (cuts[49], cuts[89], cuts[98], max(seconds)))
        return cls(count=len(seconds), p50=p50, p90=p90, p99=p99, worst=worst)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What each peer needed under one condition. `turns`: the median of each turn, which shows how they scatter."""

    condition: Condition
    figures: Mapping[str, Figures]
    turns: Mapping[str, Sequence[float]] = field(default_factory=dict)


async def measure(
    conditions: Sequence[Condition] = CONDITIONS, tell: Callable[[list[Row]], None] = lambda _rows: None
) -> list[Row]:
    """tell: is told all rows so far after each."""
    rows: list[Row] = []
    for members, some in itertools.groupby(conditions, key=lambda condition: condition.members):
        async for row in _with_members(members, list(some)):
            rows.append(row)
            tell(rows)
    return rows


async def _with_members(members: int, conditions: Sequence[Condition]) -> AsyncIterator[Row]:
    async with Stand(numbers=members + 100, fsync=True) as stand, realtime(stand.postgres, {QUEUE: {}}) as own:
        await _fill(stand, members)
        await own.fill(QUEUE, [str(FIRST + n) for n in range(members)])
        await stand.bridge.start(within=WITHIN_S)
        await stand.settled()
        await stand.processors.idle(within=WITHIN_S)
        async with _peers(stand) as peers:
            changes = Changes(stand, peers, members)
            for number, condition in enumerate(conditions):
                row = await changes.in_turns(condition)
                if number == 0:
                    row = _with(row, REALTIME, await _realtime(own, members, condition))
                yield row


async def _fill(stand: Stand, members: int) -> None:
    """So many agents in one queue, logged in."""
    await stand.db.execute(
        "INSERT INTO agentbridge.agents (username) SELECT 'agent' || n FROM generate_series(0, $1::int - 1) n", members
    )
    await stand.db.execute(
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id)"
        " SELECT a.id, q.id FROM agentbridge.agents a, agentbridge.queues q WHERE q.name = $1",
        QUEUE,
    )
    await stand.login_at_once(0, members)
    await stand.db.execute("VACUUM ANALYZE")


@contextlib.asynccontextmanager
async def _peers(stand: Stand) -> AsyncIterator[list[Peer]]:
    async with looking(stand.asterisk) as eye, contextlib.AsyncExitStack() as stack:
        peers: list[Peer] = [Pusher(AGENTBRIDGE, stand.bridge, eye)]
        for name in SCRIPTS:
            process = await stack.enter_async_context(script(name, stand.dsn, stand.asterisk))
            peers.append(Pusher(name, process, eye))
        for peer in peers:
            peer.rest()
        try:
            yield peers
        finally:
            peers[0].go_on()


class Changes:
    """Pauses and unpauses one agent after the other, for one peer after the other."""

    def __init__(self, stand: Stand, peers: Sequence[Peer], members: int) -> None:
        self._stand, self._peers = stand, peers
        self._agents: Iterator[int] = itertools.cycle(range(FIRST, FIRST + members))
        self._paused = dict.fromkeys(range(FIRST, FIRST + members), False)

    async def in_turns(self, condition: Condition) -> Row:
        taken: dict[str, list[float]] = {peer.name: [] for peer in self._peers}
        medians: dict[str, list[float]] = {peer.name: [] for peer in self._peers}
        for _ in range(condition.turns):
            for peer in self._peers:
                peer.go_on()
                await self._caught_up(peer)
                async with self._comparing(condition.comparing):
                    seconds = await changed(self._stand.db, peer, self._next(condition.changes), condition.rate)
                if peer.name == AGENTBRIDGE:
                    await self._stand.settled()
                peer.rest()
                taken[peer.name] += seconds
                medians[peer.name].append(round(statistics.median(seconds) * 1000, 3))
        return Row(condition=condition, figures={n: Figures.of(s) for n, s in taken.items()}, turns=medians)

    def _next(self, count: int) -> list[tuple[str, bool]]:
        """The next agents, each with what it is to be."""
        found = []
        for number in itertools.islice(self._agents, count):
            self._paused[number] = not self._paused[number]
            found.append((str(number), self._paused[number]))
        return found

    async def _caught_up(self, peer: Peer) -> None:
        """Until the peer has done what it missed: all of it comes before the change that is made now."""
        if peer.name == AGENTBRIDGE:
            await self._stand.settled()
        await changed(self._stand.db, peer, self._next(1), 1.0)
        await self._stand.processors.idle(within=WITHIN_S)

    @contextlib.asynccontextmanager
    async def _comparing(self, wanted: bool) -> AsyncIterator[None]:
        """Asks for a full comparison again and again; the scripts have none, and are woken as often."""
        if not wanted:
            yield
            return
        db = await self._stand.another_connection()

        async def ask() -> None:
            while True:
                await db.execute("SELECT agentbridge.note('{*}')")
                await asyncio.sleep(COMPARE_EVERY_S)

        asking = asyncio.create_task(ask(), name="comparing")
        try:
            yield
        finally:
            asking.cancel()
            await asyncio.wait((asking,))
            db.terminate()


async def changed(db: Db, peer: Peer, agents: Sequence[tuple[str, bool]], rate: float) -> list[float]:
    """Seconds from each COMMIT to Asterisk's having it."""
    waits, started = [], time.perf_counter()
    for number, (internal, paused) in enumerate(agents):
        if rate:
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        await peer.change(db, internal, paused)
        seen = peer.awaiting(internal, paused)
        committed = time.perf_counter()
        await db.execute("COMMIT")
        waits.append((seen, committed))
        if not rate:
            async with asyncio.timeout(EVENT_WITHIN_S):
                await seen
            await asyncio.sleep(REST_S)
    async with asyncio.timeout(EVENT_WITHIN_S):
        return [await seen - committed for seen, committed in waits]


async def _realtime(own: Realtime, members: int, condition: Condition) -> list[float]:
    """One after the other: Asterisk reads all members of the queue for each."""
    await changed(own.db, own, [(str(FIRST), True)], 1.0)
    taken: list[float] = []
    count = condition.changes if members < 1000 else REALTIME_CHANGES
    for number in range(count):
        taken += await changed(own.db, own, [(str(FIRST + number), number > 0)], condition.rate)
    return taken


def _with(row: Row, name: str, seconds: Sequence[float]) -> Row:
    return Row(condition=row.condition, figures={**row.figures, name: Figures.of(seconds)}, turns=row.turns)


def main() -> None:
    wanted = sys.argv[1:]
    some = [condition for condition in CONDITIONS if not wanted or condition.name in wanted]
    print(json.dumps([asdict(row) for row in asyncio.run(measure(some))], indent=2))


if __name__ == "__main__":
    main()
