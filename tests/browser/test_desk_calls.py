"""Calls of an agent in the browser, against a real Asterisk: who hears whom is proven by tones."""

from __future__ import annotations

from lab.recordings import heard_at, samples_of
from tests.browser.conftest import Floor
from tests.browser.shift import at_desk


async def test_holds_mute_and_digits_in_a_queue_call_that_is_recorded(floor: Floor) -> None:
    """Scenario 1."""
    async with at_desk(floor, "wes", "sales", record_calls="wav") as wes:
        caller = await floor.centre.caller()
        assert caller.tone
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        for _ in range(3):
            await wes.page.keyboard.press("h")
            await wes.button("Take back").wait_for()
            await call.stops_hearing(wes.seat.tone, timeout=20)
            await wes.seat.hears_nothing(caller.tone, for_ms=800)
            await wes.page.keyboard.press("h")
            await wes.talks(caller, call)
        await wes.page.keyboard.press("m")
        await call.stops_hearing(wes.seat.tone, timeout=20)
        await wes.seat.hears(caller.tone)
        await wes.press("Unmute")
        await wes.talks(caller, call)
        await wes.press("Keypad")
        for digit in "42#":
            await wes.page.locator(".keypad").get_by_role("button", name=digit, exact=True).click()
        await call.receives_digits("42#", timeout=10)
        await wes.hangs_up()
        await call.ended(timeout=5)
        await floor.quiet()
        (file,) = floor.recordings()
        samples = samples_of(file)
        assert heard_at(samples, caller.tone)
        assert heard_at(samples, wes.seat.tone)
