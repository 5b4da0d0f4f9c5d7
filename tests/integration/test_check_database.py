"""What `check` finds about the database, each with its cure."""

from pathlib import Path

import asyncpg
import pytest

from agentbridge.cli.check.database import findings
from agentbridge.cli.check.findings import Finding
from agentbridge.settings import load
from lab.postgres import DAEMON, Postgres, as_role


async def found(folder: Path, dsn: str) -> dict[str, Finding]:
    """By the finding's name; with the DSN as the daemon's."""
    file = folder / "agentbridge.toml"
    file.write_text(f"[database]\ndsn = '{dsn}'\n[ami]\nsecret = 'x'\n[ari]\nsecret = 'x'\n")
    return {finding.name: finding async for finding in findings(load(file))}


async def as_superuser(database: str, sql: str) -> None:
    connection = await asyncpg.connect(as_role(database, "postgres"))
    await connection.execute(sql)
    await connection.close()


async def test_a_daemon_with_its_own_role_and_a_safe_server_are_fine(database: str, tmp_path: Path) -> None:
    assert await found(tmp_path, as_role(database, DAEMON)) == {}


@pytest.mark.parametrize("role", ["agentbridge", "postgres"])
async def test_a_daemon_that_may_do_everything_is_told(database: str, tmp_path: Path, role: str) -> None:
    told = await found(tmp_path, as_role(database, role))
    assert list(told) == ["rights.owner"]
    assert "agentbridge_daemon" in told["rights.owner"].to_do


async def test_a_daemon_that_may_do_nothing_is_told_how_it_gets_its_rights(database: str, tmp_path: Path) -> None:
    await as_superuser(database, "create role bare login")
    try:
        told = await found(tmp_path, as_role(database, "bare"))
        assert list(told) == ["rights.missing"]
        assert "agentbridge db grant bare --as daemon" in told["rights.missing"].to_do
    finally:
        await as_superuser(database, "drop role bare")


@pytest.mark.parametrize("whose", ["database {name}", "role agentbridge in database {name}"])
async def test_commits_that_a_crash_would_lose_are_told(database: str, tmp_path: Path, whose: str) -> None:
    name = database.rsplit("/", 1)[1]
    await as_superuser(database, f"alter {whose.format(name=name)} set synchronous_commit = off")
    told = await found(tmp_path, as_role(database, DAEMON))
    assert list(told) == ["database.commits"]
    assert whose.split()[0] in told["database.commits"].what


async def test_an_encoding_that_cuts_names_is_told(postgres: Postgres, tmp_path: Path) -> None:
    server = await asyncpg.connect(postgres.dsn("postgres", "postgres"))
    await server.execute("create database cut owner agentbridge template template0 encoding 'SQL_ASCII' locale 'C'")
    try:
        told = await found(tmp_path, postgres.dsn("cut", DAEMON))
        assert "SQL_ASCII" in told["database.encoding"].what
    finally:
        await server.execute("drop database cut with (force)")
        await server.close()
