"""What the driver of queue members does when app_queue's events are late."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.drivers import members as driver
from agentbridge.asterisk.drivers.members import Members
from agentbridge.asterisk.observed.observation import Observation
from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId, Interface, PauseMember, QueueName

SALES, SUPPORT = QueueName("sales"), QueueName("support")
NUMBERS = [EndpointId(str(number)) for number in range(1000, 1100)]


def message(**headers: str) -> Message:
    return Message(tuple(headers.items()))


@dataclass
class Silent:
    """An Asterisk that pauses members and tells of it by no event. `away`: it answers no question about a queue."""

    away: bool = False
    paused: set[tuple[str, str]] = field(default_factory=set)
    readings: list[str] = field(default_factory=list)

    async def action(self, _action: str, fields: list[tuple[str, str]], **_: object) -> Message:
        given = dict(fields)
        self.paused.add((given["Queue"], given["Interface"]))
        return message(Response="Success")

    async def action_list(
        self, _action: str, fields: dict[str, str], *, on_item: Callable[[Message], None], **_: object
    ) -> list[Message]:
        queue = fields["Queue"]
        self.readings.append(queue)
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("QueueStatus: no answer")
        for number in NUMBERS:
            paused = str(int((queue, f"PJSIP/{number}") in self.paused))
            on_item(
                message(Event="QueueMember", Queue=queue, Location=f"PJSIP/{number}", Paused=paused, PausedReason="x")
            )
        return []

    async def command(self, _line: str, **_: object) -> str:
        await asyncio.sleep(0)
        return ""


@pytest.fixture(autouse=True)
def soon_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "EVENT_SECONDS", 0.01)


def driven(asterisk: Silent) -> tuple[Members, Observation]:
    seen = Observation(lambda _: None)
    seen.members_read([SALES, SUPPORT], [])
    return Members(asterisk, asterisk, seen), seen  # type: ignore[arg-type]


def pause(number: EndpointId, queue: QueueName) -> PauseMember:
    return PauseMember(queue, Interface(f"PJSIP/{number}"), True, "x")


async def test_many_late_events_cost_few_readings_of_each_queue() -> None:
    """Two hundred writes, each of which would read its queue for itself; how many share one is a matter of time."""
    asterisk = Silent()
    members, seen = driven(asterisk)
    async with asyncio.TaskGroup() as group:
        for number in NUMBERS:
            for queue in (SALES, SUPPORT):
                group.create_task(members.apply(pause(number, queue)))
    assert all(seen.state(number).members[queue].paused for number in NUMBERS for queue in (SALES, SUPPORT))
    assert len(asterisk.readings) <= 40


async def test_a_reading_that_began_before_a_write_does_not_count_for_it() -> None:
    asterisk = Silent()
    members, seen = driven(asterisk)
    await members.apply(pause(NUMBERS[0], SALES))
    await members.apply(pause(NUMBERS[1], SALES))
    assert seen.state(NUMBERS[1]).members[SALES].paused
    assert asterisk.readings == [SALES, SALES]


async def test_who_waits_for_a_reading_that_fails_fails_with_it() -> None:
    asterisk = Silent(away=True)
    members, _ = driven(asterisk)
    writes = (members.apply(pause(number, SALES)) for number in NUMBERS)
    errors = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(error) for error in errors} == {Unavailable}
    assert len(asterisk.readings) <= 20
