"""Ports of 127.0.0.1 for servers that run side by side."""

import socket

from lab.processes import LabError

BLOCKS = range(10_000, 32_000, 1_000)  # below 32768, where the kernel takes ports for clients


def is_free(port: int) -> bool:
    """For TCP and UDP, on 127.0.0.1."""
    return all(_can_bind(kind, port) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))


def _can_bind(kind: socket.SocketKind, port: int) -> bool:
    """Whether a server could listen on that port."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            # as Asterisk does: connections of a server that has ended keep a port for a minute, and harm nobody
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class PortBlock:
    """A thousand ports of 127.0.0.1 for one server, claimed against every other lab on the machine.

    A UDP socket on the first port is the claim, held until `close`: the ports behind it may be opened, closed and
    opened again by a server that restarts.
    """

    def __init__(self, *, tcp: int) -> None:
        """The first `tcp` ports after the claim must be free for TCP and UDP now."""
        for base in BLOCKS:
            claim = self._claim(base)
            if claim is None:
                continue
            if all(is_free(base + n) for n in range(1, tcp + 1)):
                self._socket = claim
                self.base = base
                return
            claim.close()
        raise LabError("no free block of ports between 10000 and 32000 on 127.0.0.1")

    @staticmethod
    def _claim(port: int) -> socket.socket | None:
        """Claims the block that begins at this port, for as long as the socket lives; None where another has it."""
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            return None
        return claim

    def close(self) -> None:
        self._socket.close()


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
