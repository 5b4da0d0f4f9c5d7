"""From COMMIT to 'Asterisk has it': the daemon beside the bare script, on one database and one Asterisk.

The two take turns at the same agents. While one works the other is stopped (SIGSTOP), and it finds nothing
to do when it comes back, since all is as it should be. 'Has it' is app_queue's event, on a socket of its own.
"""

import asyncio
import contextlib
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from lab.asterisk import Asterisk
from lab.bridge import Bridge, prepare
from lab.manager import Manager, Message
from lab.postgres import Postgres
from lab.processes import Process, until

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
AGENTS = 200
EVERY_S = 0.012
"""so that each agent is changed every 2.4 s: one that is changed more often rests, by design"""
TURN = 100
TURNS = 10
"""of each"""
WITHIN_S = 5.0


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


class Eye:
    """Sees when app_queue has a member's pause."""

    def __init__(self) -> None:
        self._awaited: dict[tuple[str, str], asyncio.Future[float]] = {}

    def awaiting(self, internal: str, paused: bool) -> "asyncio.Future[float]":
        future = asyncio.get_running_loop().create_future()
        self._awaited[f"PJSIP/{internal}", "1" if paused else "0"] = future
        return future

    def saw(self, event: Message) -> None:
        if event.get("Event") == "QueueMemberPause":
            future = self._awaited.pop((event["Interface"], event["Paused"]), None)
            if future is not None:
                future.set_result(time.perf_counter())

    async def look(self, manager: Manager) -> None:
        while True:
            self.saw(await manager.read())


async def measure() -> dict[str, Figures]:
    async with Postgres() as postgres, Asterisk(queues={"sales": {}}) as asterisk:
        dsn = await postgres.create_database("bench")
        await prepare(dsn, numbers=range(1000, 1000 + AGENTS))
        async with Bridge(asterisk, dsn) as bridge, Manager(asterisk, events="agent") as manager:
            eye = Eye()
            looking = asyncio.create_task(eye.look(manager), name="eye")
            try:
                return await _measured(dsn, asterisk, bridge, eye)
            finally:
                looking.cancel()


async def _measured(dsn: str, asterisk: Asterisk, bridge: Bridge, eye: Eye) -> dict[str, Figures]:
    db = await asyncpg.connect(dsn)
    try:
        await _fill(db)
        await bridge.start()
        await _settled(db)
        async with _bare(dsn, asterisk) as bare:
            return await _in_turns(db, bridge, bare, eye)
    finally:
        await db.close()


async def _in_turns(db: Db, bridge: Bridge, bare: Process, eye: Eye) -> dict[str, Figures]:
    taken: dict[str, list[float]] = {"agentbridge": [], "bare script": []}
    numbers = [str(1000 + number) for number in range(AGENTS)]
    paused = dict.fromkeys(numbers, False)
    bare.send(signal.SIGSTOP)
    for turn in range(2 * TURNS):
        name = "agentbridge" if turn % 2 == 0 else "bare script"
        for number in range(TURN):
            internal = numbers[(turn // 2 * TURN + number) % AGENTS]
            taken[name].append(await _change(db, eye, internal, paused))
        await _hand_over(db, bridge, bare, to_bare=name == "agentbridge")
    return {name: Figures.of(seconds) for name, seconds in taken.items()}


async def _change(db: Db, eye: Eye, internal: str, paused: dict[str, bool]) -> float:
    """Seconds from COMMIT to the event."""
    started = time.perf_counter()
    verb = "unpause" if paused[internal] else "pause"
    paused[internal] = not paused[internal]
    seen = eye.awaiting(internal, paused[internal])
    await db.execute("BEGIN")
    await db.execute(f"SELECT agentbridge.{verb}('agent{internal}', source => 'admin')")
    committed = time.perf_counter()
    await db.execute("COMMIT")
    async with asyncio.timeout(WITHIN_S):
        took = await seen - committed
    await asyncio.sleep(max(0.0, EVERY_S - (time.perf_counter() - started)))
    return took


async def _hand_over(db: Db, bridge: Bridge, bare: Process, *, to_bare: bool) -> None:
    if to_bare:
        await _settled(db)
        bridge.send(signal.SIGSTOP)
        bare.send(signal.SIGCONT)
    else:
        bare.send(signal.SIGSTOP)
        bridge.send(signal.SIGCONT)
        await _settled(db)


async def _settled(db: Db) -> None:
    async def all_there() -> bool:
        return bool(await db.fetchval("SELECT bool_and(applied_at IS NOT NULL) FROM agentbridge.agent_status"))

    await until(all_there, within=60, what="everything being in Asterisk")


async def _fill(db: Db) -> None:
    await db.execute("INSERT INTO agentbridge.queues (name) VALUES ('sales')")
    await db.execute(
        "INSERT INTO agentbridge.agents (username, internal) "
        "SELECT 'agent' || n, n::text FROM generate_series($1::int, $2) n",
        1000,
        1000 + AGENTS - 1,
    )
    await db.execute(
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id) "
        "SELECT a.id, q.id FROM agentbridge.agents a, agentbridge.queues q"
    )
    await db.execute("SELECT agentbridge.login(username, source => 'admin') FROM agentbridge.agents")


@contextlib.asynccontextmanager
async def _bare(dsn: str, asterisk: Asterisk) -> AsyncIterator[Process]:
    log = asterisk.dir / "bare.log"
    process = Process("the bare script", log)
    account = (str(asterisk.ami_port), asterisk.ami_user, asterisk.ami_secret)
    await process.start(sys.executable, "-m", "tests.bench.bare", dsn, *account, "sales")

    async def ready() -> bool:
        return "ready" in log.with_suffix(".out").read_text()

    try:
        await process.wait_ready(ready, within=10)
        yield process
    finally:
        await process.end(signal.SIGKILL)
