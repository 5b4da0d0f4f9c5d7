"""Many nodes on one database: who lives, who serves a queue, and where a device is registered."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from agentbridge.directory.locations import LocationStore
from agentbridge.directory.postgres import Directory, Heartbeat
from agentbridge.model import Agent, Contact, EndpointId, QueueName
from lab.postgres import DAEMON, as_role
from tests.integration.words import Connect, Connection, add_agent, add_queue, add_telephone, refusal, status

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def directory_of(database: str, node: str) -> Directory:
    return Directory(as_role(database, DAEMON), node=node)


def heartbeat(*unreachable: str, up: bool = True) -> Heartbeat:
    return Heartbeat(
        started_at=STARTED,
        snapshot=None,
        asterisk_up=up,
        lag_seconds=None,
        pending=0,
        failed=0,
        version="1",
        unreachable=unreachable,
    )


async def add_nodes(sql: Connection, *names: str) -> None:
    for name in names:
        await sql.execute("select agentbridge.node_add($1, '10.0.0.1')", name)


async def beat(sql: Connection, node: str, *unreachable: str, up: bool = True) -> Sequence[str]:
    """A heartbeat of a node; returns the others."""
    query = "select others from agentbridge.heartbeat($1, $2, null, $3, null, 0, 0, '1', '{}', '{}', $4::text[])"
    return list(await sql.fetchval(query, node, STARTED, up, list(unreachable)))


async def age(sql: Connection, seconds: float, *nodes: str, steady: float | None = None) -> None:
    """Moves the last heartbeat of these nodes back, and since when they were steady."""
    await sql.execute(
        "update agentbridge.nodes set seen_at = seen_at - make_interval(secs => $1),"
        " up_at = up_at - make_interval(secs => $1),"
        " steady_since = clock_timestamp() - make_interval(secs => $3) where node = any ($2::text[])",
        seconds,
        nodes,
        steady if steady is not None else 1000.0,
    )


async def steady(sql: Connection, *nodes: str) -> None:
    await age(sql, 0, *nodes)


async def served(sql: Connection) -> dict[str, str | None]:
    rows = await sql.fetch("select name, serving_node from agentbridge.queues order by name")
    return {row["name"]: row["serving_node"] for row in rows}


async def hints(sql: Connection) -> set[str]:
    """The keys that were hinted since the last look."""
    rows = await sql.fetch(
        "with gone as (delete from agentbridge.changes returning keys) select unnest(keys) from gone"
    )
    return {row[0] for row in rows}


async def carried(directory: Directory, number: str) -> Agent:
    """What a node's daemon reads of an agent that is logged in."""
    agent = (await directory.read([EndpointId(number)])).subjects[EndpointId(number)].carried
    assert agent is not None
    return agent


def queues_of(agent: Agent) -> set[QueueName]:
    return {membership.queue for membership in agent.memberships}


# ---------------------------------------------------------------- one node


async def test_the_only_node_serves_everything_and_nobody_is_hinted_for_it(sql: Connection, database: str) -> None:
    number = await add_agent(sql, "anna")
    await add_queue(sql, "sales", "anna")
    await sql.execute("select agentbridge.login('anna')")
    async with directory_of(database, "pbx1") as directory:
        agent = await carried(directory, number)
        assert queues_of(agent) == {"sales"}, "before its daemon has said a word"
        await hints(sql)
        assert (await directory.heartbeat(heartbeat())).others == ()
        assert await served(sql) == {"sales": "pbx1"}
        assert await hints(sql) == set(), "it is what it was"
        assert await carried(directory, number) == agent
        assert not agent.among_several
        await sql.execute("insert into agentbridge.queues (name) values ('support')")
        assert await served(sql) == {"sales": "pbx1", "support": "pbx1"}


async def test_a_heartbeat_of_the_only_node_writes_its_own_row_alone(sql: Connection, database: str) -> None:
    await add_queue(sql, "sales")
    async with directory_of(database, "pbx1") as directory:
        await directory.heartbeat(heartbeat())
        before = await sql.fetchval("select xmin::text from agentbridge.queues")
        await directory.heartbeat(heartbeat())
        assert await sql.fetchval("select xmin::text from agentbridge.queues") == before


async def test_a_node_that_got_another_name_serves_the_queues_after_the_lease(sql: Connection) -> None:
    await beat(sql, "old-name")
    await add_queue(sql, "sales")
    await beat(sql, "new-name")
    await age(sql, 30, "old-name")
    await beat(sql, "new-name")
    assert await served(sql) == {"sales": "old-name"}, "its own heartbeats are not that old"
    await steady(sql, "new-name")
    await beat(sql, "new-name")
    assert await served(sql) == {"sales": "new-name"}


# ---------------------------------------------------------------- who serves a queue


async def test_queues_are_shared_by_their_members_and_a_second_node_takes_none_away(sql: Connection) -> None:
    for number in range(6):
        await add_agent(sql, f"agent{number}")
    await add_queue(sql, "big", "agent0", "agent1", "agent2", "agent3")
    await add_queue(sql, "small", "agent4")
    await add_nodes(sql, "a", "b")
    await beat(sql, "a")
    assert await served(sql) == {"big": "a", "small": "a"}
    await beat(sql, "b")
    await beat(sql, "a")
    assert await served(sql) == {"big": "a", "small": "a"}, "a move strands who waits"
    await add_queue(sql, "third", "agent5")
    assert await served(sql) == {"big": "a", "small": "a", "third": "b"}


async def test_a_node_is_taken_for_lost_only_when_heartbeat_and_sip_are_gone(sql: Connection) -> None:
    await add_nodes(sql, "a", "b", "c")
    for node in "abc":
        await beat(sql, node)
    await add_queue(sql, "sales")
    await sql.execute("select agentbridge.node_home('a', '{sales}')")

    async def lost() -> list[str]:
        return [row[0] for row in await sql.fetch("select node from agentbridge.nodes where lost_at is not null")]

    # no heartbeat, and SIP answers: its daemon alone is gone
    await age(sql, 100, "a")
    await steady(sql, "b", "c")
    await beat(sql, "b")
    await beat(sql, "c")
    assert (await lost(), await served(sql)) == ([], {"sales": "a"})
    # one node does not reach it, another one does: a link is gone
    await beat(sql, "b", "a")
    assert (await lost(), await served(sql)) == ([], {"sales": "a"})
    # SIP is gone for all, and it beats: both links are gone
    await beat(sql, "a")
    await beat(sql, "c", "a")
    await beat(sql, "b", "a")
    assert (await lost(), await served(sql)) == ([], {"sales": "a"})
    # both, for less than three heartbeats
    await age(sql, 2, "a")
    await beat(sql, "b", "a")
    assert (await lost(), await served(sql)) == ([], {"sales": "a"})
    # both, for less than the lease: it is lost, and its queues wait
    await age(sql, 2, "a")
    await beat(sql, "b", "a")
    assert (await lost(), await served(sql)) == (["a"], {"sales": "a"})
    await age(sql, 20, "a")
    await beat(sql, "b", "a")
    taken = (await served(sql))["sales"]
    assert taken in {"b", "c"}
    # it comes back, and the queue stays where it is
    await beat(sql, "a")
    assert (await lost(), await served(sql)) == ([], {"sales": taken})
    assert await sql.fetchval("select home_node from agentbridge.queues") == "a"
    await sql.execute("select agentbridge.node_home('a')")
    assert await served(sql) == {"sales": "a"}


async def test_after_an_outage_of_the_database_nobody_takes_anything(sql: Connection) -> None:
    await add_nodes(sql, "a", "b")
    for node in "ab":
        await beat(sql, node)
    await add_queue(sql, "sales")
    before = await served(sql)
    await steady(sql, "a", "b")
    await age(sql, 60, "a", "b")
    for _ in range(3):  # whoever is first sees the other as silent for a minute
        for node, other in (("b", "a"), ("a", "b")):
            await beat(sql, node, other)
            await age(sql, 60, other)
    assert await served(sql) == before
    assert await sql.fetchval("select count(*) from agentbridge.nodes where lost_at is not null") == 0


async def test_an_asterisk_that_is_down_loses_its_queues_though_its_daemon_beats(sql: Connection) -> None:
    await add_nodes(sql, "a", "b")
    for node in "ab":
        await beat(sql, node)
    await add_queue(sql, "sales")
    await sql.execute("select agentbridge.node_home('a', '{sales}')")
    await steady(sql, "b")
    await age(sql, 25, "a")
    await beat(sql, "a", up=False)
    await beat(sql, "b", "a")
    assert await served(sql) == {"sales": "b"}


async def test_many_queues_of_a_lost_node_are_spread_in_one_go_and_two_at_once_move_each_once(
    sql: Connection, connect: Connect
) -> None:
    await add_agent(sql, "anna")
    await add_nodes(sql, "a", "b", "c")
    for node in "abc":
        await beat(sql, node)
    await sql.execute("insert into agentbridge.queues (name) select 'q' || n from generate_series(1, 40) n")
    await sql.execute("update agentbridge.queues set serving_node = 'a', home_node = 'a'")
    await age(sql, 30, "a")
    await steady(sql, "b", "c")
    # each hears the other's word of `a` first
    await sql.execute("update agentbridge.nodes set unreachable = '{a}' where node in ('b', 'c')")
    others = [await connect(), await connect()]
    await asyncio.gather(beat(others[0], "b", "a"), beat(others[1], "c", "a"))
    rows = await sql.fetch("select serving_node, count(*) from agentbridge.queues group by 1 order by 1")
    assert [row[0] for row in rows] == ["b", "c"]
    assert all(15 <= row[1] <= 25 for row in rows), rows
    assert await sql.fetchval("select bool_and(home_node = 'a') from agentbridge.queues")


async def test_a_retired_node_gives_its_queues_away_at_once_and_the_last_one_can_not_go(sql: Connection) -> None:
    await add_nodes(sql, "a", "b")
    await beat(sql, "a")
    await add_queue(sql, "sales")
    assert "no other node is up" in await refusal(sql.execute("select agentbridge.node_retire('a')"), "AB001")
    await beat(sql, "b")
    await sql.execute("select agentbridge.node_retire('a', 'boss')")
    await beat(sql, "b")
    await beat(sql, "a")
    rows = await sql.fetch("select name, serving_node, home_node from agentbridge.queues")
    assert [tuple(row) for row in rows] == [("sales", "b", "b")]
    assert await sql.fetchval("select actor from agentbridge.audit where action = 'nodes.retire'") == "boss"
    assert await beat(sql, "b") == []
    assert "there is no node a" in await refusal(sql.execute("select agentbridge.node_retire('a')"), "AB003")
    await add_nodes(sql, "a")
    assert await beat(sql, "b") == ["a"]


async def test_a_node_without_queues_gets_none_and_gives_those_it_has(sql: Connection) -> None:
    await add_nodes(sql, "a", "edge")
    await beat(sql, "edge")
    await add_queue(sql, "sales")
    await sql.execute("select agentbridge.node_add('edge', '10.0.0.9', serves_queues => false)")
    await beat(sql, "a")
    assert await served(sql) == {"sales": "a"}
    assert "does not serve queues" in await refusal(sql.execute("select agentbridge.node_home('edge')"), "AB001")


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        ("node_add('no de', '10.0.0.1')", "node: must be 1 to 40 letters"),
        ("node_add('a', '')", "sip_host: say where"),
        ("node_add('a', 'a b')", "sip_host: must be an IP address or a host name"),
        ("node_add('a', E'10.0.0.1\\nallow=all')", "sip_host: must be an IP address or a host name"),
        ("node_add('a', '10.0.0.1', 0)", "sip_port: must be 1 to 65535"),
        ("node_add('1000', '10.0.0.1')", "is an agent's number"),
        ("node_home('zz')", "there is no node zz"),
        ("node_home('up', '{nope}')", "there is no queue nope"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(sql: Connection, call: str, rule: str) -> None:
    await add_agent(sql, "anna", internal="1000")
    await add_nodes(sql, "up")
    assert rule in await refusal(sql.execute(f"select agentbridge.{call}"), "AB00")


# ---------------------------------------------------------------- members


async def test_members_are_wished_on_the_serving_node_alone_and_hinted_when_it_changes(
    sql: Connection, database: str
) -> None:
    number = await add_agent(sql, "anna")
    await add_agent(sql, "away")
    await add_nodes(sql, "a", "b")
    for node in "ab":
        await beat(sql, node)
    await add_queue(sql, "sales", "anna", "away")
    await add_queue(sql, "support", "anna")
    await sql.execute("select agentbridge.login('anna')")
    await sql.execute("select agentbridge.node_home('a', '{sales}')")
    await sql.execute("select agentbridge.node_home('b', '{support}')")
    async with directory_of(database, "a") as a, directory_of(database, "b") as b:
        assert (queues_of(await carried(a, number)), queues_of(await carried(b, number))) == ({"sales"}, {"support"})
        await hints(sql)
        await sql.execute("select agentbridge.node_home('b', '{sales}')")
        assert await hints(sql) == {number}
        assert (queues_of(await carried(a, number)), queues_of(await carried(b, number))) == (
            set(),
            {"sales", "support"},
        )
        assert (await carried(a, number)).among_several


async def test_who_sits_at_a_lost_node_leaves_the_queues_and_comes_back_with_it(sql: Connection, database: str) -> None:
    number = await add_agent(sql, "anna")
    await add_telephone(sql, "desk7")
    guest = await add_agent(sql, "guest", hot_desk=True)
    await add_nodes(sql, "a", "b")
    for node in "ab":
        await beat(sql, node)
    await add_queue(sql, "sales", "anna", "guest")
    await sql.execute("select agentbridge.node_home('a', '{sales}')")
    await sql.execute("select agentbridge.login('anna'), agentbridge.login('guest', 'desk7')")
    async with directory_of(database, "a") as a:
        registered = {EndpointId(number): Contact("sip:1@x"), EndpointId("desk7"): Contact("sip:2@x")}
        await LocationStore(a.transaction, "b").registered(registered)
        assert (await carried(a, number)).node == "b"
        assert queues_of(await carried(a, "desk7")) == {"sales"}
        await hints(sql)
        await steady(sql, "a")
        await age(sql, 10, "b")
        await beat(sql, "a", "b")
        assert await hints(sql) == {number, "desk7", guest}
        for key in (number, "desk7"):
            assert queues_of(await carried(a, key)) == set()
        await beat(sql, "b")
        assert await hints(sql) == {number, "desk7", guest}
        for key in (number, "desk7"):
            assert queues_of(await carried(a, key)) == {"sales"}


# ---------------------------------------------------------------- where a device is


async def test_the_newest_registration_wins_whoever_tells_first(sql: Connection, database: str) -> None:
    number = EndpointId(await add_agent(sql, "anna"))
    await add_nodes(sql, "a", "b")
    async with directory_of(database, "a") as a, directory_of(database, "b") as b:
        at_a, at_b = LocationStore(a.transaction, "a"), LocationStore(b.transaction, "b")
        first = await at_a.registered({number: Contact("sip:1@a")})
        assert first[number].node == "a"
        assert (await a.read([number])).subjects[number].moved_at is None
        assert (await b.read([number])).subjects[number].moved_at == first[number].since
        await hints(sql)
        second = await at_b.registered({number: Contact("sip:1@b")})
        assert second[number].since > first[number].since
        assert (await a.read([number])).subjects[number].moved_at == second[number].since
        assert await hints(sql) == {number}
        # registered anew from another port: nothing that anybody need know
        await at_b.registered({number: Contact("sip:1@b:5070")})
        assert await hints(sql) == set()

        # the other one is read whole, with a registration that ends earlier, then later
        ends = datetime.now(UTC) + timedelta(seconds=1800)
        await at_b.replace_all({number: Contact("sip:1@b", ends=ends)})
        older = await at_a.replace_all({number: Contact("sip:1@a", ends=ends - timedelta(seconds=60))})
        assert older[number].node == "b"
        newer = await at_a.replace_all(
            {number: Contact("sip:1@a", ends=ends + timedelta(seconds=60), path="<sip:edge;lr>")}
        )
        assert newer[number].node == "a"
        row = await sql.fetchrow("select node, contact, path, expires from agentbridge.device_locations")
        assert row is not None
        assert tuple(row) == ("a", "sip:1@a", "<sip:edge;lr>", ends + timedelta(seconds=60))

        # only the node that has it can say that it is gone
        await at_b.gone([number])
        assert await sql.fetchval("select count(*) from agentbridge.device_locations") == 1
        await hints(sql)
        await at_a.replace_all({})
        assert await sql.fetchval("select count(*) from agentbridge.device_locations") == 0
        assert await hints(sql) == {number}


async def test_a_fixed_address_and_a_stranger_have_no_place(sql: Connection, database: str) -> None:
    fixed = EndpointId(await add_agent(sql, "anna", host="10.1.1.1"))
    async with directory_of(database, "a") as a:
        places = LocationStore(a.transaction, "a")
        assert await places.registered({fixed: Contact("sip:1@a"), EndpointId("trunk"): Contact("sip:2@a")}) == {}
        assert await places.replace_all({fixed: Contact("sip:1@a"), EndpointId("trunk"): Contact("sip:2@a")}) == {}


async def test_a_phone_that_a_lost_node_had_is_whoever_has_it_now(sql: Connection, database: str) -> None:
    number = EndpointId(await add_agent(sql, "anna"))
    await add_nodes(sql, "a", "b")
    async with directory_of(database, "a") as a, directory_of(database, "b") as b:
        late = datetime.now(UTC) + timedelta(hours=2)
        await LocationStore(b.transaction, "b").replace_all({number: Contact("sip:1@b", ends=late)})
        await sql.execute("update agentbridge.nodes set lost_at = now() where node = 'b'")
        found = await LocationStore(a.transaction, "a").replace_all(
            {number: Contact("sip:1@a", ends=late - timedelta(hours=1))}
        )
        assert found[number].node == "a"


async def test_a_lost_nodes_phones_behind_a_proxy_are_given_to_one_living_node_each(
    sql: Connection, database: str
) -> None:
    behind = [EndpointId(await add_agent(sql, f"agent{number}")) for number in range(12)]
    direct = EndpointId(await add_agent(sql, "direct"))
    await add_nodes(sql, "a", "b", "c")
    for node in "abc":
        await beat(sql, node)
    async with directory_of(database, "a") as a, directory_of(database, "c") as c:
        proxied = {number: Contact(f"sip:{number}@b", "<sip:edge;lr>") for number in behind}
        await LocationStore(a.transaction, "b").registered({**proxied, direct: Contact("sip:9@b")})
        assert (await a.heartbeat(heartbeat())).orphans == {}
        await steady(sql, "a", "c")
        await age(sql, 4, "b")
        await beat(sql, "c", "b")
        ours, theirs = (await a.heartbeat(heartbeat("b"))).orphans, (await c.heartbeat(heartbeat("b"))).orphans
        assert ours.keys() | theirs.keys() == set(behind)
        assert ours
        assert theirs
        assert not ours.keys() & theirs.keys()
        number, contact = next(iter(ours.items()))
        assert (contact.uri, contact.path) == (f"sip:{number}@b", "<sip:edge;lr>")
        assert contact.ends is not None
        assert contact.ends > datetime.now(UTC) + timedelta(seconds=30)
        # it has come here, and is nobody's any more
        await LocationStore(a.transaction, "a").registered({number: contact})
        assert number not in (await a.heartbeat(heartbeat("b"))).orphans
        # after a day every one of those registrations is over
        await age(sql, 86400, "b")
        assert (await a.heartbeat(heartbeat("b"))).orphans == {}


# ---------------------------------------------------------------- what is told


async def test_results_of_retired_lost_and_new_nodes_are_not_waited_for(sql: Connection, database: str) -> None:
    number = EndpointId(await add_agent(sql, "anna"))

    class Done:
        error = waits_for = ""

    async with directory_of(database, "a") as a:
        await a.heartbeat(heartbeat())
        reading = await a.read([number])
        await a.record(reading.snapshot, {number: Done()})
        assert not (await status(sql, "anna"))["pending"]
        await add_nodes(sql, "new")
        await sql.execute("delete from agentbridge.changes")
        assert not (await status(sql, "anna"))["pending"], "its daemon was never there"
        await beat(sql, "new")
        assert (await status(sql, "anna"))["pending"]
        await sql.execute("update agentbridge.nodes set lost_at = now() where node = 'new'")
        assert not (await status(sql, "anna"))["pending"]
        await sql.execute("update agentbridge.nodes set lost_at = null, retired_at = now() where node = 'new'")
        await sql.execute("delete from agentbridge.changes")
        assert not (await status(sql, "anna"))["pending"]


async def test_the_second_node_makes_every_daemon_look_at_everything_once(sql: Connection) -> None:
    await beat(sql, "a")
    assert await hints(sql) == set()
    await beat(sql, "b")
    assert await hints(sql) == {"*"}
    await beat(sql, "b")
    await beat(sql, "c")
    assert await hints(sql) == set()
