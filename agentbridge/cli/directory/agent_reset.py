"""`agentbridge agent reset`: a forgotten password, by a link that is mailed and works once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory import editing
from agentbridge.cli.options import ConfigPath, awaited, log_to_stderr, settings_of
from agentbridge.errors import Refused

if TYPE_CHECKING:
    from agentbridge.directory.passwords import Mail, Passwords
    from agentbridge.settings import Settings


def register(app: typer.Typer) -> None:
    app.command()(reset)


def reset(
    email: Annotated[str | None, typer.Argument(metavar="EMAIL", help="Mail a link to the agents of it.")] = None,
    token: Annotated[
        str | None, typer.Option(help="The token of a link: set the new password now. `-` asks for it.")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Mail the link for a new password, or set the password with the link's token."""
    if (email is None) == (token is None):
        raise typer.BadParameter("give the agent's e-mail address, or --token of the link")
    settings = settings_of(config)
    if email is not None:
        awaited(_mail_links(settings, email))
        output.message(f"if an agent has the address {email}, the link is on its way")
    elif token is not None:
        if token == "-":  # noqa: S105 - a dash is no secret; a token on the command line can be seen by all
            token = editing.typed_secret("Token", twice=False)
        typed = editing.typed_secret("New password")
        username = awaited(_set(settings, token, typed))
        output.message(f"the password of {username} is set")


async def _mail_links(settings: Settings, email: str) -> None:
    """Mails a link for a new password to every agent with this address."""
    # an address that the mail server refuses would be told, and with it that the address is an agent's
    log_to_stderr("error")
    async with _passwords(settings, _mail(settings)) as passwords:
        await passwords.request_reset(email)


async def _set(settings: Settings, token: str, password: str) -> str:
    log_to_stderr()
    async with _passwords(settings, None) as passwords:
        return await passwords.reset(token, password)


def _mail(settings: Settings) -> Mail:
    """Returns the mail server's settings. Raises Refused where none is configured."""
    from agentbridge.directory.passwords import Mail

    mail = settings.mail
    if not mail.host:
        raise Refused("mail.host: is not set, so a password can't be reset by e-mail; see [mail] of the configuration")
    return Mail(
        host=mail.host,
        port=mail.port,
        sender=mail.sender,
        link=mail.link,
        encryption=mail.encryption,
        username=mail.username,
        password=mail.log_in_password(),
    )


@asynccontextmanager
async def _passwords(settings: Settings, mail: Mail | None) -> AsyncIterator[Passwords]:
    """Opens the database as its owner and gives what sets and resets passwords."""
    # argon2 is slow on purpose, and begins with it at its import
    from agentbridge.directory.passwords import Passwords
    from agentbridge.directory.postgres import Directory

    deadline = settings.database.statement_seconds
    async with Directory(settings.database.owner_url(), node=settings.node.name, deadline=deadline) as directory:
        yield Passwords(directory.transaction, mail)
