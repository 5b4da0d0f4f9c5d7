"""Each fault gets a contact centre of its own; its seed is printed, and AGENTBRIDGE_SEED repeats it."""

import logging
import os
import random
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import structlog

from lab.postgres import Postgres
from tests.faults.stand import Stand


@pytest.fixture(scope="session", autouse=True)
def quiet() -> None:
    """Comparisons connect again and again, and this process is not the daemon whose log counts."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@pytest.fixture
def seed() -> int:
    """Returns the seed of this run's random choices, and prints it."""
    chosen = int(os.environ.get("AGENTBRIDGE_SEED") or random.SystemRandom().randrange(1_000_000))
    sys.stderr.write(f"\n    AGENTBRIDGE_SEED={chosen}\n")
    return chosen


@pytest_asyncio.fixture
async def stand(postgres: Postgres, seed: int) -> AsyncIterator[Stand]:
    async with Stand(postgres, seed=seed) as stand:
        yield stand


@pytest_asyncio.fixture
async def own(fresh_postgres: Postgres, seed: int) -> AsyncIterator[Stand]:
    """A stand with a PostgreSQL of its own, to be broken."""
    async with Stand(fresh_postgres, seed=seed) as stand:
        yield stand
