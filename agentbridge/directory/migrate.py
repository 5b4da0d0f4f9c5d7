"""The schema's migrations: forward only, each in a transaction, remembered with a checksum."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

from agentbridge.directory.connecting import Connection, translated
from agentbridge.errors import AgentbridgeError

# "abridge" in ASCII: two migrations at a time would both try the same step
LOCK = 0x61627269646765
LOCK_WAIT_SECONDS = 30
_FILE = re.compile(r"(?P<version>[0-9]{4})_(?P<name>[a-z_]+)\.sql")


class SchemaError(AgentbridgeError):
    """The database's schema and this program don't go together; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """`problem` is empty when `current` is `wanted` and nothing was altered afterwards."""

    current: int
    wanted: int
    problem: str = ""

    @property
    def too_old(self) -> bool:
        return self.current < self.wanted

    @property
    def too_new(self) -> bool:
        return self.current > self.wanted


def migrations() -> list[Migration]:
    """Those of this program, in order."""
    folder = resources.files("agentbridge.directory") / "migrations"
    found = [
        Migration(int(match["version"]), match["name"], file.read_text("utf-8"))
        for file in folder.iterdir()
        if (match := _FILE.fullmatch(file.name))
    ]
    return sorted(found, key=lambda migration: migration.version)


async def status(connection: Connection) -> SchemaStatus:
    with translated():
        return _compare(await _recorded(connection))


async def migrate(connection: Connection, on_step: Callable[[str], None]) -> list[str]:
    """Brings the schema up to date; returns the names of the steps that were done.

    SchemaError when a recorded step has changed or the database is newer; then nothing is done.
    """
    with translated():
        # a session lock, since each step commits by itself
        await connection.execute(f"SET lock_timeout = '{LOCK_WAIT_SECONDS}s'")
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        try:
            return await _migrate(connection, on_step)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
            await connection.execute("RESET lock_timeout")


async def _migrate(connection: Connection, on_step: Callable[[str], None]) -> list[str]:
    recorded = await _recorded(connection)
    found = _compare(recorded)
    if found.too_new or (found.problem and not found.too_old):
        raise SchemaError(found.problem)
    done = []
    for migration in migrations():
        if migration.version not in recorded:
            await _apply(connection, migration)
            done.append(f"{migration.version:04} {migration.name}")
            on_step(done[-1])
    return done


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(_GROUND)
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO agentbridge.migrations (version, name, checksum) VALUES ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.checksum,
        )


async def _recorded(connection: Connection) -> dict[int, str]:
    """Version → checksum; empty for a database that has no schema of ours."""
    if await connection.fetchval("SELECT to_regclass('agentbridge.migrations')") is None:
        return {}
    rows = await connection.fetch("SELECT version, checksum FROM agentbridge.migrations")
    return {row["version"]: row["checksum"] for row in rows}


def _compare(recorded: dict[int, str]) -> SchemaStatus:
    known = {migration.version: migration for migration in migrations()}
    current, wanted = max(recorded, default=0), max(known)
    return SchemaStatus(current, wanted, _problem(recorded, known, current, wanted))


def _problem(recorded: dict[int, str], known: dict[int, Migration], current: int, wanted: int) -> str:
    if current > wanted:
        return (
            f"the database's schema is at version {current} and this agentbridge knows only {wanted}: "
            "install the newer agentbridge"
        )
    for version, checksum in sorted(recorded.items()):
        if version in known and known[version].checksum != checksum:
            return (
                f"migration {version:04} {known[version].name} was applied with another content: "
                "restore the file; a change of the schema is a new migration"
            )
    if current < wanted:
        return f"the database's schema is at version {current}, {wanted} is needed: run `agentbridge db migrate`"
    return ""


_GROUND = """
CREATE SCHEMA IF NOT EXISTS agentbridge;
CREATE TABLE IF NOT EXISTS agentbridge.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
