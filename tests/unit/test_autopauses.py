"""Autopauses that are heard of become pauses in the directory, each once."""

import asyncio

import pytest
from structlog.testing import capture_logs

from agentbridge.asterisk.listener import NoListener
from agentbridge.model import AUTOPAUSE, EndpointId, Interface, Member, PauseMember, QueueName, Step
from agentbridge.plan.difference import Plan
from agentbridge.reconcile.autopauses import Autopauses
from agentbridge.reconcile.work_queue import Cause
from tests.unit.asterisk_in_memory import AsteriskInMemory

KEY = EndpointId("1001")
SALES, SUPPORT = QueueName("sales"), QueueName("support")


class SlowDirectory:
    """Keeps the first who asks waiting until `answer`; `adopted` is what it was given."""

    def __init__(self) -> None:
        self.adopted: list[QueueName] = []
        self.answer = asyncio.Event()
        self._asked = 0

    async def adopt_pause(self, key: EndpointId, queue: QueueName, reason: str) -> bool:
        del key, reason
        self._asked += 1
        if self._asked == 1:
            await self.answer.wait()
        new = queue not in self.adopted
        self.adopted.append(queue)
        return new


async def test_two_passes_that_have_a_key_at_once_adopt_its_pauses_once() -> None:
    directory = SlowDirectory()
    autopauses = Autopauses(directory, None)  # type: ignore[arg-type] # neither is asked for more
    autopauses.note(KEY, SALES)
    with capture_logs() as lines:
        async with asyncio.timeout(5), asyncio.TaskGroup() as passes:
            first = passes.create_task(autopauses.adopt([KEY]))
            await asyncio.sleep(0)
            autopauses.note(KEY, SUPPORT)
            assert await autopauses.adopt([KEY]) == {KEY: ""}
            directory.answer.set()
    assert first.result() == {KEY: ""}
    assert [line["queue"] for line in lines] == ["sales,support"]
    assert await autopauses.adopt([KEY]) == {}


@pytest.mark.parametrize("at", ["PJSIP/1001", "PJSIP/desk1"])
async def test_a_missed_autopause_is_found_also_at_the_endpoint_that_the_agent_leaves(at: str) -> None:
    asterisk = AsteriskInMemory([SALES], NoListener())
    member = Member(queue=SALES, interface=Interface(at), name="Ann", paused=True, reason=AUTOPAUSE)
    asterisk.add_by_hand(member)
    await asterisk.read_all()
    autopauses = Autopauses(SlowDirectory(), asterisk)  # type: ignore[arg-type] # it is not asked for more
    planned = Plan(steps=(Step(KEY, PauseMember(SALES, Interface(at), paused=False, reason="")),))
    assert autopauses.unheard(planned, {KEY: Cause.RESYNC}) == {KEY}
    assert autopauses.waits(KEY)
    assert autopauses.unheard(planned, {KEY: Cause.CHANGE}) == set()
