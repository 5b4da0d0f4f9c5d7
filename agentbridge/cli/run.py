"""`agentbridge run`: the daemon in the foreground."""

from __future__ import annotations

import asyncio

import typer

from agentbridge import logs
from agentbridge.cli.options import ConfigPath
from agentbridge.settings import Settings, chosen_path, load


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(config: ConfigPath = None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads the configuration."""
    # the other commands don't need what it imports
    from agentbridge.service import daemon

    path = chosen_path(config)
    settings = load(path)
    logs.configure(settings.log, settings.node.name)

    def reload() -> Settings:
        return load(path)

    raise typer.Exit(asyncio.run(daemon.run(settings, reload)))
