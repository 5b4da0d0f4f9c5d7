"""Brings the hub's objects up to date from the database: at a notification what changed, at times everything."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection
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
RETRY_SECONDS = 1.0


class Reader:
    """Reads from the database what is shown live.

    `woken` at each notification; `run` reads until it is cancelled.
    """

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._floor = Floor(hub)
        self._wake = asyncio.Event()
        self._all_at = self._slow_at = float("-inf")
        self._change: int | None = None
        self._epochs: dict[str, int] = {}
        self._version = 0
        """of the daemons' rows: what was read last"""
        self.read = asyncio.Event()
        """set after the first look at everything"""

    def woken(self) -> None:
        self._wake.set()

    def all_changed(self) -> None:
        """Makes the next look read everything."""
        self._all_at = float("-inf")
        self._epochs = {}
        self._wake.set()

    async def run(self) -> NoReturn:
        """Reads what goes on from the database at each notification and at intervals, until it is cancelled."""
        while True:
            try:
                await self._look()
            except Problem:
                self.all_changed()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(SLOW_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        """Reads once: the directory, now and then what changes seldom, and what goes on. Raises Problem."""
        self._wake.clear()  # before reading: what commits during the read wakes again
        now = time.monotonic()
        await self._directory(now)
        if now - self._slow_at >= SLOW_SECONDS:
            await self._slow()
            self._slow_at = now
        await self._live()
        self.read.set()

    async def _directory(self, now: float) -> None:
        """Reads the agents that changed, or all of them where their turn has come. Raises Problem."""
        newest, keys = (await self._database.rows("api_changes", self._change or 0))[0]
        if self._change is None or now - self._all_at >= ALL_SECONDS or "*" in (keys or ()):
            await self._agents(None)
            self._all_at = now
        elif keys and newest != self._change:
            await self._agents(keys)
        self._change = newest or 0

    async def _agents(self, keys: Collection[str] | None) -> None:
        """Reads these agents of the directory, or all with None. Raises Problem."""
        rows = await self._database.rows("api_agents_live", None if keys is None else list(keys))
        found = {row["key"]: json.loads(row["data"]) | {"queues": row["queues"]} for row in rows}
        self._floor.directory(found, whole=keys is None)

    async def _live(self) -> None:
        """Reads what the daemons say goes on now. Raises Problem.

        What the daemons say. Another epoch, or rows that went before they were read: everything anew.
        """
        nodes = await self._database.rows("api_live_nodes")
        epochs = {row["node"]: row["epoch"] for row in nodes}
        whole = epochs != self._epochs or any(row["floor"] > self._version for row in nodes)
        rows = await self._database.rows("api_live_news", 0 if whole else self._version)
        self._floor.live([_news(row) for row in rows], whole=whole)
        self._floor.silent({row["node"] for row in nodes if row["stale"]})
        self._epochs = epochs
        self._version = max([0 if whole else self._version, *(row["version"] for row in rows)])
        if whole:
            # what comes from now on is newer than every floor that was read
            self._version = max([self._version, *(row["floor"] for row in nodes)])

    async def _slow(self) -> None:
        """Reads what changes seldom: queues, telephones and nodes. Raises Problem."""
        queues = await self._database.rows("api_queues_live")
        self._floor.queues({row["key"]: json.loads(row["data"]) for row in queues})
        for kind, function in ((Kind.TELEPHONE, "api_telephones_live"), (Kind.NODE, "api_nodes_live")):
            self._put(kind, await self._database.rows(function))

    def _put(self, kind: Kind, rows: list[asyncpg.Record]) -> None:
        """Shows all objects of a kind; those that have no row are gone."""
        for row in rows:
            self._hub.put(kind, row["key"], json.loads(row["data"]))
        self._hub.replace(kind, {row["key"] for row in rows})


def _news(row: asyncpg.Record) -> tuple[str, str, str, bool, dict[str, Any]]:
    """Kind, node, key, whether it is gone, and its columns."""
    return row["kind"], row["node"], row["key"], row["gone"], json.loads(row["data"])
