"""Brings the hub's objects up to date from the database: at a notification what changed, at times everything."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection
from typing import NoReturn

import asyncpg
import structlog

from agentbridge.api.database import Database
from agentbridge.api.events.hub import Hub
from agentbridge.api.events.viewers import Kind
from agentbridge.api.problems import Problem

log = structlog.get_logger()

ALL_SECONDS = 15.0
"""between two looks at everything: what a lost notification costs at most"""
SLOW_SECONDS = 2.0
"""between two looks at what nobody tells of: nodes, telephones"""
RETRY_SECONDS = 1.0


class Reader:
    """`woken` at each notification; `run` reads until it is cancelled."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._wake = asyncio.Event()
        self._all_at = self._slow_at = float("-inf")
        self._change: int | None = None
        self.read = asyncio.Event()
        """set after the first look at everything"""

    def woken(self) -> None:
        self._wake.set()

    def all_changed(self) -> None:
        self._all_at = float("-inf")
        self._wake.set()

    async def run(self) -> NoReturn:
        while True:
            try:
                await self._look()
            except Problem:
                self._all_at = float("-inf")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(SLOW_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        self._wake.clear()  # before reading: what commits during the read wakes again
        now = time.monotonic()
        newest, keys = (await self._database.rows("api_changes", self._change or 0))[0]
        if self._change is None or now - self._all_at >= ALL_SECONDS or "*" in (keys or ()):
            await self._agents(None)
            self._all_at = now
            self.read.set()
        elif keys and newest != self._change:
            await self._agents(keys)
        self._change = newest or 0
        if now - self._slow_at >= SLOW_SECONDS:
            await self._slow()
            self._slow_at = now

    async def _agents(self, keys: Collection[str] | None) -> None:
        rows = await self._database.rows("api_agents_live", None if keys is None else list(keys))
        for row in rows:
            data = json.loads(row["data"])
            self._hub.put(Kind.AGENT, row["key"], data | {"queues": row["queues"]}, queues=row["queues"])
            self._hub.put(Kind.ME, row["key"], data | {"queues": row["queues"]}, agent=row["key"])
        if keys is None:
            there = {row["key"] for row in rows}
            self._hub.replace(Kind.AGENT, there)
            self._hub.replace(Kind.ME, there)

    async def _slow(self) -> None:
        for kind, function in (
            (Kind.QUEUE, "api_queues_live"),
            (Kind.TELEPHONE, "api_telephones_live"),
            (Kind.NODE, "api_nodes_live"),
        ):
            rows = await self._database.rows(function)
            self._put(kind, rows)

    def _put(self, kind: Kind, rows: list[asyncpg.Record]) -> None:
        for row in rows:
            queues = (row["key"],) if kind is Kind.QUEUE else ()
            self._hub.put(kind, row["key"], json.loads(row["data"]), queues=queues)
        self._hub.replace(kind, {row["key"] for row in rows})
