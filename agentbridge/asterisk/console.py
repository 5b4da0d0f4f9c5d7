"""Questions to Asterisk's console."""

from __future__ import annotations

from typing import Protocol

from agentbridge.errors import Refused

TIMEOUT_SECONDS = 10.0


class Console(Protocol):
    """A link on which Asterisk's console can be asked. Raises Unavailable, and Refused with what it printed."""

    async def command(self, line: str, *, timeout: float) -> str: ...


async def shown_by(console: Console, line: str) -> str:
    """Returns what the console prints for a command, also where it refuses it. Raises Unavailable."""
    try:
        return await console.command(line, timeout=TIMEOUT_SECONDS)
    except Refused as refused:
        return str(refused)
