"""Where telephones are registered, and what becomes of agents whose telephone is lost: the directory's rules."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from agentbridge.directory.connecting import PooledConnection
from agentbridge.directory.listening import APPLIED_CHANNEL
from agentbridge.directory.passwords import hash_password
from agentbridge.directory.postgres import Directory
from agentbridge.directory.telephones import PhoneDesk, Telephones
from agentbridge.errors import Refused
from agentbridge.model import EndpointId
from lab.postgres import DAEMON, as_role
from tests.integration.words import Connect, Connection, add_agent, add_telephone, refusal, status

DESKS = tuple(EndpointId(f"desk{number}") for number in range(1, 4))
PIN = "48215"


@dataclass(frozen=True)
class Found:
    error: str = ""
    waits_for: str = ""


@pytest_asyncio.fixture
async def rows(sql: Connection) -> Connection:
    """Three telephones of which nothing is known."""
    await sql.execute("insert into agentbridge.telephones (name) select unnest($1::text[])", DESKS)
    return sql


@pytest.fixture
def directory(database: str) -> Directory:
    return Directory(as_role(database, DAEMON), node="pbx1")


def node(directory: Directory, name: str) -> Telephones:
    return Telephones(directory.statement, name)


async def registered(sql: Connection) -> dict[str, bool | None]:
    found = await sql.fetch("select name, registered from agentbridge.telephones order by name")
    return {row["name"]: row["registered"] for row in found}


async def on_desk1(sql: Connection, username: str, **columns: object) -> None:
    await add_agent(sql, username, hot_desk=True, **columns)
    await sql.fetchval("select agentbridge.login($1, 'desk1')", username)


# ---------------------------------------------------------------- registrations


async def test_a_full_read_says_of_every_telephone_whether_it_is_there(rows: Connection, directory: Directory) -> None:
    async with directory:
        await node(directory, "pbx1").set_registered({DESKS[0], EndpointId("1001")})
    assert await registered(rows) == {"desk1": True, "desk2": False, "desk3": False}


async def test_only_what_differs_is_written(rows: Connection, directory: Directory) -> None:
    async with directory:
        pbx = node(directory, "pbx1")
        await pbx.set_registered({DESKS[0]})
        before = await rows.fetch("select name, xmin::text, registered_at from agentbridge.telephones order by name")
        await pbx.set_registered({DESKS[0]})
        await pbx.changed({DESKS[0]: True, DESKS[1]: False})
        after = await rows.fetch("select name, xmin::text, registered_at from agentbridge.telephones order by name")
    # locking a row shows in xmax alone
    assert before == after
    assert await rows.fetchval("select count(*) from agentbridge.changes where 'desk1' = any (keys)") == 1


async def test_while_an_asterisk_is_away_its_telephones_are_unknown_and_refused(
    rows: Connection, directory: Directory
) -> None:
    await add_agent(rows, "ana", hot_desk=True)
    async with directory:
        pbx = node(directory, "pbx1")
        await pbx.set_registered(DESKS)
        await pbx.unknown()
    assert set((await registered(rows)).values()) == {None}
    said = await refusal(rows.fetchval("select agentbridge.login('ana', 'desk1')"), "AB006")
    assert "desk1 is not registered" in said


async def test_a_telephone_of_another_asterisk_is_not_lost_because_this_one_does_not_have_it(
    rows: Connection, directory: Directory
) -> None:
    async with directory:
        here, there = node(directory, "pbx1"), node(directory, "pbx2")
        await here.set_registered({DESKS[0]})
        await there.set_registered({DESKS[1]})
        assert await registered(rows) == {"desk1": True, "desk2": True, "desk3": False}
        await there.unknown()
        assert (await registered(rows))["desk1"]
        # it moves
        await there.changed({DESKS[0]: True})
        await here.changed({DESKS[0]: False})
        assert (await registered(rows))["desk1"]
        await there.changed({DESKS[0]: False})
        assert (await registered(rows))["desk1"] is False


# ---------------------------------------------------------------- lost and back


async def test_a_telephone_is_lost_when_it_is_away_for_so_long(rows: Connection, directory: Directory) -> None:
    async with directory:
        pbx = node(directory, "pbx1")
        await pbx.set_registered(DESKS)
        await on_desk1(rows, "ana")
        await pbx.changed({DESKS[0]: False})
        assert await pbx.settle_lost(60, "pause", "unpause") == []
        (done,) = await pbx.settle_lost(0, "pause", "unpause")
        assert (done.agent, done.telephone, done.done) == ("ana", "desk1", "pause")
        assert await pbx.settle_lost(0, "pause", "unpause") == []
        row = await status(rows, "ana")
        assert (row["paused"], row["pause_reason"]) == (True, "telephone lost")
        await pbx.changed({DESKS[0]: True})
        assert await pbx.settle_lost(0, "pause", "nothing") == []
        (back,) = await pbx.settle_lost(0, "pause", "unpause")
        assert back.done == "unpause"
        assert not (await status(rows, "ana"))["paused"]


async def test_nothing_is_done_about_a_telephone_of_which_nothing_is_known(
    rows: Connection, directory: Directory
) -> None:
    async with directory:
        pbx = node(directory, "pbx1")
        await pbx.set_registered(DESKS)
        await on_desk1(rows, "ana")
        await pbx.unknown()
        assert await pbx.settle_lost(0, "logout", "unpause") == []
    assert (await status(rows, "ana"))["logged_in"]


async def test_an_agent_is_logged_out_or_left_alone_as_wanted(rows: Connection, directory: Directory) -> None:
    async with directory:
        pbx = node(directory, "pbx1")
        await pbx.set_registered(DESKS)
        await on_desk1(rows, "ana")
        await pbx.changed({DESKS[0]: False})
        assert await pbx.settle_lost(0, "nothing", "unpause") == []
        (done,) = await pbx.settle_lost(0, "logout", "unpause")
        assert done.done == "logout"
    assert not (await status(rows, "ana"))["logged_in"]


async def test_an_unknown_action_is_refused(rows: Connection) -> None:
    said = await refusal(rows.fetch("select agentbridge.settle_lost_telephones('1s', 'shout', 'unpause')"))
    assert "lost_action: must be one of pause, logout, nothing" in said


# ---------------------------------------------------------------- taken over


async def steal(sql: Connection, username: str, telephone: str) -> None:
    await sql.fetchval("select agentbridge.login($1, $2, 'admin', true)", username, telephone)


async def test_a_takeover_is_told_to_listeners_at_the_commit_and_once_to_the_daemons(
    rows: Connection, directory: Directory
) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    await rows.add_listener("agentbridge_events", lambda *event: told.put_nowait(event[-1]))
    await add_agent(rows, "ben", hot_desk=True)
    async with directory:
        pbx = node(directory, "pbx1")
        await pbx.set_registered(DESKS)
        await on_desk1(rows, "ana")
        await steal(rows, "ben", "desk1")
        async with asyncio.timeout(5):
            event = json.loads(await told.get())
        (one,) = await pbx.taken_over()
        assert await node(directory, "pbx2").taken_over() == []
    assert event == {"event": "telephone.taken_over", "agent": "ana", "telephone": "desk1", "taken_by": "ben"}
    assert (one.agent, one.telephone, one.taken_by) == ("ana", "desk1", "ben")
    assert not (await status(rows, "ana"))["logged_in"]


async def test_a_takeover_that_is_refused_leaves_the_agent_there_and_tells_nobody(
    rows: Connection, directory: Directory
) -> None:
    await add_agent(rows, "ben", hot_desk=True, deactivated=True)
    await add_agent(rows, "olga")
    async with directory:
        pbx = node(directory, "pbx1")
        await pbx.set_registered(DESKS)
        await on_desk1(rows, "ana")
        for username in ("ben", "olga"):
            await refusal(steal(rows, username, "desk1"))
        # and who takes what is free takes it from nobody
        await add_agent(rows, "carl", hot_desk=True)
        await steal(rows, "carl", "desk2")
        assert await pbx.taken_over() == []
    assert (await status(rows, "ana"))["telephone"] == "desk1"


# ---------------------------------------------------------------- from the telephone


async def test_fifty_agents_race_for_five_telephones_and_exactly_five_win(sql: Connection, connect: Connect) -> None:
    for number in range(5):
        await add_telephone(sql, f"prize{number}")
    for number in range(50):
        await add_agent(sql, f"racer{number}", hot_desk=True)

    async def race(number: int) -> str:
        connection = await connect()
        try:
            await connection.fetchval("select agentbridge.login($1, $2)", f"racer{number}", f"prize{number % 5}")
            return "won"
        except asyncpg.PostgresError as error:
            return f"{error.sqlstate} {error}"

    results = await asyncio.gather(*(race(number) for number in range(50)))
    assert results.count("won") == 5
    assert all(result.startswith("AB006") and "is taken by racer" in result for result in results if result != "won")
    assert await sql.fetchval("select count(distinct telephone_id) from agentbridge.sessions") == 5


async def test_number_and_pin_name_an_agent_and_each_wrong_pin_counts(sql: Connection, directory: Directory) -> None:
    await sql.execute("update agentbridge.settings set lock_after = 3")
    number = EndpointId(await add_agent(sql, "ana", pin_hash=hash_password(PIN)))
    without = EndpointId(await add_agent(sql, "ben"))
    async with directory:
        desk = PhoneDesk(directory.transaction)
        assert await desk.identify(number, "0000") is None
        assert await desk.identify(number, PIN) == "ana"
        assert await desk.identify(EndpointId("77777"), PIN) is None
        assert await desk.identify(without, "") is None
        for _ in range(3):
            assert await desk.identify(number, "0000") is None
        # locked now: the right PIN is as good as a wrong one
        assert await desk.identify(number, PIN) is None
    row = await sql.fetchrow("select failed_logins, locked_at from agentbridge.agents where username = 'ana'")
    assert row is not None
    assert (row["failed_logins"], row["locked_at"] is not None) == (3, True)


async def test_a_device_speaks_for_its_own_agent_or_for_the_one_bound_to_it(
    rows: Connection, directory: Directory
) -> None:
    own = EndpointId(await add_agent(rows, "olga"))
    async with directory:
        await node(directory, "pbx1").set_registered(DESKS)
        await on_desk1(rows, "ana")
        hot = EndpointId((await status(rows, "ana"))["internal"])
        desk = PhoneDesk(directory.transaction)
        olga, ana = await desk.caller(own), await desk.caller(DESKS[0])
        assert olga is not None
        assert ana is not None
        assert (olga.username, olga.own) == ("olga", True)
        assert (ana.username, ana.own) == ("ana", False)
        assert await desk.caller(DESKS[1]) is None
        # a hot-desk agent has no device of its own, whoever calls itself so
        assert await desk.caller(hot) is None
        assert await desk.caller(EndpointId("trunk")) is None


async def test_an_agent_logs_in_on_the_device_it_calls_from_and_on_no_other(
    rows: Connection, directory: Directory
) -> None:
    own = EndpointId(await add_agent(rows, "olga"))
    await add_agent(rows, "ana", hot_desk=True)
    async with directory:
        await node(directory, "pbx1").set_registered(DESKS)
        desk = PhoneDesk(directory.transaction)
        await desk.log_in("olga", own)
        await desk.log_in("ana", DESKS[1])
        assert (await status(rows, "olga"))["telephone"] is None
        assert (await status(rows, "ana"))["telephone"] == "desk2"
        for username, device in (("olga", DESKS[0]), ("ana", own), ("ana", EndpointId("trunk"))):
            with pytest.raises(Refused, match="telephone:"):
                await desk.log_in(username, device)


@pytest.mark.parametrize(
    ("typology", "source", "allowed"),
    [
        ("phonebar", "web", False),
        ("phonebar", "phonebar", True),
        ("phonebar", "phone", True),
        ("phonebar", "admin", True),
        ("external", "web", True),
        ("external", "phonebar", False),
        ("external", "phone", True),
        ("webrtc", "web", True),
        ("webrtc", "phonebar", False),
    ],
)
async def test_who_may_act_depends_on_the_typology_on_every_way_in(
    sql: Connection, typology: str, source: str, allowed: bool
) -> None:
    columns = {"transport": ["wss"]} if typology == "webrtc" else {}
    await add_agent(sql, "ana", typology=typology, **columns)
    verbs = ("login($1, null, $2)", "pause($1, 'lunch', null, $2)", "unpause($1, null, $2)", "logout($1, $2)")
    for verb in verbs:
        doing = sql.fetchval(f"select agentbridge.{verb}", "ana", source)
        if allowed:
            assert await doing is True
        else:
            assert "source:" in await refusal(doing, "AB004")


async def test_a_hundred_who_wait_at_a_telephone_are_looked_after_by_few_questions(
    sql: Connection, database: str, directory: Directory
) -> None:
    """At a slow beginning of a shift each of them asked twenty times a second."""
    await sql.execute("insert into agentbridge.agents (username) select 'a' || n from generate_series(1, 100) n")
    numbers = {row["internal"]: row["username"] for row in await sql.fetch("select * from agentbridge.agents")}
    asked = 0

    @asynccontextmanager
    async def counted() -> AsyncIterator[PooledConnection]:
        nonlocal asked
        asked += 1
        async with directory.transaction() as connection:
            yield connection

    async with directory:
        desk = PhoneDesk(counted)
        seen = await directory.read([EndpointId(number) for number in numbers])
        waits = {name: asyncio.create_task(desk.in_asterisk(name, 20.0)) for name in numbers.values()}
        listener = await asyncpg.connect(database)
        await listener.add_listener(APPLIED_CHANNEL, lambda *_: desk.look())
        await asyncio.sleep(2.0)
        assert not any(wait.done() for wait in waits.values())
        for number, name in numbers.items():
            await directory.record(seen.snapshot, {EndpointId(number): Found()})
            if name == "a1":
                assert await asyncio.wait_for(waits[name], 1.5) is None
        assert set(await asyncio.gather(*waits.values())) == {None}
        await listener.close()
    assert asked < 60, "ten looks a second at most, for all of them"


# ---------------------------------------------------------------- browsers


async def test_a_browser_is_lost_when_nobody_can_reach_it_for_so_long(rows: Connection, directory: Directory) -> None:
    await add_agent(rows, "kira", internal="1001", typology="webrtc")
    await add_agent(rows, "ana", internal="1002", typology="external")

    async def seen(at: str, state: str, *, minutes: int = 1, contact: bool = False) -> None:
        since = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
        told = {"state": state, "since": since, "contact": contact, "device": "x", "calls": 0, "pauses": {}}
        live = json.dumps([told | {"internal": number} for number in ("1001", "1002")])
        await rows.fetchval("select agentbridge.live_write($1, $2, '[]', '[]')", at, live)

    for username in ("kira", "ana"):
        await rows.fetchval("select agentbridge.login($1)", username)
    async with directory:
        pbx = node(directory, "pbx1")
        assert await pbx.settle_lost_browsers(0, "logout", "unpause") == []  # nothing is known of it
        await seen("pbx1", "unreachable")
        assert await pbx.settle_lost_browsers(90, "pause", "unpause") == []
        await seen("pbx2", "ready", contact=True)
        assert await pbx.settle_lost_browsers(30, "pause", "unpause") == []  # another node reaches it
        await seen("pbx2", "unreachable")
        silent = "update agentbridge.live_nodes set written_at = now() - interval '1 minute' where node = 'pbx2'"
        await rows.execute(silent)
        assert await pbx.settle_lost_browsers(30, "pause", "unpause") == []  # that one may still
        await seen("pbx2", "unreachable", minutes=2)
        assert await pbx.settle_lost_browsers(30, "nothing", "unpause") == []
        assert await pbx.settle_lost_browsers(30, "pause", "unpause") == [("kira", "pause")]
        assert await pbx.settle_lost_browsers(30, "pause", "unpause") == []
        row = await status(rows, "kira")
        assert (row["paused"], row["pause_reason"]) == (True, "browser lost")
        await seen("pbx1", "paused", contact=True)
        assert await pbx.settle_lost_browsers(30, "pause", "nothing") == []
        assert await pbx.settle_lost_browsers(30, "pause", "unpause") == [("kira", "unpause")]
        await rows.fetchval("select agentbridge.pause('kira', 'lunch')")
        assert await pbx.settle_lost_browsers(30, "pause", "unpause") == []
        await seen("pbx1", "talking")
        assert await pbx.settle_lost_browsers(30, "logout", "unpause") == []  # a call is up yet
        await seen("pbx1", "unreachable")
        assert await pbx.settle_lost_browsers(30, "logout", "unpause") == [("kira", "logout")]
    assert not (await status(rows, "kira"))["logged_in"]
    assert (await status(rows, "ana"))["logged_in"]
