"""What each role may do: tried one by one, and compared with the table that docs/directory.md has."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from agentbridge.directory import migrate, schema_files
from agentbridge.errors import Refused
from lab.postgres import API, APPLICATION, DAEMON, Postgres, as_role
from tests.integration.words import Connection, add_agent, add_queue, quiet, refusal

DOCUMENT = Path(__file__).parents[2] / "docs/directory.md"
ROLES = (DAEMON, APPLICATION, API)
SECRETS = {"sip_secret", "voicemail_pin", "pin_hash", "password_hash"}
DENIED = "42501"
NOT_FOR_A_VIEW = ("55000", "42809")


@dataclass(frozen=True)
class Thing:
    """A function with the call that tries it, or a table, view or sequence with its columns.

    The API's functions that ask for a proof have one name, since they decide by it.
    """

    name: str
    call: str = ""
    columns: tuple[str, ...] = ()


async def things(sql: Connection) -> list[Thing]:
    await sql.execute("set search_path = ''")  # so that types are named in full
    functions = await sql.fetch(
        "select case when proname like 'api\\_%' and proargnames[1] = 'proof' then 'api_…' else proname end as name,"
        " format('select agentbridge.%I(%s)', proname, (select string_agg(format('null::%s',"
        " format_type(t, null)), ', ' order by n) from unnest(proargtypes) with ordinality a (t, n))) as call"
        " from pg_proc where pronamespace = 'agentbridge'::regnamespace"
    )
    tables = await sql.fetch(
        "select c.relname as name, c.relkind = 'S' as is_sequence,"
        " array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped)"
        " as columns from pg_class c where relnamespace = 'agentbridge'::regnamespace and relkind in ('r', 'v', 'S')"
    )
    found = [Thing(f"{row['name']}()", call=row["call"]) for row in functions]
    found += [
        Thing(row["name"], f"select nextval('agentbridge.{row['name']}')") for row in tables if row["is_sequence"]
    ]
    return found + [Thing(row["name"], columns=tuple(row["columns"])) for row in tables if not row["is_sequence"]]


async def may(connection: Connection, statement: str) -> bool:
    """Whether it is let in, however it ends then; nothing of it stays."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return error.sqlstate not in (DENIED, *NOT_FOR_A_VIEW)
    finally:
        await transaction.rollback()
    return True


async def rights(connection: Connection, thing: Thing) -> str:
    """In the words of the document."""
    if thing.call:
        return "execute" if await may(connection, thing.call) else ""
    table, found = f"agentbridge.{thing.name}", []
    readable = {c for c in thing.columns if await may(connection, f'select "{c}" from {table} limit 1')}
    if readable:
        without = sorted(set(thing.columns) - readable)
        found.append(f"select without {', '.join(without)}" if without else "select")
    if await may(connection, f"insert into {table} default values"):
        found.append("insert")
    writable = {c for c in thing.columns if await may(connection, f'update {table} set "{c}" = default where false')}
    if writable:
        found.append("update" if writable == set(thing.columns) else f"update of {', '.join(sorted(writable))}")
    found += [word for word in ("delete from", "truncate") if await may(connection, f"{word} {table}")]
    return "; ".join(found)


def documented() -> dict[str, dict[str, str]]:
    """Thing → role → rights."""
    section = DOCUMENT.read_text("utf-8").split("\n## Roles\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    header, _, *lines = rows
    assert header[1:] == [f"`{role}`" for role in ROLES]
    listed = {}
    for names, *cells in lines:
        for name in re.findall(r"`([^`]+)`", names):
            assert name not in listed, f"{name} is there twice"
            listed[name] = dict(zip(ROLES, (cell.replace("`", "") for cell in cells), strict=True))
    return listed


@pytest_asyncio.fixture
async def stranger(database: str) -> AsyncIterator[str]:
    """The DSN of a login that nobody gave anything."""
    superuser = await asyncpg.connect(as_role(database, "postgres"))
    await superuser.execute("create role stranger login; create role other_owner login")
    yield as_role(database, "stranger")
    await superuser.execute("drop owned by stranger; drop role stranger; drop role other_owner")
    await superuser.close()


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_do_what_the_document_says_and_nothing_else(
    sql: Connection, database: str, role: str
) -> None:
    listed, all_of_them = documented(), await things(sql)
    assert set(listed) <= {thing.name for thing in all_of_them}, "the document names what is not there"
    connection = await asyncpg.connect(as_role(database, role))
    try:
        found = {(thing.name, await rights(connection, thing)) for thing in all_of_them}
    finally:
        await connection.close()
    nothing = dict.fromkeys(ROLES, "")
    assert found == {(thing.name, listed.get(thing.name, nothing)[role]) for thing in all_of_them}


async def test_who_was_granted_nothing_may_do_nothing(sql: Connection, stranger: str) -> None:
    connection = await asyncpg.connect(stranger)
    try:
        open_to_all = {thing.name for thing in await things(sql) if await rights(connection, thing)}
    finally:
        await connection.close()
    assert open_to_all == set()


@pytest.mark.parametrize("role", [APPLICATION, API])
async def test_no_application_sees_a_secret(sql: Connection, database: str, role: str) -> None:
    await add_agent(sql, "anna")
    connection = await asyncpg.connect(as_role(database, role))
    try:
        for thing in await things(sql):
            for column in SECRETS & set(thing.columns):
                assert not await may(connection, f"select {column} from agentbridge.{thing.name}"), thing.name
        assert await refusal(connection.execute("select agentbridge.agent_for('anna', 'admin')"), DENIED)
    finally:
        await connection.close()


async def test_what_runs_with_the_owners_rights_has_a_search_path_of_its_own(sql: Connection) -> None:
    without = await sql.fetch(
        "select proname from pg_proc where pronamespace = 'agentbridge'::regnamespace and prosecdef"
        " and not coalesce('search_path=agentbridge, pg_temp' = any (proconfig), false)"
    )
    assert without == []
    triggers = await sql.fetch(
        "select proname from pg_proc where pronamespace = 'agentbridge'::regnamespace"
        " and prorettype = 'trigger'::regtype and not prosecdef"
    )
    assert triggers == [], "with its caller's rights it could not do its work for who writes a row"


async def test_who_may_write_columns_needs_no_right_to_what_the_rules_and_hints_use(
    sql: Connection, stranger: str
) -> None:
    await sql.execute(
        "grant agentbridge_app to stranger;"
        "grant insert (username, full_name, typology), update (full_name) on agentbridge.agents to stranger;"
        "grant insert, delete on agentbridge.queue_members to stranger"
    )
    await add_queue(sql, "sales")
    connection = await asyncpg.connect(stranger)
    try:
        await connection.execute(
            "insert into agentbridge.agents (username, full_name, typology) values ('ben', 'Ben', 'external')"
        )
        await connection.execute(
            "insert into agentbridge.queue_members (agent_id, queue_id)"
            " select a.id, q.id from agentbridge.agents a, agentbridge.queues q"
        )
        assert await refusal(connection.execute("update agentbridge.agents set full_name = e'\\n'"), "AB001")
        assert await refusal(connection.execute("update agentbridge.agents set sip_secret = 'known-to-me'"), DENIED)
        await connection.execute("delete from agentbridge.queue_members")
    finally:
        await connection.close()
    keys = await sql.fetchval("select count(*) from agentbridge.changes where '1000' = any (keys)")
    assert keys == 3, "each was noted"


async def test_a_login_is_given_what_an_application_may(sql: Connection, stranger: str) -> None:
    await add_agent(sql, "anna")
    await migrate.grant(sql, "stranger", APPLICATION)
    await migrate.grant(sql, "stranger", APPLICATION)
    connection = await asyncpg.connect(stranger)
    try:
        assert await connection.fetchval("select agentbridge.login('anna')") is True
    finally:
        await connection.close()
    with pytest.raises(Refused, match="there is no role nobody_at_all"):
        await migrate.grant(sql, "nobody_at_all", APPLICATION)


@pytest.mark.usefixtures("stranger")
async def test_an_owner_who_may_not_make_roles_is_told_what_a_superuser_runs(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a server that has them already: as if they had other names."""
    owner = await asyncpg.connect(await postgres.create_database("of_another"))
    superuser = await asyncpg.connect(postgres.dsn("of_another", "postgres"))
    try:
        sections = {role.replace("agentbridge_", "absent_"): text for role, text in schema_files.grants().items()}
        sections = {role: text.replace("agentbridge_", "absent_") for role, text in sections.items()}
        monkeypatch.setattr(schema_files, "grants", lambda: sections)
        await migrate.migrate(owner, quiet)
        assert await migrate.missing_roles(owner) == ["absent_daemon", "absent_app", "absent_api"]
        assert (await migrate.status(owner)).problem == "", "the owner can work"
        with pytest.raises(Refused, match=r"CREATE ROLE absent_daemon LOGIN; .* WITH ADMIN OPTION") as refused:
            await migrate.grant(owner, "stranger", "absent_app")
        await superuser.execute(str(refused.value).split("as a superuser: ")[1].split(" and then")[0])
        assert (await migrate.status(owner)).changed == ("grants",), "rights wait for the next migrate"
        assert await migrate.migrate(owner, quiet) == ["grants"]
        await migrate.grant(owner, "stranger", "absent_app")
        # who was not given the admin option is told the one statement
        await superuser.execute("revoke absent_app from agentbridge")
        with pytest.raises(Refused, match="run as a superuser: GRANT absent_app TO stranger;"):
            await migrate.grant(owner, "stranger", "absent_app")
    finally:
        await owner.close()
        await superuser.close()
        await postgres.drop_database("of_another")
        cleaning = await asyncpg.connect(postgres.dsn("postgres", "postgres"))
        await cleaning.execute("drop role if exists absent_daemon, absent_app, absent_api")
        await cleaning.close()
