"""How the schema comes into a database, is brought up to date, and is taken over from the old numbering."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from agentbridge.directory import migrate, schema_files
from agentbridge.errors import Unavailable
from lab.postgres import Postgres
from tests.integration.words import Connection, add_agent, quiet, status

OLD = Path(__file__).parent / "schema_0013.sql"
"""the tables of version 0.1, with two agents at work"""


@pytest_asyncio.fixture
async def empty(postgres: Postgres) -> AsyncIterator[Connection]:
    """A database without our schema."""
    connection = await asyncpg.connect(await postgres.create_database("without_schema"))
    yield connection
    await connection.close()
    await postgres.drop_database("without_schema")


async def test_a_database_that_is_newer_or_was_altered_is_a_clear_error(sql: Connection) -> None:
    assert await migrate.migrate(sql, quiet) == []
    await sql.execute("update agentbridge.migrations set checksum = 'x' where version = 1")
    with pytest.raises(migrate.SchemaError, match="migration 0001 tables was applied with another content"):
        await migrate.migrate(sql, quiet)
    await sql.execute("insert into agentbridge.migrations values (99, 'future', 'y')")
    found = await migrate.status(sql)
    assert (found.too_new, found.too_old) == (True, False)
    with pytest.raises(migrate.SchemaError, match=r"at version 99 .* install the newer agentbridge"):
        await migrate.migrate(sql, quiet)


async def test_two_that_migrate_at_once_do_each_step_once(empty: Connection, postgres: Postgres) -> None:
    other = await asyncpg.connect(postgres.dsn("without_schema"))
    try:
        done = await asyncio.gather(*(migrate.migrate(c, quiet) for c in (empty, other)))
    finally:
        await other.close()
    assert sorted(map(len, done)) == [0, len(schema_files.migrations()) + len(schema_files.functions()) + 1]
    assert (await migrate.status(empty)).problem == ""


async def test_a_function_is_applied_again_when_its_text_changes_and_nothing_else(
    sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = schema_files.functions()
    told = files["authority"].replace("returns boolean", "returns boolean /* another text */")
    monkeypatch.setattr(schema_files, "functions", lambda: {**files, "authority": told})
    found = await migrate.status(sql)
    assert (found.pending, found.changed, found.too_old) == ((), ("authority",), True)
    assert found.problem == "the database has another text of authority: run `agentbridge db migrate`"
    assert await migrate.migrate(sql, quiet) == ["authority", "grants"]
    assert await migrate.migrate(sql, quiet) == []
    assert (await migrate.status(sql)).problem == ""


async def test_a_step_that_fails_leaves_nothing_done(empty: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    files = schema_files.functions()
    monkeypatch.setattr(schema_files, "functions", lambda: {**files, "zz_last": "select 1 / 0"})
    with pytest.raises(Unavailable, match="division by zero"):
        await migrate.migrate(empty, quiet)
    assert await empty.fetchval("select to_regnamespace('agentbridge')") is None
    assert (await migrate.status(empty)).current == 0


async def test_a_database_of_the_old_numbering_is_refused_and_taken_over_by_hand(empty: Connection) -> None:
    await empty.execute(OLD.read_text())
    found = await migrate.status(empty)
    assert (found.current, found.too_old) == (13, False)
    with pytest.raises(migrate.SchemaError, match=r"of before version 0\.2 .*`agentbridge db move`"):
        await migrate.migrate(empty, quiet)
    assert await empty.fetchval("select count(*) from agentbridge.agents") == 2, "nothing was done"
    moved = await migrate.move(empty)
    assert (moved["agents"], moved["sessions"], moved["queue_pauses"], moved["settings"]) == (2, 2, 1, 1)
    assert (await migrate.status(empty)).problem == ""
    rows = [await status(empty, name) for name in ("anna", "hot")]
    assert [(row["internal"], row["paused"], row["pause_reason"], row["telephone"]) for row in rows] == [
        ("1001", True, "lunch", None),
        ("1002", False, None, "desk1"),
    ]
    assert rows[1]["paused_queues"] == ["sales"]
    # the rules, the hints and the numbering go on
    last = await empty.fetchval("select max(seq) from agentbridge.changes")
    await add_agent(empty, "new")
    assert await empty.fetchval("select keys from agentbridge.changes where seq > $1", last) == ["1000"]
    assert await empty.fetchval("select max(id) from agentbridge.agents") == 3
    with pytest.raises(migrate.SchemaError, match="nothing to move"):
        await migrate.move(empty)
