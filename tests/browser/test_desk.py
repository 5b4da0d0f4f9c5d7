"""An agent's shift in the browser, against a real Asterisk: who hears whom is proven by tones."""

from __future__ import annotations

import asyncio
import time

from lab.browser import seat
from tests.browser.conftest import PASSWORD, Floor
from tests.browser.crowd import note


async def test_a_shift_starts_takes_a_queue_call_and_both_hear(floor: Floor) -> None:
    number = await floor.agent("wes", "sales")
    await floor.centre.settled()
    async with seat(floor.browser, floor.origin, tone=700) as wes:
        await wes.log_in("wes", PASSWORD)
        await wes.page.get_by_role("button", name="Start shift").wait_for()
        note(bar_usable_ms=round(await wes.page.evaluate("() => performance.now()")))
        await wes.page.get_by_role("button", name="Start shift").click()
        await wes.page.get_by_text("Phone registered").wait_for()
        await floor.centre.until_member("sales", number)
        await wes.page.get_by_text("Taking calls").wait_for()
        await wes.picture("desk-ready")
        caller = await floor.centre.caller()
        assert caller.tone
        began = time.monotonic()
        call = caller.dial("sales")
        await wes.page.get_by_role("button", name="Answer").wait_for()
        rings, began = time.monotonic() - began, time.monotonic()
        await wes.page.get_by_role("button", name="Answer").click()
        await asyncio.gather(call.hears(wes.tone, timeout=10), wes.hears(caller.tone, each_ms=200))
        note(invite_to_ringing_ms=round(rings * 1000), answer_to_heard_ms=round((time.monotonic() - began) * 1000))
        await wes.page.get_by_role("button", name="Hang up").wait_for()
        await wes.picture("desk-talking")
        await wes.page.keyboard.press("h")
        await wes.page.get_by_role("button", name="Take back").wait_for()
        await wes.hears_nothing(caller.tone)
        await wes.page.keyboard.press("h")
        await wes.hears(caller.tone)
        await wes.page.get_by_role("button", name="Hang up").click()
        await call.ended(timeout=5)
        await wes.page.get_by_role("button", name="End shift").click()
        await wes.page.get_by_role("button", name="Start shift").wait_for()
        await floor.centre.until_members({})
        assert wes.faults == []
