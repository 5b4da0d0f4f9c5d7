"""A DSN with several servers, of which one works: as after a failover of PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentbridge.directory.connecting import connect, each_server
from agentbridge.errors import Unavailable
from lab.ports import free_port

DEADLINE_S = 4.0


@pytest_asyncio.fixture
async def hung() -> AsyncIterator[int]:
    """The port of a server that takes connections and never says a word."""
    open_ones: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: open_ones.append(writer), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in open_ones:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("dsn", "servers"),
    [
        ("postgresql://u:p@a:1,b:2/name?target_session_attrs=read-write", ["a:1", "b:2"]),
        ("postgres://a,[::1]:5433/name", ["a", "[::1]:5433"]),
        ("postgresql://u@a:1/name?x=1,2", ["a:1"]),
    ],
)
def test_each_server_of_a_dsn(dsn: str, servers: list[str]) -> None:
    assert [dsn.replace(",".join(servers), server) for server in servers] == each_server(dsn)


@pytest.mark.parametrize("dsn", ["postgresql:///name?host=a,b", "postgresql://a,b/name?port=1,2"])
def test_servers_that_are_listed_behind_the_path_are_left_to_the_driver(dsn: str) -> None:
    assert each_server(dsn) == [dsn]


async def test_a_server_that_hangs_does_not_use_up_the_time_of_the_next_one(database: str, hung: int) -> None:
    both = database.replace("@", f"@127.0.0.1:{hung},", 1) + "?target_session_attrs=read-write"
    began = time.monotonic()
    for _ in range(3):  # only the first one asks the server that hangs
        connection = await connect(both, deadline=DEADLINE_S)
        assert await connection.fetchval("select 1") == 1
        connection.terminate()
    assert time.monotonic() - began < DEADLINE_S


async def test_no_server_that_may_be_written_to_is_no_server(database: str) -> None:
    nobody = database.replace("@", f"@127.0.0.1:{free_port()},127.0.0.1:{free_port()},", 1)
    with pytest.raises(Unavailable, match="the database can't be reached"):
        await connect(f"{nobody}?target_session_attrs=standby", deadline=DEADLINE_S)
