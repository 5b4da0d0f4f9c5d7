"""ARI's events: they come, and come back after everything that can happen to the websocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agentbridge.asterisk.ari.events import AriEvents
from lab.asterisk import Asterisk
from lab.phones import Farm
from lab.processes import until

DIALPLAN = """
[callers](+)
exten => stasis,1,Answer()
 same => n,Stasis(tried,one,two)
 same => n,Hangup(17)
"""


class Told:
    def __init__(self) -> None:
        self.events: list[Any] = []
        self.ups = 0
        self.downs = 0
        self.wanted = True

    def up(self) -> None:
        self.ups += 1

    def down(self) -> None:
        self.downs += 1

    def event(self, event: Any) -> None:
        self.events.append(event)

    async def becomes(self, ups: int, downs: int, within: float = 10.0) -> None:
        async def so() -> bool:
            return (self.ups, self.downs) == (ups, downs)

        await until(so, within=within, what=f"{ups} ups and {downs} downs, now {self.ups} and {self.downs}")


@asynccontextmanager
async def listening(
    asterisk: Asterisk, *, secret: str = "", wanted: bool = True
) -> AsyncIterator[tuple[Told, AriEvents]]:
    told = Told()
    told.wanted = wanted
    events = AriEvents(
        f"http://127.0.0.1:{asterisk.ari_port}/ari",
        asterisk.ari_user,
        secret or asterisk.ari_secret,
        app="tried",
        heartbeat=1.0,
        wanted=lambda: told.wanted,
        listener=told,
    )
    running = asyncio.create_task(events.run())
    try:
        yield told, events
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_a_call_to_the_application_is_told_with_its_arguments() -> None:
    async with Asterisk(extra={"extensions.conf": DIALPLAN}) as asterisk, listening(asterisk) as (told, _):
        await told.becomes(1, 0)
        async with Farm((asterisk.host, asterisk.sip_port)) as farm:
            caller = await farm.phone(asterisk.caller_user, asterisk.caller_secret)
            await caller.call("stasis", 5)

            async def started() -> bool:
                return any(event["type"] == "StasisStart" for event in told.events)

            await until(started, within=5, what="StasisStart")
            (start,) = [event for event in told.events if event["type"] == "StasisStart"]
            assert start["args"] == ["one", "two"]
            assert start["channel"]["name"].startswith("PJSIP/caller-")


async def test_it_comes_back_after_a_restart_a_kill_and_a_hang_of_asterisk(fresh_asterisk: Asterisk) -> None:
    async with listening(fresh_asterisk) as (told, events):
        await told.becomes(1, 0)
        await fresh_asterisk.restart()
        await told.becomes(2, 1, within=15)
        await fresh_asterisk.kill()
        await told.becomes(2, 2)
        assert not events.up
        await fresh_asterisk.start()
        await told.becomes(3, 2, within=15)
        # a stopped one keeps the connection and answers no ping
        fresh_asterisk.pause()
        await told.becomes(3, 3)
        fresh_asterisk.resume()
        await told.becomes(4, 3, within=25)


async def test_a_wrong_secret_is_tried_again_and_told_once(asterisk: Asterisk, capsys: Any) -> None:
    shown = ""

    async def refused() -> bool:
        nonlocal shown
        shown += capsys.readouterr().out
        return "ari.unavailable" in shown

    async with listening(asterisk, secret="wrong-one") as (told, events):
        await until(refused, within=5, what="the refusal in the log")
        assert told.ups == 0
        assert not events.up
    assert shown.count("ari.unavailable") == 1
    assert "401" in shown
    assert "wrong-one" not in shown


async def test_a_standby_leaves_the_application_to_the_other(asterisk: Asterisk) -> None:
    async with listening(asterisk, wanted=False) as (told, _), listening(asterisk) as (other, _):
        await other.becomes(1, 0)
        assert told.ups == 0
        told.wanted = True
        await told.becomes(1, 0)
