"""Links that run for the length of a test, and tell what they lived through."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from agentbridge.asterisk.ami.link import Account, AmiConnection, AmiLink, Timing
from agentbridge.asterisk.ami.wire import Message

QUICK = Timing(connect=2.0, boot=5.0, ping_every=0.2, ping_within=0.5, first_wait=0.02, longest_wait=0.1)
LIMIT = 5.0


class AmiServer(Protocol):
    """What the scripted and the real one have in common."""

    ami_port: int
    ami_user: str
    ami_secret: str


def account(server: AmiServer, secret: str | None = None) -> Account:
    return Account("127.0.0.1", server.ami_port, server.ami_user, secret or server.ami_secret)


@asynccontextmanager
async def connected(
    server: AmiServer, on_event: Callable[[Message], None] | None = None
) -> AsyncIterator[AmiConnection]:
    """Opens an AMI session to this server for the block."""
    hooks: dict[str, Any] = {} if on_event is None else {"on_event": on_event}
    connection = await AmiConnection.connect(account(server), name="test", within=LIMIT, **hooks)
    try:
        yield connection
    finally:
        await connection.close()


class Watched:
    """An AMI link whose hooks fill queues: `await watched.next_down()`."""

    def __init__(self, server: AmiServer, **options: Any) -> None:
        self.ups: asyncio.Queue[Message] = asyncio.Queue()
        self.downs: asyncio.Queue[str] = asyncio.Queue()
        self.events: asyncio.Queue[Message] = asyncio.Queue()
        hooks = {
            "on_up": self.ups.put_nowait,
            "on_down": self.downs.put_nowait,
            "on_event": self.events.put_nowait,
        }
        self.link = AmiLink(account(server), **{"name": "test", "timing": QUICK, **hooks, **options})

    async def next_up(self, within: float = LIMIT) -> Message:
        return await asyncio.wait_for(self.ups.get(), within)

    async def next_down(self, within: float = LIMIT) -> str:
        return await asyncio.wait_for(self.downs.get(), within)

    async def next_event(self, name: str, within: float = LIMIT) -> Message:
        """Waits for the next event of this name and returns it."""
        async with asyncio.timeout(within):
            while (event := await self.events.get()).event != name:
                pass
            return event


@asynccontextmanager
async def running(link: AmiLink) -> AsyncIterator[None]:
    """Runs the link inside the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(link.run())
        try:
            yield
        finally:
            task.cancel()


@asynccontextmanager
async def up(server: AmiServer, **options: Any) -> AsyncIterator[Watched]:
    """Runs a watched link inside the block, once it is up."""
    watched = Watched(server, **options)
    async with running(watched.link):
        await watched.next_up()
        yield watched
