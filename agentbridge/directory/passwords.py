"""Agents' passwords: the rule (A15), argon2id hashes, and resets by e-mail."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from email.message import EmailMessage
from secrets import token_urlsafe
from typing import Literal

import argon2
import structlog

from agentbridge.directory.connecting import PooledConnection
from agentbridge.directory.queries import QUERIES
from agentbridge.errors import InvalidValue, Refused, Unavailable

SYMBOLS = "~!@#$%^&-_=+[{]}"
SHORTEST = 8
LONGEST = 256
"""characters; hashing is made to be slow, and must not be made slower from outside"""
RESET_HOURS = 1
MAIL_DEADLINE_SECONDS = 15.0
ANSWER_SECONDS = 1.0
"""what asking for a reset takes at least: the time of an e-mail must not tell that there was one"""

log = structlog.get_logger()

# one lane: with the library's four, two log-ins at a time are eight threads, and keep who works from the processors
_hasher = argon2.PasswordHasher(parallelism=1)


def _no_hash() -> str:
    """Returns a stored hash that no password fits, and that takes as long to verify as any other.

    It is written, not computed: every start of a command would take the time of a log-in.
    """
    costs = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    salt, hashed = (b64encode(os.urandom(size)).decode().rstrip("=") for size in (_hasher.salt_len, _hasher.hash_len))
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}${costs}${salt}${hashed}"


# checked when there is no such agent, so that the time of the answer does not tell names
_NOBODY = _no_hash()


def check_password(password: str, *, security_suite: bool) -> None:
    """Raises InvalidValue, naming what is missing, for a password that breaks the rule (A15).

    Without the security suite only its length is bounded.
    """
    if not password or len(password) > LONGEST:
        raise InvalidValue(f"password: must be 1 to {LONGEST} characters")
    if not security_suite:
        return
    missing = [
        what
        for what, there in (
            (f"{SHORTEST} characters", len(password) >= SHORTEST),
            ("a lower-case letter", re.search("[a-z]", password)),
            ("an upper-case letter", re.search("[A-Z]", password)),
            ("a digit", re.search("[0-9]", password)),
            (f"one of {SYMBOLS}", any(symbol in password for symbol in SYMBOLS)),
        )
        if not there
    ]
    if missing:
        raise InvalidValue(f"password: needs {', '.join(missing)}")


def hash_password(password: str) -> str:
    """Takes tens of milliseconds on purpose: call it in a thread."""
    return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Whether the password fits the stored hash; False for no hash, after the same time, so that nobody learns which it
    was."""
    if len(password) > LONGEST:
        return False
    try:
        _hasher.verify(stored or _NOBODY, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return stored is not None


Acquire = Callable[[], AbstractAsyncContextManager[PooledConnection]]
"""A connection within one transaction; see Directory.transaction"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """How the mail server of password resets is reached. `link` holds `{token}`, where each e-mail has its own."""

    host: str
    port: int = 25
    sender: str
    link: str
    encryption: Literal["starttls", "tls", "none"] = "none"
    username: str = ""
    password: str = field(default="", repr=False)


class Passwords:
    """Sets, checks and resets agents' passwords; a reset is a link that is sent by mail."""

    def __init__(
        self,
        acquire: Acquire,
        mail: Mail | None = None,
        *,
        token: Callable[[], str] = token_urlsafe,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._acquire = acquire
        self._mail = mail
        self._token = token
        self._answer_seconds = answer_seconds

    async def set(self, username: str, password: str) -> None:
        """Sets the agent's password. Raises Refused for an unknown agent, InvalidValue when the rule is not met."""
        await self._check(password)
        hashed = await asyncio.to_thread(hash_password, password)
        async with self._acquire() as connection:
            if not await connection.fetchval(QUERIES["set_password"], username, hashed):
                raise Refused(f"username: there is no agent {username}")

    async def verify(self, username: str, password: str) -> bool:
        """Whether the password is the agent's; always False for a deactivated or locked agent. A failure counts towards
        the lock (A10)."""
        async with self._acquire() as connection:
            row = await connection.fetchrow(QUERIES["password_of"], username)
        right = await asyncio.to_thread(verify_password, row["password_hash"] if row else None, password)
        async with self._acquire() as connection:
            if not right:
                await connection.execute(QUERIES["password_failed"], username)
                return False
            await connection.execute(QUERIES["password_ok"], username)
            # asked again after the hashing: another wrong password may have locked the agent meanwhile
            return bool(await connection.fetchval(QUERIES["may_log_in"], username))

    async def request_reset(self, email: str) -> None:
        """Mails a link for a new password to each agent with this address. Raises Unavailable without the mail server.

        Nothing shows whether there are such agents: the mail server is asked the same before the e-mail, and fails the
        same.
        """
        if self._mail is None:
            raise Unavailable("no mail server is configured, so a password can't be reset by e-mail")
        clock = asyncio.get_running_loop().time
        answer_at = clock() + self._answer_seconds
        try:
            await send(self._mail, await self._links(self._mail, email))
        finally:
            await asyncio.sleep(answer_at - clock())

    async def _links(self, mail: Mail, email: str) -> list[EmailMessage]:
        """Creates a token for each agent of that address; returns the e-mails with the links."""
        async with self._acquire() as connection:
            rows = await connection.fetch(QUERIES["agents_of_email"], email)
            tokens = [self._token() for _ in rows]
            for row, token in zip(rows, tokens, strict=True):
                await connection.execute(QUERIES["add_reset"], row["id"], _digest(token), RESET_HOURS)
        return [message(mail, row["username"], row["email"], token) for row, token in zip(rows, tokens, strict=True)]

    async def reset(self, token: str, password: str) -> str:
        """Sets the password of the agent to whom the token was sent; returns the username. A token works once.

        Raises Refused for a token that is not valid, InvalidValue when the rule is not met.
        """
        await self._check(password)
        hashed = await asyncio.to_thread(hash_password, password)
        async with self._acquire() as connection:
            username = await connection.fetchval(QUERIES["use_reset"], _digest(token), hashed)
        if username is None:
            raise Refused("token: the link was used already or is older than an hour; ask for a new one")
        return str(username)

    async def _check(self, password: str) -> None:
        """Raises InvalidValue for a password that breaks the rule that the directory's settings choose."""
        async with self._acquire() as connection:
            suite = bool(await connection.fetchval(QUERIES["security_suite"]))
        check_password(password, security_suite=suite)


def message(mail: Mail, username: str, address: str, token: str) -> EmailMessage:
    """Returns the e-mail with the link for a new password."""
    written = EmailMessage()
    written["From"], written["To"] = mail.sender, address
    written["Subject"] = "Your new password"
    link = mail.link.replace("{token}", token)
    written.set_content(
        f"Somebody asked for a new password for {username}.\n\n{link}\n\n"
        f"The link works once, for {RESET_HOURS} hour. If it was not you, leave this e-mail alone.\n"
    )
    return written


async def send(mail: Mail, messages: Sequence[EmailMessage]) -> None:
    """Sends the e-mails. Raises Unavailable, without the server's words where they might repeat a secret."""
    try:
        # smtplib blocks, and has a limit of its own for each step
        async with asyncio.timeout(2 * MAIL_DEADLINE_SECONDS):
            await asyncio.to_thread(_deliver, mail, messages)
    except smtplib.SMTPAuthenticationError as error:
        # without the server's words, which may repeat what it was told
        raise Unavailable(
            f"the mail server {mail.host}:{mail.port} refuses the user {mail.username} or the password"
            f" (status {error.smtp_code})"
        ) from None
    except (OSError, smtplib.SMTPException, TimeoutError) as error:
        raise Unavailable(f"the mail server {mail.host}:{mail.port} can't be used: {error}") from error


def _deliver(mail: Mail, messages: Sequence[EmailMessage]) -> None:
    """Connects to the mail server and sends the e-mails; blocks. Without e-mails it connects all the same.

    So nobody can tell by time or error whether an address is known.
    """
    with _server(mail) as server:
        server.ehlo_or_helo_if_needed()
        if mail.encryption == "starttls":
            server.starttls(context=ssl.create_default_context())
        if mail.username:
            server.login(mail.username, mail.password)
        for message in messages:
            try:
                server.send_message(message)
            except (
                smtplib.SMTPResponseException,
                smtplib.SMTPRecipientsRefused,
                smtplib.SMTPNotSupportedError,  # an address beyond ASCII, and a server that knows nothing else
            ) as error:
                # told to whoever runs this, not to whoever asked: it would tell that the address is an agent's
                log.warning(
                    "reset.refused",
                    recipient=message["To"],
                    reason=str(error),
                    meanwhile="the link for a new password is not sent",
                )


def _server(mail: Mail) -> smtplib.SMTP:
    """Returns a connection to the mail server. Raises OSError or SMTPException."""
    if mail.encryption == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(mail.host, mail.port, timeout=MAIL_DEADLINE_SECONDS, context=context)
    return smtplib.SMTP(mail.host, mail.port, timeout=MAIL_DEADLINE_SECONDS)


def _digest(token: str) -> bytes:
    """Only this is stored: who reads the table can't reset a password."""
    return hashlib.sha256(token.encode()).digest()
