"""Real servers for the tests: one of each for all, and own ones for the tests that break them."""

import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.asterisk import Asterisk
from lab.postgres import Postgres

QUEUES: dict[str, dict[str, str]] = {"sales": {}, "support": {}, "billing": {}}
STARTS_ASTERISK = frozenset({"Asterisk", "Centre", "Calls", "Stand"})
"""what a file of tests imports whose tests meet a running Asterisk"""
REAL = ("acceptance", "contract")
"""the folders where these names are the lab's, and nobody's double"""
WITHOUT_ASTERISK = frozenset({"shell", "empty"})
"""fixtures of tests that have a database and no more, also in such a file"""
ON_22_ALONE = frozenset({
    "test_api_client", "test_api_truth", "test_cli", "test_http_daemon", "test_lab", "test_logs", "test_systemd_unit",
})  # fmt: skip
"""files in which Asterisk is the scenery: their subject is the daemon's log and process, the command line, the HTTP API
or the lab, which are the same beside each version. None makes calls for their own sake, nor tries what is said to
Asterisk."""
_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "asterisk: meets a running Asterisk; `make test-16` runs these on 16 as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks tests by what their file imports and what fixtures they use, so that a new one is run on each version of
    Asterisk."""
    measured = not config.getoption("no_cov", default=True)  # pytest-cov fails at the mark where --no-cov is given
    for item in items:
        if module := item.getparent(pytest.Module):
            meets = module.path.parent.name in REAL and STARTS_ASTERISK & vars(module.obj).keys()
            left_out = module.path.stem in ON_22_ALONE or WITHOUT_ASTERISK & set(getattr(item, "fixturenames", ()))
            if meets and not left_out:
                item.add_marker("asterisk")
            if measured and module.path.parent.name == "acceptance":
                item.add_marker("no_cover")  # the daemon is a process of its own there, and phones take a third longer


@pytest_asyncio.fixture(scope="session")
async def postgres() -> AsyncIterator[Postgres]:
    async with Postgres(fsync=False) as server:
        yield server


@pytest_asyncio.fixture(scope="session")
async def template(postgres: Postgres) -> str:
    return await postgres.template()


@pytest_asyncio.fixture
async def database(postgres: Postgres, template: str) -> AsyncIterator[str]:
    """A fresh database of this test's own; gives its DSN."""
    name = f"test_{next(_numbers)}"
    yield await postgres.create_database(name, template)
    await postgres.drop_database(name)


@pytest_asyncio.fixture
async def fresh_postgres() -> AsyncIterator[Postgres]:
    """A PostgreSQL of this test's own, to be stopped, killed or hung."""
    async with Postgres() as server:
        yield server


@pytest_asyncio.fixture(scope="session")
async def asterisk() -> AsyncIterator[Asterisk]:
    async with Asterisk(queues=QUEUES) as server:
        yield server


@pytest_asyncio.fixture
async def fresh_asterisk() -> AsyncIterator[Asterisk]:
    """An Asterisk of this test's own, to be stopped, killed or hung."""
    async with Asterisk(queues=QUEUES) as server:
        yield server
