"""Short words for what the tests do in a directory."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg
import pytest

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect = Callable[[], Awaitable[Connection]]


def quiet(_step: str) -> None:
    """For a migration that nobody watches."""


async def add_agent(sql: Connection, username: str, **columns: Any) -> str:
    """Creates an agent, external unless told otherwise; returns its internal number."""
    columns = {"username": username, "typology": "external", **columns}
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return str(
        await sql.fetchval(
            f"insert into agentbridge.agents ({', '.join(columns)}) values ({places}) returning internal",
            *columns.values(),
        )
    )


async def add_telephone(sql: Connection, name: str, *, registered: bool = True) -> None:
    await sql.execute("insert into agentbridge.telephones (name, registered) values ($1, $2)", name, registered)


async def add_queue(sql: Connection, name: str, *usernames: str) -> None:
    """Creates a queue with these agents."""
    await sql.execute("insert into agentbridge.queues (name) values ($1)", name)
    await sql.execute(
        "insert into agentbridge.queue_members (agent_id, queue_id)"
        " select a.id, q.id from agentbridge.agents a, agentbridge.queues q"
        " where a.username = any ($1) and q.name = $2",
        usernames,
        name,
    )


async def status(sql: Connection, username: str) -> asyncpg.Record:
    """Returns the agent's row of agent_status; checks that the quick look at one agent says the same."""
    row = await sql.fetchrow(
        "select *, agentbridge.applied_to(username) as quick, jsonb_build_object('pending', pending, 'applied_at',"
        " applied_at, 'error', error) as same from agentbridge.agent_status where username = $1",
        username,
    )
    assert row is not None
    assert row["quick"] == row["same"]
    return row


async def refusal(doing: Awaitable[Any], code: str = "AB") -> str:
    """Returns the message with which the database refuses. Raises AssertionError when it does not."""
    with pytest.raises(asyncpg.PostgresError) as caught:
        await doing
    assert (caught.value.sqlstate or "").startswith(code), caught.value
    return str(caught.value)
