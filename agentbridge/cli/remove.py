"""`agentbridge remove`: takes out of this Asterisk all that is agentbridge's, and says what else is left."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli.options import ConfigPath, Yes, acting_user, awaited, log_to_stderr, settings_of
from agentbridge.errors import Refused

WithoutDirectory = Annotated[
    bool,
    typer.Option("--without-directory", help="The database is gone: go by what is in Asterisk alone."),
]


def register(app: typer.Typer) -> None:
    app.command()(remove)


def remove(config: ConfigPath = None, yes: Yes = False, without_directory: WithoutDirectory = False) -> None:
    """Take out of this Asterisk all that is agentbridge's: no agent can be called there afterwards.

    Refused while a daemon works for this node. The directory in the database stays as it is.
    """
    if acting_user() is not None:
        raise Refused("remove: is only for whoever administers this machine; run it without --user")
    # the other commands don't wait for what it imports
    from agentbridge.cli.removal import take_all_out

    log_to_stderr()
    try:
        awaited(take_all_out(settings_of(config), ask=not yes, without_directory=without_directory))
    except ExceptionGroup as group:
        # the first is the cause; that it comes in a group is the TaskGroup's way
        raise group.exceptions[0] from None
