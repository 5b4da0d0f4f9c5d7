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
    WorkQueue,
)
from tests.unit.loop_clock import JumpingLoop

A, B = EndpointId("1001"), EndpointId("1002")


@pytest.fixture
def loop() -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    yield loop
    loop.end()


@pytest.fixture
def queue(loop: JumpingLoop) -> WorkQueue:
    return WorkQueue(loop.time)


def nothing_is_due(loop: JumpingLoop, queue: WorkQueue, for_seconds: float) -> None:
    async def taken() -> None:
        async with asyncio.timeout(for_seconds):
            await queue.take()

    with pytest.raises(TimeoutError):
        loop.run(taken())


def test_all_marked_keys_are_taken_at_once_with_their_strongest_cause(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark([A, B], Cause.EVENT)
    queue.mark([A], Cause.CHANGE)
    queue.mark([A], Cause.EVENT)
    assert loop.run(queue.take()) == {A: Cause.CHANGE, B: Cause.EVENT}
    assert loop.time() == 0


def test_what_is_known_to_differ_is_taken_ahead_of_a_comparison_of_everything(
    loop: JumpingLoop, queue: WorkQueue
) -> None:
    queue.mark([A, B], Cause.EVERYTHING)
    queue.mark([A], Cause.CHANGE)
    assert loop.run(queue.take()) == {A: Cause.CHANGE}
    assert loop.run(queue.take()) == {B: Cause.EVERYTHING}
    assert loop.time() == 0


def test_a_pause_is_taken_alone_and_ahead_of_all_else(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark([B], Cause.CHANGE)
    queue.mark([A], Cause.PAUSE)
    queue.mark([A], Cause.PAUSE)
    assert loop.run(queue.take()) == {A: Cause.PAUSE}
    assert loop.run(queue.take()) == {B: Cause.CHANGE}
    assert loop.time() == 0


def test_keys_that_are_marked_part_by_part_are_for_one_pass(loop: JumpingLoop, queue: WorkQueue) -> None:
    with queue.gathering():
        queue.mark([A], Cause.RESYNC)
        nothing_is_due(loop, queue, 1)
        queue.mark([A], Cause.CHANGE)
        assert loop.run(queue.take()) == {A: Cause.CHANGE}
        queue.mark([B], Cause.RESYNC)
    assert loop.run(queue.take()) == {B: Cause.RESYNC}


@pytest.mark.parametrize("other", [Cause.RESYNC, Cause.EVERYTHING])
@pytest.mark.parametrize("in_a_pass", [False, True])
def test_a_pause_goes_ahead_of_the_keys_comparison_with_all_others(
    loop: JumpingLoop, queue: WorkQueue, other: Cause, in_a_pass: bool
) -> None:
    queue.mark([A, B], other)
    everything = loop.run(queue.take()) if in_a_pass else None
    queue.mark([A], Cause.PAUSE)
    queue.mark([A], other)
    pauses = loop.run(queue.take())
    assert pauses == {A: Cause.PAUSE}
    assert queue.is_due_again(A)
    queue.release(pauses)
    if everything is not None:
        queue.release(everything)
    assert loop.run(queue.take()) == ({A: other} if in_a_pass else {A: other, B: other})


@pytest.mark.parametrize("other", [Cause.EVENT, Cause.CHANGE])
def test_a_key_that_is_paused_and_known_to_differ_otherwise_is_compared_whole(
    loop: JumpingLoop, queue: WorkQueue, other: Cause
) -> None:
    queue.mark([A], other)
    queue.mark([A], Cause.PAUSE)
    queue.mark([B], Cause.PAUSE)
    queue.mark([B], other)
    assert loop.run(queue.take()) == {A: Cause.CHANGE, B: Cause.CHANGE}


def test_a_pause_of_a_key_in_a_pass_has_it_compared_whole_afterwards(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark([A], Cause.PAUSE)
    batch = loop.run(queue.take())
    batch.begin([A])
    queue.mark([A], Cause.PAUSE)  # the pass may have read what is newer
    queue.release(batch)
    assert loop.run(queue.take()) == {A: Cause.CHANGE}


def test_comparisons_that_come_faster_than_they_end_keep_no_key_from_being_written(
    loop: JumpingLoop, queue: WorkQueue
) -> None:
    queue.mark([A, B], Cause.RESYNC)
    batch = loop.run(queue.take())
    queue.set_aside(batch, batch.begin([A]))  # it differs, and is written when B is compared too
    for _ in range(3):
        queue.mark([A, B], Cause.EVERYTHING)
        nothing_is_due(loop, queue, 1)
    assert batch.begin([A, B]) == {A: Cause.RESYNC, B: Cause.EVERYTHING}
    queue.release(batch)
    assert loop.run(queue.take()) == {A: Cause.EVERYTHING}


def test_a_key_is_in_one_pass_at_a_time_and_a_mark_meanwhile_is_not_lost(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark([A], Cause.EVENT)
    batch = loop.run(queue.take())
    batch.begin([A])
    queue.mark([A], Cause.CHANGE)
    queue.mark([B], Cause.EVENT)
    assert loop.run(queue.take()) == {B: Cause.EVENT}
    nothing_is_due(loop, queue, 100)
    queue.release(batch)
    assert loop.run(queue.take()) == {A: Cause.CHANGE}


def test_a_key_that_changes_before_its_pass_looks_at_it_does_not_wait(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark([A, B], Cause.RESYNC)
    everything = loop.run(queue.take())
    assert everything.begin([A]) == {A: Cause.RESYNC}
    queue.mark([A, B], Cause.CHANGE)
    change = loop.run(queue.take())
    assert change == {B: Cause.CHANGE}
    assert everything.begin([B]) == {}
    queue.release(everything)
    assert loop.run(queue.take()) == {A: Cause.CHANGE}
    assert len(queue) == 2


def test_a_key_that_leaves_its_pass_keeps_the_stronger_cause(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark([A], Cause.CHANGE)
    batch = loop.run(queue.take())
    queue.mark([A], Cause.EVENT)
    assert batch == {}
    assert loop.run(queue.take()) == {A: Cause.CHANGE}


@pytest.mark.parametrize("hinted", ["while it is compared", "after it"])
def test_a_key_that_changes_while_its_write_waits_leaves_its_pass(
    loop: JumpingLoop, queue: WorkQueue, hinted: str
) -> None:
    queue.mark([A, B], Cause.RESYNC)
    everything = loop.run(queue.take())
    everything.begin([A])
    if hinted == "while it is compared":
        queue.mark([A], Cause.CHANGE)
    queue.set_aside(everything, [A])
    queue.mark([A], Cause.CHANGE)
    assert loop.run(queue.take()) == {A: Cause.CHANGE}
    assert everything == {B: Cause.RESYNC}


def test_a_key_that_a_resync_marks_while_its_write_waits_is_looked_at_after_it(
    loop: JumpingLoop, queue: WorkQueue
) -> None:
    queue.mark([A], Cause.EVENT)
    batch = loop.run(queue.take())
    batch.begin([A])
    queue.set_aside(batch, [A])
    queue.mark([A], Cause.RESYNC)
    assert batch.begin([A]) == {A: Cause.EVENT}
    queue.mark([A], Cause.CHANGE)
    assert batch == {A: Cause.EVENT}
    queue.release(batch)
    assert loop.run(queue.take()) == {A: Cause.CHANGE}


def test_one_resync_after_the_other_does_not_keep_a_pass_from_its_end(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark([A, B], Cause.RESYNC)
    batch = loop.run(queue.take())
    batch.begin([A])
    queue.mark([A, B], Cause.RESYNC)
    assert batch.begin([B]) == {B: Cause.RESYNC}
    queue.release(batch)
    assert loop.run(queue.take()) == {A: Cause.RESYNC}


def test_keys_that_are_done_are_released_before_the_rest_of_their_pass(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark([A, B], Cause.RESYNC)
    batch = loop.run(queue.take())
    batch.begin([A, B])
    queue.mark([A, B], Cause.EVENT)
    queue.release(batch, [A])
    assert loop.run(queue.take()) == {A: Cause.EVENT}
    assert batch == {B: Cause.RESYNC}
    queue.release(batch)
    assert loop.run(queue.take()) == {B: Cause.EVENT}


def test_a_mark_wakes_who_waits(loop: JumpingLoop, queue: WorkQueue) -> None:
    async def marked_later() -> dict[EndpointId, Cause]:
        async with asyncio.TaskGroup() as group:
            taken = group.create_task(queue.take())
            await asyncio.sleep(1)
            queue.mark([A], Cause.CHANGE)
        return taken.result()

    assert loop.run(marked_later()) == {A: Cause.CHANGE}
    assert loop.time() == pytest.approx(1)


def test_a_key_that_is_written_again_and_again_rests(loop: JumpingLoop, queue: WorkQueue) -> None:
    for _ in range(WRITES_AT_ONCE):
        queue.mark([A], Cause.CHANGE)
        batch = loop.run(queue.take())
        assert batch == {A: Cause.CHANGE}
        assert loop.time() == 0
        queue.rest([A])
        queue.release(batch)
    queue.mark([A], Cause.EVENT)
    assert loop.run(queue.take()) == {A: Cause.EVENT}
    assert loop.time() == pytest.approx(REST_SECONDS, abs=0.01)


def _write_twice(loop: JumpingLoop, queue: WorkQueue) -> None:
    for _ in range(WRITES_AT_ONCE):
        queue.mark([A], Cause.CHANGE)
        batch = loop.run(queue.take())
        queue.rest([A])
        queue.release(batch)


def test_the_last_of_a_few_changes_is_taken_soon(loop: JumpingLoop, queue: WorkQueue) -> None:
    _write_twice(loop, queue)
    queue.mark([A], Cause.CHANGE)
    assert loop.run(queue.take()) == {A: Cause.CHANGE}
    assert loop.time() == pytest.approx(QUIET_SECONDS, abs=0.01)


def test_a_storm_of_changes_is_taken_when_the_key_has_rested(loop: JumpingLoop, queue: WorkQueue) -> None:
    _write_twice(loop, queue)

    async def storm() -> None:
        while True:
            queue.mark([A], Cause.CHANGE)
            await asyncio.sleep(QUIET_SECONDS / 5)

    blowing = loop.create_task(storm())
    assert loop.run(queue.take()) == {A: Cause.CHANGE}
    assert loop.time() == pytest.approx(REST_SECONDS, abs=0.01)
    blowing.cancel()


def test_a_key_that_fails_backs_off_alone_and_no_longer_than_the_longest(loop: JumpingLoop, queue: WorkQueue) -> None:
    waits = []
    for _ in range(9):
        before = loop.time()
        queue.retry({A: Cause.CHANGE})
        queue.mark([B], Cause.EVENT)
        first, second = loop.run(queue.take()), loop.run(queue.take())
        assert (first, second) == ({B: Cause.EVENT}, {A: Cause.CHANGE})
        waits.append(loop.time() - before)
        queue.release(first)
        queue.release(second)
    assert waits[:3] == pytest.approx([FIRST_RETRY_SECONDS * 2**n for n in range(3)], abs=0.01)
    assert waits[-1] == pytest.approx(LAST_RETRY_SECONDS, abs=0.01)
    queue.forget_back_off([A])
    before = loop.time()
    queue.retry({A: Cause.CHANGE})
    loop.run(queue.take())
    assert loop.time() - before == pytest.approx(FIRST_RETRY_SECONDS, abs=0.01)


def test_a_change_does_not_wait_for_the_retry(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.retry({A: Cause.EVENT})
    queue.mark([A], Cause.CHANGE)
    batch = loop.run(queue.take())
    assert batch == {A: Cause.CHANGE}
    assert loop.time() == 0
    queue.release(batch)
    nothing_is_due(loop, queue, 100)


def test_the_earliest_of_two_times_counts(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark_later({A: Cause.EVENT}, after=5)
    queue.mark_later({A: Cause.CHANGE}, after=2)
    queue.mark_later({A: Cause.EVENT}, after=9)
    batch = loop.run(queue.take())
    assert batch == {A: Cause.CHANGE}
    assert loop.time() == pytest.approx(2, abs=0.01)
    queue.release(batch)
    nothing_is_due(loop, queue, 100)


def test_what_is_cleared_is_said_and_is_not_due_any_more(loop: JumpingLoop, queue: WorkQueue) -> None:
    queue.mark([A], Cause.EVENT)
    batch = loop.run(queue.take())
    batch.begin([A])
    queue.mark([A], Cause.CHANGE)
    queue.mark_later({B: Cause.EVENT}, after=3)
    assert queue.clear() == {A: Cause.CHANGE, B: Cause.EVENT}
    queue.release(batch)
    assert len(queue) == 0
    nothing_is_due(loop, queue, 100)
