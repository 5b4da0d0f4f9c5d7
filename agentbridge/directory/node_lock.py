"""One writer for each Asterisk node: a lock in the database, which goes with the connection that took it."""

from __future__ import annotations

import asyncio
import hashlib

import structlog

from agentbridge.directory.connecting import Connection

log = structlog.get_logger()

_OF_SESSION = "SELECT pg_try_advisory_lock($1)"
_OF_TRANSACTION = "SELECT pg_try_advisory_xact_lock($1)"
# PostgreSQL forgets the session of a host that vanished, and with it its lock, after this
_KEEPALIVES = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"


class NodeLock:
    """The lock in the database by which only one daemon works for a node; it is lost with the connection that took it.

    standby_seconds: between two tries while another daemon has it.
    """

    def __init__(self, node: str, *, standby_seconds: float) -> None:
        self._node = node
        self._standby_seconds = standby_seconds
        self.standby = False
        """another daemon writes to this node's Asterisk; this one waits"""

    async def prepare(self, connection: Connection, *, pooled: bool) -> None:
        """Prepares a new connection for taking the lock; to be called before anything else on it."""
        # One transaction keeps the pooler's server ours, and the lock with it. Its statements have a snapshot
        # each and it writes nothing, so it keeps no vacuum waiting.
        await connection.execute("BEGIN" if pooled else _KEEPALIVES)

    async def take(self, connection: Connection, *, pooled: bool) -> None:
        """Waits until this connection has the lock, however long another daemon has it."""
        lock, key = _OF_TRANSACTION if pooled else _OF_SESSION, lock_key(self._node)
        while not await connection.fetchval(lock, key):
            if not self.standby:
                log.info("standby.waiting", node=self._node, reason="another daemon has this node.name, and works")
            self.standby = True
            await asyncio.sleep(self._standby_seconds)
        self.standby = False


def lock_key(node: str) -> int:
    """A signed 64-bit key for pg_advisory_lock, the same in every process."""
    return int.from_bytes(hashlib.sha256(f"agentbridge node {node}".encode()).digest()[:8], "big", signed=True)
