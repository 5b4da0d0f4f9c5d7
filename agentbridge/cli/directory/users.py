"""`agentbridge user`: who may manage agents, and the agents of which queues (A1)."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory import editing
from agentbridge.cli.directory.common import Group
from agentbridge.cli.options import (
    ALL_QUEUES,
    ConfigPath,
    Fields,
    Json,
    acting_user,
    assignments,
    in_directory,
    log_to_stderr,
)
from agentbridge.directory import admin, authority
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import QUEUE, USER
from agentbridge.errors import Refused

app = typer.Typer(
    help="Users who manage agents: an admin all, a user with agents_permission those of its queues.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="USER")]
Queues = Annotated[list[str], typer.Argument(metavar="QUEUE...", help="* is all of them.")]
_group = Group(app=app, kind=USER, metavar="USER")


@app.command()
def create(
    name: Name,
    fields: Fields = None,
    queue: Annotated[list[str] | None, typer.Option(help="Enable this queue; * is all. Repeat it.")] = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Make a user; without fields it may do nothing: agents_permission=yes, or role=admin."""

    async def work(connection: Connection) -> admin.Record:
        if name in await admin.all_keys(connection, USER):
            raise Refused(f"username: a user {name} exists already")
        await editing.create(connection, USER, name, assignments(fields))
        await admin.enable_queues(connection, name, await _ids(connection, queue or []))
        return await admin.shown(connection, USER, name)

    made = in_directory(config, work)
    if as_json:
        output.document(made)
    else:
        output.line(f"user {made['username']} is made, with the role {made['role']}")


_group.list("Users, with the number of their queues.")
_group.edit(
    show="A user with its queues.",
    delete="The agents that a user managed stay.",
)


@app.command()
def add(name: Name, queues: Queues, config: ConfigPath = None) -> None:
    """Enable queues for a user: the agents in them are the user's to manage."""

    async def work(connection: Connection) -> None:
        await _must_be_there(connection, name)
        await admin.enable_queues(connection, name, await _ids(connection, queues))

    in_directory(config, work)
    output.message(f"{name} has: {', '.join(queues)}")


@app.command()
def remove(name: Name, queues: Queues, config: ConfigPath = None) -> None:
    """Take queues from a user."""

    async def work(connection: Connection) -> None:
        await _must_be_there(connection, name)
        await admin.disable_queues(connection, name, await _ids(connection, queues))

    in_directory(config, work)
    output.message(f"{name} has no more: {', '.join(queues)}")


async def _must_be_there(connection: Connection, name: str) -> None:
    await authority.must_administer(connection, acting_user(), "change users")
    await admin.shown(connection, USER, name)


async def _ids(connection: Connection, queues: list[str]) -> list[int]:
    names = await admin.all_keys(connection, QUEUE) if ALL_QUEUES in queues else queues
    return await admin.identifiers(connection, QUEUE, names)


@app.command()
def password(name: Name, config: ConfigPath = None) -> None:
    """Set a user's password for the console: typed twice on a terminal, else read from standard input."""
    # argon2 is slow on purpose, and begins with it at its import
    from agentbridge.directory.passwords import check_password, hash_password

    log_to_stderr()

    async def known(connection: Connection) -> bool:
        await admin.shown(connection, USER, name)
        return bool(await connection.fetchval("select security_suite from agentbridge.settings"))

    suite = in_directory(config, known)
    typed = editing.typed_secret(f"New password of the user {name}")
    check_password(typed, security_suite=suite)
    hashed = hash_password(typed)
    in_directory(config, lambda connection: admin.change(connection, USER, name, {"password_hash": hashed}))
    output.message(f"the password of the user {name} is set")
