"""That a change is seen when it commits, and that none is lost, whatever happens to the server."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from agentbridge.directory import migrate
from agentbridge.directory.changes import Changes, Pulse
from agentbridge.directory.listening import listen_works
from agentbridge.directory.node_lock import lock_key
from agentbridge.directory.postgres import Directory
from agentbridge.directory.subjects import SUBJECTS
from agentbridge.errors import Unavailable
from agentbridge.model import ALL_KEYS, EndpointId, SessionPause
from agentbridge.reconnecting import Waits
from lab.postgres import DAEMON, Postgres, as_role
from lab.processes import until
from tests.integration.followed import Seen
from tests.integration.words import (
    Connect,
    Connection,
    add_agent,
    add_queue,
    add_telephone,
    quiet,
)

QUICK = Pulse(poll_seconds=0.5, deadline_seconds=1.5, standby_seconds=0.1)
SLOW_POLL = Pulse(poll_seconds=30.0, deadline_seconds=5.0)


@asynccontextmanager
async def watching(dsn: str, seen: Seen, *, pulse: Pulse = SLOW_POLL, node: str = "pbx1") -> AsyncIterator[Changes]:
    """A running Changes that is up."""
    changes = Changes(
        as_role(dsn, DAEMON),
        node=node,
        listener=seen,
        pulse=pulse,
        waits=Waits(first=0.05, longest=2.0),
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(changes.run())
        try:
            await until(lambda: changes.up or changes.standby, within=10)
            yield changes
        finally:
            running.cancel()


async def pauses_after(sql: Connection, seen: Seen, statement: str, *expected: str) -> dict[EndpointId, SessionPause]:
    """Returns which of the keys that the statement marks are told as nothing but pauses."""
    seen.keys.clear()
    seen.pauses.clear()
    await sql.execute(statement)
    await until(lambda: seen.keys >= set(expected), within=5)
    return dict(seen.pauses)


async def test_a_pause_alone_is_told_as_such_and_beside_anything_else_as_a_change(
    sql: Connection, database: str
) -> None:
    await add_agent(sql, "anna", internal="1")
    await add_agent(sql, "hot", internal="3", hot_desk=True)
    await add_telephone(sql, "desk1")
    await add_queue(sql, "sales", "anna")
    await sql.execute("select agentbridge.login('anna'), agentbridge.login('hot', 'desk1')")
    lunch, over = SessionPause(paused=True, reason="lunch"), SessionPause(paused=False, reason="")
    seen = Seen()
    async with watching(database, seen):
        await pauses_after(sql, seen, "select agentbridge.note('{begin}')", "begin")
        pause = "update agentbridge.sessions set paused = true, pause_reason = 'lunch'"
        found = await pauses_after(sql, seen, pause, "1", "3", "desk1")
        assert found == {"1": lunch, "3": lunch, "desk1": lunch}
        assert await pauses_after(sql, seen, "select agentbridge.unpause('anna')", "1") == {"1": over}
        # a session that is written for another reason, and a pause in one transaction with something else
        for statement, *keys in (
            ("update agentbridge.telephones set name = 'desk2'", "3", "desk1", "desk2"),
            ("update agentbridge.agents set internal = '4' where internal = '3'", "3", "4", "desk2"),
            ("update agentbridge.sessions set pause_reason = pause_reason", "1", "4", "desk2"),
            ("select agentbridge.pause('anna', 'x', 'sales')", "1"),
            (f"begin; {pause}; update agentbridge.agents set alias = 'A' where internal = '1'; commit",
             "1", "4", "desk2"),
        ):  # fmt: skip
            assert await pauses_after(sql, seen, statement, *keys) == {}, statement
        # an agent with the pause of a single queue is read whole
        found = await pauses_after(sql, seen, "update agentbridge.sessions set paused = false", "1", "4", "desk2")
        assert found == {"4": over, "desk2": over}


async def keys_after(sql: Connection, seen: Seen, statement: str, *expected: str) -> None:
    """The statement marks these keys and no others."""
    seen.keys.clear()
    await sql.execute(statement)
    # what follows comes later than what the statement marked: once it is here, nothing else will come
    await sql.execute("select agentbridge.note('{end}')")
    await until(lambda: "end" in seen.keys, within=5)
    assert seen.keys - {"end"} == set(expected), statement


async def test_every_change_marks_the_keys_it_touches_and_no_others(sql: Connection, database: str) -> None:
    await add_agent(sql, "anna", internal="1")
    await add_agent(sql, "bea", internal="2")
    await add_agent(sql, "hot", internal="3", hot_desk=True)
    await add_telephone(sql, "desk1")
    await add_queue(sql, "sales", "anna")
    await sql.execute("select agentbridge.login('hot', 'desk1')")
    await sql.execute(
        "insert into agentbridge.teams (name) values ('north');"
        "insert into agentbridge.team_members select 1, id from agentbridge.agents where username <> 'bea'"
    )
    seen = Seen()
    async with watching(database, seen):
        for statement, *expected in (
            ("update agentbridge.agents set caller_id = '12' where username = 'anna'", "1"),
            ("update agentbridge.agents set description = 'x', failed_logins = 1",),
            ("update agentbridge.agents set alias = alias", "1", "2", "3", "desk1"),
            ("update agentbridge.agents set caller_id = '12' where username = 'nobody'",),
            ("update agentbridge.agents set chanspy = true where username = 'hot'", "3", "desk1"),
            ("update agentbridge.agents set internal = '9' where username = 'bea'", "2", "9"),
            ("update agentbridge.telephones set codecs = '{alaw}'", "desk1"),
            ("update agentbridge.telephones set description = 'x'",),
            ("update agentbridge.telephones set registered = true, registered_at = now()",),
            ("insert into agentbridge.team_queues values (1, 1, 0)", "1", "3", "desk1"),
            ("update agentbridge.team_queues set penalty = 2", "1", "3", "desk1"),
            ("delete from agentbridge.team_members where agent_id = 1", "1"),
            ("delete from agentbridge.teams", "3", "desk1"),
            ("select agentbridge.login('anna')", "1"),
            ("update agentbridge.sessions set agent_id = 2 where agent_id = 1", "1", "9"),
            ("update agentbridge.sessions set agent_id = 1 where agent_id = 2", "1", "9"),
            ("select agentbridge.pause('anna', 'x', 'sales')", "1"),
            ("select agentbridge.pause('hot', 'x')", "3", "desk1"),
            ("update agentbridge.sessions set paused = false", "1", "3", "desk1"),
            ("update agentbridge.queue_members set penalty = 3", "1"),
            ("update agentbridge.agents set prefix_required = true where internal = '1'", "1"),
            ("insert into agentbridge.prefixes values ('9', '')", "1"),
            ("update agentbridge.prefixes set label = 'Head office'",),
            ("delete from agentbridge.prefixes", "1"),
            ("update agentbridge.queues set description = 'x'",),
            ("update agentbridge.queues set name = 'sells'", "*"),
            ("update agentbridge.telephones set name = 'desk9'", "3", "desk1", "desk9"),
            ("update agentbridge.telephones set name = 'desk1'", "3", "desk1", "desk9"),
            ("select agentbridge.logout('hot')", "3", "desk1"),
            ("delete from agentbridge.agents where username = 'anna'", "1"),
            ("update agentbridge.telephones set name = 'desk2'", "desk1", "desk2"),
            ("delete from agentbridge.telephones", "desk2"),
            ("update agentbridge.settings set lock_after = 5",),
            ("update agentbridge.settings set mask_characters = 5", "*"),
            ("truncate agentbridge.agents cascade", "*"),
        ):
            await keys_after(sql, seen, statement, *expected)


async def test_an_agent_who_moves_marks_both_telephones(sql: Connection, database: str) -> None:
    number, next_number = await add_agent(sql, "hot", hot_desk=True), await add_agent(sql, "cool", hot_desk=True)
    for name in ("desk1", "desk2", "desk3"):
        await add_telephone(sql, name)
    await sql.execute("select agentbridge.login('hot', 'desk1')")
    seen = Seen()
    async with watching(database, seen):
        moved = "update agentbridge.sessions set telephone_id = t.id from agentbridge.telephones t where t.name = '{}'"
        for statement, *expected in (
            (moved.format("desk2"), number, "desk1", "desk2"),
            ("select agentbridge.login('hot', 'desk3')", number, "desk2", "desk3"),
            ("select agentbridge.login('cool', 'desk3', 'admin', true)", number, next_number, "desk3"),
            ("update agentbridge.agents set hot_desk = false where username = 'cool'", next_number, "desk3"),
        ):
            await keys_after(sql, seen, statement, *expected)


@pytest.mark.parametrize("table", ["agents", "telephones", "sessions", "queue_members", "queue_pauses", "team_members"])
async def test_a_statement_that_meets_no_row_leaves_no_hint(sql: Connection, table: str) -> None:
    for statement in (
        "insert into agentbridge.{0} select * from agentbridge.{0} where false",
        "update agentbridge.{0} set {1} = {1} where false",
        "delete from agentbridge.{0} where false",
    ):
        column = "id" if table in ("agents", "telephones") else "agent_id"
        await sql.execute(statement.format(table, column))
    assert await sql.fetchval("select count(*) from agentbridge.changes") == 0


async def test_a_connection_that_changed_one_row_changes_thousands_in_a_moment_and_then_one(sql: Connection) -> None:
    """Plans are kept for the connection: none may be good for one row alone, or for thousands alone."""
    await sql.execute(
        "update agentbridge.settings set internal_from = 1000, internal_to = 9999;"
        "insert into agentbridge.agents (username) values ('first');"
        "insert into agentbridge.agents (username) select 'a' || n from generate_series(1, 4000) n;"
        "insert into agentbridge.queues (id, name) overriding system value values (1, 'sales'); analyze"
    )
    others = await sql.fetchval("select count(*) - 1 from agentbridge.agents")
    for which, expected in (("= 1", 1), ("> 1", others), ("= 1", 1)):
        for statement in (
            "insert into agentbridge.queue_members (agent_id, queue_id) select id, 1 from agentbridge.agents where id",
            "insert into agentbridge.sessions (agent_id, source) select id, 'admin' from agentbridge.agents where id",
            "update agentbridge.agents set alias = 'x' where id",
            "update agentbridge.sessions set pause_reason = 'x', paused = true where agent_id",
            "update agentbridge.queue_members set penalty = 2 where agent_id",
            "delete from agentbridge.sessions where agent_id",
            "delete from agentbridge.queue_members where agent_id",
        ):
            await sql.execute("truncate agentbridge.changes")
            started = time.monotonic()
            await sql.execute(f"{statement} {which}")
            assert time.monotonic() - started < (0.5 if expected == 1 else 5), statement
            keys = await sql.fetchval("select count(distinct k) from agentbridge.changes, unnest(keys) k")
            everything = await sql.fetchval("select exists (select from agentbridge.changes where '*' = any (keys))")
            assert keys == expected or (expected == others and everything), statement


async def test_whatever_is_written_gives_the_directory_another_fingerprint(sql: Connection) -> None:
    """Also without a hint; but not the nodes' own heartbeats, which come all the time."""
    await add_agent(sql, "anna", internal="1")
    await add_telephone(sql, "desk1")
    await add_queue(sql, "sales", "anna")
    await sql.execute(
        """
        insert into agentbridge.teams (name) values ('first');
        insert into agentbridge.team_members select t.id, a.id from agentbridge.teams t, agentbridge.agents a;
        insert into agentbridge.team_queues (team_id, queue_id)
            select t.id, q.id from agentbridge.teams t, agentbridge.queues q;
        insert into agentbridge.prefixes (prefix) values ('9');
        insert into agentbridge.nodes (node) values ('pbx1');
        insert into agentbridge.device_locations (device, node, contact) values ('1', 'pbx1', 'sip:1@192.0.2.1');
        select agentbridge.login('anna');
        select agentbridge.pause('anna', 'tea', queue => 'sales')
        """
    )
    hinted = await sql.fetch(
        "select distinct c.relname as name from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " where t.tgname like 'hint%' and c.relnamespace = 'agentbridge'::regnamespace and c.relname <> 'nodes'"
    )
    assert len(hinted) >= 10
    found = {await sql.fetchval("select agentbridge.fingerprint()")}
    for (table,) in hinted:
        column = await sql.fetchval(
            "select attname from pg_attribute where attrelid = $1::regclass and attnum > 0"
            " and attidentity = '' and not attisdropped order by attnum desc limit 1",
            f"agentbridge.{table}",
        )
        await sql.execute(f"alter table agentbridge.{table} disable trigger user")
        written = await sql.execute(f"update agentbridge.{table} set {column} = {column}")
        await sql.execute(f"alter table agentbridge.{table} enable trigger user")
        assert written != "UPDATE 0", table
        fingerprint = await sql.fetchval("select agentbridge.fingerprint()")
        assert fingerprint not in found, table
        found.add(fingerprint)
    await sql.execute("update agentbridge.nodes set seen_at = now(), pending = 1")
    assert await sql.fetchval("select agentbridge.fingerprint()") in found
    for statement in ("delete from agentbridge.queue_pauses", "update agentbridge.nodes set retired_at = now()"):
        await sql.execute(statement)
        fingerprint = await sql.fetchval("select agentbridge.fingerprint()")
        assert fingerprint not in found
        found.add(fingerprint)


async def test_what_a_hint_says_of_an_agent_is_all_that_is_read_of_one(sql: Connection) -> None:
    """A column that is read and not named by the trigger would reach Asterisk only with the next comparison."""
    columns = await sql.fetch(
        "select attname, attnum = any (tgattr) as named from pg_attribute a"
        " join pg_trigger t on t.tgrelid = a.attrelid and t.tgname = 'hint_update'"
        " where attrelid = 'agentbridge.agents'::regclass and attnum > 0 and not attisdropped"
    )
    read = set(re.findall(r"\ba\.(\w+)", SUBJECTS)) - {"id"}
    assert {row["attname"] for row in columns if row["named"]} == read


async def test_a_transaction_that_changes_thousands_marks_each_number_also_the_one_that_was_left(
    sql: Connection,
) -> None:
    await sql.execute(
        "update agentbridge.settings set internal_from = 1000, internal_to = 9999;"
        "insert into agentbridge.agents (username) select 'a' || n from generate_series(1, 3000) n"
    )
    numbers = {row["internal"] for row in await sql.fetch("select internal from agentbridge.agents")}
    thousands = "update agentbridge.agents set alias = 'x'"

    async def marked() -> set[str]:
        return {row["k"] for row in await sql.fetch("select unnest(keys) as k from agentbridge.changes")}

    await sql.execute("truncate agentbridge.changes")
    async with sql.transaction():
        inner = sql.transaction()
        await inner.start()
        await sql.execute(thousands)
        await inner.rollback()
        assert await marked() == set(), "what is taken back counts for nothing"
        await sql.execute(thousands)
        assert await marked() == numbers
    await sql.execute("truncate agentbridge.changes")
    await sql.execute("update agentbridge.agents set internal = '5' || internal")
    assert await marked() == numbers | {"5" + number for number in numbers}


@pytest.mark.parametrize(
    ("moves", "change", "key"),
    [
        ("update agentbridge.agents set internal = '1009'", "update agentbridge.sessions set paused = true", "1009"),
        ("update agentbridge.telephones set name = 'desk9'", "update agentbridge.sessions set paused = true", "desk9"),
        ("update agentbridge.agents set internal = '1009'", "delete from agentbridge.queue_members", "1009"),
    ],
)
async def test_what_changes_while_another_gives_a_new_number_or_name_is_noted_under_the_new_one(
    sql: Connection, connect: Connect, moves: str, change: str, key: str
) -> None:
    """Noted under the old one it would wait for the next comparison: nobody has that number any longer."""
    await add_agent(sql, "hot", internal="1001", hot_desk=True)
    await add_telephone(sql, "desk1")
    await add_queue(sql, "sales", "hot")
    await sql.execute("select agentbridge.login('hot', 'desk1')")
    other = await connect()
    moving = other.transaction()
    await moving.start()
    await other.execute(moves)
    last = await sql.fetchval("select max(seq) from agentbridge.changes")
    changing = asyncio.create_task(sql.execute(change))
    await asyncio.sleep(0.2)
    assert not changing.done(), "it waits for the other"
    await moving.commit()
    await changing
    rows = await sql.fetch("select keys from agentbridge.changes where seq > $1 order by seq", last)
    assert key in rows[-1]["keys"]


async def test_a_transaction_that_does_not_see_a_new_number_can_not_note_a_pause_under_the_old_one(
    sql: Connection, connect: Connect
) -> None:
    await add_agent(sql, "anna", internal="1001")
    await sql.execute("select agentbridge.login('anna')")
    other = await connect()
    pausing = other.transaction(isolation="repeatable_read")
    await pausing.start()
    await other.fetch("select from agentbridge.agents")
    await sql.execute("update agentbridge.agents set internal = '1009'")
    with pytest.raises(asyncpg.SerializationError):
        await other.execute("update agentbridge.sessions set paused = true")
    await pausing.rollback()


async def test_a_change_of_hundreds_of_agents_marks_each_its_old_number_and_its_telephone(
    sql: Connection, database: str
) -> None:
    await sql.execute("insert into agentbridge.agents (username) select 'a' || n from generate_series(1, 300) n")
    await add_agent(sql, "hot", hot_desk=True, internal="777")
    await add_telephone(sql, "desk1")
    await sql.execute("select agentbridge.login('hot', 'desk1')")
    old = {row["internal"] for row in await sql.fetch("select internal from agentbridge.agents")}
    seen = Seen()
    async with watching(database, seen):
        moved = {"5" + number for number in old}
        await keys_after(sql, seen, "update agentbridge.agents set internal = '5' || internal", "desk1", *old, *moved)


async def test_a_commit_is_told_at_once_and_a_rollback_never(sql: Connection, database: str) -> None:
    number = await add_agent(sql, "anna")
    seen = Seen()
    async with watching(database, seen):
        transaction = sql.transaction()
        await transaction.start()
        await sql.execute("update agentbridge.agents set caller_id = '1'")
        await transaction.rollback()
        started = time.monotonic()
        await sql.execute("update agentbridge.agents set chanspy = true")
        await until(lambda: number in seen.keys, within=5)
        assert time.monotonic() - started < 1.0, "the poll comes only after 30 s"
        assert seen.keys == {number}


async def test_no_change_is_lost_while_sixteen_writers_commit_out_of_order(
    sql: Connection, connect: Connect, database: str
) -> None:
    """Transactions get their place in the table long before they commit: a cursor on it would jump over them."""
    seen = Seen()
    expected = {f"k{writer}.{number}" for writer in range(16) for number in range(25)}
    connections = [await connect() for _ in range(16)]

    async def write(connection: Connection, writer: int) -> None:
        for number in range(25):
            async with connection.transaction():
                await connection.execute("select agentbridge.note(array[$1::text])", f"k{writer}.{number}")
                # the order of commits is not the order of the rows
                await connection.execute("select pg_sleep($1)", (writer * 7 + number * 3) % 5 / 500)

    async with watching(database, seen, pulse=QUICK) as changes:
        async with asyncio.timeout(60):
            await asyncio.gather(*(write(connection, writer) for writer, connection in enumerate(connections)))
        await until(lambda: expected <= seen.keys, within=5)
        assert changes.lag_seconds is not None
    assert await sql.fetchval("select count(*) from agentbridge.changes") == 400


async def test_a_lost_notification_costs_the_polls_interval_and_no_more(sql: Connection, database: str) -> None:
    number = await add_agent(sql, "anna")
    seen = Seen()
    async with watching(database, seen, pulse=QUICK):
        # as if the wake-up had been lost: the row without the notification
        await sql.execute("insert into agentbridge.changes (keys) values (array[$1::text])", number)
        await until(lambda: number in seen.keys, within=2)


async def test_a_second_daemon_of_the_node_waits_and_takes_over(sql: Connection, database: str) -> None:
    seen, seen_by_second = Seen(), Seen()
    async with (
        watching(database, seen, pulse=QUICK),
        watching(database, seen_by_second, pulse=QUICK) as second,
        watching(database, Seen(), pulse=QUICK, node="pbx2") as other_node,
    ):
        assert (second.standby, second.up, seen_by_second.ups) == (True, False, 0)
        assert other_node.up, "each node has a writer of its own"
        await sql.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted"
            " and (classid::bigint << 32 | objid::bigint) = $1",
            lock_key("pbx1"),
        )
        await until(lambda: len(seen.downs) == 1 and seen.ups + seen_by_second.ups == 2, within=10)


async def test_a_database_without_our_schema_is_not_up_and_the_reason_says_what_to_do(postgres: Postgres) -> None:
    dsn = await postgres.create_database("bare")
    seen = Seen()
    changes = Changes(
        as_role(dsn, DAEMON),
        node="pbx1",
        listener=seen,
        pulse=QUICK,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(changes.run())
        await until(lambda: bool(seen.downs), within=5)
        running.cancel()
    assert "run `agentbridge db migrate`" in seen.downs[0]
    assert seen.ups == 0
    await postgres.drop_database("bare")


async def migrated(server: Postgres) -> str:
    dsn = await server.create_database("agents")
    connection = await asyncpg.connect(dsn)
    await migrate.migrate(connection, quiet)
    await connection.close()
    return dsn


async def test_a_stopped_a_hung_and_a_killed_server_are_noticed_and_everything_is_read_again_after(
    fresh_postgres: Postgres,
) -> None:
    server = fresh_postgres
    dsn = await migrated(server)
    seen = Seen()
    directory = Directory(as_role(dsn, DAEMON), node="pbx1", deadline=1.5)
    async with directory, watching(dsn, seen, pulse=QUICK):
        assert await directory.keys() == set()
        for fault in ("stop", "hang", "kill"):
            downs, ups = len(seen.downs), seen.ups
            started = time.monotonic()
            match fault:
                case "stop":
                    await server.stop()
                case "hang":
                    server.pause()
                case _:
                    await server.kill()
            await until(lambda: len(seen.downs) == downs + 1, within=5)  # noqa: B023
            assert time.monotonic() - started < 5, fault
            started = time.monotonic()
            with pytest.raises(Unavailable):
                await directory.keys()
            assert time.monotonic() - started < 5, fault
            if fault == "hang":
                server.resume()
            else:
                await server.start()
            await until(lambda: seen.ups == ups + 1, within=20)  # noqa: B023
            connection = await asyncpg.connect(dsn)
            number = await add_agent(connection, fault)
            await connection.close()
            await until(lambda: number in seen.keys, within=5)  # noqa: B023
            assert EndpointId(number) in await directory.keys(), fault


async def test_a_listen_that_works_is_told_from_one_that_a_pooler_loses(database: str) -> None:
    assert await listen_works(database, deadline=5) is True


async def test_a_read_only_server_is_unavailable_for_writing_and_still_read(sql: Connection, database: str) -> None:
    name = database.rsplit("/", 1)[1]
    await add_agent(sql, "anna", internal="1001")
    await sql.execute(f"alter database {name} set default_transaction_read_only = on")
    async with Directory(as_role(database, DAEMON), node="pbx1") as directory:
        assert await directory.keys() == {EndpointId("1001")}
        with pytest.raises(Unavailable, match="read-only"):
            await directory.hold([EndpointId("1001")], 10)


async def test_truncating_everything_asks_for_a_look_at_all(sql: Connection, database: str) -> None:
    seen = Seen()
    async with watching(database, seen):
        await sql.execute("truncate agentbridge.queues cascade")
        await until(lambda: ALL_KEYS in seen.keys, within=5)
