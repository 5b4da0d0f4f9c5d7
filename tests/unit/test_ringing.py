"""How many devices are asked for together, and what becomes of the calls that ring there."""

import asyncio
import re
from collections.abc import Collection
from typing import Any

from structlog.testing import capture_logs

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.ringing import ASKED_AT_ONCE, NAMED_WHOLE, QUEUE, Ringing
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId, QueueName

SALES = QueueName("sales")
CUT_AT = 1023
"""characters of a function's value: so Asterisk does"""


class Link:
    """An Asterisk in which these channels ring for the queue `sales`; notes what it is asked."""

    def __init__(self, channels: Collection[str]) -> None:
        self.channels = list(channels)
        self.asked: list[str] = []
        self.away = False
        self.stubborn = ""

    async def action(self, action: str, fields: Any = (), *, timeout: float) -> Message:  # noqa: ARG002 - as the real one is called
        if self.away:
            raise Unavailable("away")
        if action == "Hangup":
            if fields["Channel"] == self.stubborn:
                raise Refused("Permission denied")
            self.channels.remove(fields["Channel"])
            return Message([("Response", "Success")])
        self.asked.append(fields["Variable"])
        pattern = re.compile(fields["Variable"].removeprefix("CHANNELS(")[:-1])
        found = " ".join(name for name in self.channels if pattern.match(name))
        return Message([("Response", "Success"), ("Value", found[:CUT_AT])])

    async def action_list(self, action: str, fields: Any = (), **_: object) -> list[Message]:
        assert action == "Status"
        ringing = {"ChannelStateDesc": "Ringing", "Application": "AppQueue", "Variable": f"{QUEUE}={SALES}"}
        return [Message([("Event", "Status"), ("Channel", fields["Channel"]), *ringing.items()])]

    async def command(self, line: str, *, timeout: float) -> str:
        raise NotImplementedError


async def silenced(link: Link, devices: Collection[str]) -> list[str]:
    """Silences all of these devices in that queue at once; returns what was logged."""
    ringing = Ringing(link, asyncio.get_running_loop().time)
    for device in devices:
        ringing.silence(EndpointId(device), queue=SALES)
    with capture_logs() as logs:
        running = asyncio.create_task(ringing.run())
        for _ in range(1000):
            await asyncio.sleep(0)
        running.cancel()
    return [f"{line['event']} {line['device']}" for line in logs]


async def test_devices_are_asked_for_together_and_each_has_its_own_calls_ended() -> None:
    link = Link(["PJSIP/desk-0000000a", "PJSIP/desk-7-0000000b", "PJSIP/1001-0000000c", "PJSIP/1002-0000000d"])
    logged = await silenced(link, ["desk", "1002", *(str(number) for number in range(2000, 2000 + ASKED_AT_ONCE))])
    assert link.channels == ["PJSIP/desk-7-0000000b", "PJSIP/1001-0000000c"]
    assert logged == ["ring.ended desk", "ring.ended 1002"]
    assert len(link.asked) == 2
    assert max(map(len, link.asked)) < 1000


async def test_the_longest_names_fit_into_a_line() -> None:
    link = Link([])
    await silenced(link, ["x" * 38 + str(number) for number in range(10, 10 + ASKED_AT_ONCE)])
    assert [len(asked) < 1000 for asked in link.asked] == [True]


async def test_more_channels_than_asterisk_names_at_once_are_asked_for_one_device_at_a_time() -> None:
    devices = [str(number) for number in range(1000, 1000 + ASKED_AT_ONCE)]
    link = Link([f"PJSIP/{device}-{number:08x}" for device in devices for number in range(3)])
    assert sum(map(len, link.channels)) > NAMED_WHOLE
    logged = await silenced(link, devices)
    assert link.channels == []
    assert len(logged) == 3 * len(devices)


async def test_one_call_that_can_not_be_ended_keeps_no_other_from_ending() -> None:
    link = Link(["PJSIP/1001-0000000a", "PJSIP/1002-0000000b"])
    link.stubborn = "PJSIP/1001-0000000a"
    assert await silenced(link, ["1001", "1002", "1003"]) == ["ring.not_ended 1001", "ring.ended 1002"]
    assert link.channels == ["PJSIP/1001-0000000a"]


async def test_where_asterisk_is_away_each_device_is_told() -> None:
    link = Link(["PJSIP/1001-0000000c"])
    link.away = True
    assert await silenced(link, ["1001", "1002"]) == ["ring.not_ended 1001", "ring.not_ended 1002"]
