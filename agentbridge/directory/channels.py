"""What an agent takes besides calls: capacity and automatic answer of each channel (O1, O2), and modules (A19)."""

from __future__ import annotations

from collections.abc import Mapping

from agentbridge.directory import admin
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT
from agentbridge.directory.values import parsed
from agentbridge.errors import Refused

FIELDS = {"capacity": "integer", "auto_answer": "boolean", "auto_answer_delay": "integer"}
"""name → type, as in the table agent_channels"""


async def set_channel(connection: Connection, username: str, channel: str, texts: Mapping[str, str]) -> None:
    """Sets an agent's capacity and automatic answer for one channel; fields left out stay as they are. Raises
    Refused."""
    values = parsed(FIELDS, AGENT, texts)
    if not values:
        raise Refused(f"name at least one of {', '.join(FIELDS)}, as in capacity=3")
    [agent] = await admin.identifiers(connection, AGENT, [username])
    names = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(3, len(values) + 3))
    updates = ", ".join(f"{name} = excluded.{name}" for name in values)
    await connection.execute(
        f"insert into agentbridge.agent_channels (agent_id, channel, {names}) values ($1, $2, {places})"  # noqa: S608 - names of FIELDS
        f" on conflict (agent_id, channel) do update set {updates}",
        agent,
        channel,
        *values.values(),
    )


async def set_module(connection: Connection, username: str, module: str, *, on: bool) -> None:
    """Switches a module of the desk on or off for an agent. Raises Refused for an unknown agent or module."""
    [agent] = await admin.identifiers(connection, AGENT, [username])
    if not await connection.fetchval("select exists (select from agentbridge.modules where name = $1)", module):
        known = await connection.fetchval("select string_agg(name, ', ' order by name) from agentbridge.modules")
        raise Refused(f"module: there is no module {module}; there are {known}")
    if on:
        statement = "insert into agentbridge.agent_modules (agent_id, module) values ($1, $2) on conflict do nothing"
    else:
        statement = "delete from agentbridge.agent_modules where agent_id = $1 and module = $2"
    await connection.execute(statement, agent, module)
