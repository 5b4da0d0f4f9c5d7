"""`agentbridge agent`: who the agents are."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory import editing
from agentbridge.cli.directory.common import Group
from agentbridge.cli.options import (
    ALL_QUEUES,
    ConfigPath,
    Fields,
    Json,
    Limit,
    Offset,
    Search,
    Sort,
    acting_user,
    assignments,
    in_directory,
)
from agentbridge.directory import admin, authority
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT, QUEUE, TEAM

app = typer.Typer(help="Agents: who they are, and what they do now.", no_args_is_help=True)
Username = Annotated[str, typer.Argument(metavar="USERNAME")]
_group = Group(app=app, kind=AGENT, metavar="USERNAME")


@app.command()
def create(
    username: Username,
    fields: Fields = None,
    queue: Annotated[list[str] | None, typer.Option(help="Put it into this queue; * is all. Repeat it.")] = None,
    team: Annotated[list[str] | None, typer.Option(help="Put it into this team. Repeat it.")] = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Make an agent; the internal number and the SIP secret are chosen when they are not given."""

    async def work(connection: Connection) -> admin.Record:
        await editing.create(connection, AGENT, username, assignments(fields))
        await join(connection, username, queue or [], team or [])
        await authority.must_manage(connection, acting_user(), [username])
        return await admin.shown(connection, AGENT, username)

    made = in_directory(config, work)
    if as_json:
        output.document(made)
    else:
        output.line(f"agent {made['username']} has the number {made['internal']}")


async def join(connection: Connection, username: str, queues: list[str], teams: list[str]) -> None:
    """Puts a new agent into queues and teams. Raises Refused for unknown names, and where the acting user may not do
    it."""
    [agent] = await admin.identifiers(connection, AGENT, [username])
    if ALL_QUEUES in queues:
        queues = await admin.all_keys(connection, QUEUE)
    ids = await admin.identifiers(connection, QUEUE, queues)
    await authority.must_fill(connection, acting_user(), ids)
    await admin.join_queues(connection, ids, [agent], [], 0)
    if teams:
        await authority.must_administer(connection, acting_user(), "put agents into teams")
    for team in await admin.identifiers(connection, TEAM, teams):
        await admin.join_team(connection, team, [agent])


@app.command("list")
def list_agents(
    search: Search = "",
    limit: Limit = 100,
    offset: Offset = 0,
    sort: Sort = "username",
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Agents whose name, username, number, alias or email has the text in it."""
    page = admin.Page(search=search, sort=sort, limit=limit, offset=offset, manager=acting_user())
    editing.show_list(config, AGENT, page, as_json=as_json)


_group.edit(
    show="All of an agent but its secrets, with queues, teams, and whether Asterisk has it.",
    delete="Memberships, session and endpoint go; recordings and history stay.",
)


@app.command()
def secret(username: Username, config: ConfigPath = None) -> None:
    """Print the SIP secret, for setting up the agent's phone."""
    editing.sip_secret(config, AGENT, username)


@app.command()
def unlock(username: Username, config: ConfigPath = None) -> None:
    """Let an agent log in again that failed logins have locked."""

    async def work(connection: Connection) -> bool:
        await authority.must_manage(connection, acting_user(), [username])
        return bool(await connection.fetchval("select agentbridge.unlock($1)", username))

    output.message(f"{username} is unlocked" if in_directory(config, work) else f"{username} was not locked")
