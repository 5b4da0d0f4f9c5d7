"""A full comparison of 1,000 agents with 5 queues each, when there is nothing to do."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from lab.asterisk import Asterisk
from lab.bridge import Bridge, prepare
from lab.postgres import Postgres
from lab.processes import run
from tests.acceptance.wire import Wire

AGENTS = 1000
QUEUES = tuple(f"queue{number}" for number in range(5))
RESYNCS = 5
WITHIN_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resync:
    """Seconds for the first fill and for one resync; the loop's longest stall in milliseconds; RSS in MB."""

    agents: int
    queues: int
    writes_to_fill: int
    fill_s: float
    writes: int
    seconds: float
    longest_stall_ms: float
    rss_mb: float


async def measure() -> Resync:
    """Measures the first fill and a comparison without differences."""
    async with Postgres(fsync=False) as postgres, Asterisk(queues={name: {} for name in QUEUES}) as asterisk:
        dsn = await postgres.create_database("bench")
        await prepare(dsn, numbers=range(1000, 1000 + AGENTS))
        await _fill(dsn)
        async with (
            Wire(asterisk) as wire,
            Bridge(asterisk, dsn, ami_port=wire.ami_port, ari_port=wire.ari_port) as bridge,
        ):
            fill = await _child(bridge.config, resyncs=0)
            to_fill = len(wire.writes())
            wire.forget()
            found = await _child(bridge.config, resyncs=RESYNCS)
            return Resync(
                agents=AGENTS,
                queues=len(QUEUES),
                writes_to_fill=to_fill,
                fill_s=fill["start_s"],
                writes=len(wire.writes()),
                seconds=found["resync_s"],
                longest_stall_ms=found["stall_ms"],
                rss_mb=found["rss_mb"],
            )


async def _child(config: Path, *, resyncs: int) -> dict[str, float]:
    printed = await run(sys.executable, "-m", "tests.bench.resyncing", str(config), str(resyncs), within=WITHIN_S)
    answer: dict[str, float] = json.loads(printed.splitlines()[-1])
    return answer


async def _fill(dsn: str) -> None:
    db = await asyncpg.connect(dsn)
    try:
        await db.execute("INSERT INTO agentbridge.queues (name) SELECT unnest($1::text[])", list(QUEUES))
        await db.execute(
            "INSERT INTO agentbridge.agents (username, internal) "
            "SELECT 'agent' || n, n::text FROM generate_series(1000, 1000 + $1 - 1) n",
            AGENTS,
        )
        await db.execute(
            "INSERT INTO agentbridge.queue_members (agent_id, queue_id) "
            "SELECT a.id, q.id FROM agentbridge.agents a, agentbridge.queues q"
        )
        await db.execute("SELECT agentbridge.login(username, source => 'admin') FROM agentbridge.agents")
    finally:
        await db.close()


def main() -> None:
    print(asyncio.run(measure()))


if __name__ == "__main__":
    main()
