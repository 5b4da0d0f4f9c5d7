"""A session of `check` with Asterisk's manager, through panoramisk: a judge shares no code with what it judges.

The daemon's links are agentbridge's own; docs/decisions/0012-panoramisk-in-check.md says why, and what
is mended of panoramisk here: the secret stays off the wire, characters survive two reads, nothing reconnects or is
sent again by itself, and each step has a limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from typing import Any, Self

import panoramisk  # type: ignore[import-untyped]  # it has no types
from panoramisk.ami_protocol import AMIProtocol  # type: ignore[import-untyped]

from agentbridge.errors import InvalidValue, Refused, Unavailable

SECONDS = 10.0
"""for the connecting, the log-in, and each action"""
Message = Mapping[str, Any]
"""A message of panoramisk; names are found in any case. A header that comes more than once is a list."""

_log = logging.getLogger("agentbridge.check.panoramisk")
_log.addHandler(logging.NullHandler())
_log.propagate = False


class _Lines(AMIProtocol):  # type: ignore[misc]  # its class is Any
    """The protocol of panoramisk, given whole lines only: it decodes each read by itself and drops a character split
    between two."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Takes received bytes and passes whole lines on."""
        whole, end, self._rest = (self._rest + data).rpartition(b"\r\n")
        if end:
            super().data_received(whole + end)


class _Once(panoramisk.Manager):  # type: ignore[misc]  # its class is Any
    """A panoramisk connection that is made once and not again when it is lost or closed."""

    def __init__(self, **config: object) -> None:
        super().__init__(log=_log, protocol_factory=_Lines, **config)
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, f: asyncio.Future[Any]) -> None:
        """Does nothing for a connection that failed: whoever awaits it has the error."""
        if f.exception() is None:
            super().connection_made(f)

    def connection_lost(self, exc: object) -> None:
        """Notes that the connection is gone, and does not reconnect."""
        del exc
        if not self.lost.done():
            self.lost.set_result(None)


class Session:
    """A login to Asterisk's manager. `ask`, `items` and `command` raise Refused, Unavailable, or InvalidValue before
    sending."""

    def __init__(self, manager: _Once) -> None:
        self._manager = manager

    @classmethod
    async def connect(cls, host: str, port: int, username: str, secret: str) -> Self:
        """Connects and logs in by challenge, without events. Raises Unavailable, or Refused with Asterisk's answer."""
        where = f"{host}:{port}"
        manager = _Once(host=host, port=port, events="off")
        session = cls(manager)
        try:
            async with asyncio.timeout(SECONDS):
                await manager.connect()
            await session._log_in(username, secret)
        except TimeoutError:
            raise Unavailable(f"{where} did not let us in within {SECONDS:g} s") from None
        except OSError as error:
            raise Unavailable(f"{where}: {error.strerror or error}") from error
        except BaseException:
            session.close()
            raise
        return session

    async def _log_in(self, username: str, secret: str) -> None:
        """Logs in by challenge. Raises Refused or Unavailable."""
        challenge = (await self.ask("Challenge", {"AuthType": "MD5"})).get("Challenge", "")
        # the algorithm is AMI's
        key = hashlib.md5(f"{challenge}{secret}".encode(), usedforsecurity=False).hexdigest()
        await self.ask("Login", {"AuthType": "MD5", "Username": username, "Key": key, "Events": "off"})

    def close(self) -> None:
        self._manager.close()

    async def ask(self, action: str, fields: Mapping[str, str] | None = None, *, timeout: float = SECONDS) -> Message:
        """Sends an action and returns its one answer. Raises Refused or Unavailable."""
        return (await self._answers(action, fields or {}, as_list=False, timeout=timeout))[0]

    async def items(
        self, action: str, fields: Mapping[str, str] | None = None, *, timeout: float = SECONDS
    ) -> list[Message]:
        """Sends an action that answers with a list; returns its items. Raises Refused or Unavailable."""
        # not as_list=True: it never ends where the answer is an error
        answers = await self._answers(action, fields or {}, as_list=None, timeout=timeout)
        return [item for item in answers[1:] if not item["Event"].endswith("Complete")]

    async def command(self, line: str, *, timeout: float = SECONDS) -> str:
        """What the console prints. Refused holds what it prints as an error."""
        return _output(await self.ask("Command", {"Command": line}, timeout=timeout))

    async def _answers(
        self, action: str, fields: Mapping[str, str], *, as_list: bool | None, timeout: float
    ) -> list[Message]:
        """Sends an action and returns its answers. Raises InvalidValue, Refused or Unavailable."""
        for name, value in fields.items():
            if not value.isprintable():
                raise InvalidValue(f"{action}, {name}: must be one line of printable text")
        answer = self._manager.send_action({"Action": action, **fields}, as_list=as_list)
        done, _ = await asyncio.wait({answer, self._manager.lost}, timeout=timeout, return_when="FIRST_COMPLETED")
        if answer not in done:
            answer.cancel()
            reason = "Asterisk closed the connection" if done else f"no answer within {timeout:g} s"
            raise Unavailable(f"{action}: {reason}")
        found = answer.result()
        answers: list[Message] = found if isinstance(found, list) else [found]
        if answers[0].get("Response") == "Error":
            raise Refused(_output(answers[0]) or answers[0].get("Message", "no reason given"))
        return answers


def _output(answer: Message) -> str:
    found = answer.get("Output", "")
    return "\n".join(found) if isinstance(found, list) else str(found)
