"""A database with our schema for each test."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from agentbridge.directory import migrate
from lab.postgres import Postgres
from tests.integration.words import Connect, Connection, quiet

TEMPLATE = "template_directory"


@pytest_asyncio.fixture(scope="session")
async def template(postgres: Postgres) -> str:
    """Migrated once; each test's database is a copy."""
    connection = await asyncpg.connect(await postgres.create_database(TEMPLATE))
    try:
        await migrate.migrate(connection, quiet)
    finally:
        await connection.close(timeout=5)
    return TEMPLATE


@pytest_asyncio.fixture
async def connect(database: str) -> AsyncIterator[Connect]:
    """More connections to the test's database, closed at its end."""
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
