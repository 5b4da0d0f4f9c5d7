"""How deep Asterisk's task processors are, without asking for all of them each time."""

import asyncio

import pytest

from agentbridge.asterisk.task_processors import (
    LOOK_SECONDS,
    PROCESSORS,
    WALKS,
    WORTH_ASKING,
    DepthGauge,
    tasks_of_a_walk,
)

MEMBERS = "stasis/m:devicestate:all-00000007"
OTHER = "stasis/m:manager:core-00000008"
WALKER = f"{WALKS}-00000042"


class Console:
    """An Asterisk console that shows so many waiting tasks of each processor, and at most so many at once before."""

    def __init__(self, **waiting: int) -> None:
        self.waiting = {MEMBERS: 0, OTHER: 0, WALKER: 0} | waiting
        self.most = {OTHER: WORTH_ASKING}
        self.asked: list[str] = []
        self.ping_seconds = 0
        self.now = 100.0

    async def command(self, line: str, *, timeout: float) -> str:
        del timeout
        self.asked.append(line)
        await asyncio.sleep(0)
        last = line.rpartition(" ")[2]
        if line.startswith("core ping"):
            if last not in self.waiting:
                return f"ping failed: {last} not found"
            return f"pinging {last} ...\n\t{last} ping time: {self.ping_seconds}.000123 sec"
        return "".join(
            f"{name}   12   {count}   {self.most.get(name, 5)}   500   450\n"
            for name, count in self.waiting.items()
            if name.startswith(last)
        )

    @property
    def looked(self) -> bool:
        """Whether all were looked at since the last question."""
        asked, self.asked = self.asked, []
        return any(line.startswith("core show") for line in asked)


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.fixture
def gauge(console: Console) -> DepthGauge:
    return DepthGauge(console, lambda: console.now)


@pytest.mark.parametrize(("endpoints", "tasks"), [(0, 1), (500, 1), (1_000, 4), (10_000, 301)])
def test_a_walk_counts_by_the_endpoints(endpoints: int, tasks: int) -> None:
    assert tasks_of_a_walk(endpoints) == tasks


@pytest.mark.parametrize(("endpoints", "deepest"), [(0, 40), (10_000, 903)])
async def test_the_deepest_is_what_takes_longest(
    console: Console, gauge: DepthGauge, endpoints: int, deepest: int
) -> None:
    console.waiting |= {OTHER: 40, WALKER: 3}
    assert await gauge.depth(PROCESSORS, endpoints) == deepest


async def test_between_two_looks_those_that_fill_up_are_asked_whether_they_are_done(
    console: Console, gauge: DepthGauge
) -> None:
    assert await gauge.depth(PROCESSORS, 0) == 0
    assert console.looked
    console.waiting[OTHER] = 200  # what came after the ping was answered
    assert await gauge.depth(PROCESSORS, 0) == 0
    assert {*console.asked} == {f"core ping taskprocessor {name}" for name in (MEMBERS, OTHER)}
    console.now += LOOK_SECONDS
    assert await gauge.depth(PROCESSORS, 0) == 200
    assert console.looked


async def test_after_a_write_to_pjsip_those_that_it_fills_are_asked_first(console: Console, gauge: DepthGauge) -> None:
    await gauge.depth(PROCESSORS, 0)
    gauge.pjsip_written()
    console.asked.clear()
    assert await gauge.depth(PROCESSORS, 0) == 0
    assert [line.rpartition(" ")[2] for line in console.asked] == [WALKER, MEMBERS, OTHER]
    console.asked.clear()
    assert await gauge.depth(PROCESSORS, 0) == 0
    assert [line.rpartition(" ")[2] for line in console.asked] == [MEMBERS, OTHER]


async def test_a_look_that_is_wanted_is_taken(console: Console, gauge: DepthGauge) -> None:
    await gauge.depth(PROCESSORS, 0)
    gauge.look_next()
    console.waiting[WALKER] = 7
    assert await gauge.depth(PROCESSORS, 0) == 7


@pytest.mark.parametrize("what", ["another boot of Asterisk", "a ping that gave up"])
async def test_where_a_ping_tells_nothing_all_are_looked_at(console: Console, gauge: DepthGauge, what: str) -> None:
    await gauge.depth(PROCESSORS, 0)
    if what == "another boot of Asterisk":
        console.waiting = {"stasis/m:devicestate:all-00000009": 30}
    else:
        console.ping_seconds, console.waiting[MEMBERS] = 5, 30
    assert await gauge.depth(PROCESSORS, 0) == 30


async def test_of_many_who_ask_at_once_one_looks(console: Console, gauge: DepthGauge) -> None:
    await asyncio.gather(*(gauge.depth(PROCESSORS, endpoints=0) for _ in range(50)))
    assert sum(line.startswith("core show") for line in console.asked) == len(PROCESSORS)
