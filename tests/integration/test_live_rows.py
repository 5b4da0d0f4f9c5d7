"""What goes on, as rows: versions, states that keep their moment, rows that are gone, nodes that fall silent."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest_asyncio

from tests.integration.words import Connection

AT = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
ANA: dict[str, object] = {
    "internal": "1001", "state": "ready", "since": AT.isoformat(), "pauses": {}, "device": "1001", "contact": True,
    "calls": 0,
}  # fmt: skip
CALL: dict[str, object] = {
    "channel": "lab-1.2", "linkedid": "lab-1.1", "internal": "1001", "direction": "in", "queue": "sales",
    "number": "0301", "name": "Customer", "rang_at": AT.isoformat(), "answered_at": None, "held_at": None,
    "recording": "none", "parts": [], "spied_by": [],
}  # fmt: skip
SALES: dict[str, object] = {
    "queue": "sales", "waiting": 1, "longest_since": AT.isoformat(), "ready": 1, "paused": 0, "talking": 0,
    "day": "2026-11-24", "answered": 3, "abandoned": 1, "in_level": 2, "level_seconds": 20,
}  # fmt: skip
Row = dict[str, object]


@pytest_asyncio.fixture(autouse=True)
async def ana(sql: Connection) -> None:
    await sql.execute("INSERT INTO agentbridge.agents (username, internal) VALUES ('ana', '1001')")


async def write(
    sql: Connection,
    *,
    agents: list[Row] | None = None,
    calls: list[Row] | None = None,
    queues: list[Row] | None = None,
    whole: bool = False,
    node: str = "lab",
) -> int | None:
    """The newest version that it made; whole: what is not named is gone."""
    parts = (json.dumps(part or []) for part in (agents, calls, queues))
    version: int | None = await sql.fetchval("SELECT agentbridge.live_write($1, $2, $3, $4)", node, *parts)
    if whole:
        keys = [[row[key] for row in part or []] for part, key in (
            (agents, "internal"), (calls, "channel"), (queues, "queue"))]  # fmt: skip
        version = await sql.fetchval("SELECT agentbridge.live_keep($1, $2, $3, $4)", node, *keys) or version
    return version


async def test_what_says_nothing_new_keeps_its_version_and_a_state_its_moment(sql: Connection) -> None:
    first = await write(sql, agents=[ANA], calls=[CALL], queues=[SALES], whole=True)
    assert first is not None
    later = ANA | {"since": (AT + timedelta(seconds=9)).isoformat()}
    assert await write(sql, agents=[later], calls=[CALL], queues=[SALES], whole=True) is None
    second = await write(sql, agents=[later | {"calls": 1}])
    assert second is not None
    assert second > first
    row = await sql.fetchrow("SELECT username, since, version FROM agentbridge.live_agent_states")
    assert row is not None
    assert tuple(row) == ("ana", AT, second)
    third = await write(sql, agents=[later | {"state": "talking"}])
    assert await sql.fetchrow("SELECT since, version FROM agentbridge.live_agents") == (
        AT + timedelta(seconds=9), third,
    )  # fmt: skip


async def test_a_call_that_is_over_is_in_the_history_once(sql: Connection) -> None:
    later = (AT + timedelta(seconds=5)).isoformat()
    await write(sql, calls=[CALL])
    over = CALL | {"rang_at": later, "ended_at": later, "gone": True}
    short = CALL | {"channel": "lab-1.3", "ended_at": later, "gone": True, "answered_at": later}
    for _ in range(2):
        assert await sql.fetchval("SELECT count(*) FROM agentbridge.live_running_calls") in (0, 1)
        await write(sql, calls=[over, short])
    rows = await sql.fetch(
        "SELECT channel, a.username, rang_at, answered_at, ended_at FROM agentbridge.ended_calls e"
        " JOIN agentbridge.agents a ON a.id = e.agent_id ORDER BY channel"
    )
    end = AT + timedelta(seconds=5)
    assert [tuple(row) for row in rows] == [("lab-1.2", "ana", AT, None, end), ("lab-1.3", "ana", AT, end, end)]
    # the short one was never seen running, and readers hear of it all the same
    assert await sql.fetchval("SELECT gone_at IS NOT NULL FROM agentbridge.live_calls WHERE channel = 'lab-1.3'")

    # a colleague took it while it rang here
    await write(sql, calls=[over | {"channel": "lab-1.5", "answered_elsewhere": True}])
    elsewhere = "SELECT array_agg(channel) FROM agentbridge.ended_calls WHERE answered_elsewhere"
    assert await sql.fetchval(elsewhere) == ["lab-1.5"]

    # one that ended while no daemon looked is found by the look at everything
    await write(sql, calls=[CALL | {"channel": "lab-1.4"}])
    await write(sql, whole=True)
    assert await sql.fetchval("SELECT count(*) FROM agentbridge.ended_calls WHERE channel = 'lab-1.4'") == 1
    await sql.execute("DELETE FROM agentbridge.agents")
    assert await sql.fetchval("SELECT count(*) FROM agentbridge.ended_calls WHERE agent_id IS NULL") == 4


async def test_a_calls_row_is_on_the_disk_before_its_write_returns(sql: Connection) -> None:
    """From the first one on: after a crash of PostgreSQL Asterisk tells of a call that has ended meanwhile no more."""
    await sql.execute("SET synchronous_commit = on")
    answered = CALL | {"answered_at": AT.isoformat()}
    for call in (CALL, answered, answered | {"ended_at": AT.isoformat(), "gone": True}):
        written = await sql.fetchval(
            "SELECT pg_current_wal_insert_lsn() FROM agentbridge.live_write('lab', '[]', $1, '[]')", json.dumps([call])
        )
        assert await sql.fetchval("SELECT pg_current_wal_flush_lsn() >= $1", written)


async def test_readers_hear_of_what_is_gone_and_begin_anew_when_they_are_too_old(sql: Connection) -> None:
    seen = await write(sql, agents=[ANA], calls=[CALL], whole=True)
    gone = await write(sql, calls=[{"channel": "lab-1.2", "gone": True}])
    rows = await sql.fetch("SELECT channel, gone_at, version FROM agentbridge.live_calls WHERE version > $1", seen)
    assert [(row["channel"], row["gone_at"] is not None, row["version"]) for row in rows] == [("lab-1.2", True, gone)]
    assert await sql.fetchval("SELECT count(*) FROM agentbridge.live_running_calls") == 0
    assert await sql.fetchval("SELECT floor <= $1 FROM agentbridge.live_nodes", seen)

    await sql.execute("UPDATE agentbridge.live_calls SET gone_at = now() - interval '2 minutes'")
    await write(sql, agents=[ANA], whole=True)
    assert await sql.fetchval("SELECT count(*) FROM agentbridge.live_calls") == 0
    assert await sql.fetchval("SELECT floor FROM agentbridge.live_nodes") == gone


async def test_a_whole_write_ends_what_it_does_not_name_of_this_node_alone(sql: Connection) -> None:
    await write(sql, agents=[ANA], calls=[CALL], queues=[SALES], whole=True)
    await write(sql, agents=[ANA], calls=[CALL], node="other", whole=True)
    await write(sql, whole=True)
    assert [tuple(row) for row in await sql.fetch("SELECT node, internal FROM agentbridge.live_agent_states")] == [
        ("other", "1001")
    ]
    assert await sql.fetchval("SELECT count(*) FROM agentbridge.live_queue_states") == 0


async def test_another_epoch_tells_that_the_rows_were_lost(sql: Connection) -> None:
    await write(sql, agents=[ANA], whole=True)
    before = await sql.fetchval("SELECT epoch FROM agentbridge.live_nodes")
    await sql.execute("TRUNCATE agentbridge.live_nodes, agentbridge.live_agents")  # as a crash does
    await write(sql, agents=[ANA], whole=True)
    assert await sql.fetchval("SELECT epoch FROM agentbridge.live_nodes") > before


async def test_the_rows_of_a_silent_node_are_stale(sql: Connection) -> None:
    await write(sql, agents=[ANA], queues=[SALES], whole=True)
    assert await sql.fetchval("SELECT stale FROM agentbridge.live_agent_states") is False
    await sql.execute("UPDATE agentbridge.live_nodes SET written_at = now() - interval '16 seconds'")
    assert await sql.fetchval("SELECT stale FROM agentbridge.live_agent_states") is True
    assert await sql.fetchval("SELECT stale FROM agentbridge.live_queue_states") is True


async def test_the_counts_of_a_day_outlive_the_live_rows(sql: Connection) -> None:
    await write(sql, queues=[SALES])
    await sql.execute("TRUNCATE agentbridge.live_queues")
    rows = await sql.fetch("SELECT * FROM agentbridge.live_day('lab', $1)", date(2026, 11, 24))
    assert [tuple(row) for row in rows] == [("sales", 3, 1, 2)]
