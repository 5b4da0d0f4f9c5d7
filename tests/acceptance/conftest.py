"""A contact centre for each test that needs one: nothing that a test breaks is met by the next."""

from collections.abc import AsyncIterator

import pytest_asyncio

from lab.postgres import Postgres
from tests.acceptance.centre import Centre


@pytest_asyncio.fixture
async def centre(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres) as centre:
        yield centre


@pytest_asyncio.fixture
async def wired(postgres: Postgres) -> AsyncIterator[Centre]:
    """Its daemon speaks to Asterisk through a proxy that counts, and is not started."""
    async with Centre(postgres, wired=True, started=False) as centre:
        yield centre


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres) as centre:
        yield centre


@pytest_asyncio.fixture
async def shared(standing: Centre) -> AsyncIterator[Centre]:
    """One for all tests of a file that break nothing: a test finds and leaves it without agents and phones."""
    yield standing
    await standing.emptied()
