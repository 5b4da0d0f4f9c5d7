"""What a server must show before it is obeyed, and whether the address still leads to the one that is.

After a failover both servers may be alive, the one that is connected and the one that is meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog

from agentbridge.directory.connecting import Connection, connect, transaction, translated
from agentbridge.directory.lineage import Lineage, Mark, Memory, why_older
from agentbridge.directory.queries import QUERIES
from agentbridge.errors import Unavailable

log = structlog.get_logger()

CONFIRMED = "an administrator has confirmed this database: it is obeyed, and Asterisk loses what it lacks"
ELSEWHERE = "the address of the database leads to another server now"
SAVE_AFTER_SECONDS = 0.05
"""after a change was read: by then it is on its way to Asterisk"""


class Elsewhere(Unavailable):
    """The connection leads to a server that is not the obeyed one; the next connection will lead to the right one."""


class Admission:
    """Decides whether the database behind a connection may be obeyed, or has lost what Asterisk was told by it before.

    deadline: seconds, for each connection that it makes and each query on it. again_seconds: between two looks for a
    confirmation.
    """

    def __init__(self, dsn: str, memory: Memory, *, node: str, deadline: float, again_seconds: float) -> None:
        self._dsn = dsn
        self._memory = memory
        self._node = node
        self._deadline = deadline
        self._again_seconds = again_seconds
        self.older = ""
        """why this database is not obeyed until somebody confirms it"""
        self._saving: asyncio.TimerHandle | None = None

    @property
    def lineage(self) -> Lineage | None:
        """Of the database that is obeyed; None before the first connect."""
        return self._memory.mark.lineage if self._memory.mark is not None else None

    def read_up_to(self, change: int, microseconds: int) -> None:
        """Remembers the newest change that was read from this database; both are 0 when there was none.

        The file is written a moment later, since nothing may hold the change itself up.
        """
        if self._memory.mark is not None:
            self._memory.mark = self._memory.mark.with_change(change, microseconds)
            if self._saving is None:
                self._saving = asyncio.get_running_loop().call_later(SAVE_AFTER_SECONDS, self._save)

    def _save(self) -> None:
        self._saving = None
        if self._memory.mark is not None:
            self._memory.keep(self._memory.mark)

    async def wait_until_obeyed(self, connection: Connection) -> bool:
        """Waits until this database may be obeyed: at once, or when somebody confirms one that is older than what
        Asterisk was told.

        Returns False when the changes that were read before were not this server's history. Raises Elsewhere when this
        connection is to the old server, as that of a standby daemon which waited there for the lock.
        """
        async with self._beside((await _mark(connection)).lineage):
            pass
        await self._settle_in(connection)
        self._memory.read_file()
        confirmed = await self._wait_for_confirmation(connection)
        found = await _mark(connection)
        follows = self._memory.mark is None or self._memory.mark.lineage == found.lineage
        self._memory.keep(found)
        return follows and not confirmed

    async def check_address(self) -> None:
        """Raises Elsewhere when the configured address now leads to another server than the obeyed one, Unavailable
        when to none."""
        async with self._beside(self.lineage):
            pass

    async def _settle_in(self, connection: Connection) -> None:
        """Prepares a database that was restored from a dump in another cluster, whose transaction numbers start from
        the beginning."""
        if not await connection.fetchval(QUERIES["at_home"]):
            await self._ask_beside(connection, "moved_in")
            log.warning("database.moved", node=self._node, reason="restored from a dump into another server")

    async def _wait_for_confirmation(self, connection: Connection) -> bool:
        """Waits until an older database is confirmed by somebody; returns False at once where it is not older."""
        reason = ""
        while reason := await self._why_older(connection, refused=bool(reason)):
            if await self._ask_beside(connection, "database_older", self._node, reason):
                log.warning("database.confirmed", node=self._node, was_refused=reason, meanwhile=CONFIRMED)
                break
            if self.older != reason:
                log.error("database.older", node=self._node, reason=reason, cure="agentbridge plan --confirm")
                self.older = reason
            await asyncio.sleep(self._again_seconds)
        self.older = ""
        return bool(reason)

    async def _why_older(self, connection: Connection, *, refused: bool) -> str:
        """Returns why this database is older than what was obeyed before; '' where it is not.

        refused: it was not obeyed a moment ago. People may change more in it than it lacks.
        """
        known = self._memory.mark
        if known is None:
            return ""
        has_known = await connection.fetchval(QUERIES["has_change"], known.change, known.microseconds)
        is_other = await connection.fetchval(QUERIES["has_other_history"], known.change, known.microseconds)
        may_be_pruned = not refused and not is_other
        return why_older(known, await _mark(connection), has_known=has_known, may_be_pruned=may_be_pruned)

    async def _ask_beside(self, connection: Connection, query: str, *arguments: object) -> bool:
        """Runs the query on a connection of its own and returns its boolean: ours may be in a transaction that never
        commits."""
        async with self._beside((await _mark(connection)).lineage) as beside:
            return bool(await beside.fetchval(QUERIES[query], *arguments))

    @asynccontextmanager
    async def _beside(self, lineage: Lineage | None) -> AsyncIterator[Connection]:
        """Gives a new connection in a transaction. Raises Elsewhere when it does not lead to a server of this
        lineage."""
        connection = await connect(self._dsn, deadline=self._deadline, name=f"agentbridge {self._node}")
        try:
            with translated():
                async with transaction(connection, deadline=self._deadline):
                    await _check_lineage(connection, lineage)
                    yield connection
        finally:
            connection.terminate()


async def _check_lineage(connection: Connection, lineage: Lineage | None) -> None:
    """Raises Elsewhere where the database behind this connection is not of this lineage, or not agentbridge's.

    None, before the first connect, is no database's lineage and always raises.
    """
    try:
        found = (await _mark(connection)).lineage
    except asyncpg.SyntaxOrAccessError as error:  # it has no such tables, or not for us
        raise Elsewhere(f"{ELSEWHERE}: {error}") from error
    if found != lineage:
        raise Elsewhere(ELSEWHERE)


async def _mark(connection: Connection) -> Mark:
    """Returns the mark of how far this database's history goes."""
    row = await connection.fetchrow(QUERIES["lineage"])
    if row is None:
        raise Unavailable("the database answered a query without a row")
    return Mark(**row)
