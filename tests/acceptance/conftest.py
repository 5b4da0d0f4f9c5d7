"""A contact centre, or a shell beside a database, for each test: nothing that a test breaks is met by the next."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from lab.postgres import Postgres
from tests.acceptance.centre import Centre
from tests.acceptance.ready_command import ReadyCommand
from tests.acceptance.shell import Shell, write_config

_numbers = itertools.count(1)


@pytest_asyncio.fixture
async def centre(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres) as centre:
        yield centre


@pytest_asyncio.fixture
async def own_centre(postgres: Postgres) -> AsyncIterator[Centre]:
    """For a test whose daemon may still write of its calls afterwards, in a file that shares its `centre`."""
    async with Centre(postgres) as centre:
        yield centre


@pytest_asyncio.fixture
async def wired(postgres: Postgres) -> AsyncIterator[Centre]:
    """A centre whose daemon speaks to Asterisk through a proxy that counts, and is not started."""
    async with Centre(postgres, wired=True, started=False) as centre:
        yield centre


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres) as centre:
        yield centre


@pytest_asyncio.fixture
async def shared(standing: Centre) -> AsyncIterator[Centre]:
    """A centre for all tests of a file that break nothing; a test finds and leaves it without agents and phones."""
    yield standing
    await standing.emptied()


@pytest_asyncio.fixture
async def reused(shared: Centre) -> AsyncIterator[Centre]:
    """A centre as `shared`, in which neither directory, spool nor log tell of the calls of another test."""
    yield shared
    await shared.forget()


@pytest_asyncio.fixture
async def empty(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Shell]:
    """The command line beside a database without a schema."""
    name = f"cli_{next(_numbers)}"
    dsn = await postgres.create_database(name)
    yield Shell(write_config(tmp_path, dsn))
    await postgres.drop_database(name)


@pytest_asyncio.fixture(scope="session")
async def ready_command() -> AsyncIterator[ReadyCommand]:
    async with ReadyCommand() as ready:
        yield ready


@pytest_asyncio.fixture
async def shell(postgres: Postgres, template: str, ready_command: ReadyCommand, tmp_path: Path) -> AsyncIterator[Shell]:
    """The command line beside a database with the schema."""
    name = f"cli_{next(_numbers)}"
    yield Shell(write_config(tmp_path, await postgres.create_database(name, template)), ready_command)
    await postgres.drop_database(name)
