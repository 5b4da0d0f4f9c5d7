"""One way to reconnect: waits that grow and are random, and start over after a connection that was up."""

from __future__ import annotations

import asyncio

import pytest
from tenacity import AsyncRetrying, RetryCallState

from agentbridge.errors import Unavailable
from agentbridge.reconnecting import Waits, keep_connected


def waits_after(failures: int, waits: Waits) -> list[float]:
    """What the strategy gives after so many failures, asked fifty times."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = failures
    return [waits.strategy()(state) for _ in range(50)]


@pytest.mark.parametrize(("failures", "full"), [(1, 0.25), (2, 0.5), (4, 2.0), (6, 8.0), (7, 8.0), (10_000, 8.0)])
def test_waits_grow_to_the_longest_and_half_of_each_is_random(failures: int, full: float) -> None:
    seen = waits_after(failures, Waits(first=0.25, longest=8.0))
    assert full / 2 <= min(seen) < max(seen) <= full


async def test_it_tries_again_after_a_failure_and_after_an_ended_connection() -> None:
    outcomes: list[Unavailable | None] = [Unavailable("one"), Unavailable("two"), None, Unavailable("three"), None]
    told: list[str] = []
    done = asyncio.Event()

    async def session() -> None:
        if not outcomes:
            done.set()
            await asyncio.Event().wait()
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    task = asyncio.create_task(
        keep_connected(
            session, Waits(first=0.001, longest=0.002), errors=Unavailable, on_failure=lambda e: told.append(str(e))
        )
    )
    await asyncio.wait_for(done.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told == ["one", "two", "three"]


async def test_anything_else_is_a_bug_and_ends_it() -> None:
    async def session() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await keep_connected(session, Waits(first=0.001, longest=0.002), errors=Unavailable)
