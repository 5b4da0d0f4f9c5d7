"""`agentbridge agent channel|module`: what an agent takes besides calls, and what its client shows."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory.agents import Username
from agentbridge.cli.options import ConfigPath, acting_user, assignments, in_directory
from agentbridge.directory import authority, channels
from agentbridge.directory.connecting import Connection


def register(app: typer.Typer) -> None:
    app.command()(channel)
    app.command()(module)


def channel(
    username: Username,
    name: Annotated[str, typer.Argument(metavar="CHANNEL", help="chat, email, sms, openchannel, fax or whatsapp.")],
    fields: Annotated[
        list[str], typer.Argument(metavar="FIELD=VALUE...", help="capacity, auto_answer, auto_answer_delay.")
    ],
    config: ConfigPath = None,
) -> None:
    """How many interactions of a channel an agent takes at once, and whether they are answered by themselves."""
    texts = assignments(fields)

    async def work(connection: Connection) -> None:
        await authority.must_manage(connection, acting_user(), [username])
        await channels.set_channel(connection, username, name, texts)

    in_directory(config, work)
    output.message(f"{username}, {name}: {' '.join(fields)}")


def module(
    username: Username,
    name: Annotated[str, typer.Argument(metavar="MODULE")],
    on: Annotated[bool, typer.Option("--on/--off", help="Whether the agent has it.")],
    config: ConfigPath = None,
) -> None:
    """Switch a module on or off; `agent show` lists those that are on."""

    async def work(connection: Connection) -> None:
        await authority.must_manage(connection, acting_user(), [username])
        await channels.set_module(connection, username, name, on=on)

    in_directory(config, work)
    output.message(f"{username}: the module {name} is {'on' if on else 'off'}")
