"""What the way over HTTP costs: a pause by `agentbridge api` beside the same by SQL, and what one core answers.

`python -m tests.bench.http_verbs`. Both ways take turns at the same agents; 'Asterisk has it' is app_queue's event,
on a socket of its own. The load of the machine stands beside each figure.
"""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import asdict

import asyncpg
import psutil

from lab.api import Api, Browser
from lab.asterisk import Asterisk
from lab.bridge import Bridge
from lab.postgres import API, Postgres
from lab.processes import until
from tests.bench.latency import Figures
from tests.bench.peers.running import Db, Eye, looking
from tests.integration.api_scene import Scene

AGENTS = 200
ROUNDS = 400
EVERY_S = 0.02
READS = 400
AT_ONCE = 16
WITHIN_S = 10.0


class Http:
    """A directory of 200 agents at work, with the API, and a machine's token that may do everything."""

    def __init__(self, db: Db, dsn: str, asterisk: Asterisk, api: Api, browser: Browser, eye: Eye) -> None:
        self.db, self.dsn, self.asterisk, self.api, self.browser, self.eye = db, dsn, asterisk, api, browser, eye


@contextlib.asynccontextmanager
async def centre(agents: int = AGENTS) -> AsyncIterator[Http]:
    async with Postgres() as postgres, Asterisk(queues={"sales": {}}) as asterisk:
        dsn = await postgres.create_directory("bench", range(1000, 1000 + agents))
        db = await asyncpg.connect(dsn)
        await _fill(db, agents)
        async with (
            Bridge(asterisk, dsn) as bridge,
            looking(asterisk) as eye,
            Api(postgres.dsn("bench", API)) as api,
            Browser(api, token=await Scene(db, "").token("admin")) as machine,
        ):
            await bridge.start()
            await _settled(db)
            try:
                yield Http(db, dsn, asterisk, api, machine, eye)
            finally:
                await db.close()


async def _fill(db: Db, agents: int) -> None:
    await db.execute("INSERT INTO agentbridge.queues (name) VALUES ('sales')")
    await db.execute(
        "INSERT INTO agentbridge.agents (username, internal)"
        " SELECT 'agent' || n, n::text FROM generate_series(1000, 999 + $1::int) n",
        agents,
    )
    await db.execute(
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id)"
        " SELECT a.id, q.id FROM agentbridge.agents a, agentbridge.queues q"
    )
    await db.execute("SELECT agentbridge.login(username, source => 'admin') FROM agentbridge.agents")
    await db.execute("VACUUM ANALYZE")


async def _settled(db: Db) -> None:
    async def all_there() -> bool:
        return bool(await db.fetchval("SELECT bool_and(applied_at IS NOT NULL) FROM agentbridge.agent_status"))

    await until(all_there, within=120, what="everything being in Asterisk")


async def verbs(http: Http) -> dict[str, Figures]:
    """Measures the seconds from a pause's request until Asterisk has it, by HTTP and by SQL."""
    taken: dict[str, list[float]] = {"SQL": [], "HTTP": []}
    paused: dict[int, bool] = {}
    for number in range(2 * ROUNDS):
        # each agent rests for seconds between two changes
        internal, by = 1000 + number % AGENTS, "HTTP" if (number + number // AGENTS) % 2 else "SQL"
        paused[internal] = now = not paused.get(internal, False)
        seen = http.eye.awaiting(str(internal), now)
        began = time.perf_counter()
        if by == "SQL":
            verb = "pause" if now else "unpause"
            await http.db.execute(f"SELECT agentbridge.{verb}($1, source => 'admin')", f"agent{internal}")
        else:
            method = "PUT" if now else "DELETE"
            status, body = await http.browser.ask(method, f"/v1/agents/agent{internal}/pause")
            assert status in (200, 202), body
        async with asyncio.timeout(WITHIN_S):
            taken[by].append(await seen - began)
        await asyncio.sleep(max(0.0, EVERY_S - (time.perf_counter() - began)))
    return {by: Figures.of(seconds) for by, seconds in taken.items()}


async def reads(http: Http, path: str) -> float:
    """Measures how many requests a second for this path one core answers."""
    left = iter(range(READS))

    async def one_by_one() -> None:
        for _ in left:
            status, _ = await http.browser.ask("GET", path)
            assert status == 200

    began = time.perf_counter()
    await asyncio.gather(*(one_by_one() for _ in range(AT_ONCE)))
    return READS / (time.perf_counter() - began)


async def main() -> None:
    async with centre() as http:
        found = await verbs(http)
        for by, figures in found.items():
            print(by, json.dumps(asdict(figures)), f"load {os.getloadavg()[0]:.1f}")
        api = psutil.Process(http.api.pid)
        for path in ("/v1/agents", "/v1/agents/agent1000"):
            before = api.cpu_times()
            rate = await reads(http, path)
            after = api.cpu_times()
            cpu = (after.user + after.system - before.user - before.system) / READS
            told = f"{rate:.0f} a second, {cpu * 1000:.1f} ms of the API's core each"
            print(path, told, f"load {os.getloadavg()[0]:.1f}")
        print("RSS", api.memory_info().rss // 2**20, "MB")


if __name__ == "__main__":
    asyncio.run(main())
