"""Viewers that stand still for minutes while all agents change: they hold no memory, and others see what there is.

AGENTBRIDGE_STANDING says for how many seconds (default 60; 300 for the long form).
"""

import asyncio
import contextlib
import itertools
import json
import os
import sys

import asyncpg
import psutil

from lab.api import Api, deaf_socket
from lab.postgres import API, Postgres
from lab.processes import until
from tests.faults.test_fault_api import open_screens
from tests.integration.api_scene import Scene

SECONDS = float(os.environ.get("AGENTBRIDGE_STANDING") or 60)
AGENTS, FIRST = 300, 1000
STANDING = 10
CUT_OFF_S = 45.0
"""a little more than the API waits for a reader: who was cut off comes back and stands still again"""
SAMPLES = 5
GROWS_AT_MOST = 1.1


class Floor:
    """The live rows of agents who all change their state ten times a second."""

    def __init__(self, sql: asyncpg.Connection) -> None:
        self._sql = sql
        self._states = itertools.cycle(["ready", "paused"])
        self.shown: dict[str, str] = {}

    async def change(self) -> None:
        """Gives all agents the other state."""
        state = next(self._states)
        self.shown = {str(FIRST + number): state for number in range(AGENTS)}
        rows = [
            {"internal": internal, "state": state, "since": "2026-01-01T00:00:00Z", "pauses": {}, "device": internal}
            | {"contact": True, "calls": 0}
            for internal in self.shown
        ]
        await self._sql.execute("SELECT agentbridge.live_write('lab', $1, '[]', '[]')", json.dumps(rows))

    async def change_for(self, seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await self.change()
            await asyncio.sleep(0.1)


async def _stand(api: Api, token: str) -> None:
    while True:
        with contextlib.suppress(OSError, EOFError):
            async with deaf_socket(api, {"Authorization": f"Bearer {token}"}):
                await asyncio.sleep(CUT_OFF_S)


async def test_readers_that_stand_still_hold_no_memory_and_hide_nothing(fresh_postgres: Postgres) -> None:
    dsn = await fresh_postgres.create_directory("standing", range(FIRST, FIRST + AGENTS))
    sql = await asyncpg.connect(dsn)
    try:
        await sql.execute(
            "INSERT INTO agentbridge.agents (username, internal, typology)"
            " SELECT 'agent' || n, n::text, 'external' FROM generate_series($1::int, $1::int + $2::int - 1) n",
            FIRST,
            AGENTS,
        )
        token = await Scene(sql, "").token("events")
        floor = Floor(sql)
        async with Api(fresh_postgres.dsn("standing", API)) as api, open_screens(api, [token]) as [screen]:
            standing = [asyncio.create_task(_stand(api, token)) for _ in range(STANDING)]
            try:
                await floor.change_for(CUT_OFF_S)  # until each has been cut off once
                process, sizes = psutil.Process(api.pid), []
                for _ in range(SAMPLES):
                    await floor.change_for(SECONDS / SAMPLES)
                    sizes.append(process.memory_info().rss)
                sys.stderr.write(
                    f"    RSS beside {STANDING} that stand still: {[size // 2**20 for size in sizes]} MB\n"
                )
                assert max(sizes) <= sizes[0] * GROWS_AT_MOST

                def same() -> bool:
                    return screen.states() == floor.shown

                await until(same, within=30, what="a viewer who reads seeing what there is")
            finally:
                for task in standing:
                    task.cancel()
                await asyncio.gather(*standing, return_exceptions=True)
    finally:
        await sql.close()
