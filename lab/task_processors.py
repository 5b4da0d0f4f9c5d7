"""How deep Asterisk's task processors are, read on a connection of its own: above 500 it drops new calls."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lab.asterisk import Asterisk
from lab.processes import until

ANSWER_LIMIT = 2**25
"""bytes: a line for each endpoint, and 10,000 of them"""
WITHIN_S = 20.0
WORTH_A_RESET = 10
_LINE = re.compile(rb"(?m)^Output: (\S+) +\d+ +(\d+) +(\d+) ")


@dataclass(frozen=True, slots=True)
class Depth:
    """One task processor of Asterisk: tasks waiting now, and at most since the start or the last `reset`."""

    name: str
    now: int
    most: int


class TaskProcessors:
    """Reads the depth of Asterisk's task processors on an AMI connection of its own.

    Asterisk itself keeps the maxima, so none is missed. After a restart of Asterisk it connects again, and they begin
    anew.
    """

    def __init__(self, asterisk: Asterisk) -> None:
        self._asterisk = asterisk
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def _connect(self) -> None:
        """Connects to AMI and logs in."""
        asterisk = self._asterisk
        self._reader, self._writer = await asyncio.open_connection(asterisk.host, asterisk.ami_port, limit=ANSWER_LIMIT)
        await self._ask(f"Login\r\nUsername: {asterisk.ami_user}\r\nSecret: {asterisk.ami_secret}\r\nEvents: off")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()

    async def deepest(self) -> Depth:
        """The one with the highest maximum."""
        return max(await self._read(), key=lambda depth: depth.most)

    async def reset(self) -> None:
        """Sets the maxima in Asterisk back."""
        for depth in await self._read():
            if depth.most >= WORTH_A_RESET:
                await self._ask(f"Command\r\nCommand: core reset taskprocessor {depth.name}")

    async def named(self, beginning: str) -> list[str]:
        """The whole names of those whose names begin so, which are others after each start of Asterisk; in the order
        in which they were made."""
        return [depth.name for depth in await self._read() if depth.name.startswith(beginning)]

    async def idle(self, *, within: float, at_most: int = 5) -> None:
        """Waits until no task processor has more than `at_most` tasks waiting. Raises LabError after `within`
        seconds."""

        async def calm() -> bool:
            return max(depth.now for depth in await self._read()) <= at_most

        await until(calm, within=within, what="Asterisk having done its tasks")

    async def _read(self) -> list[Depth]:
        """Returns the depth of every task processor."""
        if self._reader.at_eof() or self._reader.exception():  # Asterisk was started anew since the last reading
            self._writer.transport.abort()
            await self._connect()
        return list(_parsed(await self._ask("Command\r\nCommand: core show taskprocessors")))

    async def _ask(self, action: str) -> bytes:
        """Sends an AMI action and returns the bytes of its answer."""
        self._writer.write(f"Action: {action}\r\n\r\n".encode())
        async with asyncio.timeout(WITHIN_S):
            return await self._reader.readuntil(b"\r\n\r\n")


def _parsed(answer: bytes) -> Iterator[Depth]:
    for name, now, most in _LINE.findall(answer):
        yield Depth(name.decode(), int(now), int(most))
