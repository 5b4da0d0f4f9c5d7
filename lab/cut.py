"""Cuts the way to one address of this machine, as a dead network does: packets vanish, and nobody is told.

Only in a network namespace of one's own: `make test-browser` makes one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lab.processes import run

_LOCAL = ("pref", "100", "lookup", "local")


@asynccontextmanager
async def cut(address: str) -> AsyncIterator[None]:
    """Drops all packets from and to the address inside the block; nobody is told, as in a dead network."""
    # the kernel looks at its own addresses first: that rule must come after ours
    await run("ip", "rule", "add", *_LOCAL)
    await run("ip", "rule", "del", "pref", "0")
    await run("ip", "rule", "add", "pref", "10", "to", address, "blackhole")
    try:
        yield
    finally:
        await run("ip", "rule", "add", "pref", "0", "lookup", "local")
        await run("ip", "rule", "del", "pref", "10")
        await run("ip", "rule", "del", *_LOCAL)
