"""The writer never fills Asterisk's task processors."""

import asyncio

import pytest

from agentbridge.errors import Unavailable
from agentbridge.reconcile.pace import AT_ONCE, DRAIN_SECONDS, FRESH_SECONDS, SPARE, TASKS_A_WRITE, Pace
from tests.unit.loop_clock import JumpingLoop

CEILING = 300


class Processors:
    """Asterisk's deepest task processor, which works off one task at each look."""

    def __init__(self, depth: int = 0, *, drains: int = 0) -> None:
        self.depth = depth
        self.looks = 0
        self._drains = drains

    async def __call__(self) -> int:
        self.looks += 1
        self.depth = max(0, self.depth - self._drains)
        return self.depth


def paced(loop: JumpingLoop, processors: Processors) -> Pace:
    return Pace(processors, clock=loop.time, ceiling=CEILING)


async def written(pace: Pace, wanted: int = 1) -> int:
    """Takes leave for writes and has them answered at once; returns how many they were."""
    granted = await pace.take(wanted)
    for _ in range(granted):
        pace.answered(tasks=TASKS_A_WRITE)
    return granted


def test_a_single_change_does_not_wait_for_a_look() -> None:
    loop, processors = JumpingLoop(), Processors()
    pace = paced(loop, processors)
    assert [loop.run(pace.take(1)) for _ in range(SPARE // 2)] == [1] * (SPARE // 2)
    assert processors.looks == 0
    loop.end()


@pytest.mark.parametrize(("every_s", "look_s"), [(0.05, 0.5), (0.02, 0.3), (0.01, 0.15)])
def test_many_single_changes_do_not_wait_for_a_look_either(every_s: float, look_s: float) -> None:
    """A look takes as long as Asterisk needs to list its task processors, one for each endpoint."""
    loop = JumpingLoop()

    async def slow() -> int:
        await asyncio.sleep(look_s)
        return 0

    pace = Pace(slow, clock=loop.time, ceiling=CEILING)

    async def changes() -> list[float]:
        waited = []
        for _ in range(500):
            asked = loop.time()
            assert await written(pace) == 1
            waited.append(loop.time() - asked)
            await asyncio.sleep(every_s)
        return waited

    assert max(loop.run(changes())) == 0
    loop.end()


def test_what_is_written_during_a_look_ahead_is_not_in_it() -> None:
    """Asterisk works nothing off, and each look tells only what was written before it began."""
    loop, left = JumpingLoop(), 0

    async def slow() -> int:
        depth = left
        await asyncio.sleep(0.1)
        return depth

    async def granted() -> int:
        nonlocal left
        pace = Pace(slow, clock=loop.time, ceiling=CEILING)
        while True:
            async with asyncio.timeout(1.0):
                left += await written(pace) * TASKS_A_WRITE
            await asyncio.sleep(0.005)

    with pytest.raises(TimeoutError):
        loop.run(granted())
    assert CEILING - TASKS_A_WRITE < left <= CEILING + SPARE * TASKS_A_WRITE
    loop.end()


def test_above_the_ceiling_looking_ahead_gives_no_more_than_the_spare_writes() -> None:
    loop, processors = JumpingLoop(), Processors(depth=CEILING)
    pace = paced(loop, processors)

    async def granted() -> int:
        found = 0
        for _ in range(2 * SPARE):
            async with asyncio.timeout(0.2):
                found += await written(pace)
            await asyncio.sleep(0)
        return found

    with pytest.raises(TimeoutError):
        loop.run(granted())
    assert processors.looks > 1
    loop.end()


def test_a_thousand_writes_get_what_has_room_below_the_ceiling() -> None:
    loop, processors = JumpingLoop(), Processors(depth=100)
    granted = loop.run(paced(loop, processors).take(1000))
    assert granted == (CEILING - 100) // TASKS_A_WRITE
    loop.end()


def test_what_leaves_fewer_tasks_goes_in_greater_parts() -> None:
    loop, processors = JumpingLoop(), Processors(depth=100)
    assert loop.run(paced(loop, processors).take(1000, tasks=1)) == CEILING - 100
    loop.end()


def test_a_write_worth_more_than_the_ceiling_goes_where_half_of_it_is_free() -> None:
    loop, processors = JumpingLoop(), Processors(depth=CEILING // 2)
    assert loop.run(paced(loop, processors).take(10, tasks=5 * CEILING)) == 1
    loop.end()


def test_ten_thousand_writes_stay_below_what_stops_calls() -> None:
    """Above the ceiling there is only what goes without a look; at 450 Asterisk begins to refuse calls."""
    most = CEILING + SPARE * TASKS_A_WRITE
    assert most < 450
    loop, processors = JumpingLoop(), Processors(drains=37)
    pace, todo = paced(loop, processors), 10_000
    while todo:
        granted = loop.run(written(pace, todo))
        assert granted >= 1
        todo -= granted
        processors.depth += granted * TASKS_A_WRITE
        assert processors.depth <= most
    assert 0 < pace.deepest <= most
    loop.end()


def test_it_waits_while_asterisk_is_behind() -> None:
    loop, processors = JumpingLoop(), Processors(depth=CEILING + 10 * 40, drains=40)
    assert loop.run(paced(loop, processors).take(1000)) >= 1
    assert loop.time() >= 9 * DRAIN_SECONDS
    assert processors.looks >= 10
    loop.end()


def test_an_old_look_gives_no_credit() -> None:
    loop, processors = JumpingLoop(), Processors()
    pace = paced(loop, processors)
    loop.run(written(pace, SPARE + 1))
    processors.depth = CEILING - TASKS_A_WRITE
    loop.run(asyncio.sleep(FRESH_SECONDS))
    assert loop.run(pace.take(1000)) == 1
    loop.end()


def test_a_look_that_fails_is_told() -> None:
    async def gone() -> int:
        raise Unavailable("not connected")

    loop = JumpingLoop()
    pace = Pace(gone, clock=loop.time)
    with pytest.raises(Unavailable, match="not connected"):
        loop.run(pace.take(SPARE + 1))
    loop.end()


def test_what_leaves_no_task_asks_for_no_depth() -> None:
    loop, processors = JumpingLoop(), Processors(depth=CEILING)
    assert loop.run(paced(loop, processors).take(10_000, tasks=0)) == AT_ONCE
    assert processors.depth == CEILING
    loop.end()


def test_writes_that_are_not_answered_count_as_tasks_that_wait() -> None:
    """Asterisk takes writes up slowly and works their tasks off more slowly: it is never idle, nor is it too much."""
    loop = JumpingLoop()
    sent, waiting, most, idle = 0, 0, 0, 0

    async def depth() -> int:
        await asyncio.sleep(0.01)
        return waiting

    pace = Pace(depth, clock=loop.time, ceiling=CEILING)

    async def asterisk() -> None:
        nonlocal sent, waiting, most, idle
        while True:
            await asyncio.sleep(0.001)
            if sent:
                sent -= 1
                waiting += TASKS_A_WRITE
                pace.answered(tasks=TASKS_A_WRITE)
            most = max(most, waiting + sent * TASKS_A_WRITE)
            waiting = max(0, waiting - 2)
            idle += not waiting

    async def writing(todo: int) -> None:
        nonlocal sent
        while todo:
            granted = await pace.take(todo)
            todo -= granted
            sent += granted

    working = loop.create_task(asterisk())
    loop.run(writing(3000))
    working.cancel()
    assert most <= CEILING + SPARE * TASKS_A_WRITE
    assert idle < 0.1 * loop.time() / 0.001
    loop.end()
