"""The agent's own forwarding, and the prefixes that it chooses from, in the database."""

import asyncpg
import pytest

from tests.integration.words import Connection, add_agent, refusal


async def test_an_agent_forwards_where_it_may_and_an_administrator_always(sql: Connection) -> None:
    await add_agent(sql, username="ana", typology="phonebar", forward_allowed=True)
    await add_agent(sql, username="ben", typology="phonebar")
    assert await sql.fetchval("SELECT agentbridge.forward('ana', '0551234', 'phonebar')")
    assert not await sql.fetchval("SELECT agentbridge.forward('ana', '0551234', 'phonebar')")  # as it is
    assert await sql.fetchval("SELECT forward_to FROM agentbridge.agents WHERE username = 'ana'") == "0551234"
    assert await sql.fetchval("SELECT agentbridge.forward('ana', source => 'phone')")
    assert await sql.fetchval("SELECT forward_to FROM agentbridge.agents WHERE username = 'ana'") == ""
    assert "forward_allowed: ben may not forward calls" in await refusal(
        sql.execute("SELECT agentbridge.forward('ben', '0551234', 'phone')")
    )
    assert await sql.fetchval("SELECT agentbridge.forward('ben', '0551234', 'admin')")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("forward('nobody', '1')", "username: there is no agent nobody"),
        ("forward('ana', '12x', 'phone')", "forward_to: must be a number of 1 to 32 digits (got 12x)"),
        ("forward('ana', '12', 'web')", "source: ana works with a phonebar"),
    ],
)
async def test_what_can_not_be_forwarded_is_refused(sql: Connection, call: str, message: str) -> None:
    await add_agent(sql, username="ana", typology="phonebar", forward_allowed=True)
    assert message in await refusal(sql.execute(f"SELECT agentbridge.{call}"))


async def test_an_agent_who_must_choose_a_prefix_is_told_which_there_are(sql: Connection) -> None:
    await add_agent(sql, username="ana", internal="1001", prefix_required=True)
    await add_agent(sql, username="ben", internal="1002")
    assert "number: must begin with one of the prefixes: there is none yet" in await refusal(
        sql.execute("SELECT agentbridge.dial('ana', '0551234')")
    )
    await sql.execute("INSERT INTO agentbridge.prefixes (prefix, label) VALUES ('9', 'Head office'), ('08', '')")
    assert "number: must begin with one of the prefixes: 08, 9 Head office" in await refusal(
        sql.execute("SELECT agentbridge.dial('ana', '0551234')")
    )
    for number in ("90551234", "080551234", "1002"):
        assert await sql.fetchval("SELECT agentbridge.dial('ana', $1)", number)


@pytest.mark.parametrize("prefix", ["", "9&8", "nine", "123456789", "9 "])
async def test_a_prefix_that_can_not_be_dialled_is_refused(sql: Connection, prefix: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="prefix: must be 1 to 8 digits"):
        await sql.execute("INSERT INTO agentbridge.prefixes (prefix) VALUES ($1)", prefix)
