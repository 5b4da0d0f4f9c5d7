"""Who may manage agents (A1). A user of None is whoever holds the configuration, and so may do everything.

An administrator may do everything as well. A user with the agents permission manages the agents that are in a queue
enabled for that user, and puts them into those queues; all else is for administrators.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentbridge.directory.connecting import Connection
from agentbridge.errors import Refused

ADMINISTRATORS_FIELDS = frozenset({"role", "may_spy"})
"""what would let an agent do more than the user who sets it"""


async def must_manage(connection: Connection, user: str | None, usernames: Sequence[str]) -> None:
    if user is None:
        return
    rows = await connection.fetch(
        "select u from unnest($2::text[]) u where not agentbridge.may_manage($1, u)", user, list(usernames)
    )
    if rows:
        raise Refused(
            f"user: {user} may not manage {', '.join(row[0] for row in rows)}; needed is the role admin, or"
            " agents_permission and one of the agent's queues enabled for the user"
        )


async def must_administer(connection: Connection, user: str | None, what: str) -> None:
    if user is None:
        return
    if not await connection.fetchval(
        "select exists (select from agentbridge.users where username = $1 and role = 'admin')", user
    ):
        raise Refused(f"user: {user} is no administrator, and only they may {what}")


async def must_fill(connection: Connection, user: str | None, queues: Iterable[int]) -> None:
    """Put agents into these queues, and take them out."""
    if user is None:
        return
    rows = await connection.fetch(
        "select q.name from agentbridge.queues q where q.id = any($2::bigint[]) and not exists ("
        " select from agentbridge.users u left join agentbridge.user_queues e"
        " on e.username = u.username and e.queue_id = q.id"
        " where u.username = $1 and (u.role = 'admin' or u.agents_permission and e.queue_id is not null))",
        user,
        list(queues),
    )
    if rows:
        raise Refused(f"user: not enabled for {user}: the queue {', '.join(row[0] for row in rows)}")


async def must_set(connection: Connection, user: str | None, fields: Iterable[str]) -> None:
    if forbidden := sorted(ADMINISTRATORS_FIELDS & set(fields)):
        await must_administer(connection, user, f"set {', '.join(forbidden)}")
