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
    import uvloop

    from agentbridge.service import daemon

    path = chosen_path(config)
    settings = load(path)
    logs.configure(settings.log, settings.node.name)

    def reload() -> Settings:
        return load(path)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        raise typer.Exit(runner.run(daemon.run(settings, reload)))
