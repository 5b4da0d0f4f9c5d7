"""What changes in the directory, as it commits: only which keys, never what.

A notification is a wake-up and no more. The keys come from the change table, read with the snapshot of the
last read, so that nothing is lost or read twice whatever the order of commits. Losing a notification costs
the poll's interval.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from agentbridge.directory import migrate
from agentbridge.directory.connecting import (
    POOLER_ERRORS,
    STATEMENTS_KEPT,
    Connection,
    behind_pooler,
    connect,
    transaction,
    translated,
)
from agentbridge.directory.lineage import Lineage, Mark, Memory, why_older
from agentbridge.directory.queries import NEWS, QUERIES
from agentbridge.directory.rows import reading
from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId, Reading

log = structlog.get_logger()

CHANNEL = "agentbridge"
FIRST_WAIT_SECONDS = 0.2
LAST_WAIT_SECONDS = 10.0
_OF_SESSION = "SELECT pg_try_advisory_lock($1)"
_OF_TRANSACTION = "SELECT pg_try_advisory_xact_lock($1)"
# PostgreSQL forgets the session of a host that vanished, and with it its lock, after this
_KEEPALIVES = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """`poll_seconds`: how often it asks without being woken, which is also the sign of life.

    A hung server is noticed after `poll_seconds + deadline_seconds` at most.
    """

    poll_seconds: float = 2.0
    deadline_seconds: float = 2.5
    standby_seconds: float = 1.0
    """how often a standby tries to become the writer of its node"""


class Changes:
    """`run` connects, waits to be the node's only writer, then hands over keys until it is cancelled.

    `on_up` means: look at everything, since nothing is known of what happened before. `on_keys` may hold
    ALL_KEYS, and brings along what the directory says about the keys when they are few. The three are called
    synchronously and may not block.
    """

    def __init__(
        self,
        dsn: str,
        *,
        node: str,
        on_keys: Callable[[set[EndpointId], Reading | None], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        pulse: Pulse | None = None,
        memory: Memory | None = None,
        random_: Callable[[], float] = random.random,
    ) -> None:
        self._dsn = dsn
        self._node = node
        self._on_keys = on_keys
        self._on_up = on_up
        self._on_down = on_down
        self._pulse = pulse or Pulse()
        self._memory = memory or Memory(None, time.monotonic)
        self._random = random_
        self._wake = asyncio.Event()
        self._failures = 0
        self._statements = STATEMENTS_KEPT
        self.up = False
        self.standby = False
        """another daemon writes to this node's Asterisk; this one waits"""
        self.older = ""
        """why this database is not obeyed until somebody confirms it"""
        self.snapshot: str | None = None
        """how far the changes were read; None before the first read"""
        self.lag_seconds: float | None = None
        """the age of the oldest change of the last read that had any"""

    @property
    def lineage(self) -> Lineage | None:
        """Of the database that is obeyed; None before the first connect."""
        return self._memory.mark.lineage if self._memory.mark is not None else None

    async def run(self) -> None:
        while True:
            try:
                await self._session()
            except Unavailable as lost:
                self._went_down(str(lost))
            await asyncio.sleep(self._wait())

    def _went_down(self, reason: str) -> None:
        if self.up or self._failures == 0:
            log.warning("database.lost", node=self._node, reason=reason)
            self._on_down(reason)
        self.up = False
        self.standby = False
        self._failures += 1

    def _wait(self) -> float:
        """Exponential, and random so that many daemons don't come back at one moment."""
        longest = min(LAST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(self._failures, 10))
        return longest * (0.5 + self._random() / 2)

    async def _session(self) -> None:
        connection = await connect(
            self._dsn,
            deadline=self._pulse.deadline_seconds,
            name=f"agentbridge {self._node} changes",
            statements=self._statements,
        )
        try:
            with translated():
                await self._follow(connection)
        except POOLER_ERRORS as error:
            self._statements = 0
            raise Unavailable("a pooler in transaction mode: no prepared statements from now on") from error
        finally:
            # not close(): that waits for a server that may hang
            connection.terminate()

    async def _follow(self, connection: Connection) -> None:
        connection.add_termination_listener(self._woken)
        pooled = await behind_pooler(connection)
        # One transaction keeps the pooler's server ours, and the lock with it. Its statements have a snapshot
        # each and it writes nothing, so it keeps no vacuum waiting.
        await connection.execute("BEGIN" if pooled else _KEEPALIVES)
        await self._check_schema(connection)
        await self._wait_for_lock(connection, _OF_TRANSACTION if pooled else _OF_SESSION)
        if not pooled:  # else nobody would be told of a notification
            # first listen, then read: a change between the two is a wake-up too many, never one too few
            await connection.add_listener(CHANNEL, self._woken)
        await self._settle_in(connection)
        await self._wait_until_obeyed(connection)
        if self.snapshot is None:
            self.snapshot = await connection.fetchval(QUERIES["last_snapshot"], self._node)
        self._wake.set()  # what changed since then is a wish, which a resync alone could not tell from drift
        self._came_up()
        while True:
            await self._woken_or_due()
            # cleared before reading: what commits during the read wakes again
            self._wake.clear()
            await self._read(connection)

    async def _check_schema(self, connection: Connection) -> None:
        found = await migrate.status(connection)
        if found.problem:
            raise Unavailable(found.problem)

    def _came_up(self) -> None:
        log.info("database.connected", node=self._node)
        self._failures = 0
        self.up = True
        self._on_up()

    async def _wait_for_lock(self, connection: Connection, lock: str) -> None:
        """One writer for each node; the lock goes with the connection."""
        key = lock_key(self._node)
        while not await connection.fetchval(lock, key):
            if not self.standby:
                log.info("standby.waiting", node=self._node)
            self.standby = True
            await asyncio.sleep(self._pulse.standby_seconds)
        self.standby = False

    async def _wait_until_obeyed(self, connection: Connection) -> None:
        """A database that forgot what Asterisk was told changes nothing there before somebody says that it may."""
        self._memory.refresh()
        while reason := await self._why_older(connection):
            if await self._done("database_older", self._node, reason):
                log.warning("database.confirmed", node=self._node, reason=reason)
                self.snapshot = None  # it counts its transactions by itself
                break
            if self.older != reason:
                log.error("database.older", node=self._node, reason=reason, cure="agentbridge plan --confirm")
                self.older = reason
            await asyncio.sleep(self._pulse.standby_seconds)
        self.older = ""
        mark = await self._mark(connection)
        if self._memory.mark is not None and self._memory.mark.cluster != mark.cluster:
            self.snapshot = None  # of the other one's transactions
        self._memory.keep(mark)

    async def _settle_in(self, connection: Connection) -> None:
        """After dump and restore into another cluster, whose transactions count from the beginning."""
        if not await connection.fetchval(QUERIES["at_home"]):
            await self._done("moved_in")
            log.warning("database.moved", node=self._node)

    async def _done(self, query: str, *arguments: object) -> bool:
        """What it answers, on a connection of its own: ours may be in a transaction that never commits."""
        noting = await connect(self._dsn, deadline=self._pulse.deadline_seconds, name=f"agentbridge {self._node}")
        try:
            async with transaction(noting, deadline=self._pulse.deadline_seconds):
                return bool(await noting.fetchval(QUERIES[query], *arguments))
        finally:
            noting.terminate()

    async def _why_older(self, connection: Connection) -> str:
        known = self._memory.mark
        if known is None:
            return ""
        has_known = await connection.fetchval(QUERIES["has_change"], known.change, known.microseconds)
        return why_older(known, await self._mark(connection), has_known=has_known)

    async def _mark(self, connection: Connection) -> Mark:
        row = await connection.fetchrow(QUERIES["lineage"])
        if row is None:
            raise Unavailable("the database answered a query without a row")
        return Mark(**row)

    async def _woken_or_due(self) -> None:
        try:
            async with asyncio.timeout(self._pulse.poll_seconds):
                await self._wake.wait()
        except TimeoutError:
            pass  # the poll, which is the net below lost notifications

    def _woken(self, *_: Any) -> None:
        self._wake.set()

    async def _read(self, connection: Connection) -> None:
        rows = await connection.fetch(NEWS, self.snapshot)
        news = rows[0]
        self.snapshot = news["snapshot"]
        mark = self._memory.mark
        if news["keys"]:
            self.lag_seconds = news["oldest_seconds"]
            mark = mark and mark.with_change(news["newest"], news["newest_at"])
            keys = {EndpointId(key) for key in news["keys"]}
            self._on_keys(keys, None if news["key"] is None else reading(rows))
        if mark is not None:
            self._memory.keep(mark)


def lock_key(node: str) -> int:
    """A signed 64-bit key for pg_advisory_lock, the same in every process."""
    return int.from_bytes(hashlib.sha256(f"agentbridge node {node}".encode()).digest()[:8], "big", signed=True)


async def listen_works(dsn: str, *, deadline: float) -> bool:
    """False behind a pooler in transaction mode, where LISTEN is lost without a word; then changes wait for the poll.

    Two connections, since a notification from the same one would arrive with the answer.
    """
    arrived = asyncio.Event()
    channel = f"agentbridge_check_{random.getrandbits(64):x}"
    listening = await connect(dsn, deadline=deadline, name="agentbridge check")
    try:
        notifying = await connect(dsn, deadline=deadline, name="agentbridge check")
        try:
            with translated():
                await listening.add_listener(channel, lambda *_: arrived.set())
                await notifying.execute(f"NOTIFY {channel}")
            return await _within(arrived, 1.0)
        finally:
            notifying.terminate()
    finally:
        listening.terminate()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
