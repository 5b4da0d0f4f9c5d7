"""What waits in a real Asterisk's task processors is told by a look at all of them, and between two by pings."""

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.task_processors import FED_BY_MEMBERS, PROCESSORS, DepthGauge
from lab.asterisk import Asterisk
from lab.manager import Manager
from lab.task_processors import TaskProcessors
from tests.contract.ami_links import up

MEMBERS = 200
QUEUE = "pinged"


class Counting:
    """A console that keeps what was asked."""

    def __init__(self, link: AmiLink) -> None:
        self._link = link
        self.asked: list[str] = []

    async def command(self, line: str, *, timeout: float) -> str:
        self.asked.append(line)
        return await self._link.command(line, timeout=timeout)


@pytest.fixture
def fields() -> list[dict[str, str]]:
    return [{"Queue": QUEUE, "Interface": f"PJSIP/{2000 + number}"} for number in range(MEMBERS)]


@pytest_asyncio.fixture
async def pbx() -> AsyncIterator[Asterisk]:
    async with Asterisk(queues={QUEUE: {}}) as server:
        yield server


async def test_a_ping_comes_back_when_what_members_have_left_is_done(
    pbx: Asterisk, fields: list[dict[str, str]]
) -> None:
    """Two hundred pauses leave hundreds of tasks; after the reading none of them is left."""
    async with up(pbx) as watched, Manager(pbx) as manager, TaskProcessors(pbx) as shown:
        console = Counting(watched.link)
        gauge = DepthGauge(console, time.monotonic)
        for one in fields:
            await manager.ask("QueueAdd", one)
        await gauge.depth(PROCESSORS, 0)
        console.asked.clear()
        await shown.reset()
        for paused in ("true", "false") * 5:
            for one in fields:
                manager.send("QueuePause", {**one, "Paused": paused})
            for _ in fields:
                await manager.read()
            assert await gauge.depth(PROCESSORS, 0) == 0
            assert (await shown.deepest()).now < 10
        assert (await shown.deepest()).most > 5, "nothing waited, so that nothing was tried"
        assert all(line.startswith("core ping taskprocessor stasis/m:") for line in console.asked)
        assert {names for names in FED_BY_MEMBERS for line in console.asked if names in line} == {*FED_BY_MEMBERS}
