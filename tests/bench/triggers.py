"""What the change hints cost whoever writes: pgbench with our triggers and without them, by turns.

`python -m tests.bench.triggers`. One client changes one agent after the other in a transaction each, on a server
with fsync: plain statements, which cost least without the triggers, and what applications call. Then all rows in
one statement.

A disk's commits take now a fifth more, now less, for seconds at a time. So each client has a database of its own on the
one server, and they work in turns of a fifth of a second; there are two pairs, since a copy is as quick as its pages
happen to lie.
"""

import asyncio
import random
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg

from lab.postgres import Postgres, server_programs
from lab.processes import Process, until

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
AGENTS = 10_000
PAIRS = 2
TURNS = 50
TURN_S = 0.2
WARM_UP = 500
"""transactions of each client that are not counted: the first fill its caches"""
ROUNDS = 7
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
ALL_ROWS = {
    "agents": "UPDATE agentbridge.agents SET alias = alias || 'x'",
    "sessions": "UPDATE agentbridge.sessions SET paused = true, pause_reason = 'x'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """With the triggers and without. `ratio` is what is left of the speed, or how much longer it takes."""

    with_triggers: float
    without: float
    ratio: float

    @classmethod
    def of(cls, with_triggers: float, without: float) -> "Cost":
        """Computes the ratio of the two."""
        return cls(
            with_triggers=round(with_triggers, 3),
            without=round(without, 3),
            ratio=round(with_triggers / without, 3),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One database, with the change hints' triggers or without."""

    dsn: str
    db: Db
    hints: bool


async def measure(turns: int = TURNS, rounds: int = ROUNDS) -> dict[str, Cost]:
    """Measures writes with and without the triggers, by turns."""
    async with Postgres(fsync=True) as postgres, _copies(postgres) as copies:
        found = {f"{name} (1/s)": await _small(copies, sql, turns) for name, sql in SCRIPTS.items()}
        for table, sql in ALL_ROWS.items():
            found[f"{AGENTS} {table} in one statement (s)"] = await _big(copies, table, sql, rounds)
        return found


@asynccontextmanager
async def _copies(postgres: Postgres) -> AsyncIterator[list[Copy]]:
    template = await postgres.create_directory("template", range(1000, 1000 + AGENTS))
    db: Db = await asyncpg.connect(template)
    await _fill(db)
    await db.close()
    async with AsyncExitStack() as opened:
        copies: list[Copy] = []
        for number in range(2 * PAIRS):
            dsn = await postgres.create_database(f"copy{number}", "template")
            copy = Copy(dsn=dsn, db=await asyncpg.connect(dsn), hints=number % 2 == 0)
            opened.push_async_callback(copy.db.close)
            if not copy.hints:
                await _without_hints(copy.db)
            copies.append(copy)
        yield copies


async def _fill(db: Db) -> None:
    await db.execute(
        "INSERT INTO agentbridge.agents (username) SELECT 'agent' || n FROM generate_series(1, $1::int) n", AGENTS
    )
    await db.execute("SELECT agentbridge.login(username, source => 'admin') FROM agentbridge.agents", timeout=120)
    await db.execute("TRUNCATE agentbridge.changes")
    await db.execute("VACUUM ANALYZE")


async def _without_hints(db: Db) -> None:
    for row in await db.fetch(
        "SELECT tgrelid::regclass::text AS table, quote_ident(tgname) AS name FROM pg_trigger WHERE tgname LIKE 'hint%'"
    ):
        await db.execute(f"ALTER TABLE {row['table']} DISABLE TRIGGER {row['name']}")


async def _small(copies: list[Copy], sql: str, turns: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        clients = [Client(copy, Path(folder) / str(number), sql) for number, copy in enumerate(copies)]
        try:
            for client in clients:
                await client.start()
            for _ in range(turns):
                for client in random.sample(clients, len(clients)):
                    await client.work_for(TURN_S)
        finally:
            for client in clients:
                await client.end()
        seconds = {
            hints: statistics.mean(s for client in clients if client.copy.hints is hints for s in client.seconds())
            for hints in (True, False)
        }
    return Cost.of(1 / seconds[True], 1 / seconds[False])


class Client:
    """A pgbench process that works only when it is its turn; in between it is stopped."""

    def __init__(self, copy: Copy, folder: Path, sql: str) -> None:
        self.copy = copy
        self._folder = folder
        folder.mkdir()
        (folder / "change.sql").write_text(f"\\set id random(1, {AGENTS})\n\\set value random(1, 1000000)\n{sql}\n")
        self._process = Process("pgbench", folder / "pgbench.log")

    async def start(self) -> None:
        await self._process.start(
            str(server_programs() / "pgbench"),
            *("--no-vacuum", "--client=1", "--protocol=prepared", "--time=100000", "--log"),
            *(f"--log-prefix={self._folder / 'done'}", f"--file={self._folder / 'change.sql'}", self.copy.dsn),
        )
        await until(self._warm, within=30.0, what=f"the first {WARM_UP} transactions of pgbench")
        self._process.send(signal.SIGSTOP)

    async def _warm(self) -> bool:
        return len(self._done()) > WARM_UP

    async def work_for(self, seconds: float) -> None:
        self._process.send(signal.SIGCONT)
        await asyncio.sleep(seconds)
        self._process.send(signal.SIGSTOP)
        await asyncio.sleep(seconds / 20)  # what was sent before is carried out still

    async def end(self) -> None:
        await self._process.end(signal.SIGTERM)

    def seconds(self) -> list[float]:
        """Of each transaction, without those that slept while it was another's turn."""
        return [taken for taken in self._done()[WARM_UP:] if taken < TURN_S / 2]

    def _done(self) -> list[float]:
        # each line: client, transaction, microseconds, and more; the last may be cut where it was written
        lines = [line for path in self._folder.glob("done.*") for line in path.read_text().splitlines()[:-1]]
        return [int(line.split()[2]) / 1_000_000 for line in lines]


async def _big(copies: list[Copy], table: str, sql: str, rounds: int) -> Cost:
    found: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for copy in random.sample(copies, len(copies)):
            transaction = copy.db.transaction()
            await transaction.start()
            started = time.perf_counter()
            await copy.db.execute(sql, timeout=120)
            found[copy.hints].append(time.perf_counter() - started)
            await transaction.rollback()
            await copy.db.execute(f"VACUUM agentbridge.{table}")
    return Cost.of(statistics.median(found[True]), statistics.median(found[False]))


def main() -> None:
    for name, cost in asyncio.run(measure()).items():
        print(f"{name}: {cost}")


if __name__ == "__main__":
    main()
