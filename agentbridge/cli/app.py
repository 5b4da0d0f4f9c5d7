"""Puts the commands together and turns errors into a line and an exit status."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import typer

from agentbridge import __version__
from agentbridge.cli import api, calls, database, files, plan, recording, remove, run, status, watch
from agentbridge.cli.check import command as check
from agentbridge.cli.directory import (
    agent_avatar,
    agent_channels,
    agent_files,
    agent_passwords,
    agent_reset,
    agent_sessions,
    agents,
    nodes,
    prefixes,
    queues,
    setting,
    teams,
    telephones,
    users,
)
from agentbridge.cli.options import ConfigPath, User, act_as, gate
from agentbridge.errors import AgentbridgeError, ConfigError

REFUSED, BAD_CONFIG = 1, 2

app = typer.Typer(
    name="agentbridge",
    help="Makes Asterisk obey a contact centre's agent directory in PostgreSQL.",
    no_args_is_help=True,
    # they show local variables, secrets among them
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (run, check, plan, status, files, api, remove, calls, watch):
    module.register(app)
for name, group in {
    "db": database.app,
    "agent": agents.app,
    "telephone": telephones.app,
    "queue": queues.app,
    "team": teams.app,
    "prefix": prefixes.app,
    "node": nodes.app,
    "recording": recording.app,
    "setting": setting.app,
    "user": users.app,
}.items():
    app.add_typer(group, name=name)
for module in (agent_avatar, agent_channels, agent_files, agent_passwords, agent_reset, agent_sessions):
    module.register(agents.app)


def _version(wanted: bool) -> None:
    """Prints the version and ends the program, for `--version`."""
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def everywhere(
    config: ConfigPath = None,
    user: User = None,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show it and end."),
) -> None:
    """Notes who acts and with which configuration, before each command."""
    del version
    act_as([*(user or ()), *filter(None, [os.environ.get("AGENTBRIDGE_USER")])], config)


def command() -> Any:
    """Returns the whole command line, in which each command first asks whether the acting user may run it."""
    made = typer.main.get_command(app)
    for operation, leaf in leaves(made):
        leaf.callback = _with_gate(operation, leaf.callback)
    return made


def leaves(of: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yields the commands that do something, without the groups above them, each with its operation such as
    `agent.login`."""
    for name, below in getattr(of, "commands", {}).items():
        yield from leaves(below, (*path, name))
    if not hasattr(of, "commands"):
        yield ".".join(path), of


def _with_gate(operation: str, act: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the command's function preceded by the question whether the acting user may run it."""

    @functools.wraps(act)
    def gated(**given: Any) -> Any:
        gate(f"{operation}.confirm" if given.get("confirm") else operation, given.get("config"))
        return act(**given)

    return gated


def main() -> None:
    """Runs the command line; one of our errors is printed to standard error and sets the exit status."""
    try:
        command()()
    except ConfigError as error:
        _end(error, BAD_CONFIG)
    except AgentbridgeError as error:
        _end(error, REFUSED)


def _end(error: AgentbridgeError, status: int) -> None:
    """Prints the error and ends the program with that status."""
    for line in str(error).splitlines():
        print(f"agentbridge: {line}", file=sys.stderr)  # noqa: T201 - the message is the result
    raise SystemExit(status)
