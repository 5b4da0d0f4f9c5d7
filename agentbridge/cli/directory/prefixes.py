"""`agentbridge prefix`: what agents with prefix_required dial before an outside number (A19)."""

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
    assignments,
    in_directory,
)
from agentbridge.directory import admin
from agentbridge.directory.kinds import PREFIX

app = typer.Typer(help="Prefixes that agents choose from for outside calls. Fields: label.", no_args_is_help=True)
Prefix = Annotated[str, typer.Argument(metavar="PREFIX")]


@app.command()
def create(prefix: Prefix, fields: Fields = None, config: ConfigPath = None, as_json: Json = False) -> None:
    """Offer one more prefix."""
    made = in_directory(config, lambda connection: editing.create(connection, PREFIX, prefix, assignments(fields)))
    if as_json:
        output.document(made)
    else:
        output.line(f"prefix {made['prefix']} is made")


@app.command("list")
def list_prefixes(
    search: Search = "",
    limit: Limit = 100,
    offset: Offset = 0,
    sort: Sort = "prefix",
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Prefixes with their labels."""
    page = admin.Page(search=search, sort=sort, limit=limit, offset=offset)
    editing.show_list(config, PREFIX, page, as_json=as_json)


@app.command()
def show(prefix: Prefix, config: ConfigPath = None, as_json: Json = False) -> None:
    """One prefix."""
    editing.show_one(config, PREFIX, prefix, as_json=as_json)


@app.command("set")
def set_fields(prefix: Prefix, fields: Fields, config: ConfigPath = None, as_json: Json = False) -> None:
    """Change its label; shows what changed, old → new."""
    editing.set_fields(config, PREFIX, prefix, fields or [], as_json=as_json)


@app.command()
def delete(
    prefixes: Annotated[list[str], typer.Argument(metavar="PREFIX...")], config: ConfigPath = None, yes: Yes = False
) -> None:
    """Who must choose one can't choose it any more; with the last one, those agents can't call outside."""
    editing.delete(config, PREFIX, prefixes, yes=yes)
