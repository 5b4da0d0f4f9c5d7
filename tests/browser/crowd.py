"""A thousand agents who change their state all day, written as a daemon writes them, and an API that shows them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from agentbridge.directory.passwords import hash_password
from lab.api import Api
from lab.postgres import API, Postgres

AGENTS = 1000
PROBED = 20
"""the last ones, which do not flap"""
FIRST = 20000
PASSWORD = "Lunch-at-12"
STATES = ("ready", "ringing", "talking", "wrapup", "paused", "held")
QUEUES = ("sales", "support", "billing", "retention")
NODE = "hall"
FIGURES = Path(__file__).parents[2] / "build/desk-figures.json"
ALL_THERE = "(count) => document.querySelectorAll('.card').length === count"
"""of the page: each agent has its card"""
FILL = """
UPDATE agentbridge.settings SET internal_from = 20000, internal_to = 22000;
INSERT INTO agentbridge.queues (name) VALUES ('sales'), ('support'), ('billing'), ('retention');
INSERT INTO agentbridge.agents (username, full_name, internal)
    SELECT 'agent' || n, 'Agent Number ' || n, (20000 + n)::text FROM generate_series(0, 999) n;
INSERT INTO agentbridge.queue_members (agent_id, queue_id)
    SELECT a.id, q.id FROM agentbridge.agents a JOIN agentbridge.queues q ON (a.id + q.id) % 2 = 0;
SELECT agentbridge.login(username, source => 'admin') FROM agentbridge.agents;
"""


def note(**figures: Any) -> None:
    """For the report; each run replaces what it measured."""
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.write_text(json.dumps(known | figures, indent=2, sort_keys=True) + "\n")


class Crowd:
    """A thousand agents whose live rows are written as a daemon writes them; `written` counts the changes so far."""

    def __init__(self, api: Api, db: asyncpg.Connection[asyncpg.Record], seed: int) -> None:
        self.api, self.db = api, db
        self.written = 0
        self._random = random.Random(seed)
        self._turn = asyncio.Lock()

    async def beat(self) -> None:
        """Writes that this node's daemon lives."""
        async with self._turn:
            await self.db.execute(
                "INSERT INTO agentbridge.nodes (node, asterisk_up, version) VALUES ($1, true, 'crowd')"
                " ON CONFLICT (node) DO UPDATE SET seen_at = clock_timestamp()",
                NODE,
            )

    async def write(self, numbers: list[int], state: str = "") -> None:
        """Writes new live rows of these agents: in that state, or each in a random one."""
        now = datetime.now(UTC).isoformat()
        rows = [self._row(n, state or self._random.choice(STATES), now) for n in numbers]
        queues = [self._queue(name, now) for name in QUEUES]
        async with self._turn:
            await self.db.fetchval(
                "SELECT agentbridge.live_write($1, $2, '[]', $3)", NODE, json.dumps(rows), json.dumps(queues)
            )
        self.written += len(numbers)

    def _row(self, number: int, state: str, now: str) -> dict[str, Any]:
        internal = str(FIRST + number)
        return {"internal": internal, "state": state, "since": now, "pauses": {}, "device": internal, "contact": True,
                "calls": 0}  # fmt: skip

    def _queue(self, name: str, now: str) -> dict[str, Any]:
        waiting = self._random.randrange(4)
        return {"queue": name, "waiting": waiting, "longest_since": now if waiting else None, "ready": 40, "paused": 9,
                "talking": 80, "day": now[:10], "answered": 300 + self.written % 90, "abandoned": 12,
                "in_level": 250, "level_seconds": 20}  # fmt: skip

    @asynccontextmanager
    async def flapping(self, each_second: int) -> AsyncIterator[None]:
        """Writes so many changes a second inside the block."""

        async def flap() -> None:
            while True:
                await self.beat()
                for _ in range(20):
                    await self.write(self._random.sample(range(AGENTS - PROBED), each_second // 10))
                    await asyncio.sleep(0.1)

        task = asyncio.create_task(flap())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def crowd(postgres: Postgres, name: str, seed: int = 1) -> AsyncIterator[Crowd]:
    """Makes the crowd with its database and API."""
    dsn = await postgres.create_directory(name, range(FIRST, FIRST + 2 * AGENTS))
    db = await asyncpg.connect(dsn, command_timeout=120)
    try:
        await db.execute(FILL)
        await db.execute(
            "INSERT INTO agentbridge.users (username, role, password_hash) VALUES ('boss', 'admin', $1)",
            hash_password(PASSWORD),
        )
        async with Api(postgres.dsn(name, API)) as api:
            made = Crowd(api, db, seed)
            await made.beat()
            await made.write(list(range(AGENTS)))
            yield made
    finally:
        db.terminate()
