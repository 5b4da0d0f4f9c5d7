"""`agentbridge team`: agents that go into queues together."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory.common import Group
from agentbridge.cli.options import (
    ConfigPath,
    acting_user,
    in_directory,
)
from agentbridge.directory import admin, authority
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT, TEAM

app = typer.Typer(help="Teams of agents. `queue add QUEUE --team TEAM` puts one into a queue.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="TEAM")]
Agents = Annotated[list[str], typer.Argument(metavar="USERNAME...")]
_group = Group(app=app, kind=TEAM, metavar="TEAM")
_group.create("Make a team.", lambda made: f"team {made['name']} is made")
_group.list("Teams, with the number of their agents and queues.")
_group.edit(
    show="A team with its agents and queues.",
    delete="Its agents stay agents, and leave the queues that they were in by this team alone.",
)


@app.command()
def add(team: Name, agents: Agents, config: ConfigPath = None) -> None:
    """Put agents into a team, and so into its queues."""

    async def work(connection: Connection) -> None:
        await authority.must_administer(connection, acting_user(), "change teams")
        [row] = await admin.identifiers(connection, TEAM, [team])
        await admin.join_team(connection, row, await admin.identifiers(connection, AGENT, agents))

    in_directory(config, work)
    output.message(f"in {team}: {', '.join(agents)}")


@app.command()
def remove(team: Name, agents: Agents, config: ConfigPath = None) -> None:
    """Take agents out of a team."""

    async def work(connection: Connection) -> None:
        await authority.must_administer(connection, acting_user(), "change teams")
        [row] = await admin.identifiers(connection, TEAM, [team])
        await admin.leave_team(connection, row, await admin.identifiers(connection, AGENT, agents))

    in_directory(config, work)
    output.message(f"not in {team}: {', '.join(agents)}")
