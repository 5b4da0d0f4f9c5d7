"""A TCP proxy on 127.0.0.1 that does what networks and servers do at their worst, on demand and repeatably."""

from __future__ import annotations

import asyncio
import enum
import random
import re
from types import TracebackType
from typing import Self

CHUNK = 65536
FLOOD_AT_ONCE = 1000  # messages: no longer than that does anything else wait
_REQUEST = re.compile(rb"(?:GET|PUT|POST|DELETE) \S+ HTTP/1\.1\r\n")
_ERROR_500 = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Fault(enum.Enum):
    """What the proxy does with new and existing connections, until another fault is set."""

    NONE = enum.auto()
    HALF_OPEN = enum.auto()
    """connections are accepted and stay, and nothing comes through: what is sent meanwhile is lost"""
    REFUSED = enum.auto()
    """the connections of now are reset, new ones at once"""
    ERROR_500 = enum.auto()
    """every HTTP request is answered with status 500 and never reaches the server"""
    SLOW = enum.auto()
    """the server's answers are read `slow_bytes` a second, so that its socket fills up"""


class FaultProxy:
    """A TCP proxy before the server on port `target`, which simulates faults of network and server.

    Clients connect to `proxy.port` inside `async with FaultProxy(port) as proxy`. target: may be changed; new
    connections go there. delay: seconds, at most, by which each piece is held up; how long is drawn from `seed`.
    """

    def __init__(self, target: int, *, seed: int = 0) -> None:
        self.delay = 0.0
        self.slow_bytes = 20_000
        self.connections = 0
        self.cuts = 0
        self.target = target
        self._dice = random.Random(seed)
        self._fault = Fault.NONE
        self._cut_after: bytes | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._whole: set[asyncio.StreamWriter] = set()
        """the clients that are between two messages"""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        """Sets the fault from now on. A connection that was half-open is reset when that fault ends."""
        was, self._fault = self._fault, fault
        if fault is Fault.REFUSED or was is Fault.HALF_OPEN:
            self.cut()

    def cut(self) -> None:
        """Resets all present connections."""
        for end in list(self._ends):
            end.transport.abort()

    def cut_after(self, request: bytes) -> None:
        """Once: the next piece with that in it reaches the server, which acts on it; the answer is never seen."""
        self._cut_after = request

    async def flood(self, message: bytes, *, per_second: int, seconds: float, within: float) -> float:
        """Sends the message `per_second` times a second to each client, for so many seconds; returns how long the
        clients took.

        Who is slower gets the rest afterwards. Raises TimeoutError after `within` seconds, also when a client has
        gone.
        """
        loop = asyncio.get_running_loop()
        started, taken = loop.time(), dict.fromkeys(self._whole, 0)
        if not taken:
            raise TimeoutError("there is nobody to flood")
        while min(taken.values()) < int(seconds * per_second):
            passed = loop.time() - started
            if passed > within:
                raise TimeoutError(f"after {within} s there were taken {sorted(taken.values())}")
            due = int(min(passed, seconds) * per_second)
            for client in self._whole & taken.keys():
                # between two messages, and to who takes them: a full socket is left alone
                if client.transport.get_write_buffer_size() < CHUNK:
                    now = min(due - taken[client], FLOOD_AT_ONCE)
                    client.write(message * now)
                    taken[client] += now
            await asyncio.sleep(0.005)
        return loop.time() - started

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection, unless connections are refused."""
        self.connections += 1
        self._ends.add(writer)
        try:
            if self._fault is not Fault.REFUSED:
                await self._connect(reader, writer)
        finally:
            writer.transport.abort()
            self._ends.discard(writer)
            self._whole.discard(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connects to the server and carries bytes both ways until a side ends it."""
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return
        self._ends.add(back)
        cutting = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forth(reader, back, writer, cutting))
                both.create_task(self._back(there, writer, cutting))
        except* (OSError, EOFError):
            pass  # one side has gone, and the other is told below
        finally:
            back.transport.abort()
            self._ends.discard(back)

    async def _forth(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        cutting: asyncio.Event,
    ) -> None:
        """Carries what the client says to the server, with the fault that is set. Raises EOFError at its end."""
        while data := await reader.read(CHUNK):
            await self._hold_up()
            match self._fault:
                case Fault.HALF_OPEN:
                    continue
                case Fault.ERROR_500:
                    client.write(_ERROR_500 * len(_REQUEST.findall(data)))
                    continue
                case _:
                    pass
            if self._cut_after is not None and self._cut_after in data:
                self._cut_after = None
                cutting.set()
            server.write(data)
            await server.drain()
        raise EOFError("the client has closed")

    async def _back(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, cutting: asyncio.Event) -> None:
        """Carries what the server says to the client, with the fault that is set. Raises EOFError at its end."""
        while data := await reader.read(self._piece()):
            if cutting.is_set():
                self.cuts += 1
                raise EOFError("the server has acted, and its answer is cut off")
            await self._hold_up()
            if self._fault is Fault.SLOW:
                await asyncio.sleep(len(data) / self.slow_bytes)
            if self._fault is not Fault.HALF_OPEN:
                client.write(data)
                (self._whole.add if data.endswith(b"\r\n\r\n") else self._whole.discard)(client)
                await client.drain()
        raise EOFError("the server has closed")

    def _piece(self) -> int:
        return 1024 if self._fault is Fault.SLOW else CHUNK

    async def _hold_up(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay * self._dice.random())
