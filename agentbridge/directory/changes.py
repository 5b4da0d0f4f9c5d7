"""What changes in the directory, as it commits: only which keys, never what.

A notification is a wake-up and no more. The keys come from the change table, read with the snapshot of the
last read, so that nothing is lost or read twice whatever the order of commits. Losing a notification costs
the poll's interval.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from agentbridge import metrics
from agentbridge.directory import migrate
from agentbridge.directory.admission import Admission, Elsewhere
from agentbridge.directory.connecting import (
    STATEMENTS_KEPT,
    Connection,
    behind_pooler,
    connect,
    translated,
)
from agentbridge.directory.driver_errors import POOLER
from agentbridge.directory.lineage import Lineage, Memory
from agentbridge.directory.listening import APPLIED_CHANNEL
from agentbridge.directory.node_lock import NodeLock
from agentbridge.directory.queries import QUERIES
from agentbridge.directory.subjects import NEWS, PAUSES, Row, pauses, reading
from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId, Reading, SessionPause
from agentbridge.reconnecting import Waits, keep_connected

log = structlog.get_logger()

CHANNEL = "agentbridge"
PAUSE = "pause"
"""the payload of a hint of which only the pause of a session has to be read"""
WAITS = Waits(first=0.2, longest=3.0)
"""soon after the database is back this node has what happened meanwhile, and one try costs little"""
FRESH_SECONDS = 1.0
"""older rows are not handed on: whoever acts on them reads again"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """How often the connection that follows changes asks the database, which also shows that the server is alive.

    A hung server is noticed after `poll_seconds + deadline_seconds` at most.
    """

    poll_seconds: float = 2.0
    deadline_seconds: float = 2.5
    standby_seconds: float = 1.0
    """how often a standby tries to become the writer of its node"""
    address_seconds: float = 10.0
    """how often it looks whether the address still leads to this server; costs one connection"""


class DirectoryListener(Protocol):
    """Is told what changes in the directory. Called synchronously: a method may not block."""

    def keys_changed(self, keys: set[EndpointId], reading: Reading | None) -> None:
        """Takes keys that changed; ALL_KEYS among them stands for every key.

        reading: what the directory says about them, where they are few and it was read just now.
        """
        ...

    def pauses_changed(self, pauses: Mapping[EndpointId, SessionPause]) -> None:
        """Takes what was read just now of keys of which nothing but this has changed."""
        ...

    def directory_up(self) -> None:
        """The directory is to be obeyed from now on. What happened before is not known: look at everything."""
        ...

    def directory_lost(self, reason: str) -> None:
        """The directory can't be followed or may not be obeyed, until the next `directory_up`."""
        ...

    def results_written(self) -> None:
        """A node has written what became of some changes."""
        ...


def is_fresh(asked: float) -> bool:
    """Whether rows that were asked for then, by `time.monotonic`, may be handed on: else this process may have stood
    still meanwhile."""
    return time.monotonic() - asked < FRESH_SECONDS


class Changes:
    """Follows which keys change in the directory and tells the listener; before that it waits to be the node's only
    daemon."""

    def __init__(
        self,
        dsn: str,
        *,
        node: str,
        listener: DirectoryListener,
        pulse: Pulse | None = None,
        memory: Memory | None = None,
        waits: Waits = WAITS,
    ) -> None:
        self._dsn = dsn
        self._node = node
        self._listener = listener
        self._pulse = pulse or Pulse()
        self._lock = NodeLock(node, standby_seconds=self._pulse.standby_seconds)
        self._admission = Admission(
            dsn,
            memory or Memory(None, time.monotonic),
            node=node,
            deadline=self._pulse.deadline_seconds,
            again_seconds=self._pulse.standby_seconds,
        )
        self._waits = waits
        self._wake = asyncio.Event()
        self._payloads: set[str] = set()
        """of the notifications since the last read"""
        self._lost_told = False
        self._statements = STATEMENTS_KEPT
        self._elsewhere: Elsewhere | None = None
        self.up = False
        self.snapshot: str | None = None
        """how far the changes were read; None before the first read"""
        self.lag_seconds: float | None = None
        """the age of the oldest change of the last read that had any"""

    @property
    def lineage(self) -> Lineage | None:
        """Of the database that is obeyed; None before the first connect."""
        return self._admission.lineage

    @property
    def standby(self) -> bool:
        """Another daemon writes to this node's Asterisk; this one waits."""
        return self._lock.standby

    @property
    def older(self) -> str:
        """Why this database is not obeyed until somebody confirms it."""
        return self._admission.older

    async def run(self) -> None:
        """Follows the directory and connects again when it is lost, until it is cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._sessions())
            both.create_task(self._watch_address())

    async def _sessions(self) -> None:
        await keep_connected(self._session_told, self._waits, errors=Unavailable)

    async def _session_told(self) -> None:
        """Runs one session and tells the listener when it ends. Raises Unavailable where the directory could not be
        obeyed in it."""
        try:
            await self._session()
        except Unavailable as lost:
            was_up = self.up
            self._went_down(str(lost))
            if not was_up:
                raise

    def _went_down(self, reason: str) -> None:
        """Tells listener and log, once for each outage, that the directory is not followed."""
        if self.up or not self._lost_told:
            log.warning("database.lost", node=self._node, reason=reason, meanwhile="Asterisk stays as it is")
            self._listener.directory_lost(reason)
        self._lost_told = True
        self.up = False
        self._lock.standby = False

    async def _session(self) -> None:
        """Follows the directory on one connection until that is lost. Raises Unavailable."""
        connection = await connect(
            self._dsn,
            deadline=self._pulse.deadline_seconds,
            name=f"agentbridge {self._node} changes",
            statements=self._statements,
        )
        try:
            self._elsewhere = None
            with translated():
                await self._follow(connection)
        except POOLER as error:
            self._statements = 0
            raise Unavailable(
                "a pooler in transaction mode is before the database: connecting again without prepared statements"
            ) from error
        finally:
            # not close(): that waits for a server that may hang
            connection.terminate()

    async def _follow(self, connection: Connection) -> None:
        """Takes the node's lock, waits until the database may be obeyed, then tells of changed keys until the
        connection is lost."""
        connection.add_termination_listener(self._woken)
        pooled = await behind_pooler(connection)
        await self._lock.prepare(connection, pooled=pooled)
        await self._check_schema(connection)
        await self._lock.take(connection, pooled=pooled)
        if not pooled:  # else nobody would be told of a notification
            # first listen, then read: a change between the two is a wake-up too many, never one too few
            await connection.add_listener(CHANNEL, self._hinted)
            await connection.add_listener(APPLIED_CHANNEL, self._results_written)
        if not await self._admission.wait_until_obeyed(connection):
            self.snapshot = None
        if self.snapshot is None:
            self.snapshot = await connection.fetchval(QUERIES["last_snapshot"], self._node)
        self._wake.set()  # what changed since then is a wish, which a resync alone could not tell from drift
        self._came_up()
        while True:
            await self._woken_or_due()
            # cleared before reading: what commits during the read wakes again
            self._wake.clear()
            payloads, self._payloads = self._payloads, set()
            if self._elsewhere is not None:
                raise self._elsewhere
            if payloads == {PAUSE}:
                await self._read_pauses(connection)
            else:
                await self._read(connection)

    async def _check_schema(self, connection: Connection) -> None:
        """Raises Unavailable where the database's schema is not this program's."""
        found = await migrate.status(connection)
        if found.problem:
            raise Unavailable(found.problem)

    def _came_up(self) -> None:
        """Tells listener and log that the directory is followed from now on."""
        log.info("database.connected", node=self._node)
        self._lost_told = False
        self.up = True
        self._listener.directory_up()

    async def _woken_or_due(self) -> None:
        """Waits for a notification, or until the next poll."""
        try:
            async with asyncio.timeout(self._pulse.poll_seconds):
                await self._wake.wait()
        except TimeoutError:
            pass  # the poll, which is the net below lost notifications

    def _results_written(self, *_: Any) -> None:
        self._listener.results_written()

    def _woken(self, *_: Any) -> None:
        self._wake.set()

    def _hinted(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        self._payloads.add(payload)
        self._wake.set()

    async def _read(self, connection: Connection) -> None:
        """Reads the keys that changed since the last read, and what the directory says of few, and tells the
        listener."""
        asked = time.monotonic()
        rows = await connection.fetch(NEWS, self.snapshot, self._node)
        if keys := self._changed(rows[0]):
            whole = rows[0]["key"] is not None and is_fresh(asked)
            self._listener.keys_changed(keys, reading(rows) if whole else None)

    async def _read_pauses(self, connection: Connection) -> None:
        """Does as `_read` where the hints said that sessions were paused or unpaused, which is less to read."""
        asked = time.monotonic()
        rows = await connection.fetch(PAUSES, self.snapshot)
        keys = self._changed(rows[0])
        if found := pauses(rows) if is_fresh(asked) else {}:
            self._listener.pauses_changed(found)
        if others := keys - found.keys():
            self._listener.keys_changed(others, None)

    def _changed(self, news: Row) -> set[EndpointId]:
        """Notes how far the changes are read by now; returns the keys that changed."""
        self.snapshot = news["snapshot"]
        self._admission.read_up_to(news["newest"] or 0, news["newest_at"] or 0)
        keys = {EndpointId(key) for key in news["keys"] or ()}
        if keys:
            self.lag_seconds = news["oldest_seconds"]
            metrics.CHANGES_SEEN.inc(len(keys))
            metrics.CHANGE_LAG.observe(max(news["oldest_seconds"] or 0.0, 0.0))
        return keys

    async def _watch_address(self) -> None:
        """Checks at intervals that the address still leads to the obeyed server.

        After a failover an old primary that nobody stopped answers the connection to it for ever.
        """
        while True:
            await asyncio.sleep(self._pulse.address_seconds)
            if self.up:
                await self._look_at_address()

    async def _look_at_address(self) -> None:
        """Ends the session where the address leads to another database by now."""
        try:
            await self._admission.check_address()
        except Elsewhere as left:
            self._elsewhere = left
            self._wake.set()
        except Unavailable:
            return  # nobody else answers, so nothing is known: the connection that is there goes on
