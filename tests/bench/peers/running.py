"""The peers as one interface: who carries a pause from PostgreSQL to Asterisk, and rests while others work."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Protocol, TypeAlias

import asyncpg

from lab.asterisk import Asterisk
from lab.bridge import Bridge
from lab.manager import Manager, Message
from lab.processes import Process

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
AGENTBRIDGE, BARE, ORDINARY, REALTIME = "agentbridge", "bare script", "ordinary script", "realtime"
SCRIPTS = {BARE: "bare", ORDINARY: "ordinary"}
READY_WITHIN_S = 20.0


class Peer(Protocol):
    """Whom a change is measured with."""

    name: str

    def go_on(self) -> None:
        """It is this one's turn."""
        ...

    def rest(self) -> None:
        """It is another's turn: this one does nothing."""
        ...

    async def change(self, db: Db, internal: str, paused: bool) -> None:
        """Begins a transaction that pauses or unpauses an agent, up to its COMMIT."""
        ...

    def awaiting(self, internal: str, paused: bool) -> "asyncio.Future[float]":
        """Returns a future, made before the COMMIT: when Asterisk has it, by `time.perf_counter`."""
        ...


class Eye:
    """Sees when app_queue has a member's pause, by its event on a connection of its own."""

    def __init__(self) -> None:
        self._awaited: dict[tuple[str, str], asyncio.Future[float]] = {}

    def awaiting(self, internal: str, paused: bool) -> "asyncio.Future[float]":
        future = asyncio.get_running_loop().create_future()
        self._awaited[f"PJSIP/{internal}", "1" if paused else "0"] = future
        return future

    def saw(self, event: Message) -> None:
        if event.get("Event") == "QueueMemberPause":
            future = self._awaited.pop((event["Interface"], event["Paused"]), None)
            if future is not None:
                future.set_result(time.perf_counter())


@contextlib.asynccontextmanager
async def looking(asterisk: Asterisk) -> AsyncIterator[Eye]:
    """An eye that looks at this Asterisk."""
    eye = Eye()
    async with Manager(asterisk, events="agent") as manager, asyncio.TaskGroup() as tasks:

        async def look() -> None:
            while True:
                eye.saw(await manager.read())

        looks = [tasks.create_task(look(), name="eye"), tasks.create_task(manager.nudge(), name="nudge")]
        yield eye
        for task in looks:
            task.cancel()


class Pusher:
    """A peer that is woken by the directory and writes to Asterisk: the daemon, or a script."""

    def __init__(self, name: str, process: Bridge | Process, eye: Eye) -> None:
        self.name = name
        self._process, self._eye = process, eye

    def go_on(self) -> None:
        self._process.send(signal.SIGCONT)

    def rest(self) -> None:
        self._process.send(signal.SIGSTOP)

    async def change(self, db: Db, internal: str, paused: bool) -> None:
        await db.execute("BEGIN")
        verb = "pause" if paused else "unpause"
        await db.execute(f"SELECT agentbridge.{verb}(username, source => 'admin') FROM agentbridge.agents"
                         f" WHERE internal = '{internal}'")  # fmt: skip

    def awaiting(self, internal: str, paused: bool) -> "asyncio.Future[float]":
        return self._eye.awaiting(internal, paused)


@contextlib.asynccontextmanager
async def script(name: str, dsn: str, asterisk: Asterisk) -> AsyncIterator[Process]:
    """One of SCRIPTS as a process, ready."""
    log = asterisk.dir / f"{SCRIPTS[name]}.log"
    process = Process(f"the {name}", log)
    account = (str(asterisk.ami_port), asterisk.ami_user, asterisk.ami_secret)
    await process.start(sys.executable, "-m", f"tests.bench.peers.{SCRIPTS[name]}", dsn, *account)

    async def ready() -> bool:
        return "ready" in log.with_suffix(".out").read_text()

    try:
        await process.wait_ready(ready, within=READY_WITHIN_S)
        yield process
    finally:
        await process.end(signal.SIGKILL)
        log.with_suffix(".out").unlink(missing_ok=True)
