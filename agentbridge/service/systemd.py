"""What systemd is told, by the protocol of sd_notify(3); without NOTIFY_SOCKET nothing is sent."""

from __future__ import annotations

import os
import socket
import time

import structlog

log = structlog.get_logger()

SEND_SECONDS = 1.0
"""systemd reads at once; a full socket must not hold up the daemon"""


def ready() -> None:
    """Started, or done with reloading."""
    _send("READY=1")


def reloading() -> None:
    """To be followed by `ready`. Type=notify needs no more: notify-reload is only known from systemd 253."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    _send("STOPPING=1")


def watchdog() -> None:
    _send("WATCHDOG=1")


def status(text: str) -> None:
    """One line that `systemctl status` shows."""
    _send(f"STATUS={' '.join(text.split())}")


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear `watchdog` at least; None when it doesn't, which 0 says as well."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not microseconds.isdecimal() or int(microseconds) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000


class _Reachability:
    """Whether the last message was heard: that systemd can't be reached is told once, not four times a second."""

    def __init__(self) -> None:
        self._lost = False

    def heard(self) -> None:
        """Notes that systemd got a message: the next failure is logged again."""
        self._lost = False

    def missed(self, error: OSError) -> None:
        """Notes that systemd could not be told, and logs it once."""
        if not self._lost:
            log.warning("systemd.unreachable", reason=str(error), meanwhile="it may think that this daemon hangs")
        self._lost = True


_reachability = _Reachability()


def _send(message: str) -> None:
    """Sends a message to systemd; does nothing outside of it. A failure is logged once and otherwise ignored."""
    if not (path := os.environ.get("NOTIFY_SOCKET")):
        return
    # a leading @ stands for the NUL of an abstract socket
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(SEND_SECONDS)
            sender.sendto(message.encode(), address)
    except OSError as error:
        _reachability.missed(error)
    else:
        _reachability.heard()
