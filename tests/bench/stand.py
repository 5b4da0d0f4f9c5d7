"""A whole call centre of any size: directory, Asterisk, daemon, customers who call all the time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

import asyncpg
import psutil

from lab.asterisk import Asterisk, Queues
from lab.bridge import Bridge, Sections
from lab.postgres import Postgres
from lab.sipp import Customers, Heard
from lab.task_processors import TaskProcessors

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
QUEUES: Queues = {f"queue{number}": {} for number in range(20)}
OF_EACH = 5
FIRST = 1000
CALM_S = 3.0
"""customers before and after what is measured"""
WITHIN_S = 600.0
POLL_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The cost of something big: seconds until the directory said that Asterisk has it, and until Asterisk had no task
    left.

    Also the deepest task processor meanwhile, and how the customers' calls went.
    """

    applied_s: float
    settled_s: float
    deepest: int
    deepest_name: str
    calls: int
    lost: int
    slowest_answer_s: float


class Stand:
    """A contact centre for the benches, empty, with a daemon that is not started. numbers: how many internal numbers
    there are."""

    def __init__(self, *, numbers: int, fsync: bool = False, sections: Sections | None = None) -> None:
        self._numbers, self._fsync, self._sections = numbers, fsync, sections
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.postgres = await stack.enter_async_context(Postgres(fsync=self._fsync))
            self.asterisk = await stack.enter_async_context(Asterisk(queues=QUEUES))
            self.dsn = await self.postgres.create_directory("bench", range(FIRST, FIRST + self._numbers))
            self.db: Db = await asyncpg.connect(self.dsn)
            stack.callback(lambda: self.db.terminate())
            await self.db.execute("INSERT INTO agentbridge.queues (name) SELECT unnest($1::text[])", list(QUEUES))
            self.bridge = await stack.enter_async_context(Bridge(self.asterisk, self.dsn, sections=self._sections))
            self.processors = await stack.enter_async_context(TaskProcessors(self.asterisk))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def another_connection(self) -> Db:
        """To the directory, for who works beside; to be terminated by the caller."""
        db: Db = await asyncpg.connect(self.dsn)
        return db

    # ------------------------------------------------------------ the directory

    async def people(self, count: int, *, name: str = "agent", login_in_pause: bool = False) -> None:
        """Creates agents name0, name1, ..., each in five of the queues, vacuumed as a directory in use is."""
        await self.db.execute(
            "INSERT INTO agentbridge.agents (username, full_name, login_in_pause)"
            " SELECT $1 || n, 'Agent ' || n, $3 FROM generate_series(0, $2::int - 1) n",
            name,
            count,
            login_in_pause,
        )
        await self.db.execute(
            "INSERT INTO agentbridge.queue_members (agent_id, queue_id, penalty)"
            " SELECT a.id, q.id, 1 FROM agentbridge.agents a, agentbridge.queues q"
            " WHERE a.username ~ ('^' || $1 || '[0-9]+$') AND (a.id + q.id) % ($2::int / $3::int) = 0",
            name,
            len(QUEUES),
            OF_EACH,
        )
        await self.db.execute("VACUUM ANALYZE")

    async def login(self, first: int, count: int, *, name: str = "agent", over_s: float = 0.0) -> None:
        """Logs agents in, one transaction each, evenly over so many seconds."""
        started = time.perf_counter()
        for number in range(count):
            late = time.perf_counter() - started - over_s * number / count
            if late < 0:
                await asyncio.sleep(-late)
            await self.db.execute("SELECT agentbridge.login($1, source => 'admin')", f"{name}{first + number}")

    async def login_at_once(self, first: int, count: int, *, name: str = "agent") -> None:
        await self._verb("login", first, count, name)

    async def logout_at_once(self, first: int, count: int, *, name: str = "agent") -> None:
        await self._verb("logout", first, count, name)

    async def _verb(self, verb: str, first: int, count: int, name: str) -> None:
        await self.db.execute(
            f"SELECT agentbridge.{verb}($1 || n, source => 'admin') FROM generate_series($2::int, $3::int) n",
            name,
            first,
            first + count - 1,
            timeout=WITHIN_S,
        )

    # ------------------------------------------------------------ what is measured

    async def settled(self, within: float = WITHIN_S, *, look_s: float = POLL_S) -> None:
        """Waits until the directory says of each agent that Asterisk has it; asks every `look_s`.

        The daemon's own word comes first: to look at all agents takes a quarter of a second of a processor, which what
        is measured needs.
        """
        idle = "SELECT bool_and(pending = 0) FROM agentbridge.nodes"
        # not EXISTS, which PostgreSQL plans for one row: with 20,000 agents that took minutes and a core
        done = "SELECT bool_and(applied_at IS NOT NULL) FROM agentbridge.agent_status"
        async with asyncio.timeout(within):
            while not (await self.db.fetchval(idle) and await self.db.fetchval(done, timeout=within)):  # noqa: ASYNC110
                await asyncio.sleep(look_s)

    @asynccontextmanager
    async def measured(self) -> AsyncIterator["Measure"]:
        """Lets customers call inside the block; the figures are in the measure afterwards."""
        await self.processors.reset()
        async with Customers(self.asterisk) as customers:
            await asyncio.sleep(CALM_S)
            measure = Measure(self, time.perf_counter())
            yield measure
            await asyncio.sleep(CALM_S)
            measure.heard = await customers.heard()
            measure.complaints = customers.errors()
        deepest = await self.processors.deepest()
        measure.deepest, measure.deepest_name = deepest.most, deepest.name

    def rss_mb(self) -> float:
        return round(psutil.Process(self.bridge.pid).memory_info().rss / 1e6, 1)


class Measure:
    """What `measured` gives to its block: `done` is to be awaited when everything was asked for."""

    def __init__(self, stand: Stand, started: float) -> None:
        self._stand, self._started = stand, started
        self.applied_s = self.settled_s = 0.0
        self.deepest, self.deepest_name = 0, ""
        self.heard: Heard
        self.complaints = ""

    async def done(self, *, by_daemon: bool = True) -> None:
        """Waits until all is in Asterisk and Asterisk has no task left, and notes the seconds."""
        if by_daemon:
            await self._stand.settled()
        self.applied_s = time.perf_counter() - self._started
        await self._stand.processors.idle(within=WITHIN_S)
        self.settled_s = time.perf_counter() - self._started

    def load(self) -> Load:
        """Returns the figures, after the block."""
        return Load(
            applied_s=round(self.applied_s, 2),
            settled_s=round(self.settled_s, 2),
            deepest=self.deepest,
            deepest_name=self.deepest_name,
            calls=self.heard.answered,
            lost=self.heard.lost,
            slowest_answer_s=round(self.heard.slowest_s, 3),
        )
