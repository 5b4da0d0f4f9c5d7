"""Databases as administrators have them: other languages, encodings, limits, a schema that is not ours."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from agentbridge.directory import migrate
from agentbridge.directory.changes import Changes, Pulse
from agentbridge.directory.postgres import Directory
from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId
from agentbridge.reconcile.ports import Outcome
from lab.postgres import DAEMON, Postgres, as_role
from lab.processes import until
from tests.integration.followed import Seen
from tests.integration.words import Connection, add_agent, add_queue, add_telephone, quiet, refusal


@pytest_asyncio.fixture
async def superuser(database: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(as_role(database, "postgres"))
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def made(postgres: Postgres, request: pytest.FixtureRequest) -> AsyncIterator[Connection]:
    """The owner's connection to a database made with these options."""
    server = await asyncpg.connect(postgres.dsn("postgres", "postgres"))
    await server.execute(f"create database made owner agentbridge template template0 {request.param}")
    connection = await asyncpg.connect(postgres.dsn("made"))
    yield connection
    await connection.close()
    await server.execute("drop database made")
    await server.close()


@pytest.mark.parametrize("made", ["locale_provider icu icu_locale 'tr-TR' encoding 'UTF8'"], indirect=True)
async def test_names_are_compared_as_asterisk_does_whatever_the_language(made: Connection) -> None:
    """In Turkish the small letter of I has no dot: INFO and info were two queues here, and one for Asterisk."""
    assert await made.fetchval("select lower('I') = 'i'") is False, "this database would not show it"
    await migrate.migrate(made, quiet)
    await add_agent(made, "anna", internal="1001")
    await add_queue(made, "INFO", "anna")
    assert "exists already" in await refusal(add_queue(made, "info"), "AB002")
    await made.execute("select agentbridge.login('anna'), agentbridge.pause('anna', 'tea', 'info')")
    assert await made.fetchval("select paused_queues from agentbridge.agent_status") == ["INFO"]
    await add_telephone(made, "DESKI")
    assert "already" in await refusal(add_telephone(made, "deski"), "AB002")


@pytest.mark.parametrize(
    "made", ["encoding 'SQL_ASCII' locale 'C'", "encoding 'LATIN1' locale 'C'"], indirect=True, ids=["ascii", "latin1"]
)
async def test_an_encoding_that_cuts_names_is_refused_with_what_to_do(made: Connection) -> None:
    with pytest.raises(migrate.SchemaError, match=r"encoding is (SQL_ASCII|LATIN1): it must be UTF8.*createdb"):
        await migrate.migrate(made, quiet)
    assert await made.fetchval("select to_regnamespace('agentbridge')") is None


async def test_a_statement_that_fails_is_told_and_tried_again(sql: Connection, database: str) -> None:
    await add_telephone(sql, "desk1")
    async with Directory(as_role(database, DAEMON), node="pbx1") as directory:
        await sql.execute("alter table agentbridge.telephones rename codecs to others")
        with pytest.raises(Unavailable, match=r"refused a statement \(SQLSTATE 42703\): .*see `agentbridge db status`"):
            await directory.read([EndpointId("desk1")])
        await sql.execute("alter table agentbridge.telephones rename others to codecs")
        assert (await directory.read([EndpointId("desk1")])).subjects
        with pytest.raises(Unavailable, match=r"SQLSTATE 22P02"):
            await directory.record("no snapshot", {EndpointId("desk1"): Outcome()})


async def test_the_cause_of_a_lost_connection_is_told_and_not_what_follows_from_it(database: str) -> None:
    async with Directory(as_role(database, DAEMON), node="pbx1") as directory:
        with pytest.raises(Unavailable, match="terminating connection due to administrator command"):
            async with directory.transaction() as connection:
                await connection.execute("select pg_terminate_backend(pg_backend_pid())")
        assert await directory.keys() == set()


async def test_a_limit_for_idle_sessions_does_not_end_ours(
    sql: Connection, superuser: Connection, database: str
) -> None:
    name = database.rsplit("/", 1)[1]
    await superuser.execute(f"alter role {DAEMON} in database {name} set idle_session_timeout = '200ms'")
    seen = Seen()
    changes = Changes(
        as_role(database, DAEMON),
        node="pbx1",
        listener=seen,
        pulse=Pulse(poll_seconds=30.0, deadline_seconds=5.0),
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(changes.run())
        await until(lambda: changes.up, within=10)
        await asyncio.sleep(1.0)
        number = await add_agent(sql, "anna")
        await until(lambda: number in seen.keys, within=5)
        running.cancel()
    assert seen.downs == []
