"""What the daemon says to Asterisk, read on the wire: a proxy before AMI and ARI that counts."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lab.asterisk import Asterisk

_ACTION = re.compile(rb"(?m)^Action: *([^\r\n]+)\r?\n((?:[^\r\n]+\r?\n)*)")
_REQUEST = re.compile(rb"(PUT|POST|DELETE) (/\S+) HTTP/1\.1\r?$")  # a body without a line end may be before it
_WRITES = frozenset({"queueadd", "queueremove", "queuepause", "queuepenalty", "dbput", "dbdel", "dbdeltree"})
_CHUNK = 65536
_Note = Callable[[bytes], bytes]
"""takes what was sent and returns what has no end yet"""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that the daemon sent: `PUT /ari/...`, or an AMI action with its headers."""

    name: str
    detail: str

    @property
    def writes(self) -> bool:
        return self.name in ("PUT", "POST", "DELETE") or self.name.lower() in _WRITES


class Wire:
    """A proxy before AMI and ARI that records what the daemon sends: `sent`, by `ami_port` and `ari_port`."""

    def __init__(self, asterisk: Asterisk) -> None:
        self._asterisk = asterisk
        self.sent: list[Sent] = []
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self.ami_port = await self._open(self._asterisk.ami_port, self._note_ami)
        self.ari_port = await self._open(self._asterisk.ari_port, self._note_ari)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for writer in self._writers:
            writer.transport.abort()

    def writes(self) -> list[Sent]:
        """In the order in which they were sent."""
        return [sent for sent in self.sent if sent.writes]

    def forget(self) -> None:
        self.sent.clear()

    async def _open(self, target: int, note: _Note) -> int:
        """Listens before the server on port `target`; returns the port."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._carry(reader, writer, target, note)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int, note: _Note
    ) -> None:
        """Carries one connection both ways, and notes what the client sends."""
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, back, note))
                both.create_task(_pump(there, writer, None))
        except* OSError:
            pass  # one side has gone, and the other is told below
        finally:
            for end in (writer, back):
                end.transport.abort()
                self._writers.discard(end)

    def _note_ami(self, data: bytes) -> bytes:
        """Notes the whole AMI actions in these bytes; returns the rest."""
        *whole, rest = data.split(b"\r\n\r\n")
        for message in whole:
            self.sent += [
                Sent(action.decode().strip(), headers.decode("utf-8", "replace"))
                for action, headers in _ACTION.findall(message + b"\r\n")
            ]
        return rest

    def _note_ari(self, data: bytes) -> bytes:
        """Notes the HTTP requests in these bytes; returns the rest."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self.sent += [Sent(m.decode(), path.decode()) for m, path in _REQUEST.findall(line)]
        return rest if len(rest) < _CHUNK else b""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: _Note | None) -> None:
    """Carries bytes one way until the end."""
    pending = b""
    while data := await reader.read(_CHUNK):
        if note is not None:
            pending = note(pending + data)
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError("the other end has closed")
