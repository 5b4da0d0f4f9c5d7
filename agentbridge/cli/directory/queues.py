"""`agentbridge queue`: the queues whose members are the directory's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory import editing
from agentbridge.cli.directory.common import Group
from agentbridge.cli.options import (
    ALL_QUEUES,
    ConfigPath,
    Json,
    Limit,
    Offset,
    Search,
    Sort,
    acting_user,
    in_directory,
)
from agentbridge.directory import admin, authority
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT, CHANNELS, QUEUE, TEAM

app = typer.Typer(help="Queues: those of queues.conf whose members agentbridge keeps.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="QUEUE")]
Channel = Annotated[str | None, typer.Option(help="Only those of this channel: voice, chat, email, …")]
NameOrAll = Annotated[str, typer.Argument(metavar="QUEUE", help="* is all of them.")]
Agents = Annotated[list[str] | None, typer.Argument(metavar="[USERNAME]...")]
Teams = Annotated[list[str] | None, typer.Option("--team", help="A team with all its agents. Repeat it.")]


@dataclass(frozen=True, slots=True)
class _Ids:
    """The row ids of the queues, agents and teams that were named on the command line."""

    queues: Sequence[int]
    agents: Sequence[int]
    teams: Sequence[int]


_group = Group(app=app, kind=QUEUE, metavar="QUEUE")
_group.create(
    "Let agentbridge keep the members of a queue; the queue itself stays in queues.conf.",
    lambda made: f"queue {made['name']} is made; its members are now the directory's",
)


@app.command("list")
def list_queues(
    search: Search = "",
    limit: Limit = 100,
    offset: Offset = 0,
    sort: Sort = "name",
    channel: Channel = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Queues, with the number of their agents."""
    page = admin.Page(
        search=search, sort=sort, limit=limit, offset=offset, manager=acting_user(), channel=_check_channel(channel)
    )
    editing.show_list(config, QUEUE, page, as_json=as_json)


_group.edit(
    show="A queue with its agents and teams, each with its penalty.",
    delete="The directory's members leave the queue, which stays in queues.conf.",
)


@app.command()
def add(
    queue: NameOrAll,
    agents: Agents = None,
    team: Teams = None,
    penalty: Annotated[int, typer.Option(help="Lower ones are called first.")] = 0,
    channel: Channel = None,
    config: ConfigPath = None,
) -> None:
    """Put agents and teams into a queue; who is there already gets this penalty."""

    async def work(connection: Connection) -> None:
        ids = await _ids(connection, queue, agents or [], team or [], channel)
        await admin.join_queues(connection, ids.queues, ids.agents, ids.teams, penalty)

    in_directory(config, work)
    output.message(f"in {_named(queue)}: {', '.join([*(agents or []), *(team or [])])}")


@app.command()
def remove(
    queue: NameOrAll,
    agents: Agents = None,
    team: Teams = None,
    channel: Channel = None,
    config: ConfigPath = None,
) -> None:
    """Take agents and teams out of a queue."""

    async def work(connection: Connection) -> None:
        ids = await _ids(connection, queue, agents or [], team or [], channel)
        await admin.leave_queues(connection, ids.queues, ids.agents, ids.teams)

    in_directory(config, work)
    output.message(f"not in {_named(queue)}: {', '.join([*(agents or []), *(team or [])])}")


async def _ids(connection: Connection, queue: str, agents: list[str], teams: list[str], channel: str | None) -> _Ids:
    """Looks up what was named. Raises Refused for unknown names. channel: with `*`, only the queues of this channel."""
    if not agents and not teams:
        raise typer.BadParameter("name agents, or teams with --team")
    if channel is not None and queue != ALL_QUEUES:
        raise typer.BadParameter("--channel: chooses among all queues (*); leave it out beside the name of one queue")
    await authority.must_manage(connection, acting_user(), agents)
    if teams:
        await authority.must_administer(connection, acting_user(), "put teams into queues")
    names = await admin.queues_of(connection, _check_channel(channel)) if queue == ALL_QUEUES else [queue]
    queues = await admin.identifiers(connection, QUEUE, names)
    await authority.must_fill(connection, acting_user(), queues)
    return _Ids(
        queues,
        await admin.identifiers(connection, AGENT, agents),
        await admin.identifiers(connection, TEAM, teams),
    )


def _check_channel(channel: str | None) -> str | None:
    """Returns the channel. Raises BadParameter for an unknown one."""
    if channel is not None and channel not in CHANNELS:
        raise typer.BadParameter(f"--channel: must be one of {', '.join(CHANNELS)} (got {channel})")
    return channel


def _named(queue: str) -> str:
    return "all queues" if queue == ALL_QUEUES else queue
