"""From COMMIT to "Asterisk has it" at some rate of changes and some number of members, beside a bare script.

`python -m tests.bench.rates`. The changes come at their times whether or not those before are done. Agents take
turns, so that none is changed more often than the daemon lets one agent be written.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from lab.manager import Manager
from lab.processes import Process
from tests.bench.latency import Eye, Figures
from tests.bench.stand import FIRST, WITHIN_S, Stand

RATES = (1.0, 50.0, 200.0)
MEMBERS = (1000, 5000)
SECONDS = 10.0
AT_LEAST = 20
QUEUE = "queue0"
EVENT_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    members: int
    rate: float
    ours: Figures
    bare: Figures

    @property
    def ratios(self) -> tuple[float, float]:
        """Of p50 and p99."""
        return round(self.ours.p50 / self.bare.p50, 2), round(self.ours.p99 / self.bare.p99, 2)


async def measure(members: tuple[int, ...] = MEMBERS, rates: tuple[float, ...] = RATES) -> list[Row]:
    return [row for count in members for row in await _with_members(count, rates)]


async def _with_members(members: int, rates: tuple[float, ...]) -> list[Row]:
    async with Stand(numbers=members + 100, fsync=True) as stand:
        await stand.db.execute(
            "INSERT INTO agentbridge.agents (username) SELECT 'agent' || n FROM generate_series(0, $1::int - 1) n",
            members,
        )
        await stand.db.execute(
            "INSERT INTO agentbridge.queue_members (agent_id, queue_id)"
            " SELECT a.id, q.id FROM agentbridge.agents a, agentbridge.queues q WHERE q.name = $1",
            QUEUE,
        )
        await stand.login_at_once(0, members)
        await stand.db.execute("VACUUM ANALYZE")
        await stand.bridge.start(within=WITHIN_S)
        await stand.settled()
        await stand.processors.idle(within=WITHIN_S)
        async with Manager(stand.asterisk, events="agent") as manager, _looking(manager) as eye:
            return [await _in_turns(stand, eye, members, rate) for rate in rates]


@contextlib.asynccontextmanager
async def _looking(manager: Manager) -> AsyncIterator[Eye]:
    eye = Eye()
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(eye.look(manager), name="eye")
        yield eye
        looking.cancel()


async def _in_turns(stand: Stand, eye: Eye, members: int, rate: float) -> Row:
    # each agent once: who is on pause already is not put on pause again
    changes = min(members, max(AT_LEAST, round(rate * SECONDS)))
    ours = await _changed(stand.db, eye, members, rate, changes, pause=True)
    await stand.settled()
    stand.bridge.send(signal.SIGSTOP)
    try:
        async with _bare(stand):
            bare = await _changed(stand.db, eye, members, rate, changes, pause=False)
    finally:
        stand.bridge.send(signal.SIGCONT)
    await stand.settled()
    await stand.processors.idle(within=WITHIN_S)
    return Row(members=members, rate=rate, ours=ours, bare=bare)


async def _changed(
    db: "asyncpg.Connection[asyncpg.Record]", eye: Eye, members: int, rate: float, changes: int, *, pause: bool
) -> Figures:
    """All of them in one state are put into the other one."""
    waits, started = [], time.perf_counter()
    for number in range(changes):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        internal = str(FIRST + number % members)
        seen = eye.awaiting(internal, pause)
        await db.execute("BEGIN")
        verb = "pause" if pause else "unpause"
        await db.execute(f"SELECT agentbridge.{verb}($1, source => 'admin')", f"agent{number % members}")
        committed = time.perf_counter()
        await db.execute("COMMIT")
        waits.append((seen, committed))
    async with asyncio.timeout(EVENT_WITHIN_S):
        return Figures.of([await seen - committed for seen, committed in waits])


@contextlib.asynccontextmanager
async def _bare(stand: Stand) -> AsyncIterator[Process]:
    asterisk = stand.asterisk
    log = asterisk.dir / "bare.log"
    process = Process("the bare script", log)
    account = (str(asterisk.ami_port), asterisk.ami_user, asterisk.ami_secret)
    await process.start(sys.executable, "-m", "tests.bench.bare_rates", stand.dsn, *account, QUEUE)

    async def ready() -> bool:
        return "ready" in log.with_suffix(".out").read_text()

    try:
        await process.wait_ready(ready, within=10)
        yield process
    finally:
        await process.end(signal.SIGKILL)
        log.with_suffix(".out").unlink()


def main() -> None:
    for row in asyncio.run(measure()):
        print(row, row.ratios, flush=True)


if __name__ == "__main__":
    main()
