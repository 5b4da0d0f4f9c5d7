"""`agentbridge run`: the daemon in the foreground."""

from __future__ import annotations

import typer

from agentbridge.cli.options import ConfigPath, awaited


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(config: ConfigPath = None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads the configuration."""
    # the other commands don't need what these import
    from agentbridge import logs
    from agentbridge.service import daemon
    from agentbridge.settings import Settings, chosen_path, load

    path = chosen_path(config)
    settings = load(path)
    logs.configure(settings.log, settings.node.name)

    def reload() -> Settings:
        return load(path)

    raise typer.Exit(awaited(daemon.run(settings, reload)))
