"""Which keys are looked at, and when."""

import asyncio
from collections.abc import Iterator

import pytest

from agentbridge.model import EndpointId
from agentbridge.reconcile.work_queue import (
    FIRST_RETRY_SECONDS,
    LAST_RETRY_SECONDS,
    QUIET_SECONDS,
    REST_SECONDS,
    WRITES_AT_ONCE,
    Cause,
    Dirty,
)
from tests.unit.loop_clock import JumpingLoop

A, B = EndpointId("1001"), EndpointId("1002")


@pytest.fixture
def loop() -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    yield loop
    loop.end()


@pytest.fixture
def dirty(loop: JumpingLoop) -> Dirty:
    return Dirty(loop.time)


def nothing_is_due(loop: JumpingLoop, dirty: Dirty, for_seconds: float) -> None:
    async def taken() -> None:
        async with asyncio.timeout(for_seconds):
            await dirty.take()

    with pytest.raises(TimeoutError):
        loop.run(taken())


def test_all_marked_keys_are_taken_at_once_with_their_strongest_cause(loop: JumpingLoop, dirty: Dirty) -> None:
    dirty.mark([A, B], Cause.RESYNC)
    dirty.mark([A], Cause.CHANGE)
    dirty.mark([A], Cause.EVENT)
    assert loop.run(dirty.take()) == {A: Cause.CHANGE, B: Cause.RESYNC}
    assert loop.time() == 0


def test_a_key_is_in_one_pass_at_a_time_and_a_mark_meanwhile_is_not_lost(loop: JumpingLoop, dirty: Dirty) -> None:
    dirty.mark([A], Cause.EVENT)
    batch = loop.run(dirty.take())
    batch.begin([A])
    dirty.mark([A], Cause.CHANGE)
    dirty.mark([B], Cause.EVENT)
    assert loop.run(dirty.take()) == {B: Cause.EVENT}
    nothing_is_due(loop, dirty, 100)
    dirty.release(batch)
    assert loop.run(dirty.take()) == {A: Cause.CHANGE}


def test_a_key_that_changes_before_its_pass_looks_at_it_does_not_wait_for_that(loop: JumpingLoop, dirty: Dirty) -> None:
    dirty.mark([A, B], Cause.RESYNC)
    everything = loop.run(dirty.take())
    assert everything.begin([A]) == {A: Cause.RESYNC}
    dirty.mark([A, B], Cause.CHANGE)
    change = loop.run(dirty.take())
    assert change == {B: Cause.CHANGE}
    assert everything.begin([B]) == {}
    dirty.release(everything)
    assert loop.run(dirty.take()) == {A: Cause.CHANGE}
    assert len(dirty) == 2


def test_a_key_that_leaves_its_pass_keeps_the_stronger_cause(loop: JumpingLoop, dirty: Dirty) -> None:
    dirty.mark([A], Cause.CHANGE)
    batch = loop.run(dirty.take())
    dirty.mark([A], Cause.EVENT)
    assert batch == {}
    assert loop.run(dirty.take()) == {A: Cause.CHANGE}


def test_one_resync_after_the_other_does_not_keep_a_pass_from_its_end(loop: JumpingLoop, dirty: Dirty) -> None:
    dirty.mark([A, B], Cause.RESYNC)
    batch = loop.run(dirty.take())
    batch.begin([A])
    dirty.mark([A, B], Cause.RESYNC)
    assert batch.begin([B]) == {B: Cause.RESYNC}
    dirty.release(batch)
    assert loop.run(dirty.take()) == {A: Cause.RESYNC}


def test_keys_that_are_done_are_released_before_the_rest_of_their_pass(loop: JumpingLoop, dirty: Dirty) -> None:
    dirty.mark([A, B], Cause.RESYNC)
    batch = loop.run(dirty.take())
    batch.begin([A, B])
    dirty.mark([A, B], Cause.EVENT)
    dirty.release(batch, [A])
    assert loop.run(dirty.take()) == {A: Cause.EVENT}
    assert batch == {B: Cause.RESYNC}
    dirty.release(batch)
    assert loop.run(dirty.take()) == {B: Cause.EVENT}


def test_a_mark_wakes_who_waits(loop: JumpingLoop, dirty: Dirty) -> None:
    async def marked_later() -> dict[EndpointId, Cause]:
        async with asyncio.TaskGroup() as group:
            taken = group.create_task(dirty.take())
            await asyncio.sleep(1)
            dirty.mark([A], Cause.CHANGE)
        return taken.result()

    assert loop.run(marked_later()) == {A: Cause.CHANGE}
    assert loop.time() == pytest.approx(1)


def test_a_key_that_is_written_again_and_again_rests(loop: JumpingLoop, dirty: Dirty) -> None:
    for _ in range(WRITES_AT_ONCE):
        dirty.mark([A], Cause.CHANGE)
        batch = loop.run(dirty.take())
        assert batch == {A: Cause.CHANGE}
        assert loop.time() == 0
        dirty.rest([A])
        dirty.release(batch)
    dirty.mark([A], Cause.EVENT)
    assert loop.run(dirty.take()) == {A: Cause.EVENT}
    assert loop.time() == pytest.approx(REST_SECONDS, abs=0.01)


def _write_twice(loop: JumpingLoop, dirty: Dirty) -> None:
    for _ in range(WRITES_AT_ONCE):
        dirty.mark([A], Cause.CHANGE)
        batch = loop.run(dirty.take())
        dirty.rest([A])
        dirty.release(batch)


def test_the_last_of_a_few_changes_is_taken_soon(loop: JumpingLoop, dirty: Dirty) -> None:
    _write_twice(loop, dirty)
    dirty.mark([A], Cause.CHANGE)
    assert loop.run(dirty.take()) == {A: Cause.CHANGE}
    assert loop.time() == pytest.approx(QUIET_SECONDS, abs=0.01)


def test_a_storm_of_changes_is_taken_when_the_key_has_rested(loop: JumpingLoop, dirty: Dirty) -> None:
    _write_twice(loop, dirty)

    async def storm() -> None:
        while True:
            dirty.mark([A], Cause.CHANGE)
            await asyncio.sleep(QUIET_SECONDS / 5)

    blowing = loop.create_task(storm())
    assert loop.run(dirty.take()) == {A: Cause.CHANGE}
    assert loop.time() == pytest.approx(REST_SECONDS, abs=0.01)
    blowing.cancel()


def test_a_key_that_fails_backs_off_alone_and_no_longer_than_the_longest(loop: JumpingLoop, dirty: Dirty) -> None:
    waits = []
    for _ in range(9):
        before = loop.time()
        dirty.retry({A: Cause.CHANGE})
        dirty.mark([B], Cause.EVENT)
        first, second = loop.run(dirty.take()), loop.run(dirty.take())
        assert (first, second) == ({B: Cause.EVENT}, {A: Cause.CHANGE})
        waits.append(loop.time() - before)
        dirty.release(first)
        dirty.release(second)
    assert waits[:3] == pytest.approx([FIRST_RETRY_SECONDS * 2**n for n in range(3)], abs=0.01)
    assert waits[-1] == pytest.approx(LAST_RETRY_SECONDS, abs=0.01)
    dirty.succeeded(A)
    before = loop.time()
    dirty.retry({A: Cause.CHANGE})
    loop.run(dirty.take())
    assert loop.time() - before == pytest.approx(FIRST_RETRY_SECONDS, abs=0.01)


def test_a_change_does_not_wait_for_the_retry(loop: JumpingLoop, dirty: Dirty) -> None:
    dirty.retry({A: Cause.EVENT})
    dirty.mark([A], Cause.CHANGE)
    batch = loop.run(dirty.take())
    assert batch == {A: Cause.CHANGE}
    assert loop.time() == 0
    dirty.release(batch)
    nothing_is_due(loop, dirty, 100)


def test_the_earliest_of_two_times_counts(loop: JumpingLoop, dirty: Dirty) -> None:
    dirty.mark_later({A: Cause.EVENT}, after=5)
    dirty.mark_later({A: Cause.CHANGE}, after=2)
    dirty.mark_later({A: Cause.EVENT}, after=9)
    batch = loop.run(dirty.take())
    assert batch == {A: Cause.CHANGE}
    assert loop.time() == pytest.approx(2, abs=0.01)
    dirty.release(batch)
    nothing_is_due(loop, dirty, 100)


def test_what_is_cleared_is_said_and_is_not_due_any_more(loop: JumpingLoop, dirty: Dirty) -> None:
    dirty.mark([A], Cause.EVENT)
    batch = loop.run(dirty.take())
    batch.begin([A])
    dirty.mark([A], Cause.CHANGE)
    dirty.mark_later({B: Cause.EVENT}, after=3)
    assert dirty.clear() == {A: Cause.CHANGE, B: Cause.EVENT}
    dirty.release(batch)
    assert len(dirty) == 0
    nothing_is_due(loop, dirty, 100)
