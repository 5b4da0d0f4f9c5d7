"""`agentbridge agent password`: the secrets of an agent, each typed and never an argument."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory import editing
from agentbridge.cli.directory.agents import Username
from agentbridge.cli.options import ConfigPath, acting_user, awaited, in_directory, log_to_stderr, settings_of
from agentbridge.directory import admin, authority
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT
from agentbridge.errors import Refused


class Secret(StrEnum):
    """Which of an agent's secrets is to be set."""

    WEB = "web"
    PIN = "pin"
    SIP = "sip"
    VOICEMAIL = "voicemail"


def register(app: typer.Typer) -> None:
    app.command()(password)


def password(
    username: Username,
    which: Annotated[
        Secret,
        typer.Option("--for", help="The web password, the PIN typed on a telephone, the SIP secret, the mailbox."),
    ] = Secret.WEB,
    config: ConfigPath = None,
) -> None:
    """Set a secret: typed twice on a terminal, else read from standard input."""
    in_directory(config, lambda connection: authority.must_manage(connection, acting_user(), [username]))
    typed = editing.typed_secret(f"New secret of {username} for {which.value}")
    match which:
        case Secret.WEB:
            awaited(_set_password(config, username, typed))
        case Secret.PIN:
            if not typed.isdigit() or len(typed) < 4:
                raise Refused("pin: must be at least 4 digits")
            _set_field(config, username, "pin_hash", _hashed(typed))
        case Secret.SIP:
            _set_field(config, username, "sip_secret", typed)
        case Secret.VOICEMAIL:
            _set_field(config, username, "voicemail_pin", typed)
    output.message(f"the secret of {username} for {which.value} is set")


def _hashed(typed: str) -> str:
    """Returns the argon2id hash of a typed secret."""
    # argon2 is slow on purpose, and begins with it at its import
    from agentbridge.directory.passwords import hash_password

    log_to_stderr()
    return hash_password(typed)


async def _set_password(config: Path | None, username: str, typed: str) -> None:
    """Sets the password with which an agent logs in to the desk. Raises Refused or Unavailable."""
    from agentbridge.directory.passwords import Passwords
    from agentbridge.directory.postgres import Directory

    log_to_stderr()
    settings = settings_of(config)
    deadline = settings.database.statement_seconds
    async with Directory(settings.database.owner_url(), node=settings.node.name, deadline=deadline) as directory:
        await Passwords(directory.transaction).set(username, typed)


def _set_field(config: Path | None, username: str, field: str, value: str) -> None:
    """Sets one field of an agent. Raises Refused."""

    async def work(connection: Connection) -> list[admin.Change]:
        return await admin.change(connection, AGENT, username, {field: value})

    in_directory(config, work)
