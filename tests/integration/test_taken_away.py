"""What was taken away by a statement leaves a note; what is missing without one has vanished."""

from collections.abc import Sequence

import pytest

from agentbridge.directory.postgres import Directory
from agentbridge.model import AgentId, EndpointId, Fate, Loss, LossKind, QueueName
from tests.integration.words import Connection, add_agent, add_queue, add_telephone, refusal

SALES = QueueName("sales")


async def people(sql: Connection, count: int = 3) -> list[tuple[int, str]]:
    """Row ids and numbers of agents that work in `sales`, half of them by a team that `support` has too."""
    await add_queue(sql, "Sales")
    await add_queue(sql, "support")
    await sql.execute("insert into agentbridge.teams (name) values ('north')")
    await sql.execute(
        "insert into agentbridge.team_queues (team_id, queue_id) select t.id, q.id from agentbridge.teams t, "
        "agentbridge.queues q"
    )
    for number in range(count):
        await add_agent(sql, f"agent{number}")
    await sql.execute(
        "insert into agentbridge.queue_members (agent_id, queue_id) select a.id, q.id from agentbridge.agents a, "
        "agentbridge.queues q where q.name = 'Sales' and a.username <> 'agent1'"
    )
    await sql.execute(
        "insert into agentbridge.team_members (team_id, agent_id) select t.id, a.id from agentbridge.teams t, "
        "agentbridge.agents a where a.username = 'agent1'"
    )
    await sql.execute("select agentbridge.login(username, source => 'admin') from agentbridge.agents")
    rows = await sql.fetch("select id, internal from agentbridge.agents order by id")
    return [(row["id"], row["internal"]) for row in rows]


def losses(agents: Sequence[tuple[int, str]]) -> list[Loss]:
    """All that Asterisk has of them."""
    return [
        loss
        for row_id, number in agents
        for loss in (
            Loss(key=EndpointId(number), kind=LossKind.ENDPOINT, agent=AgentId(row_id)),
            Loss(key=EndpointId(number), kind=LossKind.LOGIN, agent=AgentId(row_id)),
            Loss(key=EndpointId(number), kind=LossKind.MEMBERSHIP, agent=AgentId(row_id), queue=SALES),
        )
    ]


async def vanished(database: str, agents: Sequence[tuple[int, str]]) -> set[tuple[str, str]]:
    async with Directory(database, node="pbx1") as directory:
        fates = await directory.judge(losses(agents))
        return {(loss.key, loss.kind.value) for loss, fate in fates.items() if fate is Fate.VANISHED}


TAKEN_AWAY = {
    "log out": "select agentbridge.logout(username, 'admin') from agentbridge.agents",
    "end the sessions": "delete from agentbridge.sessions",
    "lock": "update agentbridge.agents set locked_at = now()",
    "deactivate": "update agentbridge.agents set deactivated = true",
    "hot desk": "update agentbridge.agents set hot_desk = true",
    "delete all but one": "delete from agentbridge.agents where username <> 'kept'",
    "new numbers": "update agentbridge.agents set internal = (internal::int + 500)::text",
    "no queues": "delete from agentbridge.queue_members; delete from agentbridge.team_members",
    "another queue": "update agentbridge.queue_members set queue_id = (select id from agentbridge.queues "
    "where name = 'support'); delete from agentbridge.team_members",
    "the team's queues": "delete from agentbridge.queue_members; delete from agentbridge.team_queues",
    "the team": "delete from agentbridge.queue_members; delete from agentbridge.teams",
    "the queue": "delete from agentbridge.queues",
    "rename the queue": "update agentbridge.queues set name = 'selling' where name = 'Sales'",
}


@pytest.mark.parametrize("statement", TAKEN_AWAY.values(), ids=TAKEN_AWAY.keys())
async def test_what_a_statement_takes_away_has_not_vanished(sql: Connection, database: str, statement: str) -> None:
    agents = await people(sql)
    await add_agent(sql, "kept")
    assert await vanished(database, agents) == set()
    await sql.execute(statement)
    assert await vanished(database, agents) == set()


MISSING = {
    "truncate agents": ("truncate agentbridge.agents cascade", {"endpoint", "login", "membership"}),
    "truncate sessions": ("truncate agentbridge.sessions cascade", {"login", "membership"}),
    "truncate memberships": ("truncate agentbridge.queue_members, agentbridge.team_members", {"membership"}),
    "truncate teams": ("truncate agentbridge.queue_members, agentbridge.teams cascade", {"membership"}),
    "delete every agent": ("delete from agentbridge.agents", {"endpoint", "login", "membership"}),
    "without triggers": (
        "alter table agentbridge.sessions disable trigger user; delete from agentbridge.sessions",
        {"login", "membership"},
    ),
}


@pytest.mark.parametrize(("statement", "kinds"), MISSING.values(), ids=MISSING.keys())
async def test_what_is_missing_otherwise_has_vanished(
    sql: Connection, database: str, statement: str, kinds: set[str]
) -> None:
    agents = await people(sql)
    await sql.execute(statement)
    assert await vanished(database, agents) == {(number, kind) for _, number in agents for kind in kinds}


async def test_what_a_policy_hides_from_the_daemon_has_vanished(sql: Connection, database: str) -> None:
    agents = await people(sql)
    await sql.execute("alter table agentbridge.agents enable row level security, force row level security")
    await sql.execute(f"create policy half on agentbridge.agents using (id = {agents[0][0]})")
    assert {number for number, _ in await vanished(database, agents)} == {number for _, number in agents[1:]}


async def test_a_note_goes_when_the_same_comes_back(sql: Connection, database: str) -> None:
    agents = await people(sql)
    await sql.execute("select agentbridge.logout(username, 'admin') from agentbridge.agents")
    await sql.execute("delete from agentbridge.queue_members; delete from agentbridge.team_queues")
    assert await sql.fetchval("select count(*) from agentbridge.taken_away") == 3 + 4
    await sql.execute("select agentbridge.login(username, source => 'admin') from agentbridge.agents")
    await sql.execute(
        "insert into agentbridge.queue_members (agent_id, queue_id) select a.id, q.id from agentbridge.agents a, "
        "agentbridge.queues q"
    )
    assert await sql.fetchval("select count(*) from agentbridge.taken_away") == 0
    await sql.execute("truncate agentbridge.queue_members")
    assert {kind for _, kind in await vanished(database, agents)} == {"membership"}


async def test_who_moved_to_another_desk_lost_nothing_at_the_first(sql: Connection, database: str) -> None:
    await add_queue(sql, "sales")
    await add_telephone(sql, "desk1")
    await add_telephone(sql, "desk2")
    number = await add_agent(sql, "anna", hot_desk=True)
    row_id = await sql.fetchval("select id from agentbridge.agents")
    await sql.execute("select agentbridge.login('anna', 'desk1')")
    desk = EndpointId("desk1")
    there = [
        Loss(key=desk, kind=LossKind.MEMBERSHIP, agent=AgentId(row_id), queue=SALES),
        Loss(key=desk, kind=LossKind.LOGIN, agent=AgentId(row_id)),
        Loss(key=EndpointId(number), kind=LossKind.LOGIN, agent=AgentId(row_id)),
        Loss(key=desk, kind=LossKind.ENDPOINT, agent=None),
    ]
    async with Directory(database, node="pbx1") as directory:
        await sql.execute("select agentbridge.login('anna', 'desk2')")
        fates = await directory.judge(there)
        assert fates == dict.fromkeys(there, Fate.TAKEN_AWAY), "she is in no queue"
        await sql.execute(
            "insert into agentbridge.queue_members select a.id, q.id from agentbridge.agents a, agentbridge.queues q"
        )
        assert await directory.judge(there) == {**fates, there[0]: Fate.MOVED}
        await sql.execute("update agentbridge.telephones set name = 'desk9' where name = 'desk1'")
        assert await directory.judge(there) == {**fates, there[0]: Fate.MOVED}
        await sql.execute("truncate agentbridge.telephones cascade")
        assert await directory.judge(there) == {**dict.fromkeys(there, Fate.VANISHED), there[3]: Fate.TAKEN_AWAY}


async def test_what_is_held_is_noted_confirmed_as_it_was_shown_and_forgotten(sql: Connection, database: str) -> None:
    async with Directory(database, node="pbx1") as directory:
        keys = {EndpointId(str(number)) for number in range(1000, 1040)}
        assert await directory.hold(keys, 100) == set()
        shown = await sql.fetchval("select agentbridge.held_code('pbx1')")
        assert await sql.fetchval("select agentbridge.confirm_removals('pbx2')") == 0
        more = keys | {EndpointId("1099")}
        assert await directory.hold(more, 100) == set()
        assert "is not what is held now" in await refusal(
            sql.execute("select agentbridge.confirm_removals(code => $1)", shown)
        )
        assert await directory.hold(keys, 100) == set()
        assert await sql.fetchval("select agentbridge.confirm_removals(code => $1)", shown) == 40
        assert await directory.hold(more, 100) == keys, "only what was shown"
        assert await directory.hold(set(), 60) == set()
        assert await sql.fetchval("select count(*) from agentbridge.held") == 0


async def test_a_confirmation_for_an_older_database_confirms_no_removal(sql: Connection, database: str) -> None:
    async with Directory(database, node="pbx1") as directory:
        await directory.hold({EndpointId("1000")}, 10)
        await sql.execute("select agentbridge.database_older('pbx1', 'it is a backup')")
        assert await sql.fetchval("select agentbridge.confirm_removals()") == 1
        assert await sql.fetchval("select count(*) from agentbridge.held") == 0


async def test_notes_are_pruned_but_those_of_sessions_of_agents_who_are_there(sql: Connection) -> None:
    await people(sql)
    await sql.execute("select agentbridge.logout(username, 'admin') from agentbridge.agents")
    await sql.execute("delete from agentbridge.queue_members; delete from agentbridge.agents where username = 'agent0'")
    assert await sql.fetchval("select agentbridge.prune_taken_away('0 seconds')") == 4
    assert await sql.fetchval("select count(*) from agentbridge.taken_away where what = 'session'") == 2
