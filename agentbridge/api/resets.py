"""Forgotten passwords over HTTP: the answer is given before anything is looked at, so that neither its content nor its
time tells whose address is known."""

from __future__ import annotations

import asyncio
import secrets
from typing import NoReturn

import structlog

from agentbridge.api.database import Database
from agentbridge.api.gate import digest
from agentbridge.api.problems import Problem
from agentbridge.api.routes.session import Hashing
from agentbridge.directory.passwords import Mail, check_password, message, send
from agentbridge.errors import InvalidValue, Unavailable

log = structlog.get_logger()

UNSENT = "no link for a new password is sent"
WAITING = 100
"""requests that wait for the mail server; a further one is dropped"""


class Resets:
    """Mails links for new passwords, and sets the passwords that come back with them.

    `ask` returns at once, so that its time tells nothing; `run` sends the e-mails one after the other.
    """

    def __init__(self, database: Database, mail: Mail | None, hashing: Hashing) -> None:
        self._database = database
        self._mail = mail
        self._hashing = hashing
        self._asked: asyncio.Queue[str] = asyncio.Queue(WAITING)

    def ask(self, address: str) -> None:
        """Queues an address to which links are to be mailed. Raises a Problem (503) where no mail server is
        configured."""
        if self._mail is None:
            raise Problem(503, "no mail server is configured, so a password can't be reset by e-mail")
        try:
            self._asked.put_nowait(address)
        except asyncio.QueueFull:
            log.warning("reset.dropped", waiting=WAITING, meanwhile=UNSENT)

    async def run(self) -> NoReturn:
        """Sends the links for queued addresses, until it is cancelled."""
        while True:
            address = await self._asked.get()
            try:
                await self._send(address)
            except (Unavailable, Problem) as error:
                log.warning("reset.failed", reason=str(error), meanwhile=UNSENT)

    async def _send(self, address: str) -> None:
        """Mails a link to each agent with that address, if there are any. Raises Unavailable or Problem."""
        if self._mail is None:
            return
        messages = []
        for row in await self._database.rows("api_agents_of_email", address):
            token = secrets.token_urlsafe(32)
            await self._database.call("api_add_reset", row["id"], digest(token))
            messages.append(message(self._mail, row["username"], row["email"], token))
        if messages:
            await send(self._mail, messages)

    async def use(self, token: str, password: str) -> None:
        """Sets the password of the agent to whom the token was mailed.

        Raises a Problem: 422 for a password that breaks the rule, 404 for a token that was used or is too old.
        """
        suite = await self._database.call("api_security_suite")
        try:
            check_password(password, security_suite=suite)
        except InvalidValue as error:
            raise Problem(422, str(error), code="AB001") from None
        hashed = await self._hashing.hash(password)
        if await self._database.call("api_use_reset", digest(token), hashed) is None:
            raise Problem(404, "token: the link was used already or is older than an hour; ask for a new one")
