"""A database with our schema for each test."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from lab.api import Api
from lab.postgres import API, Postgres
from tests.integration.api_scene import Scene
from tests.integration.words import Connect, Connection


@pytest_asyncio.fixture
async def connect(database: str) -> AsyncIterator[Connect]:
    """Gives a function that opens more connections to the test's database."""
    opened: list[Connection] = []

    async def open_one() -> Connection:
        connection: Connection = await asyncpg.connect(database, timeout=10, command_timeout=20)
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        if not connection.is_closed():
            await connection.close(timeout=5)


@pytest_asyncio.fixture
async def sql(connect: Connect) -> Connection:
    return await connect()


# ---------------------------------------------------------------- the API


@pytest_asyncio.fixture(scope="session")
async def api_scene(postgres: Postgres, template: str) -> AsyncIterator[Scene]:
    """One database for all tests of the API, and the owner's connection to it."""
    dsn = await postgres.create_database("api", template)
    connection: Connection = await asyncpg.connect(dsn, timeout=10, command_timeout=20)
    yield Scene(connection, postgres.dsn("api", API))
    await connection.close(timeout=5)


@pytest_asyncio.fixture(scope="session")
async def api_process(api_scene: Scene) -> AsyncIterator[Api]:
    # on a busy machine a statement may take long, and is no fault then
    async with Api(api_scene.api_dsn, sections={"api": {"statement_seconds": 20}}) as running:
        yield running


@pytest_asyncio.fixture
async def scene(api_scene: Scene) -> Scene:
    """The scene as it is at the beginning of each test."""
    await api_scene.restore()
    return api_scene


@pytest_asyncio.fixture
async def api(api_process: Api, scene: Scene) -> Api:
    """The running API, on `scene`."""
    del scene
    return api_process
