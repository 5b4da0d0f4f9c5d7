"""Requests about running calls: who may ask, that one node alone does it, and what became of it."""

import json
from typing import Any

import pytest
import pytest_asyncio

from lab.processes import until
from tests.integration.words import Connection, refusal


@pytest_asyncio.fixture(autouse=True)
async def centre(sql: Connection) -> None:
    await sql.execute("INSERT INTO agentbridge.queues (name) VALUES ('sales'), ('support')")
    await sql.execute(
        "INSERT INTO agentbridge.agents (username, internal, record_calls, manual_recording, may_spy, chanspy) VALUES"
        " ('ana', '1001', 'wav', false, false, true), ('ben', '1002', 'inactive', true, true, false),"
        " ('cat', '1003', 'inactive', false, false, false)"
    )
    await sql.execute(
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id) SELECT a.id, q.id FROM agentbridge.agents a,"
        " agentbridge.queues q WHERE a.username = 'ana' AND q.name = 'sales'"
    )
    await sql.execute("INSERT INTO agentbridge.users (username, role, agents_permission) VALUES ('lead', 'user', true)")
    await sql.execute("INSERT INTO agentbridge.users (username, role) VALUES ('boss', 'admin')")
    await sql.execute(
        "INSERT INTO agentbridge.user_queues (username, queue_id) SELECT 'lead', id FROM agentbridge.queues"
        " WHERE name = 'sales'"
    )
    await sql.execute("INSERT INTO agentbridge.nodes (node) VALUES ('one'), ('two')")


async def result(sql: Connection, request: int) -> dict[str, Any]:
    found = json.loads(await sql.fetchval("SELECT agentbridge.request_result($1)", request))
    assert isinstance(found, dict)
    return found


async def ask(sql: Connection, call: str, *arguments: object) -> int:
    request = await sql.fetchval(f"SELECT agentbridge.{call}", *arguments)
    assert isinstance(request, int)
    return request


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("recording_pause('nobody')", "AB003", "username: there is no agent nobody"),
        ("recording_pause('ana', actor => 'ben')", "AB004", "actor: ben may not act for ana"),
        ("recording_pause('cat', actor => 'lead')", "AB004", "actor: lead may not act for cat"),
        ("recording_start('cat')", "AB004", "manual_recording: cat may not record by hand"),
        ("recording_stop('ana', actor => 'ana')", "AB004", "record_calls: the calls of ana are recorded"),
        ("spy('ana', 'ben')", "AB004", "may_spy: ana may not listen"),
        ("spy('ben', 'cat')", "AB004", "chanspy: the calls of cat may not be listened to"),
        ("spy('ben', 'ana', 'shout')", "AB001", "mode: "),
        ("dial('ana', '12;DROP')", "AB001", "number: must be"),
        ("dial('ana', '')", "AB001", "number: must be"),
        ("dial('ana', null)", "AB001", "number: must be"),
        ("hangup('ana', seconds => 61)", "AB001", "seconds: must be 0.1 to 60"),
    ],
)
async def test_what_is_refused_at_once_names_its_field_and_rule(
    sql: Connection, call: str, code: str, words: str
) -> None:
    assert words in await refusal(sql.fetchval(f"SELECT agentbridge.{call}"), code)
    assert await sql.fetchval("SELECT count(*) FROM agentbridge.requests") == 0


async def test_who_may_spy_listens_to_the_agents_of_its_own_queues(sql: Connection) -> None:
    """M5: may_spy of an agent and of a user; both listen with the device of an agent that may."""
    await sql.execute("update agentbridge.agents set chanspy = true")
    await sql.execute("insert into agentbridge.users (username, may_spy) values ('sue', true)")
    await sql.execute(
        "insert into agentbridge.user_queues select 'sue', id from agentbridge.queues where name = 'sales'"
    )
    listen = "select agentbridge.spy('ben', $1, actor => $2)"
    for actor in ("lead", "sue"):
        assert f"actor: {actor} may not listen by the device of ben" in await refusal(
            sql.fetchval(listen, "ana", actor), "AB004"
        )
    assert "actor: ben may not listen to ana" in await refusal(sql.fetchval(listen, "ana", "ben"), "AB004")
    for actor in ("", "boss"):
        assert await sql.fetchval(listen, "ana", actor)
    await sql.execute(
        "insert into agentbridge.queue_members (agent_id, queue_id) select a.id, q.id from agentbridge.agents a,"
        " agentbridge.queues q where (a.username, q.name) in (('ben', 'sales'), ('ben', 'support'), ('cat', 'support'))"
    )
    for agent, actor in (("ana", "ben"), ("cat", "ben"), ("ana", "sue")):
        assert await sql.fetchval(listen, agent, actor), (agent, actor)
    assert "actor: sue may not listen to cat" in await refusal(sql.fetchval(listen, "cat", "sue"), "AB004")
    assert "by the device of ben" in await refusal(sql.fetchval(listen, "ana", "lead"), "AB004"), "manages, no more"
    await sql.execute("update agentbridge.users set may_spy = false where username = 'sue'")
    assert "by the device of ben" in await refusal(sql.fetchval(listen, "ana", "sue"), "AB004")


@pytest.mark.parametrize("actor", ["", "ana", "lead", "boss"])
async def test_who_may_ask_gets_an_id_and_hears_what_became_of_it(sql: Connection, actor: str) -> None:
    request = await ask(sql, "recording_pause('ana', actor => $1)", actor)
    found = await result(sql, request)
    assert (found["state"], found["actor"], found["verb"]) == ("asked", actor, "recording_pause")
    assert await sql.fetchval("SELECT agentbridge.take_request($1, 'one')", request)
    assert await sql.fetchval("SELECT agentbridge.finish_request($1, 'one', $2, '')", request, '{"files": 1}')
    found = await result(sql, request)
    assert (found["state"], found["node"], found["result"]) == ("done", "one", {"files": 1})
    told = {"": "application", "ana": "agent:ana"}.get(actor, f"user:{actor}")
    assert [
        tuple(row) for row in await sql.fetch("SELECT actor, action, object FROM agentbridge.audit ORDER BY id")
    ] == [
        (told, "requests.recording_pause", "ana"),
        (told, "requests.done", "ana"),
    ]


async def test_a_request_is_taken_by_one_node_alone_and_never_after_its_deadline(sql: Connection) -> None:
    request = await ask(sql, "hangup('ana')")
    assert [row["verb"] for row in await sql.fetch("SELECT * FROM agentbridge.open_requests('two')")] == ["hangup"]
    assert await sql.fetchval("SELECT agentbridge.take_request($1, 'one')", request)
    assert not await sql.fetchval("SELECT agentbridge.take_request($1, 'two')", request)
    assert not await sql.fetchval("SELECT agentbridge.finish_request($1, 'two', null, 'not mine')", request)
    assert await sql.fetch("SELECT * FROM agentbridge.open_requests('two')") == []

    late = await ask(sql, "hangup('ana', seconds => 0.1)")

    async def over() -> bool:
        return (await result(sql, late))["state"] == "timed out"

    await until(over, within=5, what="the deadline")
    assert not await sql.fetchval("SELECT agentbridge.take_request($1, 'one')", late)
    assert await sql.fetch("SELECT * FROM agentbridge.open_requests('one')") == []


async def test_what_was_taken_by_a_daemon_that_died_is_told_as_timed_out(sql: Connection) -> None:
    request = await ask(sql, "hangup('ana', seconds => 0.3)")
    assert await sql.fetchval("SELECT agentbridge.take_request($1, 'one')", request)

    async def over() -> bool:
        return (await result(sql, request))["state"] == "timed out"

    await until(over, within=5, what="the deadline")
    assert not await sql.fetchval("SELECT agentbridge.take_request($1, 'two')", request)


async def test_a_request_is_refused_when_all_living_nodes_have_said_that_it_is_not_theirs(sql: Connection) -> None:
    request = await ask(sql, "recording_pause('ana')")
    await sql.execute("SELECT agentbridge.decline_request($1, 'one', 'ana: nothing is being recorded')", request)
    assert (await result(sql, request))["state"] == "asked"
    assert await sql.fetch("SELECT * FROM agentbridge.open_requests('one')") == []
    await sql.execute("SELECT agentbridge.decline_request($1, 'two', 'ana: nothing is being recorded')", request)
    found = await result(sql, request)
    assert (found["state"], found["reason"]) == ("refused", "ana: nothing is being recorded")

    await sql.execute("UPDATE agentbridge.nodes SET seen_at = now() - interval '1 minute' WHERE node = 'two'")
    request = await ask(sql, "recording_pause('ana')")
    await sql.execute("SELECT agentbridge.decline_request($1, 'one', 'no call')", request)
    assert (await result(sql, request))["state"] == "refused"
