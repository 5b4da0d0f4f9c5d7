"""Thousands of wrong passwords, while an agent works and a supervisor reads.

AGENTBRIDGE_GUESSES says how many (default 10,000 from one address, and as many from 1,000).
"""

import asyncio
import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from lab.api import Api, Browser
from lab.postgres import API, Postgres
from lab.processes import until
from tests.integration.api_scene import PASSWORD, Scene

GUESSES = int(os.environ.get("AGENTBRIDGE_GUESSES") or 10_000)
AT_ONCE = 100
ADDRESSES = {"from one address": 1, "from 1,000 addresses": 1000}
NAMES = ("ana", "boss", "nobody")
WITHIN_S = 60.0
READS = 300
SLOWER_AT_MOST = 3.0


@pytest_asyncio.fixture
async def api(fresh_postgres: Postgres) -> AsyncIterator[tuple[Api, Scene]]:
    dsn = await fresh_postgres.create_directory("guessing")
    sql = await asyncpg.connect(dsn)
    try:
        scene = Scene(sql, fresh_postgres.dsn("guessing", API))
        await scene.restore()
        await sql.execute("update agentbridge.settings set lock_after = 3")
        await sql.execute("select agentbridge.login('ana')")
        async with Api(scene.api_dsn) as running:
            yield running, scene
    finally:
        await sql.close()


@pytest.mark.parametrize("addresses", ADDRESSES.values(), ids=ADDRESSES.keys())
async def test_wrong_passwords_stall_nobody_and_log_no_agent_off(api: tuple[Api, Scene], addresses: int) -> None:
    running, scene = api
    async with Browser(running) as supervisor, Browser(running) as ana:
        await supervisor.log_in("boss", PASSWORD)
        await ana.log_in("ana", PASSWORD)
        idle = await _reads(supervisor, READS)
        busy: list[float] = []
        # in a process of its own: what is measured must not wait for who guesses
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as stranger:
            storm = asyncio.get_running_loop().run_in_executor(stranger, guess, running.origin, GUESSES, addresses)
            busy += await _reads(supervisor, READS // 3)  # by now they guess
            async with Browser(running, address=ana.address) as again, Browser(running) as elsewhere:
                await again.log_in("ana", PASSWORD)
                await _log_in_at_last(elsewhere, "cid")
            assert not storm.done(), "who works and who comes log in meanwhile"
            while not storm.done():
                busy += await _reads(supervisor, 20)
            statuses = await storm
        ratio = _p99(busy) / _p99(idle)
        sys.stderr.write(
            f"    {GUESSES} guesses from {addresses}: {dict(statuses)}; a read p99 {_p99(idle) * 1000:.1f} ms idle,"
            f" {_p99(busy) * 1000:.1f} ms meanwhile (x{ratio:.2f}, {len(busy)} reads)\n"
        )
        assert statuses.total() == GUESSES
        assert set(statuses) <= {401, 429}
        # ten at once and two a minute for each name, however many addresses there are
        assert statuses[401] <= len(NAMES) * 60
        assert await scene.sql.fetchval("select logged_in from agentbridge.agent_status where username = 'ana'")
        assert (await ana.ask("GET", "/v1/me"))[0] == 200, "who works goes on"
        assert ratio <= SLOWER_AT_MOST, f"a read took so many times as long beside {AT_ONCE} guessers"


async def _log_in_at_last(browser: Browser, username: str) -> None:
    """Logs somebody in who tries again whenever too many others are there."""
    given = {"username": username, "password": PASSWORD}

    async def got_in() -> bool:
        return (await browser.ask("POST", "/v1/session", given))[0] != 429

    await until(got_in, within=WITHIN_S, what=f"{username} being let in")
    assert browser.cookie


def guess(origin: str, guesses: int, addresses: int) -> Counter[int]:
    """Tries so many wrong passwords, each from the next address; returns how many got each status."""
    return asyncio.run(_guess_all(origin, guesses, [f"127.2.{n // 250}.{n % 250 + 1}" for n in range(addresses)]))


async def _guess_all(origin: str, guesses: int, addresses: Sequence[str]) -> Counter[int]:
    numbers = iter(range(guesses))
    statuses: Counter[int] = Counter()

    async def one_after_the_other() -> None:
        for number in numbers:
            connector = aiohttp.TCPConnector(local_addr=(addresses[number % len(addresses)], 0))
            asked = {"username": NAMES[number % len(NAMES)], "password": f"wrong {number}"}
            headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.post(f"{origin}/v1/session", json=asked, headers=headers) as answer,
            ):
                statuses[answer.status] += 1

    async with asyncio.TaskGroup() as guessers:
        for _ in range(AT_ONCE):
            guessers.create_task(one_after_the_other())
    return statuses


async def _reads(browser: Browser, count: int) -> list[float]:
    """Seconds of so many reads of an agent."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        assert (await browser.ask("GET", "/v1/agents/ana"))[0] == 200
        took.append(time.perf_counter() - began)
    return took


def _p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]
