"""A walk of all endpoints counts as many tasks: whoever writes an endpoint waits for the walks before it."""

import pytest

from agentbridge.asterisk.task_processors import WALKS, depth, tasks_of_a_walk

LINE = "{0}   12   {1}   5   500   450\n"


class Console:
    """An Asterisk console that shows so many waiting tasks of each processor."""

    def __init__(self, waiting: dict[str, int]) -> None:
        self._waiting = waiting

    async def command(self, line: str, *, timeout: float) -> str:
        del timeout
        asked = line.rpartition(" ")[2]
        return "".join(LINE.format(name, count) for name, count in self._waiting.items() if name.startswith(asked))


@pytest.mark.parametrize(("endpoints", "tasks"), [(0, 1), (500, 1), (1_000, 4), (10_000, 301)])
def test_a_walk_counts_by_the_endpoints(endpoints: int, tasks: int) -> None:
    assert tasks_of_a_walk(endpoints) == tasks


@pytest.mark.parametrize(("endpoints", "deepest"), [(0, 40), (10_000, 903)])
async def test_the_deepest_is_what_takes_longest(endpoints: int, deepest: int) -> None:
    console = Console({"stasis/m:manager:core-00000007": 40, f"{WALKS}-00000042": 3})
    assert await depth(console, ("stasis/m", "sorcery/"), endpoints) == deepest
