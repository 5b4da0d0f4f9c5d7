"""How the daemon is: told to the directory, to systemd and at its own addresses."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import NoReturn

import structlog

from agentbridge import __version__, metrics
from agentbridge.directory.postgres import Heartbeat
from agentbridge.errors import Unavailable
from agentbridge.service import systemd
from agentbridge.service.http import Readiness
from agentbridge.service.parts import Parts

log = structlog.get_logger()

HEARTBEAT_SECONDS = 2.0
AMONG_OTHERS_SECONDS = 1.0
"""between two heartbeats where there are other nodes: one that is lost is known by those that do not come"""
LOOK_SECONDS = 0.25
READY_WITHIN_SECONDS = 15.0
"""after that the service counts as started, though a server is still away: it will come"""
LATELY_SECONDS = 60.0
"""beyond two intervals: a comparison of thousands of endpoints takes its time"""
STUCK_SECONDS = 300.0
"""a pass that stands still this long is a bug, and systemd's watchdog may end it"""


class Health:
    """What is known of the daemon's state; `beat`, `ready` and `watchdog` tell it. Serves the addresses (`Served`).

    resync_seconds: the interval between two comparisons of everything.
    """

    def __init__(self, parts: Parts, resync_seconds: float) -> None:
        self._parts = parts
        self._resync_seconds = resync_seconds
        self._started_at = datetime.now(UTC)
        self._unreachable: tuple[str, ...] = ()
        """nodes that this Asterisk does not reach by SIP"""

    # ------------------------------------------------------------ tells it

    async def beat(self) -> None:
        """At intervals, and soon when the state changes, so that `status` does not tell of what is over."""
        sent: float = 0.0
        told: object = None
        while True:
            now, state = time.monotonic(), self._summary()
            # numbers that are taken at once: until the directory knows them it gives them to new agents
            news = (state, self._parts.reconciler.taken, self._unreachable)
            others = self._parts.locations.others
            if news != told or now - sent >= (AMONG_OTHERS_SECONDS if others else HEARTBEAT_SECONDS):
                with contextlib.suppress(Unavailable):  # the changes' connection says that the database is lost
                    centre = await self._parts.directory.heartbeat(self._heartbeat())
                    self._parts.locations.heard(centre.others)
                    self._parts.queue_nodes.heard(centre.queues)
                    self._parts.orphans.heard(centre.orphans)
                systemd.status(state)
                sent, told = now, news
            await asyncio.sleep(LOOK_SECONDS)

    async def look_at_others(self) -> NoReturn:
        """Notes which nodes this Asterisk does not reach by SIP, and tells the trunks, until it is cancelled.

        Beside the heartbeats, since a database that hangs holds those up.
        """
        while True:
            node = self._parts.node
            self._unreachable = tuple(node.unreachable(self._parts.locations.others))
            if node.up:  # else nothing is known of them
                self._parts.trunks.look(self._unreachable)
            await asyncio.sleep(LOOK_SECONDS)

    async def ready(self) -> None:
        """Tells systemd that the daemon has started: after the first comparison, or after READY_WITHIN_SECONDS."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN_SECONDS):
                await self._parts.resync.done.wait()
        systemd.ready()
        log.info("daemon.ready", compared=self._parts.resync.done.is_set(), state=self._summary())

    async def watchdog(self) -> None:
        """Feeds systemd's watchdog while passes go on; returns when one is stuck.

        That this runs shows that the event loop does.
        """
        every = systemd.watchdog_seconds()
        if every is None:
            await asyncio.Event().wait()
            return
        while self.turns():
            systemd.watchdog()
            await asyncio.sleep(every / 3)
        reason = "no progress: systemd's watchdog will start this daemon again"
        log.critical("pass.stuck", seconds=round(self._parts.reconciler.stuck_seconds()), reason=reason)

    # ------------------------------------------------------------ what the addresses tell

    def readiness(self) -> Readiness:
        """Whether each part is well, see Readiness."""
        parts = self._parts
        lately = 2 * self._resync_seconds + LATELY_SECONDS
        old = time.monotonic() - parts.resync.done_at > lately
        return Readiness(
            directory=self._database_state(),
            asterisk="up" if parts.node.up else "away",
            comparison=parts.resync.postponed or ("not lately" if old else "done"),
        )

    def turns(self) -> bool:
        """False when a pass stands still, so that only a restart helps."""
        return self._parts.reconciler.stuck_seconds() < STUCK_SECONDS

    def measure(self) -> None:
        """Brings the gauges of agentbridge.metrics up to date."""
        metrics.PENDING_KEYS.set(self._pending())
        metrics.FAILED_KEYS.set(len(self._parts.reconciler.failed))
        metrics.set_database_state(self._database_state())
        metrics.BUILD_INFO.labels(__version__).set(1)

    # ------------------------------------------------------------ what is known

    def _heartbeat(self) -> Heartbeat:
        """Returns what the directory is told of this daemon."""
        parts = self._parts
        return Heartbeat(
            started_at=self._started_at,
            snapshot=parts.changes.snapshot,
            asterisk_up=parts.node.up,
            lag_seconds=parts.changes.lag_seconds,
            pending=self._pending(),
            failed=len(parts.reconciler.failed),
            version=__version__,
            lacks=tuple(parts.node.lacks),
            taken=tuple(sorted(parts.reconciler.taken)),
            unreachable=self._unreachable,
        )

    def _pending(self) -> int:
        """Keys to be compared. A comparison of everything that failed counts as one: what it would find is unknown."""
        return len(self._parts.reconciler.work) + bool(self._parts.resync.postponed)

    def _summary(self) -> str:
        """Returns the state in a line for people."""
        asterisk = "up" if self._parts.node.up else "away"
        counts = f"{self._pending()} pending, {len(self._parts.reconciler.failed)} failed"
        return f"database {self._database_state()}, Asterisk {asterisk}, {counts}"

    def _database_state(self) -> str:
        changes = self._parts.changes
        return "up" if changes.up else "standby" if changes.standby else "older" if changes.older else "away"
