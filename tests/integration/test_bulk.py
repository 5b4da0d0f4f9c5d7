"""Thousands of agents from a file: fast, and as exact about errors as one by one."""

from agentbridge.directory.bulk import Texts, create_agents
from tests.integration.words import Connection


async def import_(sql: Connection, rows: list[Texts], at_most: int = 20) -> list[tuple[int, str]]:
    """In a transaction that is undone when something is wrong, as the command does."""
    transaction = sql.transaction()
    await transaction.start()
    lines = list(enumerate(rows, 2))
    errors = await create_agents(sql, lines, at_most=at_most, progress=lambda _: None)
    await (transaction.rollback() if errors else transaction.commit())
    return errors


def people(count: int) -> list[dict[str, str]]:
    return [{"username": f"agent{number}", "full_name": f"Agent {number}"} for number in range(count)]


async def test_each_error_of_a_long_file_has_its_line_and_nobody_is_made(sql: Connection) -> None:
    await sql.execute("update agentbridge.settings set internal_from = 1000, internal_to = 2999")
    rows = people(1200)
    rows[7]["codecs"] = "ulaw,mp3"
    rows[300]["username"] = "agent1"
    rows[899]["queues"] = "nowhere"
    rows[1100]["email"] = "two@example.com, three@example.com"
    errors = await import_(sql, list(rows))
    assert [line for line, _ in errors] == [9, 302, 901, 1102]
    texts = [text.split(":")[0] for _, text in errors]
    assert texts == ["codecs", "username", "queues", "email"]
    assert await sql.fetchval("select count(*) from agentbridge.agents") == 0


async def test_a_file_that_is_wrong_in_every_line_is_given_up_after_some(sql: Connection) -> None:
    rows: list[Texts] = [{**row, "email": "nobody"} for row in people(3000)]
    errors = await import_(sql, rows, at_most=20)
    assert [line for line, _ in errors] == list(range(2, 22))


async def test_a_number_that_a_later_line_brings_is_not_generated_for_an_earlier_one(sql: Connection) -> None:
    first = int(await sql.fetchval("select internal_from from agentbridge.settings"))
    rows: list[Texts] = [*people(3), {"username": "zoe", "internal": str(first + 1)}]
    assert await import_(sql, rows) == []
    agents = await sql.fetch("select username, internal from agentbridge.agents")
    assert {agent["username"]: agent["internal"] for agent in agents} == {
        "agent0": str(first),
        "zoe": str(first + 1),
        "agent1": str(first + 2),
        "agent2": str(first + 3),
    }


async def test_lists_queues_and_teams_come_with_each_line(sql: Connection) -> None:
    await sql.execute("insert into agentbridge.queues (name) values ('sales'), ('support')")
    await sql.execute("insert into agentbridge.teams (name) values ('north')")
    rows: list[Texts] = [
        {"username": "anna", "codecs": "alaw, ulaw,gsm", "queues": "*", "teams": "north,north"},
        {"username": "bert", "codecs": "g722", "queues": "support"},
        {"username": "carla", "auto_answer": "yes", "auto_answer_delay": "3"},
    ]
    assert await import_(sql, rows) == []
    found = await sql.fetch(
        "select a.codecs, a.auto_answer_delay, array(select q.name from agentbridge.effective_members m"
        " join agentbridge.queues q on q.id = m.queue_id where m.agent_id = a.id order by 1) as queues,"
        " (select count(*) from agentbridge.team_members t where t.agent_id = a.id) as teams"
        " from agentbridge.agents a order by username"
    )
    assert [tuple(row) for row in found] == [
        (["alaw", "ulaw", "gsm"], 0, ["sales", "support"], 1),
        (["g722"], 0, ["support"], 0),
        (["ulaw", "alaw"], 3, [], 0),
    ]
