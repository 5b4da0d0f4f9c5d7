"""What is done where another node is lost by SIP and found again, and for the phones that it had."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.trunks import PUBLISHER, RETRY_SECONDS, RINGS_ON_SECONDS, TELL_AGAIN_SECONDS, Trunks
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import Contact, EndpointId
from agentbridge.phone.orphans import AGAIN_SECONDS, Orphans
from tests.unit.loop_clock import JumpingLoop, turns

CHANNELS = {
    "PJSIP/b-00000001": "Ring",
    "PJSIP/b-00000002": "Up",
    "PJSIP/b-2-00000003": "Ringing",
    "PJSIP/b-00000004": "Down",
}


class Link:
    """An Asterisk with these channels; notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.away = False

    async def action(self, action: str, fields: Any = (), *, timeout: float) -> Message:  # noqa: ARG002 - as the real one is called
        self.done.append(f"{action} {fields['Channel']} {fields['Cause']}")
        if fields["Channel"].endswith("4"):
            raise Refused("No such channel")
        return Message([("Response", "Success")])

    async def action_list(self, *_: object, **__: object) -> list[Message]:
        if self.away:
            raise Unavailable("away")
        return [
            Message([("Event", "CoreShowChannel"), ("Channel", name), ("ChannelStateDesc", state)])
            for name, state in CHANNELS.items()
        ]

    async def command(self, line: str, *, timeout: float) -> str:  # noqa: ARG002 - as the real one is called
        if self.away:
            raise Unavailable("away")
        self.done.append(line)
        return ""


@pytest.fixture
def loop() -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    yield loop
    loop.end()


def test_what_rings_to_and_from_a_lost_node_ends_once_and_no_call_that_is_up(loop: JumpingLoop) -> None:
    async def scene() -> None:
        link = Link()
        trunks = Trunks(link, active=lambda: True, clock=loop.time)
        running = asyncio.create_task(trunks.run())
        trunks.look(["b"])
        await turns(10)
        assert link.done == [], "one answer may be lost"
        for _ in range(3):
            await asyncio.sleep(RINGS_ON_SECONDS)
            trunks.look(["b"])
            await turns(10)
        assert link.done == ["Hangup PJSIP/b-00000001 34", "Hangup PJSIP/b-00000004 34"]
        running.cancel()

    loop.run(scene())


def test_states_are_told_when_a_node_is_back_and_not_again_and_again(loop: JumpingLoop) -> None:
    async def scene() -> None:
        link = Link()
        trunks = Trunks(link, active=lambda: True, clock=loop.time)
        running = asyncio.create_task(trunks.run())
        await asyncio.sleep(TELL_AGAIN_SECONDS)
        for _ in range(5):
            for lost in (["b"], []):
                trunks.look(lost)
                await turns(10)
        assert link.done == [f"module reload {PUBLISHER}"]
        link.away = True
        await asyncio.sleep(TELL_AGAIN_SECONDS)
        trunks.look([])
        await turns(10)
        link.away = False
        await asyncio.sleep(TELL_AGAIN_SECONDS)
        for _ in range(2):
            trunks.look([])
            await turns(10)
        assert link.done == [f"module reload {PUBLISHER}"] * 2
        running.cancel()

    loop.run(scene())


def test_rings_are_ended_without_the_directory_and_states_are_told_when_it_is_back(loop: JumpingLoop) -> None:
    async def scene() -> None:
        link, directory = Link(), False
        trunks = Trunks(link, active=lambda: directory, clock=loop.time)
        running = asyncio.create_task(trunks.run())

        async def look(*lost: str, seconds: float = TELL_AGAIN_SECONDS) -> None:
            trunks.look(lost)
            await turns(10)
            await asyncio.sleep(seconds)

        link.away = True
        await look("b", seconds=RINGS_ON_SECONDS)
        await look("b", seconds=2 * RETRY_SECONDS)
        link.away = False
        for _ in range(2):
            await look("b")
        assert link.done == ["Hangup PJSIP/b-00000001 34", "Hangup PJSIP/b-00000004 34"], "tried again, and once"
        for directory in (False, True, True):  # noqa: B007 - as the trunks ask for it
            await look()
        assert link.done[2:] == [f"module reload {PUBLISHER}"]
        running.cancel()

    loop.run(scene())


class Taking:
    """An Asterisk that refuses the first registration."""

    up = True

    def __init__(self) -> None:
        self.asked: list[EndpointId] = []

    async def register(self, device: EndpointId, contact: Contact) -> None:  # noqa: ARG002 - as the real one is called
        self.asked.append(device)
        if len(self.asked) == 1:
            raise Refused("not yet")


def test_a_phone_of_a_lost_node_is_registered_here_and_tried_again_only_later(loop: JumpingLoop) -> None:
    async def scene() -> None:
        asterisk, given = Taking(), {EndpointId("1001"): Contact("sip:1001@edge", "<sip:edge;lr>")}
        orphans = Orphans(asterisk, active=lambda: True, clock=loop.time)
        running = asyncio.create_task(orphans.run())
        for wanted in (1, 1, 2):
            orphans.heard(given)
            await turns(10)
            assert len(asterisk.asked) == wanted
            await asyncio.sleep(AGAIN_SECONDS / 2)
        orphans.heard({})
        running.cancel()

    loop.run(scene())
