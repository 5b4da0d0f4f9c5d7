"""Logging in, pausing and what ends a session, as an application meets it in SQL."""

import asyncio

import asyncpg
import pytest

from lab.processes import until
from tests.integration.words import Connect, Connection, add_agent, add_queue, add_telephone, refusal, status


async def login(sql: Connection, *arguments: object) -> bool:
    places = ", ".join(f"${number}" for number in range(1, len(arguments) + 1))
    return bool(await sql.fetchval(f"select agentbridge.login({places})", *arguments))


async def keys_of_changes(sql: Connection) -> set[str]:
    return {row["key"] for row in await sql.fetch("select unnest(keys) as key from agentbridge.changes")}


async def waiting_for_a_lock(sql: Connection) -> None:
    """Until somebody else in this database waits for one."""
    asked = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"

    async def waits() -> bool:
        return bool(await sql.fetchval(asked))

    await until(waits, within=10, what="a wait for a lock")


async def test_each_verb_can_be_repeated_and_only_the_first_changes_anything(sql: Connection) -> None:
    await add_agent(sql, "anna")
    await add_queue(sql, "sales", "anna")
    for verb in ("login('anna')", "pause('anna', 'lunch')", "pause('anna', 'tea', 'sales')", "unpause('anna')",
                 "pause('anna', 'tea', 'sales')", "unpause('anna', 'sales')", "logout('anna')"):  # fmt: skip
        assert await sql.fetchval(f"select agentbridge.{verb}") is True, verb
        await sql.execute("truncate agentbridge.changes")
        assert await sql.fetchval(f"select agentbridge.{verb}") is False, verb
        assert await keys_of_changes(sql) == set(), verb


async def test_the_status_shows_the_session_and_its_pause(sql: Connection) -> None:
    await add_agent(sql, "anna", internal="1001")
    await add_queue(sql, "sales", "anna")
    await login(sql, "anna")
    assert (await status(sql, "anna"))["logged_in"]
    await sql.execute("select agentbridge.pause('anna', 'lunch')")
    row = await status(sql, "anna")
    assert (row["internal"], row["paused"], row["pause_reason"]) == ("1001", True, "lunch")
    await sql.execute("select agentbridge.pause('anna', 'forms', 'sales')")
    assert (await status(sql, "anna"))["paused_queues"] == ["sales"]
    await sql.execute("select agentbridge.unpause('anna')")
    row = await status(sql, "anna")
    assert (row["paused"], row["pause_reason"], row["paused_queues"]) == (False, None, [])


@pytest.mark.parametrize(
    ("typology", "source", "message"),
    [
        ("phonebar", "web", "source: anna works with a phonebar, so this starts there and not on the web"),
        ("phonebar", "phonebar", None),
        ("phonebar", "phone", None),
        ("phonebar", "admin", None),
        ("external", "web", None),
        ("external", "phone", None),
        ("external", "admin", None),
        ("external", "phonebar", "source: anna is external and has no phonebar; use the web"),
        ("webrtc", "web", None),
        ("webrtc", "admin", None),
        ("webrtc", "phonebar", "source: anna is webrtc and has no phonebar; use the web"),
        ("external", "fax", "source: must be one of web, phonebar, phone, admin (got fax)"),
    ],
)
async def test_who_may_act_is_decided_by_the_typology(
    sql: Connection, typology: str, source: str, message: str | None
) -> None:
    await add_agent(sql, "anna", typology=typology)
    verbs = ("login('anna', source => $1)", "pause('anna', source => $1)", "unpause('anna', source => $1)",
             "logout('anna', source => $1)")  # fmt: skip
    for verb in verbs:
        if message is None:
            assert await sql.fetchval(f"select agentbridge.{verb}", source) is True
        else:
            assert await refusal(sql.fetchval(f"select agentbridge.{verb}", source)) == message


async def test_an_agent_with_login_in_pause_is_paused_from_the_first_moment(sql: Connection) -> None:
    await add_agent(sql, "anna", login_in_pause=True)
    await login(sql, "anna")
    row = await status(sql, "anna")
    assert (row["paused"], row["pause_reason"]) == (True, "login")


@pytest.mark.parametrize("reason", ["a;b", "a,b", "a|b", "a\nb", "x" * 81], ids=repr)
async def test_a_pause_reason_that_would_corrupt_asterisks_members_is_refused(sql: Connection, reason: str) -> None:
    await add_agent(sql, "anna")
    await add_queue(sql, "sales", "anna")
    await login(sql, "anna")
    for queue in (None, "sales"):
        message = await refusal(sql.fetchval("select agentbridge.pause('anna', $1, $2)", reason, queue), "AB001")
        assert message.startswith("pause_reason: ")


@pytest.mark.parametrize(
    ("verb", "code", "message"),
    [
        ("login('nobody')", "AB003", "username: there is no agent nobody"),
        ("pause('anna')", "AB007", "username: anna is not logged in; log in first"),
        ("unpause('anna')", "AB007", "username: anna is not logged in; log in first"),
        ("login('anna', 'desk1')", "AB009", "telephone: anna has a device of its own; log in without a telephone"),
        ("login('hot')", "AB009", "telephone: hot is a hot-desk agent and must name a telephone"),
        ("login('hot', 'desk9')", "AB003", "telephone: there is no telephone desk9"),
        ("login('hot', 'off1')", "AB006", "telephone: off1 is not registered; switch it on or choose another"),
        ("login('hot', 'unknown1')", "AB006", "telephone: unknown1 is not registered"),
        ("login('hot', 'taken1')", "AB006", "telephone: taken1 is taken by cleo; choose another"),
        ("login('hot', 'taken1', steal => true)", "AB004", "steal: only an administrator may take a telephone"),
        ("pause('cleo', 'x', 'nowhere')", "AB003", "queue: there is no queue nowhere"),
        ("pause('cleo', 'x', 'sales')", "AB003", "queue: cleo is not in queue sales"),
        ("login('gone')", "AB005", "username: gone is deactivated"),
        ("login('locked')", "AB005", "username: locked is locked"),
    ],
)
async def test_a_verb_that_can_not_be_done_says_why(sql: Connection, verb: str, code: str, message: str) -> None:
    await add_agent(sql, "anna")
    await add_agent(sql, "hot", hot_desk=True)
    await add_agent(sql, "cleo", hot_desk=True)
    await add_agent(sql, "gone", deactivated=True)
    await add_agent(sql, "locked")
    await sql.execute("update agentbridge.agents set locked_at = now() where username = 'locked'")
    await add_queue(sql, "sales", "anna")
    for name in ("desk1", "taken1"):
        await add_telephone(sql, name)
    await add_telephone(sql, "off1", registered=False)
    await sql.execute("insert into agentbridge.telephones (name) values ('unknown1')")
    await login(sql, "cleo", "taken1")
    assert (await refusal(sql.fetchval(f"select agentbridge.{verb}"), code)).startswith(message)


async def test_unpausing_one_queue_of_an_agent_on_pause_everywhere_is_refused(sql: Connection) -> None:
    await add_agent(sql, "anna")
    await add_queue(sql, "sales", "anna")
    await login(sql, "anna")
    await sql.execute("select agentbridge.pause('anna')")
    message = await refusal(sql.fetchval("select agentbridge.unpause('anna', 'sales')"), "AB010")
    assert message == "queue: anna is on pause in all queues; unpause without naming a queue"


async def test_a_hot_desk_agent_moves_to_another_telephone_and_keeps_the_pause(sql: Connection) -> None:
    await add_agent(sql, "hot", hot_desk=True)
    await add_telephone(sql, "desk1")
    await add_telephone(sql, "desk2")
    await login(sql, "hot", "desk1")
    await sql.execute("select agentbridge.pause('hot', 'moving')")
    assert await login(sql, "hot", "desk2") is True
    row = await status(sql, "hot")
    assert (row["telephone"], row["pause_reason"]) == ("desk2", "moving")
    available = await sql.fetch("select name from agentbridge.telephone_status where available")
    assert [row["name"] for row in available] == ["desk1"]


async def test_an_administrator_takes_a_telephone_and_the_former_agent_is_logged_out(sql: Connection) -> None:
    first, second = await add_agent(sql, "hot", hot_desk=True), await add_agent(sql, "cool", hot_desk=True)
    await add_telephone(sql, "desk1")
    await login(sql, "hot", "desk1")
    await sql.execute("truncate agentbridge.changes")
    assert await login(sql, "cool", "desk1", "admin", True) is True
    assert not (await status(sql, "hot"))["logged_in"]
    assert (await status(sql, "cool"))["telephone"] == "desk1"
    assert await keys_of_changes(sql) == {first, second, "desk1"}


@pytest.mark.parametrize("change", ["deactivated = true", "locked_at = now()", "hot_desk = true"])
async def test_what_forbids_the_login_ends_the_session_in_the_same_transaction(sql: Connection, change: str) -> None:
    number = await add_agent(sql, "anna")
    await login(sql, "anna")
    await sql.execute("truncate agentbridge.changes")
    async with sql.transaction():
        await sql.execute(f"update agentbridge.agents set {change}")
        assert not (await status(sql, "anna"))["logged_in"]
    assert await keys_of_changes(sql) == {number}


async def test_whoever_writes_a_session_by_hand_meets_the_same_rules(sql: Connection) -> None:
    await add_agent(sql, "hot", hot_desk=True)
    await add_agent(sql, "gone", deactivated=True)
    insert = "insert into agentbridge.sessions (agent_id) select id from agentbridge.agents where username = $1"
    assert "must name a telephone" in await refusal(sql.execute(insert, "hot"), "AB009")
    assert "is deactivated" in await refusal(sql.execute(insert, "gone"), "AB005")


async def test_of_many_that_take_one_telephone_at_once_exactly_one_gets_it(sql: Connection, connect: Connect) -> None:
    await add_telephone(sql, "desk1")
    names = [f"hot{number}" for number in range(12)]
    for name in names:
        await add_agent(sql, name, hot_desk=True)
    connections = [await connect() for _ in names]
    results = await asyncio.gather(
        *(login(connection, name, "desk1") for connection, name in zip(connections, names, strict=True)),
        return_exceptions=True,
    )
    assert results.count(True) == 1
    winner = names[results.index(True)]
    refused = [str(result) for result in results if result is not True]
    assert refused == [f"telephone: desk1 is taken by {winner}; choose another"] * 11


async def test_of_many_logins_of_one_agent_at_once_none_fails_and_one_session_is_there(
    sql: Connection, connect: Connect
) -> None:
    await add_agent(sql, "anna")
    connections = [await connect() for _ in range(12)]
    results = await asyncio.gather(*(login(connection, "anna") for connection in connections))
    assert sorted(results) == [False] * 11 + [True]


async def test_a_login_that_races_with_a_deactivation_never_leaves_a_session(sql: Connection, connect: Connect) -> None:
    await add_agent(sql, "anna")
    one, other = await connect(), await connect()
    for _ in range(30):
        await sql.execute("update agentbridge.agents set deactivated = false")
        results = await asyncio.gather(
            login(one, "anna"),
            other.execute("update agentbridge.agents set deactivated = true"),
            return_exceptions=True,
        )
        assert all(not isinstance(result, Exception) or "is deactivated" in str(result) for result in results)
        assert await sql.fetchval("select count(*) from agentbridge.sessions") == 0


async def test_an_autopause_is_adopted_as_a_pause_of_that_queue(sql: Connection) -> None:
    number = await add_agent(sql, "anna")
    await add_agent(sql, "hot", hot_desk=True)
    await add_telephone(sql, "desk1")
    await add_queue(sql, "Sales", "anna", "hot")
    await login(sql, "anna")
    await login(sql, "hot", "desk1")
    for endpoint, username in ((number, "anna"), ("desk1", "hot")):
        adopt = f"select agentbridge.adopt_pause('{endpoint}', 'sales', 'Auto-Pause')"
        assert await sql.fetchval(adopt) is True
        assert await sql.fetchval(adopt) is False
        assert (await status(sql, username))["paused_queues"] == ["Sales"]


async def test_an_autopause_of_a_session_that_has_gone_is_quietly_nothing(sql: Connection) -> None:
    number = await add_agent(sql, "anna")
    await add_queue(sql, "sales", "anna")
    for endpoint in (number, "desk1", "nothing"):
        assert await sql.fetchval("select agentbridge.adopt_pause($1, 'sales')", endpoint) is False


async def test_the_agent_is_locked_after_so_many_wrong_passwords_and_unlocked_by_hand(sql: Connection) -> None:
    await add_agent(sql, "anna")
    await login(sql, "anna")
    await sql.execute("update agentbridge.settings set lock_after = 3")
    failed = "select agentbridge.password_failed('anna')"
    await sql.execute("truncate agentbridge.changes")
    assert [await sql.fetchval(failed) for _ in range(2)] == [False, False]
    assert await keys_of_changes(sql) == set(), "Asterisk need not know of guesses"
    await sql.fetchval("select agentbridge.password_ok('anna')")
    assert [await sql.fetchval(failed) for _ in range(3)] == [False, False, True]
    assert not (await status(sql, "anna"))["logged_in"]
    assert "unlock" in await refusal(login(sql, "anna"), "AB005")
    assert await sql.fetchval("select agentbridge.unlock('anna')") is True
    assert await login(sql, "anna") is True


async def test_nobody_is_locked_when_the_setting_is_zero(sql: Connection) -> None:
    await add_agent(sql, "anna")
    assert not any([await sql.fetchval("select agentbridge.password_failed('anna')") for _ in range(20)])
    assert await sql.fetchval("select agentbridge.password_failed('nobody')") is False


async def test_wrong_passwords_at_the_same_moment_are_all_counted(sql: Connection, connect: Connect) -> None:
    await add_agent(sql, "anna")
    await sql.execute("update agentbridge.settings set lock_after = 10")
    connections = [await connect() for _ in range(10)]
    failed = "select agentbridge.password_failed('anna')"
    assert sorted(await asyncio.gather(*(c.fetchval(failed) for c in connections))) == [False] * 9 + [True]
    assert await sql.fetchval("select failed_logins from agentbridge.agents") == 10


async def test_hundred_agents_created_at_once_all_get_a_number_of_their_own_without_a_gap(
    connect: Connect,
) -> None:
    connections = [await connect() for _ in range(25)]

    async def create_four(connection: Connection, group: int) -> list[str]:
        return [await add_agent(connection, f"a{group}.{number}") for number in range(4)]

    groups = await asyncio.gather(*(create_four(c, group) for group, c in enumerate(connections)))
    assert sorted(int(number) for group in groups for number in group) == list(range(1000, 1100))


async def test_of_two_that_create_the_same_name_or_number_at_once_the_second_is_told_the_rule(
    sql: Connection, connect: Connect
) -> None:
    first, second = await connect(), await connect()
    for one, other, rule in (
        (("anna", "55"), ("anna", "66"), "username must be unique"),
        (("bea", "77"), ("cleo", "77"), "internal must be unique among agents and telephones"),
    ):
        transaction = first.transaction()
        await transaction.start()
        await add_agent(first, one[0], internal=one[1])
        late = asyncio.create_task(refusal(add_agent(second, other[0], internal=other[1]), code="23505"))
        await waiting_for_a_lock(sql)
        await transaction.commit()
        assert rule in await late


async def test_fifty_claims_at_once_never_exceed_the_capacity(sql: Connection, connect: Connect) -> None:
    await add_agent(sql, "anna")
    await sql.execute("insert into agentbridge.agent_channels select id, 'chat', 3, true, 7 from agentbridge.agents")
    connections = [await connect() for _ in range(50)]
    claim = "select * from agentbridge.claim_interaction('anna', 'chat', $1)"
    rows = await asyncio.gather(*(c.fetchrow(claim, str(number)) for number, c in enumerate(connections)))
    granted = [row for row in rows if row is not None and row["granted"]]
    assert len(granted) == 3
    assert all((row["auto_answer"], row["auto_answer_delay"]) == (True, 7) for row in granted)
    assert await sql.fetchval("select count(*) from agentbridge.interactions") == 3


async def test_an_interaction_that_several_agents_claim_at_once_is_granted_to_one(
    sql: Connection, connect: Connect
) -> None:
    names = [f"a{number}" for number in range(10)]
    for name in names:
        await add_agent(sql, name)
    connections = [await connect() for _ in names]
    claim = "select granted from agentbridge.claim_interaction($1, 'chat', 'the only one')"
    granted = await asyncio.gather(*(c.fetchval(claim, name) for c, name in zip(connections, names, strict=True)))
    assert sorted(granted) == [False] * 9 + [True]


async def test_at_the_maximum_a_follow_up_of_what_the_agent_has_managed_is_still_offered(sql: Connection) -> None:
    """O1: given back since or not, while the agent is logged in and in a queue of that channel."""
    await add_agent(sql, "anna")
    await add_agent(sql, "bea")
    await sql.execute("insert into agentbridge.agent_channels select id, 'email', 1 from agentbridge.agents")
    for queue, channel in (("letters", "email"), ("calls", "voice")):
        await add_queue(sql, queue, "anna", "bea")
        await sql.execute("update agentbridge.queues set channel = $1 where name = $2", channel, queue)

    async def claim(interaction: str, *, follow_up: bool = False, channel: str = "email", by: str = "anna") -> bool:
        one = "select granted from agentbridge.claim_interaction($1, $2, $3, $4)"
        return bool(await sql.fetchval(one, by, channel, interaction, follow_up))

    async def release(interaction: str, by: str = "anna") -> bool:
        one = "select agentbridge.release_interaction($1, 'email', $2)"
        return bool(await sql.fetchval(one, by, interaction))

    assert await claim("first")
    assert not await claim("second")
    assert not await claim("first", follow_up=True), "logged out"
    await sql.execute("select agentbridge.login('anna'), agentbridge.login('bea')")
    assert await claim("first", follow_up=True)
    assert not await claim("second", follow_up=True), "never managed"
    assert await claim("second", channel="chat"), "each channel counts for itself; without a capacity, no limit"
    assert await release("first")
    assert not await release("first"), "given back already"
    assert await claim("first", follow_up=True), "with room"
    assert await release("first")
    assert await claim("second")
    assert await claim("first", follow_up=True), "at the maximum"
    in_hand = "select in_hand from agentbridge.claim_interaction('anna', 'email', 'first')"
    assert await sql.fetchval(in_hand) == 2
    assert not await claim("first", by="bea", follow_up=True), "in another's hand"
    assert await release("first")
    assert await claim("first", by="bea"), "who has room takes what was given back"
    assert not await claim("first", follow_up=True), "in another's hand now"
    assert await release("first", by="bea")
    await sql.execute(
        "delete from agentbridge.queue_members where queue_id in"
        " (select id from agentbridge.queues where channel = 'email')"
    )
    assert not await claim("first", follow_up=True), "in no queue of that channel"


async def as_application(database: str, *rights: str) -> Connection:
    """A role that may use our schema, with these rights besides, and has a schema `evil` of its own."""
    superuser = await asyncpg.connect(database.replace("agentbridge@", "postgres@"))
    try:
        for statement in (
            "drop role if exists application",
            "create role application login",
            "grant agentbridge_app to application",
            "create schema evil authorization application",
            *rights,
        ):
            await superuser.execute(statement)
    finally:
        await superuser.close()
    return await asyncpg.connect(database.replace("agentbridge@", "application@"))


async def test_an_application_needs_only_execute_and_can_not_bend_the_functions_by_its_search_path(
    sql: Connection, database: str
) -> None:
    await add_agent(sql, "anna")
    application = await as_application(database)
    try:
        await application.execute("create table evil.sessions (agent_id bigint); set search_path = evil, public")
        assert await login(application, "anna") is True
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await application.fetchval("select sip_secret from agentbridge.agents")
        assert await sql.fetchval("select count(*) from agentbridge.sessions") == 1
        await application.execute("drop table evil.sessions")
    finally:
        await application.close()


async def test_who_changes_rows_can_not_make_the_hints_run_anything_with_their_owners_rights(
    sql: Connection, database: str
) -> None:
    await add_agent(sql, "anna")
    await add_agent(sql, "hot", hot_desk=True)
    await add_telephone(sql, "desk1")
    await add_queue(sql, "sales", "anna", "hot")
    application = await as_application(
        database,
        "grant all on all tables in schema agentbridge to application",
        "revoke all on agentbridge.changes from application",
        "grant usage on schema evil to public",
    )
    caught = "if current_user <> 'application' then raise exception 'caught'; end if;"
    try:
        for kind in ("text", "bigint", "anyelement", "boolean"):
            await application.execute(
                f"create function evil.bent(a {kind}, b {kind}) returns boolean language plpgsql"
                f" set search_path = pg_catalog as $$ begin {caught} return a = b; end $$;"
                f"create operator evil.= (function = evil.bent, leftarg = {kind}, rightarg = {kind})"
            )
        for kind in ("text", "bool", "int4", "int8", "interval", "_text"):
            await application.execute(
                f"create function evil.seen(pg_catalog.{kind}) returns boolean language plpgsql"
                f" set search_path = pg_catalog as $$ begin {caught} return true; end $$;"
                f"create domain evil.{kind} as pg_catalog.{kind} check (evil.seen(value))"
            )
        await application.execute(
            "create function evil.pg_notify(text, text) returns void language plpgsql"
            f" set search_path = pg_catalog as $$ begin {caught} end $$;"
            "create view evil.new_rows as select 'bent'::text as internal;"
            "create view evil.old_rows as select 'bent'::text as internal;"
            "create table evil.changes (keys text[]);"
            "set search_path = evil, pg_catalog, agentbridge"
        )
        for statement, expected in (
            ("update agents set alias = 'A' where username operator(pg_catalog.=) 'anna'", {"anna"}),
            ("select agentbridge.login('anna')", {"anna"}),
            ("select agentbridge.login('hot', 'desk1')", {"hot", "desk1"}),
            ("update sessions set paused = true", {"anna", "hot", "desk1"}),
            ("update agents set alias = 'B' where username operator(pg_catalog.=) 'hot'", {"hot", "desk1"}),
            ("select agentbridge.pause('hot', 'x', 'sales')", {"hot", "desk1"}),
            ("delete from queue_pauses", {"hot", "desk1"}),
            ("delete from sessions", {"anna", "hot", "desk1"}),
            ("delete from agents", {"anna", "hot"}),
        ):
            await sql.execute("truncate agentbridge.changes")
            numbers = {
                row["internal"]: row["username"]
                for row in await sql.fetch("select internal, username from agentbridge.agents")
            }
            await application.execute(statement)
            assert {numbers.get(key, key) for key in await keys_of_changes(sql)} == expected, statement
        assert await application.fetchval("select pg_catalog.count(*) from evil.changes") == 0
        await application.execute("drop schema evil cascade; drop owned by application")
    finally:
        await application.close()


async def test_nobody_can_call_a_triggers_function_or_hang_it_on_a_table_of_his_own(sql: Connection) -> None:
    open_to_all = await sql.fetch(
        "select proname from pg_proc where pronamespace = 'agentbridge'::regnamespace"
        " and prorettype = 'trigger'::regtype and has_function_privilege('public', oid, 'execute')"
    )
    assert open_to_all == []
