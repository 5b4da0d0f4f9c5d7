"""The rows of recordings and of listening in a real PostgreSQL."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from agentbridge.directory.postgres import Directory
from agentbridge.directory.recordings import CallLedger, agent_of, listed
from agentbridge.model.calls import RecordingEnd, RecordingStart, RecordingTrouble, SpyAttempt, recording_file
from lab.postgres import DAEMON, as_role
from tests.integration.words import Connection

AT = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
SPY = SpyAttempt(channel="lab-1.5", at=AT, spyer="1002", target="1001", mode="listen", allowed=True)


def started(internal: str = "1001", part: int = 1, *, call: int = 1, channel: str = "lab-1.2") -> RecordingStart:
    file = recording_file(f"monitor/agentbridge/2026/11/24/lab-179553076{call}.1-{internal}-{part}.wav")
    assert file is not None
    return RecordingStart(file=file, at=AT, channel=channel)


def finished(row: RecordingStart, size: int = 16044) -> RecordingEnd:
    return RecordingEnd(path=row.file.path, at=AT + timedelta(seconds=5), bytes=size)


@pytest_asyncio.fixture
async def directory(database: str) -> AsyncIterator[Directory]:
    async with Directory(as_role(database, DAEMON), node="lab") as directory:
        yield directory


@pytest.fixture
def ledger(directory: Directory) -> CallLedger:
    return CallLedger(directory, node="lab")


@pytest_asyncio.fixture
async def ana(sql: Connection) -> None:
    await sql.execute("INSERT INTO agentbridge.agents (username, internal) VALUES ('ana', '1001')")


async def test_a_recording_is_unfinished_until_its_end_is_written(ledger: CallLedger, sql: Connection) -> None:
    row = started()
    await ledger.start([row])
    assert await ledger.unfinished("", 10) == {row.file.path: "lab-1.2"}
    await ledger.finish([finished(row)])
    assert await ledger.unfinished("", 10) == {}
    kept = await sql.fetchrow("SELECT * FROM agentbridge.recordings")
    assert kept is not None
    assert (kept["bytes"], kept["ended_at"] - kept["started_at"]) == (16044, timedelta(seconds=5))


async def test_writing_twice_changes_nothing(ledger: CallLedger, sql: Connection) -> None:
    row = started()
    for _ in range(2):
        await ledger.start([row])
    for size in (16044, 1):
        await ledger.finish([finished(row, size)])
    assert [tuple(kept) for kept in await sql.fetch("SELECT part, bytes FROM agentbridge.recordings")] == [(1, 16044)]


async def test_a_file_that_is_recorded_into_again_is_unfinished_again(ledger: CallLedger, sql: Connection) -> None:
    row = started()
    await ledger.start([row])
    await ledger.finish([finished(row)])
    await ledger.start([replace(row, channel="lab-1.9", at=AT + timedelta(seconds=60))])
    assert await ledger.unfinished("", 10) == {row.file.path: "lab-1.9"}
    assert await sql.fetchval("SELECT started_at FROM agentbridge.recordings") == AT


async def test_a_part_of_a_call_has_one_file_whatever_its_format_and_day(ledger: CallLedger, sql: Connection) -> None:
    row = started()
    other = recording_file("monitor/agentbridge/2026/11/25/lab-1795530761.1-1001-1.gsm")
    assert other is not None
    assert await ledger.start([row]) == set()
    assert await ledger.start([row, replace(row, file=other)]) == {other.path}
    assert await sql.fetch("SELECT file FROM agentbridge.recordings") == [(row.file.path,)]
    assert await ledger.start([replace(started(part=2), at=AT), started(internal="1002")]) == set()


async def test_what_has_no_end_is_told_in_parts(ledger: CallLedger) -> None:
    rows = [started(call=call) for call in range(1, 6)]
    await ledger.start(rows)
    paths = [row.file.path for row in rows]
    assert list(await ledger.unfinished("", 3)) == paths[:3]
    assert list(await ledger.unfinished(paths[2], 3)) == paths[3:]
    assert await ledger.unfinished(paths[-1], 3) == {}


async def test_when_the_folder_was_listed_and_what_is_wrong_is_kept_at_the_node(
    ledger: CallLedger, sql: Connection
) -> None:
    assert await ledger.listed_at() is None
    assert not await ledger.note_trouble(RecordingTrouble())
    await sql.execute("INSERT INTO agentbridge.nodes (node) VALUES ('lab')")
    await ledger.note_listed(AT)
    assert await ledger.listed_at() == AT
    assert await ledger.note_trouble(RecordingTrouble(unmeasured=2, silent=1, closed={"/spool": "denied"}))
    columns = "recordings_unmeasured, recordings_silent, recordings_closed"
    kept = await sql.fetchrow(f"SELECT {columns} FROM agentbridge.nodes")
    assert kept is not None
    assert (kept[0], kept[1], json.loads(kept[2])) == (2, 1, {"/spool": "denied"})


async def test_the_same_file_on_another_node_is_another_recording(ledger: CallLedger, directory: Directory) -> None:
    row, other = started(), CallLedger(directory, node="other")
    await ledger.start([row])
    assert await other.unknown([row.file.path]) == {row.file.path}
    assert await ledger.unknown([row.file.path]) == set()
    await other.start([row])
    await other.finish([finished(row)])
    assert await ledger.unfinished("", 10) == {row.file.path: "lab-1.2"}


@pytest.mark.usefixtures("ana")
async def test_a_recording_outlives_its_agent(ledger: CallLedger, sql: Connection) -> None:
    await ledger.start([started()])
    await sql.execute("DELETE FROM agentbridge.agents")
    (row,) = await listed(sql, "ana", limit=10, offset=0)
    assert (row["username"], row["internal"]) == ("ana", "1001")


@pytest.mark.usefixtures("ana")
async def test_a_list_has_the_newest_first_by_username_or_number_and_in_pages(
    ledger: CallLedger, sql: Connection
) -> None:
    rows = [replace(started(call=call), at=AT + timedelta(minutes=call)) for call in (1, 2, 3)]
    await ledger.start([*rows, started("1009")])
    files = [row.file.path for row in reversed(rows)]
    for name in ("ana", "1001"):
        assert [row["file"] for row in await listed(sql, name, limit=10, offset=0)] == files
    assert [row["file"] for row in await listed(sql, "ana", limit=1, offset=1)] == files[1:2]
    assert len(await listed(sql, "", limit=10, offset=0)) == 4


@pytest.mark.usefixtures("ana")
async def test_a_username_that_looks_like_a_number_is_a_username(sql: Connection) -> None:
    await sql.execute("INSERT INTO agentbridge.agents (username, internal) VALUES ('1001', '1007')")
    assert await agent_of(sql, "ana") == ("ana", "1001")
    assert await agent_of(sql, "1001") == ("1001", "1007")
    assert await agent_of(sql, "1007") == ("1001", "1007")
    assert await agent_of(sql, "1008") is None


@pytest.mark.usefixtures("ana")
async def test_a_try_to_listen_is_one_row_from_its_start_to_its_end(ledger: CallLedger, sql: Connection) -> None:
    refused = replace(SPY, channel="lab-1.7", allowed=False, reason="agent", target="1003")
    await ledger.note_spying([SPY, refused])
    assert await ledger.unended_spying() == []
    running = replace(SPY, started_at=AT + timedelta(seconds=1))
    await ledger.note_spying([running])
    assert await ledger.unended_spying() == [running]
    await ledger.note_spying([replace(running, ended_at=AT + timedelta(seconds=9), ending="revoked")])
    assert await ledger.unended_spying() == []
    rows = await sql.fetch("SELECT username, allowed, reason, ending FROM agentbridge.spy_audit ORDER BY channel")
    assert [tuple(row) for row in rows] == [("ana", True, "", "revoked"), (None, False, "agent", "")]
