"""Who may do what (A1): the one table of operations, and what is asked of the directory about an actor.

An actor of None is whoever holds the configuration, and so may do everything. Any other is a user of the directory: an
administrator may do everything as well; a user with the agents permission manages the agents that are in a queue
enabled for that user, and puts them into those queues; a user with may_spy watches these agents and listens to them,
and sees their recordings where it has download_recordings. The command line asks `must` before each command, the HTTP
side before each operation; whoever acts on agents or queues asks for those besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from agentbridge.directory.connecting import Connection, translated
from agentbridge.errors import Refused


class Needs(StrEnum):
    """What a user must be to run an operation."""

    HOLDER = "holder"
    """of the configuration: for no user of the directory"""
    ADMINISTRATOR = "administrator"
    MANAGER = "manager"
    """has the agents permission; of which agents and queues is asked by the operation itself"""
    SUPERVISOR = "supervisor"
    """has may_spy; of which agents is asked by the operation itself, as for a manager"""
    VIEWER = "viewer"
    """is a manager or a supervisor"""


_EDITING = "create list show set delete"
_TABLE = {
    Needs.HOLDER: {"": "run api files remove", "db": "migrate move grant"},
    Needs.ADMINISTRATOR: {
        "": "check plan plan.confirm status",
        "db": "status",
        "setting": "list set",
        "user": f"{_EDITING} add remove password",
        "team": f"{_EDITING} add remove",
        "prefix": _EDITING,
        "queue": "create set delete",
        "telephone": "create set delete secret",
        "agent": "import reset",
        "node": "list add retire home files",
    },
    Needs.MANAGER: {
        "": "answer dial hangup",
        "queue": "list show add remove",
        "telephone": "list show",
        "agent": f"{_EDITING} secret unlock avatar channel module export password login logout pause unpause",
        "recording": "pause resume start stop",
    },
    Needs.SUPERVISOR: {"": "spy"},
    Needs.VIEWER: {"": "watch", "recording": "list"},
}
OPERATIONS = {
    f"{thing}.{verb}" if thing else verb: needs
    for needs, things in _TABLE.items()
    for thing, verbs in things.items()
    for verb in verbs.split()
}
"""operation, as in `agent.login` → what it needs; one that is missing here is for the holder alone"""

ADMINISTRATORS_FIELDS = frozenset({"may_spy"})
"""what would let an agent do more than the user who sets it"""


async def must(connection: Connection, actor: str | None, operation: str) -> None:
    """Raises Refused unless the actor may run the operation, and for an actor that no user is. None may do
    everything."""
    if actor is None:
        return
    needs = OPERATIONS.get(operation, Needs.HOLDER)
    if needs is Needs.HOLDER:
        raise Refused(f"user: {operation} is only for whoever may read the configuration; run it without --user")
    with translated():
        await connection.execute("select agentbridge.check_role($1, $2, $3)", actor, needs.value, operation)


async def must_have_queue(connection: Connection, actor: str | None, queue: str) -> None:
    """Raises Refused unless the queue is enabled for the actor."""
    if actor is not None and not await connection.fetchval("select agentbridge.has_queue($1, $2)", actor, queue):
        raise Refused(f"user: the queue {queue} is not enabled for {actor}; an administrator may enable it")


async def must_manage(connection: Connection, user: str | None, usernames: Sequence[str]) -> None:
    """Raises Refused, naming them, for agents that the user may not manage; user None, with the database's own rights,
    may all."""
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
    """Raises Refused where the user is no administrator. what: what only they may do, for the message."""
    if user is None:
        return
    if not await connection.fetchval(
        "select exists (select from agentbridge.users where username = $1 and role = 'admin')", user
    ):
        raise Refused(f"user: {user} is no administrator, and only they may {what}")


async def must_fill(connection: Connection, user: str | None, queues: Iterable[int]) -> None:
    """Raises Refused unless the user may put agents into these queues, and take them out."""
    if user is None:
        return
    rows = await connection.fetch(
        "select q.address from agentbridge.queues q where q.id = any($2::bigint[]) and not exists ("
        " select from agentbridge.users u left join agentbridge.user_queues e"
        " on e.username = u.username and e.queue_id = q.id"
        " where u.username = $1 and (u.role = 'admin' or u.agents_permission and e.queue_id is not null))",
        user,
        list(queues),
    )
    if rows:
        raise Refused(
            f"user: the queue {', '.join(row[0] for row in rows)} is not enabled for {user}; "
            "an administrator may enable it"
        )


async def must_set(connection: Connection, user: str | None, fields: Iterable[str]) -> None:
    if forbidden := sorted(ADMINISTRATORS_FIELDS & set(fields)):
        await must_administer(connection, user, f"set {', '.join(forbidden)}")
