"""What the change hints cost whoever writes: pgbench with our triggers and without them, in turns.

`python -m tests.bench.triggers`. One client changes one agent after the other in a transaction each, on a server
with fsync: plain statements, which cost least without the triggers, and what applications call. Then all agents in
one statement.
"""

import asyncio
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg

from lab.bridge import prepare
from lab.postgres import Postgres, server_programs
from lab.processes import run

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
AGENTS = 10_000
ROUNDS = 7
SECONDS = 2
SCRIPTS = {
    "an agent's name": "UPDATE agentbridge.agents SET alias = 'A' || :value::int WHERE id = :id;",
    "a description, of which Asterisk need not know": (
        "UPDATE agentbridge.agents SET description = 'A' || :value::int WHERE id = :id;"
    ),
    "a pause": "UPDATE agentbridge.sessions SET pause_reason = 'A' || :value::int, paused = true WHERE agent_id = :id;",
    "pause(), then unpause()": (
        "SELECT agentbridge.pause('agent' || :id::int, 'A' || :value::int, source => 'admin');\n"
        "SELECT agentbridge.unpause('agent' || :id::int, source => 'admin');"
    ),
    "logout(), then login()": (
        "SELECT agentbridge.logout('agent' || :id::int, source => 'admin');\n"
        "SELECT agentbridge.login('agent' || :id::int, source => 'admin');"
    ),
}
HINTS = {"agents": ("update",), "sessions": ("insert", "update", "delete"), "queue_pauses": ("insert", "delete")}
ALL_ROWS = "UPDATE agentbridge.agents SET alias = alias || 'x'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """With the triggers and without: medians. `ratio` is what is left of the speed, or how much longer it takes."""

    with_triggers: float
    without: float
    ratio: float

    @classmethod
    def of(cls, with_triggers: list[float], without: list[float]) -> "Cost":
        one, other = statistics.median(with_triggers), statistics.median(without)
        return cls(with_triggers=round(one, 3), without=round(other, 3), ratio=round(one / other, 3))


async def measure(rounds: int = ROUNDS) -> dict[str, Cost]:
    async with Postgres(fsync=True) as postgres:
        dsn = await postgres.create_database("bench")
        await prepare(dsn, numbers=range(1000, 1000 + AGENTS))
        db: Db = await asyncpg.connect(dsn)
        try:
            await _fill(db)
            found = {f"{name} (1/s)": await _small(db, dsn, sql, rounds) for name, sql in SCRIPTS.items()}
            return {**found, f"{AGENTS} agents in one statement (s)": await _big(db, rounds)}
        finally:
            await db.close()


async def _fill(db: Db) -> None:
    await db.execute(
        "INSERT INTO agentbridge.agents (username) SELECT 'agent' || n FROM generate_series(1, $1::int) n", AGENTS
    )
    await db.execute("SELECT agentbridge.login(username, source => 'admin') FROM agentbridge.agents", timeout=120)
    await db.execute("VACUUM ANALYZE")


async def _hints(db: Db, *, on: bool) -> None:
    for table, events in HINTS.items():
        for event in events:
            await db.execute(f"ALTER TABLE agentbridge.{table} {'ENABLE' if on else 'DISABLE'} TRIGGER hint_{event}")
    await db.execute("TRUNCATE agentbridge.changes")


async def _small(db: Db, dsn: str, sql: str, rounds: int) -> Cost:
    found: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * rounds):
        on = turn % 2 == 0
        await _hints(db, on=on)
        found[on].append(await _pgbench(dsn, sql))
    return Cost.of(found[True], found[False])


async def _pgbench(dsn: str, sql: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "change.sql"
        script.write_text(f"\\set id random(1, {AGENTS})\n\\set value random(1, 1000000)\n{sql}\n")
        program = str(server_programs() / "pgbench")
        printed = await run(
            *(program, "--no-vacuum", "--client=1", "--protocol=prepared"),
            *(f"--time={SECONDS}", f"--file={script}", dsn),
            within=SECONDS + 30,
        )
    found = re.search(r"tps = ([\d.]+)", printed)
    if found is None:
        raise RuntimeError(f"pgbench printed no tps:\n{printed}")
    return float(found[1])


async def _big(db: Db, rounds: int) -> Cost:
    found: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * rounds):
        on = turn % 2 == 0
        await _hints(db, on=on)
        transaction = db.transaction()
        await transaction.start()
        started = time.perf_counter()
        await db.execute(ALL_ROWS, timeout=120)
        found[on].append(time.perf_counter() - started)
        await transaction.rollback()
        await db.execute("VACUUM agentbridge.agents")
    return Cost.of(found[True], found[False])


def main() -> None:
    for name, cost in asyncio.run(measure()).items():
        print(f"{name}: {cost}")


if __name__ == "__main__":
    main()
