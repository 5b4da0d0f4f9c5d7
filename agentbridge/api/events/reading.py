"""Brings the hub's objects up to date from the database: at a notification what changed, at times everything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, NoReturn

import asyncpg

from agentbridge.api.database import Database
from agentbridge.api.events.floor import Floor
from agentbridge.api.events.hub import Hub
from agentbridge.api.events.viewers import Kind
from agentbridge.api.problems import Problem

ALL_SECONDS = 15.0
"""between two looks at everything: what a lost notification costs at most"""
SLOW_SECONDS = 2.0
"""between two looks at what nobody tells of: nodes, telephones, and whether a node is silent"""
DIRECTORY_REST_SECONDS = 0.04
"""between two reads of what changed in the directory: what comes meanwhile is read together"""
RETRY_SECONDS = 1.0


class Reader:
    """Reads from the database what is shown live, and puts it into the hub.

    `directory_changed` and `live_changed` are called at notifications; `run` reads.
    """

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._floor = Floor(hub)
        self._directory_wake, self._live_wake = asyncio.Event(), asyncio.Event()
        self._all_at = float("-inf")
        self._seen: Any = None
        """the snapshot of the directory that was read last"""
        self._directory_anew = self._live_anew = True
        self._epochs: dict[str, int] = {}
        self._version = 0
        """of the daemons' rows: what was read last"""
        self.read = asyncio.Event()
        """set after the first look at everything"""

    def directory_changed(self) -> None:
        self._directory_wake.set()

    def live_changed(self) -> None:
        self._live_wake.set()

    def all_changed(self) -> None:
        """Makes the next reads read everything."""
        self._directory_anew = self._live_anew = True
        self._directory_wake.set()
        self._live_wake.set()

    async def run(self) -> NoReturn:
        """Reads at notifications and at intervals until it is cancelled, in three loops: live rows wait for nothing
        else."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._follow(self._directory, self._directory_wake, DIRECTORY_REST_SECONDS))
            loops.create_task(self._follow(self._live, self._live_wake))
            loops.create_task(self._follow(self._slow, asyncio.Event()))
        raise AssertionError("a loop without an end has ended")

    async def _follow(self, look: Callable[[], Awaitable[None]], wake: asyncio.Event, rest: float = 0.0) -> None:
        """Calls `look` at once, whenever `wake` is set, and after SLOW_SECONDS without that, until it is cancelled.

        rest: seconds after a look, at least, in which there is no other.

        After a Problem, such as a database that is away, the next look comes a moment later and reads everything.
        """
        while True:
            wake.clear()  # before reading: what commits during the read wakes again
            try:
                await look()
            except Problem:
                self.all_changed()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await asyncio.sleep(rest)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SLOW_SECONDS):
                    await wake.wait()

    async def _directory(self) -> None:
        """Reads the agents that changed, or all of them when that is due. Raises Problem."""
        now = time.monotonic()
        whole = self._directory_anew or now - self._all_at >= ALL_SECONDS
        self._directory_anew = False
        seen, keys = (await self._database.rows("api_changes", self._seen))[0]
        if whole or "*" in (keys or ()):
            await self._agents(None)
            self._all_at = now
        elif keys:
            await self._agents(keys)
        self._seen = seen
        self.read.set()

    async def _agents(self, keys: Collection[str] | None) -> None:
        """Reads these agents of the directory, or all with None. Raises Problem."""
        rows = await self._database.rows("api_agents_live", None if keys is None else list(keys))
        found = {row["key"]: json.loads(row["data"]) | {"queues": row["queues"]} for row in rows}
        self._floor.directory(found, whole=keys is None)

    async def _live(self) -> None:
        """Reads the changed live rows of the daemons; all of them after another epoch, or where rows were deleted
        unread. Raises Problem."""
        anew, self._live_anew = self._live_anew, False
        nodes, rows = await asyncio.gather(
            self._database.rows("api_live_nodes"), self._database.rows("api_live_news", self._version)
        )
        epochs = {row["node"]: row["epoch"] for row in nodes}
        whole = anew or epochs != self._epochs or any(row["floor"] > self._version for row in nodes)
        if whole:  # after the nodes: a row between would be older than their floor
            rows = await self._database.rows("api_live_news", 0)
        self._floor.live([_news(row) for row in rows], whole=whole)
        self._floor.silent({row["node"] for row in nodes if row["stale"]})
        self._hub.hasten()
        self._epochs = epochs
        self._version = max([0 if whole else self._version, *(row["version"] for row in rows)])
        if whole:
            # what comes from now on is newer than every floor that was read
            self._version = max([self._version, *(row["floor"] for row in nodes)])

    async def _slow(self) -> None:
        """Reads what rarely changes: queues, telephones and nodes. Raises Problem."""
        queues = await self._database.rows("api_queues_live")
        self._floor.queues({row["key"]: json.loads(row["data"]) for row in queues})
        for kind, function in ((Kind.TELEPHONE, "api_telephones_live"), (Kind.NODE, "api_nodes_live")):
            self._put(kind, await self._database.rows(function))

    def _put(self, kind: Kind, rows: list[asyncpg.Record]) -> None:
        """Puts all objects of a kind into the hub and drops the others of that kind."""
        for row in rows:
            self._hub.put(kind, row["key"], json.loads(row["data"]))
        self._hub.replace(kind, {row["key"] for row in rows})


def _news(row: asyncpg.Record) -> tuple[str, str, str, bool, dict[str, Any]]:
    """Kind, node, key, whether it is gone, and its columns."""
    return row["kind"], row["node"], row["key"], row["gone"], json.loads(row["data"])
