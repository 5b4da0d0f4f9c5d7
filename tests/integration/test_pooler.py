"""The directory behind PgBouncer in transaction mode, where neither a session nor a LISTEN lasts."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from agentbridge.directory.changes import Changes, Pulse
from agentbridge.directory.listening import listen_works
from agentbridge.directory.postgres import Directory, Heartbeat
from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId, QueueName
from agentbridge.reconnecting import Waits
from lab.ports import free_port
from lab.postgres import DAEMON, Postgres
from lab.processes import until
from tests.integration.followed import Seen
from tests.integration.words import Connection, add_agent, add_queue, add_telephone, status

POOLER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's: each pytest that starts on the machine closes that to other accounts, as which a pooler runs."""
    made = Path(tempfile.mkdtemp(prefix="agentbridge-pooler-"))
    yield made
    shutil.rmtree(made)


@pytest_asyncio.fixture
async def pooled(postgres: Postgres, database: str, folder: Path) -> AsyncIterator[str]:
    """The test's database through a pooler with two server connections."""
    assert POOLER, "pgbouncer is missing: run lab/setup"
    port, name = free_port(), database.rsplit("/", 1)[1]
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{name} = host=127.0.0.1 port={postgres.port} user={DAEMON}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = 2\nlogfile = {folder}/log\n"
    )
    account = None
    if os.geteuid() == 0:  # it refuses to run as root
        account = "postgres"
        shutil.chown(folder, account)
    process = await asyncio.create_subprocess_exec(POOLER, "-q", str(config), user=account)
    try:
        await _answers(port)
        yield f"postgresql://{DAEMON}@127.0.0.1:{port}/{name}"
    finally:
        process.terminate()
        async with asyncio.timeout(10):
            await process.wait()


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
            return agent is not None and agent.internal == number and not await directory.hold([], 20)

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


@dataclass(frozen=True)
class Found:
    error: str = ""
    waits_for: str = ""


async def test_what_became_of_a_change_and_the_daemons_state_arrive_through_a_transaction_pooler(
    sql: Connection, pooled: str
) -> None:
    number, started = EndpointId(await add_agent(sql, "anna")), datetime.now(UTC)
    await add_queue(sql, "sales", "anna")
    await add_telephone(sql, "desk1", registered=False)
    await sql.execute("select agentbridge.login('anna')")

    async with Directory(pooled, node="pbx1") as directory:

        async def told() -> None:
            reading = await directory.read([number])
            await directory.record(reading.snapshot, {number: Found()})
            await directory.adopt_pause(number, QueueName("sales"), "no answer")
            await directory.telephones_registered({EndpointId("desk1"): True})
            await directory.heartbeat(
                Heartbeat(
                    started_at=started,
                    snapshot=reading.snapshot,
                    asterisk_up=True,
                    lag_seconds=None,
                    pending=7,
                    failed=0,
                    version="1",
                )
            )

        # the first may cost what is found out of the pooler
        await asyncio.gather(*(told() for _ in range(8)), return_exceptions=True)
        async with asyncio.TaskGroup() as all_of_them:
            for _ in range(30):
                all_of_them.create_task(told())
        await told()  # adopting the pause was itself a change
    assert (await status(sql, "anna"))["applied_at"] is not None
    assert await sql.fetchval("select reason from agentbridge.queue_pauses") == "no answer"
    assert await sql.fetchval("select registered from agentbridge.telephones") is True
    assert await sql.fetchval("select pending from agentbridge.nodes where started_at = $1", started) == 7


async def test_changes_are_followed_through_a_transaction_pooler_and_its_address_is_looked_at(
    sql: Connection, pooled: str
) -> None:
    """The connection with the lock keeps one of the two servers; the look every so often takes the other."""
    seen = Seen()
    changes = Changes(
        pooled,
        node="pbx1",
        listener=seen,
        pulse=Pulse(poll_seconds=0.2, deadline_seconds=2.0, standby_seconds=0.1, address_seconds=0.01),
        waits=Waits(first=0.05, longest=2.0),
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(changes.run())
        await until(lambda: changes.up, within=10)
        for name in ("anna", "bea", "carl"):
            number = await add_agent(sql, name)
            await until(lambda: number in seen.keys, within=5)  # noqa: B023
        running.cancel()
    assert seen.downs == []
