"""Agents are in queues by themselves and by their teams, and Asterisk follows at once.

The penalty of a direct membership wins; without one it is the lowest of the agent's teams.
"""

from tests.acceptance.centre import Centre


async def team(centre: Centre, name: str, *usernames: str, **queues: int) -> None:
    """A team with these agents, and its queues with their penalties."""
    db = centre.db
    number = await db.fetchval("INSERT INTO agentbridge.teams (name) VALUES ($1) RETURNING id", name)
    await db.execute(
        "INSERT INTO agentbridge.team_members (team_id, agent_id) "
        "SELECT $1, id FROM agentbridge.agents WHERE username = ANY ($2)",
        number,
        [*usernames],
    )
    for queue, penalty in queues.items():
        await add_queue(centre, name, queue, penalty)


async def add_queue(centre: Centre, name: str, queue: str, penalty: int) -> None:
    await centre.db.execute(
        "INSERT INTO agentbridge.team_queues (team_id, queue_id, penalty) "
        "SELECT t.id, q.id, $3 FROM agentbridge.teams t, agentbridge.queues q WHERE t.name = $1 AND q.name = $2",
        name,
        queue,
        penalty,
    )


async def leave_team(centre: Centre, name: str, username: str) -> None:
    await centre.db.execute(
        "DELETE FROM agentbridge.team_members m USING agentbridge.teams t, agentbridge.agents a "
        "WHERE m.team_id = t.id AND m.agent_id = a.id AND t.name = $1 AND a.username = $2",
        name,
        username,
    )


async def where(centre: Centre, internal: str) -> dict[str, int]:
    """The queues in which it is a member, and with which penalty, when all is done."""
    await centre.settled()
    found = await centre.members()
    return {queue: seen.penalty for (queue, interface), seen in found.items() if interface == f"PJSIP/{internal}"}


async def logged_in(centre: Centre, username: str, *queues: str, penalty: int = 0) -> str:
    internal = await centre.agent(username, *queues, penalty=penalty)
    await centre.login(username)
    return internal


async def test_a_team_s_queues_are_its_agents_queues(shared: Centre) -> None:
    ana, ben = await logged_in(shared, "ana"), await logged_in(shared, "ben")
    await team(shared, "red", "ana", sales=2, support=4)
    assert await where(shared, ana) == {"sales": 2, "support": 4}
    assert await where(shared, ben) == {}
    await add_queue(shared, "red", "billing", 1)
    assert await where(shared, ana) == {"sales": 2, "support": 4, "billing": 1}
    await shared.db.execute(
        "DELETE FROM agentbridge.team_queues USING agentbridge.queues q WHERE q.id = queue_id AND q.name = 'sales'"
    )
    assert await where(shared, ana) == {"support": 4, "billing": 1}
    await leave_team(shared, "red", "ana")
    assert await where(shared, ana) == {}
    await shared.db.execute("DELETE FROM agentbridge.teams")


async def test_an_agent_in_a_queue_by_two_ways_stays_until_both_end(shared: Centre) -> None:
    ana = await logged_in(shared, "ana", "sales")
    await team(shared, "red", "ana", sales=0)
    await team(shared, "blue", "ana", sales=0)
    assert await where(shared, ana) == {"sales": 0}
    await shared.db.execute("DELETE FROM agentbridge.queue_members")
    assert await where(shared, ana) == {"sales": 0}
    await leave_team(shared, "red", "ana")
    assert await where(shared, ana) == {"sales": 0}
    await shared.db.execute("DELETE FROM agentbridge.teams WHERE name = 'blue'")
    assert await where(shared, ana) == {}
    await shared.db.execute("DELETE FROM agentbridge.teams")


async def test_the_direct_penalty_wins_and_else_the_lowest_of_the_teams(shared: Centre) -> None:
    ana = await logged_in(shared, "ana", "sales", penalty=9)
    await team(shared, "red", "ana", sales=5, support=5)
    await team(shared, "blue", "ana", sales=3, support=3)
    assert await where(shared, ana) == {"sales": 9, "support": 3}
    await shared.db.execute("DELETE FROM agentbridge.queue_members")
    assert await where(shared, ana) == {"sales": 3, "support": 3}
    await leave_team(shared, "blue", "ana")
    assert await where(shared, ana) == {"sales": 5, "support": 5}
    await shared.db.execute("UPDATE agentbridge.team_queues SET penalty = 7")
    assert await where(shared, ana) == {"sales": 7, "support": 7}
    await shared.db.execute("DELETE FROM agentbridge.teams")


async def test_a_pause_goes_along_into_the_queues_of_a_team(shared: Centre) -> None:
    ana = await logged_in(shared, "ana", "sales")
    await shared.pause("ana", "lunch")
    await team(shared, "red", "ana", support=0)
    await shared.until_member("support", ana, paused=True, reason="lunch")
    await shared.db.execute("DELETE FROM agentbridge.teams")


async def test_a_queue_that_is_deleted_loses_our_members_and_a_new_one_of_its_name_gets_them(shared: Centre) -> None:
    ana = await logged_in(shared, "ana", "sales", "support")
    assert await where(shared, ana) == {"sales": 0, "support": 0}
    await shared.asterisk.cli("queue add member Local/9@from-sip to support")
    await shared.db.execute("DELETE FROM agentbridge.queues WHERE name = 'support'")
    assert await where(shared, ana) == {"sales": 0}
    assert set(await shared.members("support")) == {("support", "Local/9@from-sip")}
    await shared.db.execute("INSERT INTO agentbridge.queues (name) VALUES ('support')")
    await shared.db.execute(
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id, penalty) "
        "SELECT a.id, q.id, 6 FROM agentbridge.agents a, agentbridge.queues q WHERE q.name = 'support'"
    )
    assert await where(shared, ana) == {"sales": 0, "support": 6}
    await shared.asterisk.cli("queue remove member Local/9@from-sip from support")


async def test_a_queue_deleted_while_the_daemon_is_away_loses_our_members_at_its_start(shared: Centre) -> None:
    ana = await logged_in(shared, "ana", "sales", "billing")
    assert await where(shared, ana) == {"sales": 0, "billing": 0}
    await shared.bridge.kill()
    await shared.db.execute("DELETE FROM agentbridge.queues WHERE name = 'billing'")
    await shared.bridge.start()
    assert await where(shared, ana) == {"sales": 0}
