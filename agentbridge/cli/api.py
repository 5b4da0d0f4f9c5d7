"""`agentbridge api`: the HTTP API in the foreground."""

from __future__ import annotations

import typer

from agentbridge.cli.options import ConfigPath
from agentbridge.errors import ConfigError


def register(app: typer.Typer) -> None:
    app.command()(api)


def api(config: ConfigPath = None) -> None:
    """Serve the HTTP API until SIGTERM or SIGINT."""
    # the other commands don't need what these import
    from agentbridge import logs
    from agentbridge.settings import chosen_path, load_api

    settings = load_api(chosen_path(config))
    logs.configure(settings.log, "api")
    try:
        # it is an extra
        from agentbridge.api.server import serve
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'agentbridge[api]'") from None
    raise typer.Exit(serve(settings))
