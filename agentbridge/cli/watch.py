"""`agentbridge watch`: agents and queues on the terminal, as they are now."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from agentbridge.cli.options import ConfigPath, awaited, directory_settings_of


def register(app: typer.Typer) -> None:
    app.command()(watch)


def watch(
    queue: Annotated[str, typer.Option(help="This queue and its agents alone.")] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Agents that are not logged in, too.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Show it once and end.")] = False,
    config: ConfigPath = None,
) -> None:
    """Agents, their calls, and queues, live; end it with Ctrl-C."""
    # the other commands don't need what it imports
    from agentbridge.cli.watch_screen import show

    with contextlib.suppress(KeyboardInterrupt):
        awaited(show(directory_settings_of(config), queue, offline=offline, once=once))
