"""`agentbridge setting`: what holds for the whole directory, one row in `agentbridge.settings`."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli.directory import editing
from agentbridge.cli.options import ConfigPath, Json
from agentbridge.directory.kinds import SETTING, THE_ROW

app = typer.Typer(help="Settings of the directory: all nodes and applications follow them.", no_args_is_help=True)
Names = Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="As in lock_after=5.")]


@app.command("list")
def list_settings(config: ConfigPath = None, as_json: Json = False) -> None:
    """All settings, with their values."""
    editing.show_one(config, SETTING, THE_ROW, as_json=as_json)


@app.command("set")
def set_values(names: Names, config: ConfigPath = None, as_json: Json = False) -> None:
    """Change settings; shows what changed, old → new."""
    editing.set_fields(config, SETTING, THE_ROW, names, as_json=as_json)
