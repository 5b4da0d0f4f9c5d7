"""`agentbridge team`: agents that go into queues together."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory import editing
from agentbridge.cli.options import (
    ConfigPath,
    Fields,
    Json,
    Limit,
    Offset,
    Search,
    Sort,
    Yes,
    acting_user,
    assignments,
    in_directory,
)
from agentbridge.directory import admin, authority
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT, TEAM

app = typer.Typer(help="Teams of agents. `queue add QUEUE --team TEAM` puts one into a queue.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="TEAM")]
Agents = Annotated[list[str], typer.Argument(metavar="USERNAME...")]


@app.command()
def create(name: Name, fields: Fields = None, config: ConfigPath = None, as_json: Json = False) -> None:
    """Make a team."""
    made = in_directory(config, lambda connection: editing.create(connection, TEAM, name, assignments(fields)))
    if as_json:
        output.document(made)
    else:
        output.line(f"team {made['name']} is made")


@app.command("list")
def list_teams(
    search: Search = "",
    limit: Limit = 100,
    offset: Offset = 0,
    sort: Sort = "name",
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Teams, with the number of their agents and queues."""
    page = admin.Page(search=search, sort=sort, limit=limit, offset=offset)
    editing.show_list(config, TEAM, page, as_json=as_json)


@app.command()
def show(name: Name, config: ConfigPath = None, as_json: Json = False) -> None:
    """A team with its agents and queues."""
    editing.show_one(config, TEAM, name, as_json=as_json)


@app.command("set")
def set_fields(name: Name, fields: Fields, config: ConfigPath = None, as_json: Json = False) -> None:
    """Change fields; shows what changed, old → new."""
    editing.set_fields(config, TEAM, name, fields or [], as_json=as_json)


@app.command()
def delete(
    names: Annotated[list[str], typer.Argument(metavar="TEAM...")], config: ConfigPath = None, yes: Yes = False
) -> None:
    """Its agents stay agents, and leave the queues that they were in by this team alone."""
    editing.delete(config, TEAM, names, yes=yes)


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
