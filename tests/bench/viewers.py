"""200 viewers while 1,000 agents change their state: how late a frame is, what it costs, what standing readers hold.

`python -m tests.bench.viewers [SECONDS]`. A change is a pause or its end; it begins with app_queue's event, on a socket
of its own, and ends when a viewer who sees everything has the frame. Most viewers only take what comes: reading 200
times the same JSON in this process would be what is measured. The load of the machine stands beside each figure.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import sys
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict

import aiohttp
import asyncpg
import psutil

from lab.api import COOKIE, Api, deaf_socket
from lab.asterisk import Asterisk
from lab.bridge import Bridge
from lab.manager import Manager, Message
from lab.phones import Farm
from lab.postgres import API, Postgres
from lab.processes import until
from tests.bench.latency import Db, Figures

AGENTS, QUEUES, VIEWERS, STANDING = 1000, 20, 200, 10
PER_SECOND = 100
ALONE = 200
"""changes one by one, for the daemon's cost with and without viewers"""
FIRST = 1000
WITHIN_S = 20.0
WAL = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"


class Eyes:
    """Notes when Asterisk had a pause, and when the viewer was told of it."""

    def __init__(self) -> None:
        self._event: dict[tuple[str, bool], float] = {}
        self._waiting: dict[tuple[str, bool], asyncio.Future[float]] = {}
        self.late: list[float] = []

    def on_event(self, event: Message) -> None:
        if event.get("Event") == "QueueMemberPause":
            key = (event["Interface"].removeprefix("PJSIP/"), event["Paused"] == "1")
            now = time.perf_counter()
            self._event.setdefault(key, now)
            if (waiting := self._waiting.pop(key, None)) is not None and not waiting.done():
                waiting.set_result(now)

    def expect(self, internal: str, paused: bool) -> "asyncio.Future[float]":
        self._event.pop((internal, paused), None)
        future = self._waiting[internal, paused] = asyncio.get_running_loop().create_future()
        return future

    def on_frame(self, text: str) -> None:
        now = time.perf_counter()
        for one in json.loads(text).get("objects", ()):
            data = one["data"]
            if one["kind"] != "agent" or data is None or data["state"] not in ("paused", "ready"):
                continue
            began = self._event.pop((data["internal"], data["state"] == "paused"), None)
            if began is not None:
                self.late.append(now - began)


class Place:
    """The servers and the centre that the bench looks at."""

    def __init__(self, db: Db, asterisk: Asterisk, api: Api, bridge: Bridge, eyes: Eyes) -> None:
        self.db, self.asterisk, self.api, self.bridge, self.eyes = db, asterisk, api, bridge, eyes
        self.paused: dict[int, bool] = {}
        self.bytes = self.packed = 0
        """that the viewer of everything got, and what permessage-deflate would have made of it"""

    async def change(self, number: int) -> float:
        """Pauses or unpauses an agent; returns the seconds until Asterisk has it."""
        internal = FIRST + number
        now = self.paused[number] = not self.paused.get(number, False)
        seen = self.eyes.expect(str(internal), now)
        began = time.perf_counter()
        await self.db.execute(
            f"SELECT agentbridge.{'pause' if now else 'unpause'}('agent{internal}', source => 'admin')"
        )
        async with asyncio.timeout(WITHIN_S):
            return await seen - began

    async def change_all(self, seconds: float) -> None:
        """Changes a hundred agents a second, each agent every ten seconds."""
        began = time.perf_counter()
        running: set[asyncio.Task[float]] = set()
        for number in range(int(seconds * PER_SECOND)):
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
            task = asyncio.create_task(self.change(number % AGENTS))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running, return_exceptions=True)


@contextlib.asynccontextmanager
async def place() -> AsyncIterator[Place]:
    queues = {f"queue{number}": {} for number in range(QUEUES)}
    async with Postgres() as postgres, Asterisk(queues=queues) as asterisk:
        dsn = await postgres.create_directory("bench", range(FIRST, FIRST + AGENTS))
        async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
            await _fill(pool, list(queues))
            eyes = Eyes()
            async with (
                Bridge(asterisk, dsn) as bridge,
                Api(postgres.dsn("bench", API)) as api,
                Manager(asterisk, events="agent", on_event=eyes.on_event) as manager,
                Farm((asterisk.host, asterisk.sip_port), audio=False) as farm,
            ):
                await bridge.start()
                found = Place(pool, asterisk, api, bridge, eyes)
                await _settled(pool)
                await farm.register(dict(await pool.fetch("SELECT internal, sip_secret FROM agentbridge.agents")))
                looking = [asyncio.create_task(_look(manager, eyes)), asyncio.create_task(manager.nudge())]
                try:
                    yield found
                finally:
                    for task in looking:
                        task.cancel()


async def _look(manager: Manager, eyes: Eyes) -> None:
    while True:
        eyes.on_event(await manager.read())


async def _fill(db: Db, queues: list[str]) -> None:
    await db.execute("INSERT INTO agentbridge.queues (name) SELECT unnest($1::text[])", queues)
    await db.execute(
        "INSERT INTO agentbridge.agents (username, internal, typology)"
        " SELECT 'agent' || n, n::text, 'external' FROM generate_series($1::int, $1::int + $2::int - 1) n",
        FIRST,
        AGENTS,
    )
    await db.execute(
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id) SELECT a.id, q.id"
        " FROM agentbridge.agents a JOIN agentbridge.queues q ON q.name = 'queue' || (a.internal::int % $1)",
        len(queues),
    )
    await db.execute(
        "INSERT INTO agentbridge.users (username, role, agents_permission, may_spy)"
        " SELECT 'admin' || n, 'admin', false, false FROM generate_series(0, 9) n"
        " UNION ALL SELECT 'lead' || n, 'user', true, false FROM generate_series(0, 19) n"
        " UNION ALL SELECT 'super' || n, 'user', false, true FROM generate_series(0, 19) n"
    )
    await db.execute(
        "INSERT INTO agentbridge.user_queues (username, queue_id) SELECT u.username, q.id FROM agentbridge.users u"
        " JOIN agentbridge.queues q ON q.name = 'queue' || substring(u.username from '[0-9]+') WHERE u.role = 'user'"
    )
    await db.execute("SELECT agentbridge.login(username, source => 'admin') FROM agentbridge.agents")
    await db.execute("VACUUM ANALYZE")


async def _settled(db: Db) -> None:
    async def all_there() -> bool:
        return bool(await db.fetchval("SELECT bool_and(applied_at IS NOT NULL) FROM agentbridge.agent_status"))

    await until(all_there, within=300, what="everything being in Asterisk")


async def _cookie(db: Db, kind: str, username: str) -> str:
    """Makes a session as a log-in would: a password's cost is not measured here."""
    secret = secrets.token_urlsafe(32)
    await db.execute(
        "INSERT INTO agentbridge.web_sessions (proof, kind, username, idle, expires_at)"
        " VALUES ($1, $2, $3, interval '1 hour', now() + interval '1 day')",
        hashlib.sha256(secret.encode()).digest(),
        kind,
        username,
    )
    return f"{COOKIE}={secret}"


def _who(number: int) -> tuple[str, str]:
    """Returns kind and username of the viewer with this number: viewers of all roles, by turns."""
    return [
        ("user", f"admin{number % 10}"),
        ("user", f"lead{number % 20}"),
        ("user", f"super{number % 20}"),
        ("agent", f"agent{FIRST + number}"),
    ][number % 4]


@contextlib.asynccontextmanager
async def viewers(here: Place, count: int) -> AsyncIterator[None]:
    """Connects so many viewers; the first sees everything and is the one measured."""
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
        )
        tasks = []
        for number in range(count):
            headers = {"Cookie": await _cookie(here.db, *_who(number)), "Origin": here.api.origin}
            socket = await session.ws_connect(f"{here.api.origin}/v1/events", headers=headers, max_msg_size=0)
            await socket.send_json({"op": "subscribe"})
            await socket.receive(timeout=60)
            tasks.append(asyncio.create_task(_watch(here, socket) if number == 0 else _take(socket)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(here: Place, socket: aiohttp.ClientWebSocketResponse) -> None:
    packer = zlib.compressobj(wbits=-15)
    async for message in socket:
        here.eyes.on_frame(message.data)
        here.bytes += len(message.data.encode())
        here.packed += len(packer.compress(message.data.encode()) + packer.flush(zlib.Z_SYNC_FLUSH))


async def _take(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


@contextlib.asynccontextmanager
async def standing(here: Place, count: int) -> AsyncIterator[None]:
    """Connects readers that subscribe and then never read; who is cut off comes back."""

    async def stand() -> None:
        while True:
            headers = {"Origin": here.api.origin, "Cookie": await _cookie(here.db, "user", "admin0")}
            with contextlib.suppress(OSError, EOFError):
                async with deaf_socket(here.api, headers):
                    await asyncio.sleep(45)

    tasks = [asyncio.create_task(stand()) for _ in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def say(what: str, found: object) -> None:
    print(f"{what}: {found} (load {os.getloadavg()[0]:.1f})", flush=True)


async def daemons_cost(here: Place) -> dict[str, Figures]:
    """Measures a pause until Asterisk has it, with and without viewers, by turns."""
    taken: dict[str, list[float]] = {"alone": [], "watched": []}
    for turn in range(4):
        name = "watched" if turn % 2 else "alone"
        async with viewers(here, VIEWERS) if turn % 2 else contextlib.nullcontext():
            for number in range(ALONE):
                taken[name].append(await here.change((turn // 2 * ALONE + number) % AGENTS))
                await asyncio.sleep(0.01)
    return {name: Figures.of(seconds) for name, seconds in taken.items()}


async def main(seconds: float) -> None:
    async with place() as here:
        api, daemon = psutil.Process(here.api.pid), psutil.Process(here.bridge.pid)
        say("the API's RSS without viewers, MB", api.memory_info().rss // 2**20)
        for name, figures in (await daemons_cost(here)).items():
            say(f"a pause until Asterisk has it, {name}, ms", json.dumps(asdict(figures)))
        async with viewers(here, VIEWERS):
            await here.change_all(5)
            here.eyes.late.clear()
            here.bytes = here.packed = 0
            processes = {"API": api, "daemon": daemon}
            busy = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
            wal, began = await here.db.fetchval(WAL), time.perf_counter()
            await here.change_all(seconds)
            took = time.perf_counter() - began
            say("event until the frame, ms", json.dumps(asdict(Figures.of(here.eyes.late))))
            for name, process in processes.items():
                say(f"the {name}'s share of a core", round((sum(process.cpu_times()[:2]) - busy[name]) / took, 2))
            say("PostgreSQL's WAL, KB a second", round((await here.db.fetchval(WAL) - wal) / took / 1024))
            hour = 3600 / took / 2**20
            say("a wallboard's hour, extrapolated, MB", f"{here.bytes * hour:.0f}, packed {here.packed * hour:.0f}")
            sizes: deque[int] = deque()
            async with standing(here, STANDING):
                for _ in range(5):
                    await here.change_all(seconds / 5)
                    sizes.append(api.memory_info().rss // 2**20)
            say(f"the API's RSS with {VIEWERS} viewers and {STANDING} that stand still, MB", list(sizes))
            say("the daemon's RSS, MB", daemon.memory_info().rss // 2**20)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
