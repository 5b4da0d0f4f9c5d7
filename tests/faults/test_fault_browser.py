"""Minutes of trouble for an agent's browser: a network that is gone, a page that nobody looks at, a tab that dies.

In a network namespace of its own, as `make faults` runs it: what is cut is the way to one address.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from lab.browser import chromium, seat
from lab.cut import cut
from lab.phones import State
from tests.browser.conftest import MEDIA_ADDRESS, PASSWORD, Floor, browser, floor, standing_floor
from tests.browser.crowd import note
from tests.browser.shift import Agent, at_desk

__all__ = ["browser", "floor", "standing_floor"]
HIDDEN_SECONDS = 600
CALLS_BEFORE, CALLS = 30, 60
"""of a shift: what the first ones leave is there to stay, as code that the browser has compiled"""
GROWTH = 1.10
SIP_TIMERS_SECONDS = 36
"""a call's SIP transactions are kept for 32 s after its end (RFC 3261, 64 times T1), and the call with them"""
OF_A_CALL = ("RTCPeerConnection", "MediaStream", "MediaStreamTrack", "HTMLAudioElement", "AudioNode")
"""what each call has of its own"""


@pytest.mark.parametrize("seconds", [20, 60])
async def test_a_call_outlives_a_network_that_is_gone(floor: Floor, seconds: int) -> None:
    """Scenario 4: nobody loses the call, the bar says so within 10 s, and the far end's BYE arrives afterwards."""
    async with at_desk(floor, "wes", "sales") as wes:
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        async with cut(MEDIA_ADDRESS):
            began = time.monotonic()
            await wes.sees("Your phone can't be reached", within=20)
            noticed = time.monotonic() - began
            # held while nobody hears of it: Asterisk learns it when it can
            await wes.page.keyboard.press("h")
            await wes.button("Take back").wait_for()
            await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
            assert call.state is State.UP
        began = time.monotonic()
        await wes.sees("Phone registered", within=60)
        healed = time.monotonic() - began
        note(**{f"gone_{seconds}_s": {"noticed_s": round(noticed, 1), "healed_s": round(healed, 1)}})
        assert noticed < 10
        assert wes.seat.tone not in call.heard(400)
        await wes.press("Take back")
        await wes.talks(caller, call)
        began = time.monotonic()
        await call.hangup()
        await wes.button("Hang up").wait_for(state="detached", timeout=5000)
        print(f"the far end's BYE arrived after {time.monotonic() - began:.2f} s")
        wes.seat.faults.clear()  # the browser complains of sockets that did not open


async def test_a_page_that_is_hidden_for_ten_minutes_rings_at_once(floor: Floor) -> None:
    """Scenario 12, with a browser that slows hidden pages down as an agent's own does."""
    number = await floor.agent("wes", "sales")
    await floor.centre.settled()
    async with chromium(throttled=True) as throttling, seat(throttling, floor.origin) as one:
        await one.log_in("wes", PASSWORD)
        wes = Agent(floor, "wes", number, one)
        await wes.start_shift("sales")
        front = await one.context.new_page()
        await front.goto("about:blank")
        await front.bring_to_front()
        await asyncio.sleep(HIDDEN_SECONDS)
        caller = await floor.centre.caller()
        rings = "document.querySelector('.is-call-ringing') !== null"
        began = time.monotonic()
        call = caller.dial("sales")
        while not await wes.page.evaluate(rings):
            assert time.monotonic() - began < 10, "the hidden page does not ring"
            await asyncio.sleep(0.02)
        took = time.monotonic() - began
        note(hidden_rings_s=round(took, 2))
        assert took < 1
        await call.hangup()


async def test_a_tab_that_dies_in_a_call_does_not_leave_the_caller_in_silence(floor: Floor) -> None:
    """Scenario 13, in a call: Asterisk ends it when no audio comes any more."""
    async with at_desk(floor, "wes", "sales") as wes:
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        session = await wes.seat.context.new_cdp_session(wes.page)
        asyncio.ensure_future(session.send("Page.crash")).add_done_callback(lambda done: done.exception())
        began = time.monotonic()
        await call.ended(timeout=120)
        print(f"the call of a tab that died ended after {time.monotonic() - began:.0f} s")


async def test_a_shift_of_calls_leaves_the_bar_as_small_as_it_was(floor: Floor) -> None:
    async with at_desk(floor, "wes", "sales", record_calls="wav") as wes:
        caller = await floor.centre.caller()

        async def take(calls: int) -> tuple[float, dict[str, int]]:
            for _ in range(calls):
                call = await wes.answers(caller)
                await wes.page.keyboard.press("h")
                await wes.button("Take back").wait_for()
                await call.hangup()
                await wes.button("Take back").wait_for(state="detached")
            await asyncio.sleep(SIP_TIMERS_SECONDS)
            return await wes.seat.heap(), {kind: await wes.seat.kept(kind) for kind in OF_A_CALL}

        before, kept_before = await take(CALLS_BEFORE)
        after, kept_after = await take(CALLS)
    note(bar_before_mb=round(before / 1e6, 2), bar_after_mb=round(after / 1e6, 2), bar_calls=CALLS)
    assert kept_after == kept_before
    assert after <= before * GROWTH, (before, after)
