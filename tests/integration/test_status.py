"""What agent_status says of a change on its way, and what the loop reads of a key."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from agentbridge.directory.postgres import Directory, Heartbeat
from agentbridge.directory.subjects import subject
from agentbridge.model import EndpointId, Membership, QueueName, Session, SipType
from lab.postgres import DAEMON, as_role
from tests.integration.words import Connection, add_agent, add_queue, add_telephone, status


@dataclass(frozen=True)
class Found:
    error: str = ""
    waits_for: str = ""


def of_daemon(database: str, node: str = "pbx1") -> Directory:
    return Directory(as_role(database, DAEMON), node=node)


async def applied(directory: Directory, *keys: str, error: str = "") -> None:
    reading = await directory.read([EndpointId(key) for key in keys])
    await directory.record(reading.snapshot, {key: Found(error) for key in reading.subjects})


async def test_a_change_is_pending_until_the_node_has_it_and_its_failure_is_told(
    sql: Connection, database: str
) -> None:
    number = await add_agent(sql, "anna")
    async with of_daemon(database) as directory:
        assert (await status(sql, "anna"))["applied_at"] is None
        await applied(directory, number)
        first = await status(sql, "anna")
        assert first["applied_at"] >= first["wanted_at"]
        assert (first["pending"], first["error"]) == (False, None)

        await sql.execute("update agentbridge.agents set chanspy = true")
        row = await status(sql, "anna")
        assert (row["applied_at"], row["pending"]) == (None, True)
        assert row["wanted_at"] > first["wanted_at"]

        await applied(directory, number, error="codec refused")
        row = await status(sql, "anna")
        assert (row["applied_at"], row["error"]) == (None, "codec refused")
        await applied(directory, number)
        row = await status(sql, "anna")
        assert (row["applied_at"] is not None, row["error"], row["pending"]) == (True, None, False)


async def test_a_change_that_asterisk_need_not_know_counts_as_applied_once_it_was_looked_at(
    sql: Connection, database: str
) -> None:
    number = EndpointId(await add_agent(sql, "anna"))
    async with of_daemon(database) as directory:
        await applied(directory, number)
        before = await directory.read([number])
        await sql.execute("update agentbridge.agents set description = 'sits by the window', failed_logins = 1")
        assert (await status(sql, "anna"))["pending"] is False
        await sql.execute("update agentbridge.agents set alias = alias")
        assert (await status(sql, "anna"))["pending"] is True
        after = await directory.read([number])
        assert after.subjects == before.subjects, "what the loop compares with Asterisk, so it has nothing to write"
        await directory.record(after.snapshot, {number: Found()})
        row = await status(sql, "anna")
        assert (row["applied_at"] is not None, row["error"], row["pending"]) == (True, None, False)


async def test_a_change_that_commits_after_the_rows_were_read_stays_pending(sql: Connection, database: str) -> None:
    number = EndpointId(await add_agent(sql, "anna"))
    async with of_daemon(database) as directory:
        reading = await directory.read([number])
        await sql.execute("update agentbridge.agents set chanspy = true")
        await directory.record(reading.snapshot, {number: Found()})
        assert (await status(sql, "anna"))["pending"] is True


async def test_of_several_nodes_the_worst_counts(sql: Connection, database: str) -> None:
    number = await add_agent(sql, "anna")
    async with (
        of_daemon(database) as first,
        of_daemon(database, "pbx2") as second,
    ):
        await applied(first, number)
        await applied(second, number, error="no such transport")
        row = await status(sql, "anna")
        assert (row["applied_at"], row["error"]) == (None, "no such transport")
        await applied(second, number)
        assert (await status(sql, "anna"))["applied_at"] is None, "with a second node the first must look again"
        await applied(first, number)
        assert (await status(sql, "anna"))["applied_at"] is not None
        await sql.execute("insert into agentbridge.nodes (node) values ('pbx3')")
        assert (await status(sql, "anna"))["applied_at"] is None, "a node that has not looked yet"


async def test_the_telephone_of_a_hot_desk_agent_counts_too(sql: Connection, database: str) -> None:
    number = await add_agent(sql, "hot", hot_desk=True)
    await add_telephone(sql, "desk1")
    await sql.execute("select agentbridge.login('hot', 'desk1')")
    async with of_daemon(database) as directory:
        await applied(directory, number)
        assert (await status(sql, "hot"))["applied_at"] is None
        await applied(directory, "desk1")
        assert (await status(sql, "hot"))["applied_at"] is not None


async def test_old_hints_go_only_when_every_living_node_has_read_them(sql: Connection, database: str) -> None:
    await add_agent(sql, "anna")
    await add_agent(sql, "ben")
    await sql.execute("update agentbridge.changes set at = now() - interval '1 day'")
    newest = await sql.fetchval("select max(seq) from agentbridge.changes")
    async with of_daemon(database) as directory:

        async def beat(snapshot: str | None) -> None:
            await directory.heartbeat(
                Heartbeat(
                    started_at=datetime.now(UTC), snapshot=snapshot, asterisk_up=True, lag_seconds=0.1, pending=0,
                    failed=0, version="1",
                )
            )  # fmt: skip

        await beat(None)
        assert await directory.prune_changes() == 0
        await beat((await directory.read([EndpointId("none")])).snapshot)
        assert await directory.prune_changes() >= 1
    # the newest stays: by it a daemon knows the database again
    assert await sql.fetchval("select array_agg(seq) from agentbridge.changes") == [newest]


@pytest.mark.parametrize("change", ["update agentbridge.agents set chanspy = true", "select agentbridge.note('{*}')"])
async def test_a_change_is_pending_also_in_an_outage_longer_than_hints_are_kept(
    sql: Connection, database: str, change: str
) -> None:
    """The daemon has read it, and Asterisk is away."""
    number, other = EndpointId(await add_agent(sql, "anna")), await add_agent(sql, "ben")
    async with of_daemon(database) as directory:
        await applied(directory, number)
        await applied(directory, other)
        first = (await status(sql, "anna"))["applied_at"]
        await sql.execute(change + (" where username = 'anna'" if "update" in change else ""))
        wanted = (await status(sql, "anna"))["wanted_at"]
        await sql.execute("select agentbridge.note('{end}')")
        read = await directory.read([number])
        await directory.heartbeat(
            Heartbeat(
                started_at=datetime.now(UTC), snapshot=read.snapshot, asterisk_up=False, lag_seconds=0.1, pending=1,
                failed=0, version="1",
            )
        )  # fmt: skip
        assert await sql.fetchval("select agentbridge.prune_changes('0')") >= 1
        row = await status(sql, "anna")
        assert (row["pending"], row["applied_at"], row["wanted_at"], row["error"]) == (True, None, wanted, None)
        assert (await status(sql, "ben"))["pending"] is ("note" in change)
        await directory.record(read.snapshot, {number: Found()})
        row = await status(sql, "anna")
        assert (row["pending"], row["error"]) == (False, None)
        assert row["applied_at"] > first


async def test_a_key_is_read_with_all_that_the_loop_needs(sql: Connection, database: str) -> None:
    await add_agent(sql, "hot", hot_desk=True, alias="Hot, Shot", internal="1001", sip_type="peer")
    await add_telephone(sql, "desk1")
    await add_queue(sql, "Sales", "hot")
    await sql.execute("insert into agentbridge.queues (name, channel) values ('mail', 'email')")
    await sql.execute("insert into agentbridge.queue_members select 1, id from agentbridge.queues where name = 'mail'")
    await sql.execute(
        "insert into agentbridge.teams (name) values ('north'); insert into agentbridge.team_members values (1, 1);"
        "insert into agentbridge.queues (name) values ('support');"
        "insert into agentbridge.team_queues select 1, id, 7 from agentbridge.queues where channel = 'voice'"
    )
    await sql.execute("select agentbridge.login('hot', 'desk1'), agentbridge.pause('hot', 'forms', 'Sales')")
    async with of_daemon(database) as directory:
        reading = await directory.read([EndpointId("1001"), EndpointId("desk1"), EndpointId("77")])
    agent, telephone, unknown = (reading.subjects[EndpointId(key)] for key in ("1001", "desk1", "77"))
    assert agent.agent is not None
    assert (agent.carried, agent.telephone, agent.agent.display_name) == (None, None, "Hot, Shot")
    assert agent.agent.line.sip_type is SipType.PEER
    assert telephone.agent is None
    assert telephone.telephone is not None
    assert telephone.carried == agent.agent
    assert agent.agent.session == Session(telephone=EndpointId("desk1"))
    assert agent.agent.memberships == (
        Membership(queue=QueueName("sales"), penalty=0, paused=True, reason="forms"),
        Membership(queue=QueueName("support"), penalty=7),
    )
    assert (unknown.agent, unknown.telephone, unknown.carried) == (None, None, None)
    assert reading.queues == {"sales", "support"}


async def test_a_queue_that_left_the_directory_is_still_ours_to_empty(sql: Connection, database: str) -> None:
    await add_queue(sql, "old")
    await add_queue(sql, "renamed")
    await sql.execute("delete from agentbridge.queues where name = 'old'")
    await sql.execute("update agentbridge.queues set name = 'new' where name = 'renamed'")
    async with of_daemon(database) as directory:
        assert (await directory.read([EndpointId("none")])).queues == {"old", "renamed", "new"}


async def test_a_row_that_makes_no_sense_is_one_keys_problem_and_not_the_others(sql: Connection, database: str) -> None:
    bad, good = await add_agent(sql, "bad"), await add_agent(sql, "good")
    # only a superuser's hand gets this past the rules
    await sql.execute(
        "alter table agentbridge.agents disable trigger user;"
        "update agentbridge.agents set sip_type = 'foe' where username = 'bad'"
    )
    async with of_daemon(database) as directory:
        reading = await directory.read([EndpointId(bad), EndpointId(good)])
    assert "'foe' is not a valid SipType" in reading.subjects[EndpointId(bad)].problem
    assert reading.subjects[EndpointId(good)].agent is not None
    assert subject({"key": "x"}).problem != ""


async def test_what_the_registrar_says_decides_which_telephones_are_available(sql: Connection, database: str) -> None:
    for name in ("desk1", "desk2"):
        await add_telephone(sql, name, registered=False)
    async with of_daemon(database) as directory:
        await directory.telephones_registered({EndpointId("desk1"): True, EndpointId("desk2"): None})
    rows = await sql.fetch("select name, available from agentbridge.telephone_status order by name")
    assert [tuple(row) for row in rows] == [("desk1", True), ("desk2", False)]


async def test_what_a_change_waits_for_is_told_while_it_is_pending(sql: Connection, database: str) -> None:
    number = EndpointId(await add_agent(sql, "anna"))
    async with Directory(database, node="pbx1") as directory:
        await applied(directory, number)
        await sql.execute("update agentbridge.agents set alias = 'Ann'")
        reading = await directory.read([number])
        await directory.record(reading.snapshot, {number: Found(waits_for="the end of a call")})
        row = await status(sql, "anna")
        assert (row["pending"], row["applied_at"], row["error"]) == (True, None, None)
        assert row["waits_for"] == "the end of a call"
        await applied(directory, number)
        row = await status(sql, "anna")
        assert (row["pending"], row["waits_for"]) == (False, None)


async def test_a_reading_tells_which_keys_changed_since_the_last_hint(sql: Connection, database: str) -> None:
    anna, bert = EndpointId(await add_agent(sql, "anna")), EndpointId(await add_agent(sql, "bert"))
    async with Directory(database, node="pbx1") as directory:
        directory.hinted = (await directory.read([anna])).snapshot
        assert (await directory.read([anna, bert])).changed == set()
        await sql.execute("select agentbridge.login('anna')")
        assert (await directory.read([anna, bert])).changed == {anna}
        await sql.execute("insert into agentbridge.queues (name) values ('sales')")
        assert (await directory.read([anna, bert])).changed == {anna, bert}, "everything has changed"
        directory.hinted = (await directory.read([anna])).snapshot
        assert (await directory.read([anna, bert])).changed == set()


async def test_a_queue_that_left_the_directory_is_ours_until_each_node_has_taken_ours_out(
    sql: Connection, database: str
) -> None:
    number, sales = EndpointId(await add_agent(sql, "anna")), QueueName("sales")
    await add_queue(sql, "Sales")
    await sql.execute("update agentbridge.queues set name = 'selling'")
    async with Directory(database, node="pbx1") as directory, Directory(database, node="pbx2") as other:
        reading = await directory.read([number])
        assert (reading.queues, reading.retired) == ({sales, "selling"}, {sales})
        await directory.hand_over({sales})
        assert (await directory.read([number])).queues == {"selling"}
        assert (await other.read([number])).retired == {sales}
        await sql.execute("insert into agentbridge.queues (name) values ('sales')")
        assert (await other.read([number])).retired == set()
        await sql.execute("delete from agentbridge.queues where name = 'sales'")
        assert (await directory.read([number])).retired == {sales}
