"""A network of several machines on one: each has a network namespace and an address, and all hang on one bridge.

The bridge lies in the network namespace of whoever opens it, which must be one of its own (`make test-nodes` makes
it). Every namespace goes with the process that holds it, so nothing is left on the machine, even after a kill.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.processes import LabError, Process, run, until

NETWORK = "10.98.0"
HUB = f"{NETWORK}.254"
"""our own address: phones, daemons and PostgreSQL are here"""
BRIDGE = "hub"
NOWHERE = "02:00:00:00:00:fe"
"""a card that nobody has: what is sent there vanishes, and nobody is told"""


@dataclass(frozen=True, slots=True)
class Site:
    """A simulated machine: a network namespace with an address on the bridge. pid: of the process that holds the
    namespace."""

    number: int
    pid: int
    hub: str = HUB

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}"

    @property
    def link(self) -> str:
        """The name of its cable at the bridge."""
        return f"site{self.number}"

    @property
    def inside(self) -> tuple[str, ...]:
        """The command that runs what follows in this site's network."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net")

    async def lose(self, address: str) -> None:
        """From now on nothing that this site sends to the address arrives."""
        await run(*self.inside, "ip", "neigh", "replace", address, "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")

    async def find(self, address: str) -> None:
        """Ends `lose`."""
        await run(*self.inside, "ip", "neigh", "del", address, "dev", "eth0")


@asynccontextmanager
async def parted(one: Site, other: Site) -> AsyncIterator[None]:
    """Cuts the network between the two sites inside the block; others still reach both."""
    await asyncio.gather(one.lose(other.address), other.lose(one.address))
    try:
        yield
    finally:
        await asyncio.gather(one.find(other.address), other.find(one.address))


class Switch:
    """The bridge that connects sites; inside `async with Switch(log folder) as switch` sites can be added."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Makes the bridge. Raises LabError in a network with cards: there it would be the machine's own."""
        if strangers := [name for _, name in socket.if_nameindex() if name != "lo"]:
            raise LabError(f"needs a network namespace of its own, as `make test-nodes` makes one; here is {strangers}")
        await run("ip", "link", "add", BRIDGE, "type", "bridge")
        self._stack.push_async_callback(run, "ip", "link", "del", BRIDGE)
        await run("ip", "address", "add", f"{HUB}/24", "dev", BRIDGE)
        await run("ip", "link", "set", BRIDGE, "up")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def site(self, number: int) -> Site:
        """Makes a site with the address 10.98.0.number, which lives until the switch is closed."""
        holder = Process(f"the network of site {number}", self._folder / f"site{number}.log")
        await holder.start("unshare", "--net", "setpriv", "--pdeathsig=KILL", "sleep", "infinity")
        self._stack.push_async_callback(holder.end, signal.SIGKILL)
        ours, its = Path("/proc/self/ns/net"), Path(f"/proc/{holder.pid}/ns/net")
        await until(lambda: ours.readlink() != its.readlink(), within=10, what="a network namespace")
        site = Site(number, holder.pid)
        cable = ("ip", "link", "add", site.link, "type", "veth", "peer", "name", "eth0", "netns", str(site.pid))
        await run(*cable)
        # by hand: with its namespace alone it would go a moment later, and the next switch meet it
        self._stack.push_async_callback(run, "ip", "link", "del", site.link)
        await run("ip", "link", "set", site.link, "master", BRIDGE, "up")
        await run(*site.inside, "ip", "link", "set", "lo", "up")
        await run(*site.inside, "ip", "address", "add", f"{site.address}/24", "dev", "eth0")
        await run(*site.inside, "ip", "link", "set", "eth0", "up")
        return site

    async def unplug(self, site: Site) -> None:
        """Takes the site's cable out: it reaches nobody, and nobody it."""
        await run("ip", "link", "set", site.link, "down")

    async def plug(self, site: Site) -> None:
        """Puts the cable in again."""
        await run("ip", "link", "set", site.link, "up")
