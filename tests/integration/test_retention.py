"""What grows is kept for as long as the settings say, and deleted in small steps."""

from collections.abc import Iterable

import pytest

from agentbridge.directory.postgres import Directory
from agentbridge.directory.recordings import SQL
from lab.postgres import DAEMON, as_role
from tests.integration.words import Connection, add_agent

TABLES = {
    "recordings": "keep_recordings_days",
    "spy_audit": "keep_audit_days",
    "audit": "keep_audit_days",
    "queue_days": "keep_counts_days",
    "ended_calls": "keep_calls_days",
    "interactions": "keep_interactions_days",
    "requests": "keep_traces_days",
    "takeovers": "keep_traces_days",
    "password_resets": "keep_traces_days",
    "retired_queues": "keep_traces_days",
    "applied": "keep_traces_days",
}
ROWS = """
insert into agentbridge.nodes (node) values ('n') on conflict do nothing;
insert into agentbridge.recordings (node, internal, linkedid, part, file, format, started_at, ended_at)
    select 'n', '1', '{age}', 1, '{age}', 'wav', {at}, {at};
insert into agentbridge.spy_audit (node, channel, at, spyer, target, mode, allowed)
    values ('n', '1', {at}, '1', '2', 'listen', false);
insert into agentbridge.audit (at, actor, action) values ({at}, 'user:boss', 'agents.update');
insert into agentbridge.queue_days (node, queue, day) values ('n', 'sales', ({at})::date);
insert into agentbridge.ended_calls
    (node, channel, linkedid, internal, direction, queue, number, name, rang_at, ended_at)
    values ('n', '{age}', '{age}', '1', 'in', '', '', '', {at}, {at});
insert into agentbridge.interactions (channel, interaction, agent_id, claimed_at)
    select 'chat', '{age}', id, {at} from agentbridge.agents;
insert into agentbridge.requests (asked_at, deadline, verb, username, internal) values ({at}, {at}, 'dial', 'a', '1');
insert into agentbridge.takeovers (at, agent, telephone, taken_by) values ({at}, 'a', 't', 'b');
insert into agentbridge.password_resets (token_hash, agent_id, expires_at)
    select sha256('{age}'), id, {at} from agentbridge.agents;
insert into agentbridge.retired_queues values ('{age}', {at});
insert into agentbridge.applied (node, key, snapshot, applied_at) values ('n', '{age}', pg_current_snapshot(), {at});
"""


async def rows_of_age(sql: Connection, *days: int) -> None:
    for age in days:
        await sql.execute(ROWS.format(age=age, at=f"now() - interval '{age} days 1 hour'"))


async def left(sql: Connection, tables: Iterable[str]) -> dict[str, int]:
    return {table: await sql.fetchval(f"select count(*) from agentbridge.{table}") for table in tables}


async def test_each_table_that_grows_is_pruned_by_its_setting_and_by_no_other(sql: Connection, database: str) -> None:
    await add_agent(sql, "anna")
    await rows_of_age(sql, 1, 60)
    assert set((await left(sql, TABLES)).values()) == {2}
    async with Directory(as_role(database, DAEMON), node="pbx1") as directory:
        await sql.execute(f"update agentbridge.settings set {', '.join(f'{s} = 0' for s in set(TABLES.values()))}")
        assert await directory.prune_old() is False
        assert set((await left(sql, TABLES)).values()) == {2}, "0 is for ever"
        for setting in sorted(set(TABLES.values())):
            await sql.execute(f"update agentbridge.settings set {setting} = 30")
            await directory.prune_old()
            pruned = {table for table, count in (await left(sql, TABLES)).items() if count == 1}
            await sql.execute(f"update agentbridge.settings set {setting} = 0")
            assert {table for table, its in TABLES.items() if its == setting} <= pruned, setting
        await directory.prune_old()
        assert set((await left(sql, TABLES)).values()) == {1}, "what is younger stays"


async def test_much_is_deleted_in_steps_of_a_thousand(sql: Connection, database: str) -> None:
    await sql.execute(
        "insert into agentbridge.requests (asked_at, deadline, verb, username, internal)"
        " select now() - interval '1 year', now(), 'dial', 'a', '1' from generate_series(1, 2500)"
    )
    async with Directory(as_role(database, DAEMON), node="pbx1") as directory:
        assert [await directory.prune_old() for _ in range(3)] == [True, True, False]
    assert await left(sql, ["requests"]) == {"requests": 0}


async def test_what_runs_or_is_somebodys_stays_however_old(sql: Connection, database: str) -> None:
    number = await add_agent(sql, "anna")
    old = "now() - interval '9 years'"
    await sql.execute(
        "update agentbridge.settings set keep_recordings_days = 1;"
        "insert into agentbridge.nodes (node) values ('n');"
        "insert into agentbridge.recordings (node, internal, linkedid, part, file, format, started_at)"
        f" values ('n', '1', '1', 1, 'f', 'wav', {old});"
        "insert into agentbridge.spy_audit (node, channel, at, spyer, target, mode, allowed, started_at)"
        f" values ('n', '1', {old}, '1', '2', 'listen', true, {old});"
        "insert into agentbridge.applied (node, key, snapshot, applied_at)"
        f" values ('n', '{number}', pg_current_snapshot(), {old})"
    )
    async with Directory(as_role(database, DAEMON), node="pbx1") as directory:
        await directory.prune_old()
    assert set((await left(sql, ["recordings", "spy_audit", "applied"])).values()) == {1}


async def test_a_file_older_than_recordings_are_kept_gets_no_row_again(sql: Connection) -> None:
    day = "monitor/agentbridge/{}/lab-1.1-1000-1.wav"
    files = [day.format(when) for when in ("2001/02/03", "2999/01/01")]
    assert [row["file"] for row in await sql.fetch(SQL["unknown_recordings"], "n", files)] == files
    await sql.execute("update agentbridge.settings set keep_recordings_days = 30")
    assert [row["file"] for row in await sql.fetch(SQL["unknown_recordings"], "n", files)] == files[1:]


@pytest.mark.parametrize("days", [-1, 99999])
async def test_a_number_of_days_that_makes_no_sense_is_refused(sql: Connection, days: int) -> None:
    with pytest.raises(Exception, match="keep_…_days must be 0"):
        await sql.execute("update agentbridge.settings set keep_audit_days = $1", days)
