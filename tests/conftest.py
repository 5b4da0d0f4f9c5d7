"""Real servers for the tests: one of each for all, and own ones for the tests that break them."""

import itertools
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from agentbridge.directory import migrate
from lab.asterisk import Asterisk
from lab.postgres import Postgres

QUEUES: dict[str, dict[str, str]] = {"sales": {}, "support": {}, "billing": {}}
TEMPLATE = "template_agentbridge"
_numbers = itertools.count(1)


async def make_template(server: Postgres) -> str:
    """The database that each test's is a copy of: migrated once."""
    connection = await asyncpg.connect(await server.create_database(TEMPLATE))
    try:
        await migrate.migrate(connection, _quiet)
    finally:
        await connection.close(timeout=5)
    return TEMPLATE


def _quiet(_step: str) -> None:
    return


@pytest_asyncio.fixture(scope="session")
async def postgres() -> AsyncIterator[Postgres]:
    async with Postgres(fsync=False) as server:
        yield server


@pytest_asyncio.fixture(scope="session")
async def template(postgres: Postgres) -> str:
    return await make_template(postgres)


@pytest_asyncio.fixture
async def database(postgres: Postgres, template: str) -> AsyncIterator[str]:
    """The DSN of a fresh database of this test's own."""
    name = f"test_{next(_numbers)}"
    yield await postgres.create_database(name, template)
    await postgres.drop_database(name)


@pytest_asyncio.fixture
async def fresh_postgres() -> AsyncIterator[Postgres]:
    """A server of this test's own, to be stopped, killed or hung."""
    async with Postgres() as server:
        yield server


@pytest_asyncio.fixture(scope="session")
async def asterisk() -> AsyncIterator[Asterisk]:
    async with Asterisk(queues=QUEUES) as server:
        yield server


@pytest_asyncio.fixture
async def fresh_asterisk() -> AsyncIterator[Asterisk]:
    """A server of this test's own, to be stopped, killed or hung."""
    async with Asterisk(queues=QUEUES) as server:
        yield server
