"""`agentbridge telephone`: the devices that hot-desk agents log in on."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli.directory import editing
from agentbridge.cli.directory.common import Group
from agentbridge.cli.options import (
    ConfigPath,
    Json,
    Limit,
    Offset,
    Search,
    Sort,
)
from agentbridge.directory import admin
from agentbridge.directory.kinds import AVAILABLE_TELEPHONE, TELEPHONE

app = typer.Typer(help="Telephones: SIP devices that agents pick at their login.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME")]
_group = Group(app=app, kind=TELEPHONE, metavar="NAME")
_group.create(
    "Make a telephone; the SIP secret is chosen when it is not given.",
    lambda made: f"telephone {made['name']} is made; its SIP secret: agentbridge telephone secret {made['name']}",
)


@app.command("list")
def list_telephones(
    search: Search = "",
    available: Annotated[bool, typer.Option("--available", help="Registered, and bound to no agent.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    sort: Sort = "name",
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Telephones, whether they are registered, and who is on them."""
    page = admin.Page(search=search, sort=sort, limit=limit, offset=offset)
    editing.show_list(config, AVAILABLE_TELEPHONE if available else TELEPHONE, page, as_json=as_json)


_group.edit(
    show="All of a telephone but its secret.",
    delete="The agent on it is logged out.",
)


@app.command()
def secret(
    name: Name,
    new: Annotated[bool, typer.Option("--set", help="Ask for a new one, or read it from standard input.")] = False,
    config: ConfigPath = None,
) -> None:
    """Print the SIP secret, for setting up the device."""
    if new:
        editing.set_sip_secret(config, TELEPHONE, name)
    else:
        editing.sip_secret(config, TELEPHONE, name)
