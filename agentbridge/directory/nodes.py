"""The nodes of the centre, as an administrator lists and changes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentbridge.directory.connecting import Connection

if TYPE_CHECKING:
    from agentbridge.model import Node

Record = dict[str, Any]
_LISTED = "select * from agentbridge.node_status"


async def listed(connection: Connection) -> list[Record]:
    """Returns all nodes with their state and what they have, retired ones last."""
    rows = await connection.fetch(f"{_LISTED} order by state = 'retired', node")
    return [dict(row) for row in rows]


async def reachable(connection: Connection) -> list[Node]:
    """Returns the nodes that others reach by SIP and that are not retired, by name."""
    # the commands that only list or change nodes start without it
    from agentbridge.model import Node

    rows = await connection.fetch(
        "select node, sip_host, sip_port from agentbridge.nodes"
        " where sip_host <> '' and retired_at is null order by node"
    )
    return [Node(row["node"], row["sip_host"], row["sip_port"]) for row in rows]


async def add(connection: Connection, node: Node, *, serves_queues: bool, actor: str) -> None:
    """Adds a node, or changes its SIP address and whether it serves queues. Raises Refused, naming the field."""
    await connection.execute(
        "select agentbridge.node_add($1, $2, $3, $4, $5)",
        node.name,
        node.sip_host,
        node.sip_port,
        serves_queues,
        actor,
    )


async def retire(connection: Connection, name: str, *, actor: str) -> None:
    """Takes a node out of service. Raises Refused where it is unknown, or no other could serve its queues."""
    await connection.execute("select agentbridge.node_retire($1, $2)", name, actor)


async def home(connection: Connection, name: str, queues: Sequence[str] | None, *, actor: str) -> int:
    """Moves queues to a node: those that belong there, or the ones named, which then belong there.

    Returns how many moved. Raises Refused for an unknown name, and for a node that is not up.
    """
    return int(await connection.fetchval("select agentbridge.node_home($1, $2, $3)", name, queues, actor))
