"""The directory behind PgBouncer in transaction mode, where neither a session nor a LISTEN lasts."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio

from agentbridge.directory.listening import listen_works
from agentbridge.directory.postgres import Directory
from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId
from lab.ports import free_port
from lab.postgres import Postgres
from tests.integration.words import Connection, add_agent

POOLER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest_asyncio.fixture
async def pooled(postgres: Postgres, database: str, tmp_path: Path) -> AsyncIterator[str]:
    """The test's database through a pooler with two server connections."""
    assert POOLER, "pgbouncer is missing: run lab/setup"
    port, name = free_port(), database.rsplit("/", 1)[1]
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{name} = host=127.0.0.1 port={postgres.port} user=agentbridge\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = 2\nlogfile = {tmp_path}/log\n"
    )
    process = await asyncio.create_subprocess_exec(POOLER, "-q", str(config), user=_account(tmp_path))
    try:
        await _answers(port)
        yield f"postgresql://agentbridge@127.0.0.1:{port}/{name}"
    finally:
        process.terminate()
        async with asyncio.timeout(10):
            await process.wait()


def _account(folder: Path) -> str | None:
    """PgBouncer refuses to run as root; the account that it runs as must reach its folder."""
    if os.geteuid() != 0:
        return None
    shutil.chown(folder, "postgres")
    for parent in folder.parents:
        if "pytest" in str(parent):  # below it, xdist has a folder for each worker
            parent.chmod(0o755)
    return "postgres"


async def _answers(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return


async def test_the_directory_reads_and_writes_through_a_transaction_pooler(sql: Connection, pooled: str) -> None:
    """It finds out by itself, at the cost of what was going on at that moment."""
    numbers = [await add_agent(sql, f"a{number}") for number in range(20)]

    async with Directory(pooled, node="pbx1") as directory:

        async def one_round(number: str) -> bool:
            reading = await directory.read([EndpointId(number)])
            agent = reading.subjects[EndpointId(number)].agent
            return agent is not None and agent.internal == number and not await directory.refused(1, 2)

        # more at a time than the pooler has server connections, so that each gets another one each time
        first = await asyncio.gather(*(one_round(number) for number in numbers), return_exceptions=True)
        assert all(result is True or isinstance(result, Unavailable) for result in first), first
        assert all(await asyncio.gather(*(one_round(number) for number in numbers * 5)))


async def test_a_listen_through_a_transaction_pooler_is_found_not_to_work(pooled: str) -> None:
    assert await listen_works(pooled, deadline=5) is False


async def test_a_timeout_set_for_one_of_our_transactions_is_not_left_to_the_next_user(pooled: str) -> None:
    async with Directory(pooled, node="pbx1", connections=1) as directory:
        await directory.keys()
    connection = await asyncpg.connect(pooled, statement_cache_size=0)
    try:
        assert await connection.fetchval("show statement_timeout") == "0"
    finally:
        await connection.close()
