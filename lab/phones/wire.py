"""What carries SIP messages between one phone and its server: a UDP socket, or one TCP connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from lab.phones.sip_message import Request, Response, StreamParser, parse

Address = tuple[str, int]
Receive = Callable[[Request | Response], None]
Fault = Callable[[Exception], None]


def local_host(server: Address) -> str:
    """Returns the address of this machine from which the server is reached. Raises OSError where there is no way to
    it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(server)  # of a datagram socket: nothing is sent
        host: str = probe.getsockname()[0]
    return host


class Wire(Protocol):
    """A transport that carries SIP messages between one phone and its server.

    `name` is as Via spells it; `reliable` says that nothing need be sent twice, `lost` that it carries nothing any
    more.
    """

    name: str
    reliable: bool
    lost: bool
    local: Address

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class UdpWire:
    """A SIP transport over UDP, on a free port; it ignores packets that are not the server's."""

    name = "UDP"
    reliable = False
    lost = False

    def __init__(self, server: Address, receive: Receive, fault: Fault) -> None:
        self._server, self._receive, self._fault = server, receive, fault
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((local_host(server), 0))
        self.local: Address = self._socket.getsockname()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        """Reads a datagram; one of another sender is ignored."""
        try:
            data, sender = self._socket.recvfrom(65_536)
            # another lab's Asterisk may still know this port as that of a phone which has gone
            if sender == self._server and data.strip(b"\r\n\0"):  # not a keep-alive
                self._receive(parse(data))
        except Exception as fault:  # the loop would only log it: the farm raises it at its end
            self._fault(fault)

    def send(self, data: bytes) -> None:
        self._socket.sendto(data, self._server)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()


class TcpWire(asyncio.Protocol):
    """A SIP transport over one TCP connection, which is kept: Asterisk sends its requests back through it."""

    name = "TCP"
    reliable = True

    def __init__(self, receive: Receive, fault: Fault) -> None:
        self._receive, self._fault = receive, fault
        self._stream = StreamParser()
        self.lost = False
        self.local: Address = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.local = transport.get_extra_info("sockname")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.lost = True

    def data_received(self, data: bytes) -> None:
        """Takes received bytes and hands on each whole message."""
        try:
            for message in self._stream.feed(data):
                self._receive(message)
        except Exception as fault:  # as above
            self._fault(fault)

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.abort()


async def open_wire(transport: str, server: Address, receive: Receive, fault: Fault, timeout: float = 5.0) -> Wire:
    """Opens a transport `udp` or `tcp` to the server. Raises OSError, TimeoutError, or ValueError for another word."""
    match transport:
        case "udp":
            return UdpWire(server, receive, fault)
        case "tcp":
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(timeout):
                _, wire = await loop.create_connection(lambda: TcpWire(receive, fault), *server)
            return wire
        case _:
            raise ValueError(f"no transport {transport!r}: udp or tcp")
