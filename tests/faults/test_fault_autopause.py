"""An unpause by the directory after an autopause by app_queue is never undone, in whatever order both are heard of."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from lab.postgres import Postgres
from tests.acceptance.autopause import AGENTS, hasty_centre, lose_notifications, one_round
from tests.acceptance.centre import Centre

ROUNDS = 100 // AGENTS


@asynccontextmanager
async def notifications_lost(centre: Centre) -> AsyncIterator[None]:
    await lose_notifications(centre)
    yield


@asynccontextmanager
async def many_reloads(centre: Centre) -> AsyncIterator[None]:
    """Each reload of app_queue asks for a look at everything."""

    async def again() -> None:
        while True:
            await centre.asterisk.cli("module reload app_queue.so")
            await asyncio.sleep(0.3)

    reloading = asyncio.create_task(again())
    try:
        yield
    finally:
        reloading.cancel()


@pytest.mark.parametrize("trouble", [notifications_lost, many_reloads], ids=["notifications lost", "many reloads"])
async def test_a_hundred_unpauses_after_autopauses(
    postgres: Postgres, seed: int, trouble: Callable[[Centre], AbstractAsyncContextManager[None]]
) -> None:
    waits = map(random.Random(seed).uniform, itertools.repeat(0.0), itertools.repeat(0.3))
    async with hasty_centre(postgres) as centre, trouble(centre):
        for _ in range(ROUNDS):
            await one_round(centre, waits)
