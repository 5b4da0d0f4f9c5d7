"""The lab's own servers: real, side by side, and gone without a trace afterwards."""

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from lab.asterisk import Asterisk, version_of
from lab.postgres import Postgres
from lab.processes import LabError, alive, until

KILLED_LAB = """
import asyncio
from lab.asterisk import Asterisk, version_of
from lab.postgres import Postgres

async def main():
    async with Postgres() as postgres, Asterisk() as asterisk:
        print(postgres.pid, asterisk.pid, postgres.dir, asterisk.dir, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def ami_greeting_and_login(server: Asterisk, within: float = 5) -> str:
    reader, writer = await asyncio.open_connection(server.host, server.ami_port)
    try:
        async with asyncio.timeout(within):
            greeting = (await reader.readline()).decode()
            login = f"Action: Login\r\nUsername: {server.ami_user}\r\nSecret: {server.ami_secret}\r\n\r\n"
            writer.write(login.encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    finally:
        writer.close()
        await writer.wait_closed()
    return greeting + answer


async def ari_status(server: Asterisk) -> str:
    headers = {"Authorization": aiohttp.encode_basic_auth(server.ari_user, server.ari_secret)}
    async with aiohttp.ClientSession(headers=headers) as session:
        url = f"http://{server.host}:{server.ari_port}/ari/asterisk/info"
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as answer:
            info = await answer.json()
            return f"{answer.status} {info['system']['version']}"


def stored_in_astdb(server: Asterisk, key: str) -> str | None:
    """What is on the disk, whatever Asterisk holds in memory."""
    connection = sqlite3.connect(f"file:{server.dir}/lib/astdb.sqlite3?mode=ro", uri=True, timeout=5)
    try:
        row = connection.execute("SELECT value FROM astdb WHERE key = ?", (key,)).fetchone()
    finally:
        connection.close()
    return None if row is None else str(row[0])


def mounted(*servers: Asterisk) -> list[str]:
    """The mounts that we see of these servers' folders."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    folders = [str(folder) for server in servers for folder in (server.root, server.dir)]
    return [line for line in lines if any(f"{folder}/" in line or f"{folder} " in line for folder in folders)]


async def test_two_asterisks_run_side_by_side_and_leave_nothing_behind() -> None:
    async with Asterisk(queues={"sales": {}}) as first, Asterisk(queues={"support": {}}) as second:
        for server in (first, second):
            assert "Message: Authentication accepted" in await ami_greeting_and_login(server)
            assert (await ari_status(server)).startswith(f"200 {version_of(server.root)}")
        assert "sales" in await first.cli("queue show")
        assert "sales" not in await second.cli("queue show")
        pids = (first.pid, second.pid)
        assert all(alive(pid) for pid in pids)
        assert mounted(first, second) == []
    assert not any(alive(pid) for pid in pids)
    assert not first.dir.exists()
    assert not second.dir.exists()
    assert mounted(first, second) == []
    assert not list((first.root / "tmp").glob("agentbridge-*"))


async def test_what_asterisk_stored_is_there_after_a_kill(fresh_asterisk: Asterisk) -> None:
    await fresh_asterisk.cli("database put lab colour blue")

    async def on_disk() -> bool:
        return stored_in_astdb(fresh_asterisk, "/lab/colour") == "blue"

    await until(on_disk, within=20, what="the value on the disk")
    first_pid = fresh_asterisk.pid
    await fresh_asterisk.kill()
    assert not alive(first_pid)
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(fresh_asterisk.host, fresh_asterisk.ami_port)
    await fresh_asterisk.start()
    assert fresh_asterisk.pid != first_pid
    assert "Value: blue" in await fresh_asterisk.cli("database get lab colour")
    assert "Message: Authentication accepted" in await ami_greeting_and_login(fresh_asterisk)


async def test_a_hung_asterisk_accepts_and_says_nothing_until_it_goes_on(fresh_asterisk: Asterisk) -> None:
    fresh_asterisk.pause()
    with pytest.raises(TimeoutError):
        await ami_greeting_and_login(fresh_asterisk, within=0.5)
    fresh_asterisk.resume()
    assert "Message: Authentication accepted" in await ami_greeting_and_login(fresh_asterisk)


async def test_queues_can_change_while_asterisk_runs(fresh_asterisk: Asterisk) -> None:
    await fresh_asterisk.set_queues({"sales": {}, "night": {"strategy": "rrmemory"}})
    shown = await fresh_asterisk.cli("queue show")
    assert "night has 0 calls (max unlimited) in 'rrmemory' strategy" in shown
    assert "billing" not in shown
    assert "Goto(queue-night,1)" in await fresh_asterisk.cli("dialplan show night@queues")


async def test_an_asterisk_that_cannot_boot_says_why() -> None:
    with pytest.raises(LabError, match="no_such_module"):
        async with Asterisk(extra={"modules.conf": "require = no_such_module.so\n"}):
            pytest.fail("it booted")


async def test_postgres_keeps_what_was_committed_when_it_is_killed(fresh_postgres: Postgres) -> None:
    dsn = await fresh_postgres.create_database("kept")
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE agents (name text); INSERT INTO agents VALUES ('Ada')")
    await fresh_postgres.kill()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await asyncpg.connect(dsn, timeout=2)
    connection.terminate()
    await fresh_postgres.start()
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT name FROM agents") == "Ada"
    await connection.close()


async def test_a_hung_postgres_answers_nobody_until_it_goes_on(fresh_postgres: Postgres) -> None:
    connection = await asyncpg.connect(fresh_postgres.dsn())
    fresh_postgres.pause()
    with pytest.raises(TimeoutError):
        await connection.fetchval("SELECT 1", timeout=0.5)
    with pytest.raises(TimeoutError):
        await asyncpg.connect(fresh_postgres.dsn(), timeout=0.5)
    fresh_postgres.resume()
    again = await asyncpg.connect(fresh_postgres.dsn(), timeout=5)
    assert await again.fetchval("SELECT current_user") == "agentbridge"
    await again.close()
    connection.terminate()


async def test_each_test_has_a_database_of_its_own_that_agentbridge_owns(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE SCHEMA of_this_test")
    owner = await connection.fetchval(
        "SELECT rolname || ' ' || rolsuper FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba"
        " WHERE datname = current_database()"
    )
    await connection.close()
    assert owner == "agentbridge false"


async def test_servers_end_when_the_program_that_started_them_is_killed() -> None:
    lab = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED_LAB, stdout=asyncio.subprocess.PIPE)
    assert lab.stdout is not None
    async with asyncio.timeout(60):
        postgres, asterisk, *folders = (await lab.stdout.readline()).decode().split()
    pids = (int(postgres), int(asterisk))
    assert all(alive(pid) for pid in pids)
    os.kill(lab.pid, signal.SIGKILL)
    await lab.wait()

    async def all_gone() -> bool:
        return not any(alive(pid) for pid in pids)

    await until(all_gone, within=10, what="the end of the servers")
    for folder in folders:
        shutil.rmtree(folder)  # nobody was left to do it
