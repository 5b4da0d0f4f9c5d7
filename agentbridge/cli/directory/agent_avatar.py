"""`agentbridge agent avatar`: an agent's picture (A12)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory.agents import Username
from agentbridge.cli.options import ConfigPath, acting_user, in_directory
from agentbridge.directory import admin, authority
from agentbridge.directory.connecting import Connection


def register(app: typer.Typer) -> None:
    app.command()(avatar)


def avatar(
    username: Username,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", exists=True, dir_okay=False, readable=True, help="PNG or JPG.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the picture away.")] = False,
    config: ConfigPath = None,
) -> None:
    """Set an agent's picture: PNG or JPG by its content, at most 8 MB."""
    if (file is None) != remove:
        raise typer.BadParameter("name a file, or say --remove")
    picture = _read_picture(file) if file else None

    async def work(connection: Connection) -> None:
        await authority.must_manage(connection, acting_user(), [username])
        await admin.set_avatar(connection, username, picture)

    in_directory(config, work)
    output.message(f"{username} has a picture: {picture.type}" if picture else f"{username} has no picture")


def _read_picture(file: Path) -> admin.Avatar:
    """Reads a picture and checks it. Raises InvalidValue where it is none that agents may have."""
    # Pillow takes a while to import, and only this command needs it
    from agentbridge.directory.avatars import LARGEST_BYTES, check_avatar

    with file.open("rb") as picture:
        content = picture.read(LARGEST_BYTES + 1)
    return admin.Avatar(content, check_avatar(content))
