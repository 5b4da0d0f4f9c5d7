"""A database with our schema for each test."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from tests.integration.words import Connect, Connection


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
