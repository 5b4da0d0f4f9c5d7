"""`agentbridge agent password`: the secrets of an agent, each typed and never an argument."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentbridge.cli import editing, output
from agentbridge.cli.agents import Username
from agentbridge.cli.options import ConfigPath, in_directory, settings_of
from agentbridge.directory import admin
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT
from agentbridge.directory.passwords import Passwords, hash_password
from agentbridge.directory.postgres import Directory
from agentbridge.errors import Refused


class Secret(StrEnum):
    PASSWORD = "password"
    PIN = "pin"
    SIP = "sip"
    VOICEMAIL = "voicemail"


def register(app: typer.Typer) -> None:
    app.command()(password)


def password(
    username: Username,
    which: Annotated[
        Secret,
        typer.Option("--for", help="The web password, the PIN for a telephone, the SIP secret, or the mailbox."),
    ] = Secret.PASSWORD,
    config: ConfigPath = None,
) -> None:
    """Set a secret: typed twice on a terminal, else read from standard input."""
    typed = editing.typed_secret(f"New {which.value} of {username}")
    match which:
        case Secret.PASSWORD:
            asyncio.run(_set_password(config, username, typed))
        case Secret.PIN:
            if not typed.isdigit() or len(typed) < 4:
                raise Refused("pin: must be at least 4 digits")
            _set_field(config, username, "pin_hash", hash_password(typed))
        case Secret.SIP:
            _set_field(config, username, "sip_secret", typed)
        case Secret.VOICEMAIL:
            _set_field(config, username, "voicemail_pin", typed)
    output.message(f"the {which.value} of {username} is set")


async def _set_password(config: Path | None, username: str, typed: str) -> None:
    settings = settings_of(config)
    deadline = settings.database.statement_seconds
    async with Directory(settings.database.url(), node=settings.node.name, deadline=deadline) as directory:
        await Passwords(directory.transaction).set(username, typed)


def _set_field(config: Path | None, username: str, field: str, value: str) -> None:
    async def work(connection: Connection) -> list[admin.Change]:
        return await admin.changed(connection, AGENT, username, {field: value})

    in_directory(config, work)
