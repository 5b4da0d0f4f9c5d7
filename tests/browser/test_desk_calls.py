"""Calls of an agent in the browser, against a real Asterisk: who hears whom is proven by tones."""

from __future__ import annotations

from lab.phones import Answer, Reject, Ring
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


async def test_a_held_side_stays_unheard_when_the_far_end_renegotiates_or_is_transferred(floor: Floor) -> None:
    """Scenario 2."""
    centre = floor.centre
    _, cleo_number = await centre.agent("ben"), await centre.agent("cleo")
    await centre.login("ben", "cleo")
    async with at_desk(floor, "wes", "sales") as wes:
        ben, cleo = await centre.phone("ben"), await centre.phone("cleo")
        assert ben.tone
        assert cleo.tone
        call = ben.dial(wes.number)
        await wes.press("Answer")
        await wes.talks(ben, call)
        await wes.page.keyboard.press("h")
        await call.stops_hearing(wes.seat.tone, timeout=20)
        assert await call.hold() == 200
        assert await call.unhold() == 200
        await call.stops_hearing(wes.seat.tone, timeout=20)
        await wes.seat.hears_nothing(ben.tone)
        assert wes.seat.tone not in call.heard(400)
        # the far end is another one now, and Asterisk says so to the held side
        assert await call.transfer(cleo_number) == 200
        newcomer = await cleo.rings(timeout=10)
        await newcomer.answered(10)
        await wes.seat.hears_nothing(cleo.tone)
        assert wes.seat.tone not in newcomer.heard(1000)
        await wes.press("Take back")
        await wes.talks(cleo, newcomer)
        await wes.hangs_up()


async def test_transfers_succeed_when_the_target_has_the_call_and_else_give_it_back(floor: Floor) -> None:
    """Scenario 3."""
    centre = floor.centre
    ben_number = await centre.agent("ben")
    await centre.login("ben")
    async with at_desk(floor, "wes", "sales") as wes:
        ben, caller = await centre.phone("ben"), await centre.caller()
        assert ben.tone
        assert caller.tone

        # a number that does not exist: refused, and the call goes on
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        await wes.page.keyboard.press("t")
        await wes.page.get_by_label("Name or number").fill("7777")
        await wes.press("Send 7777")
        await wes.sees("does not take the call")
        await wes.talks(caller, call)

        # a colleague who refuses: the caller comes back
        ben.behaviour = Reject(486)
        await wes.page.get_by_label("Name or number").fill("ben")
        await wes.sees("Ready")
        await wes.press("Send Ben")
        await ben.rings(timeout=10)
        await wes.press("Answer")
        await wes.talks(caller, call)

        # one who answers: no success before
        ben.behaviour = Ring()
        await wes.page.keyboard.press("t")
        await wes.page.get_by_label("Name or number").fill(ben_number)
        await wes.press("Send Ben")
        ringing = await ben.rings(timeout=10)
        ringing.answer()
        await wes.sees(f"Sent to {ben_number}")
        await wes.button("Hang up").wait_for(state="detached")
        await call.hears(ben.tone, timeout=20)
        await ringing.hears(caller.tone, timeout=20)
        await call.hangup()
        await ringing.ended(timeout=10)

        # after asking
        ben.behaviour = Answer()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        await wes.page.keyboard.press("t")
        await wes.page.get_by_label("Name or number").fill(ben_number)
        await wes.press("Ask first Ben")
        asked = await ben.rings(timeout=10)
        await asked.hears(wes.seat.tone, timeout=20)
        await call.stops_hearing(wes.seat.tone, timeout=20)
        await wes.press("Connect them")
        await call.hears(ben.tone, timeout=20)
        await asked.hears(caller.tone, timeout=20)
        await wes.button("Hang up").first.wait_for(state="detached")
        await call.hangup()


async def test_two_calls_at_once_and_only_one_is_talked_to(floor: Floor) -> None:
    centre = floor.centre
    ben_number = await centre.agent("ben")
    await centre.login("ben")
    async with at_desk(floor, "wes", "sales") as wes:
        ben, caller = await centre.phone("ben"), await centre.caller()
        assert ben.tone
        assert caller.tone
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        # a tel: link of any page hands its number over; the agent confirms it
        await wes.page.evaluate(f"new BroadcastChannel('agentbridge.dial').postMessage('tel:{ben_number}')")
        await wes.sees(f"Call {ben_number}?")
        await wes.page.get_by_role("button", name="Call", exact=True).click()
        second = await ben.rings(timeout=10)
        await wes.talks(ben, second)
        await call.stops_hearing(wes.seat.tone, timeout=20)
        await wes.button("Take back").click()
        await wes.talks(caller, call)
        await second.stops_hearing(wes.seat.tone, timeout=20)
        await wes.press("End shift")
        await wes.sees("The shift ends with this call")
        await call.hangup()
        await second.hangup()
        await wes.button("Start shift").wait_for()
        await centre.until_members({})
