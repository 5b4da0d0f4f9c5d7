"""The directory as the loop reads and writes it, over a small pool of connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

import asyncpg

from agentbridge.directory.connecting import (
    STATEMENTS_KEPT,
    Connection,
    PooledConnection,
    connect_to_one,
    session_settings,
    transaction,
    translated,
)
from agentbridge.directory.driver_errors import POOLER
from agentbridge.directory.lineage import Lineage
from agentbridge.directory.queries import QUERIES
from agentbridge.directory.subjects import SUBJECTS, reading
from agentbridge.errors import Unavailable
from agentbridge.model import Contact, EndpointId, Fate, Loss, NumberRange, QueueName, Reading

DEADLINE_SECONDS = 5.0
"""of one query; also how soon a hung server is noticed"""


class Outcome(Protocol):
    """What a pass found for a key; Asterisk has what the directory says when both are empty."""

    @property
    def error(self) -> str: ...

    @property
    def waits_for(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a daemon reports of itself at intervals, for `status` and for the other nodes."""

    started_at: datetime
    snapshot: str | None
    """how far the changes were read, pg_snapshot in text"""
    asterisk_up: bool
    lag_seconds: float | None
    pending: int
    failed: int
    version: str
    lacks: tuple[str, ...] = ()
    """what this Asterisk can't do, by name"""
    taken: tuple[str, ...] = ()
    """internal numbers that this Asterisk has by its own files: no agent is given one"""
    unreachable: tuple[str, ...] = ()
    """nodes that this Asterisk can't reach by SIP"""


@dataclass(frozen=True, slots=True)
class Centre:
    """The other nodes of the centre, and which of them serves each queue that is not this node's."""

    others: tuple[str, ...] = ()
    """empty: this one is alone"""
    queues: Mapping[QueueName, str] = field(default_factory=dict)
    """those that others serve, each with its node"""
    orphans: Mapping[EndpointId, Contact] = field(default_factory=dict)
    """phones of lost nodes that this one is to take over: a proxy reaches them from here too"""


class Directory:
    """The directory in PostgreSQL as the loop reads and writes it, over a small pool of connections.

    `async with Directory(dsn, node="pbx1") as directory` opens without a database too. Every method raises Unavailable
    when the database is gone, hung or read-only, and Refused for a rule.
    """

    def __init__(self, dsn: str, *, node: str, connections: int = 4, deadline: float = DEADLINE_SECONDS) -> None:
        self._dsn = dsn
        self._node = node
        self._connections = connections
        self._deadline = deadline
        self._statements = STATEMENTS_KEPT
        self._lineage: Lineage | None = None
        self.hinted: str | None = None
        """the snapshot up to which hints of changes have come; None when none has"""
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            # closing waits for the server to say goodbye; one that hangs never does
            self._pool.terminate()

    def obey(self, lineage: Lineage | None) -> None:
        """From now on works only with servers of this lineage (history of one database); with None it works with none.

        So after a failover nothing is read from another server before it is known how old that is, nor from the old one
        when it comes back.
        """
        if lineage != self._lineage and self._pool is not None:
            self._pool.terminate()
            self._pool = None
        self._lineage = lineage

    # ------------------------------------------------------------ what should be

    async def read(self, keys: Collection[EndpointId]) -> Reading:
        """Returns all that the directory says about these keys, at one moment.

        A hundred rows hold up the event loop for 5 ms while they are decoded: ask for many part by part.
        """
        async with self.statement() as connection:
            rows = await connection.fetch(SUBJECTS, list(keys), self.hinted, self._node)
        return reading(rows)

    async def keys(self) -> set[EndpointId]:
        async with self.statement() as connection:
            return set(await connection.fetchval(QUERIES["all_keys"]))

    async def reserve(self) -> NumberRange:
        """Returns the configured range of internal numbers."""
        async with self.statement() as connection:
            bounds = await connection.fetchrow(QUERIES["number_range"])
        if bounds is None:
            raise Unavailable("agentbridge.settings has no row: restore it with its defaults")
        return NumberRange(bounds["internal_from"], bounds["internal_to"])

    async def fingerprint(self) -> str:
        """Returns what is another one after whatever is written in the tables of which hints are sent, also without a
        hint."""
        async with self.statement() as connection:
            return str(await connection.fetchval(QUERIES["fingerprint"]))

    # ------------------------------------------------------------ what became of it

    async def record(self, snapshot: str, outcomes: Mapping[EndpointId, Outcome]) -> None:
        """Writes what a pass found for each key, by the rows of `snapshot`; an empty error means that Asterisk has
        them."""
        if not outcomes:
            return
        errors = [outcome.error or None for outcome in outcomes.values()]
        waits = [outcome.waits_for or None for outcome in outcomes.values()]
        await self._execute("record_applied", self._node, snapshot, list(outcomes), errors, waits)

    async def adopt_pause(self, key: EndpointId, queue: QueueName, reason: str) -> bool:
        """Makes a pause by app_queue the agent's pause in that queue; returns False when it is there already, or nobody
        is logged in."""
        async with self.statement() as connection:
            return bool(await connection.fetchval(QUERIES["adopt_pause"], key, queue, reason))

    async def hand_over(self, queues: Collection[QueueName]) -> None:
        """Notes that nobody of ours is left on this node in these queues, which left the directory."""
        await self._execute("hand_over", self._node, list(queues))

    async def judge(self, losses: Sequence[Loss]) -> dict[Loss, Fate]:
        """Returns for each loss what became of it: taken away by a statement, moved to another endpoint, or
        vanished."""
        columns = (
            [loss.key for loss in losses],
            [loss.kind.value for loss in losses],
            [loss.agent for loss in losses],
            [loss.queue or "" for loss in losses],
        )
        async with self.statement() as connection:
            rows = await connection.fetch(QUERIES["fates"], *columns)
        fates = dict.fromkeys(losses, Fate.TAKEN_AWAY)
        return fates | {losses[row["number"] - 1]: Fate(row["fate"]) for row in rows}

    async def hold(self, keys: Collection[EndpointId], owned: int) -> set[EndpointId]:
        """Notes that the removal of these keys and no others is held back. Returns those that an administrator
        confirmed lately.

        owned: how many agents and telephones Asterisk has, for the administrator to see.
        """
        async with self.statement() as connection:
            confirmed = await connection.fetchval(QUERIES["hold"], self._node, list(keys), owned)
            return {EndpointId(key) for key in confirmed}

    async def telephones_registered(self, registered: Mapping[EndpointId, bool | None]) -> None:
        """What Asterisk's registrar says; None is unknown. Decides which telephones are available."""
        await self._execute("telephones_registered", self._node, list(registered), list(registered.values()))

    async def heartbeat(self, beat: Heartbeat) -> Centre:
        """Writes that this node's daemon lives, and in which state; returns what it must know of the other nodes."""
        arguments = (
            self._node,
            beat.started_at,
            beat.snapshot,
            beat.asterisk_up,
            beat.lag_seconds,
            beat.pending,
            beat.failed,
            beat.version,
            list(beat.lacks),
            list(beat.taken),
            list(beat.unreachable),
        )
        async with self.statement() as connection:
            row = await connection.fetchrow(QUERIES["heartbeat"], *arguments)
        if row is None:
            raise Unavailable("agentbridge.heartbeat returned no row: the schema is not that of this program")
        orphans = {
            EndpointId(device): Contact(found["uri"], found["path"], datetime.fromtimestamp(found["ends"], UTC))
            for device, found in json.loads(row["adopts"] or "{}").items()
        }
        return Centre(others=tuple(row["others"]), queues=json.loads(row["elsewhere"] or "{}"), orphans=orphans)

    async def prune_changes(self) -> int:
        """Deletes hints that every living node has read; returns how many."""
        async with self.statement() as connection:
            return int(await connection.fetchval(QUERIES["prune_changes"]))

    async def prune_taken_away(self) -> int:
        """Deletes notes of what was taken away long ago; returns how many."""
        async with self.statement() as connection:
            return int(await connection.fetchval(QUERIES["prune_taken_away"]))

    async def prune_old(self) -> bool:
        """Deletes some of the rows that are past the retention of the settings; returns whether there may be more."""
        async with self.statement() as connection:
            return bool(await connection.fetchval(QUERIES["prune_old"]))

    # ------------------------------------------------------------ connections

    async def _execute(self, query: str, *arguments: object) -> None:
        async with self.statement() as connection:
            await connection.execute(QUERIES[query], *arguments)

    async def call(self, query: str, *arguments: object) -> object:
        """Runs one statement as a transaction of its own, in one round trip; returns its value."""
        async with self.statement() as connection:
            return await connection.fetchval(query, *arguments)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PooledConnection]:
        """Gives a connection in a transaction, which commits at the end of the block."""
        async with self._connection() as connection, transaction(connection, deadline=self._deadline):
            yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[PooledConnection]:
        """Gives a connection for single statements, each a transaction of its own: one round trip instead of three.

        The session ends a statement that takes longer than the deadline. Behind a pooler they need a transaction, since
        else parsing and executing are on two servers.
        """
        if not self._statements:
            async with self.transaction() as connection:
                yield connection
            return
        async with self._connection() as connection:
            try:
                yield connection
            except asyncpg.PostgresError:
                raise
            except BaseException:
                connection.terminate()  # a hung server would keep the pool waiting for its answer
                raise

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PooledConnection]:
        """Gives a connection of the pool; errors become Refused or Unavailable."""
        with translated():
            pool, connection = await self._acquired()
            try:
                yield connection
            except POOLER as error:
                self._forget_statements(pool)
                raise Unavailable(
                    "a pooler in transaction mode is before the database: connecting again without prepared statements"
                ) from error
            finally:
                await pool.release(connection)

    async def _acquired(self) -> tuple[asyncpg.Pool[asyncpg.Record], PooledConnection]:
        """Returns the pool and a connection of it. Raises TimeoutError after the deadline."""
        pool = await self._open_pool()
        try:
            return pool, await pool.acquire(timeout=self._deadline)
        except POOLER:  # at the log-in: nothing was asked yet, so it is simply asked again
            self._forget_statements(pool)
        pool = await self._open_pool()
        return pool, await pool.acquire(timeout=self._deadline)

    def _forget_statements(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        """Replaces the pool by one without prepared statements: there is a pooler in between."""
        self._statements = 0
        if self._pool is pool:  # else another one that failed at the same time was here first
            self._pool = None
        pool.terminate()

    async def _open_pool(self) -> asyncpg.Pool[asyncpg.Record]:
        """Returns the pool, made at its first use."""
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    connect=connect_to_one,
                    min_size=0,
                    max_size=self._connections,
                    timeout=self._deadline,
                    command_timeout=self._deadline,
                    statement_cache_size=self._statements,
                    # nothing is left behind in a session here, so nothing has to be reset in a round trip
                    reset=_leave,
                    init=self._check_lineage,
                    server_settings=session_settings(
                        f"agentbridge {self._node}", self._statements, deadline=self._deadline
                    ),
                )
            return self._pool

    async def _check_lineage(self, connection: Connection) -> None:
        """Raises Unavailable where a new connection leads to another database than the one that is obeyed."""
        if self._lineage is None:
            return
        row = await connection.fetchrow(QUERIES["lineage"])
        if row is None or (row["cluster"], row["timeline"]) != self._lineage:
            raise Unavailable(
                "the address leads to another database server than the one that is obeyed; see `agentbridge status`"
            )


async def _leave(_: object) -> None:
    return
