"""A whole shift by keyboard alone (scenario 19): what has the focus is found by role and name."""

from __future__ import annotations

from lab.processes import until
from tests.browser.conftest import Floor
from tests.browser.keys import Hands
from tests.browser.shift import at_desk


async def test_a_whole_shift_by_keyboard(floor: Floor) -> None:
    ben_number = await floor.centre.agent("ben", full_name="Ben Galo")
    await floor.centre.login("ben")
    async with at_desk(floor, "wes", "sales", started=False) as wes:
        ben = await floor.centre.phone("ben")
        caller = await floor.centre.caller()
        hands = Hands(wes.page)
        await wes.button("Start shift").wait_for()
        await hands.to("button", "Start shift", within=12)
        await hands.press("Enter")
        await wes.in_service("sales")

        call = caller.dial("sales")
        await wes.button("Answer").wait_for()
        await hands.press("a")
        await wes.talks(caller, call)
        await hands.press("h")
        await wes.button("Take back").wait_for()
        await hands.press("h")
        await wes.button("Take back").wait_for(state="detached")
        await hands.press("m")
        await wes.button("Unmute").wait_for()
        await hands.press("m")
        await wes.talks(caller, call)
        await hands.press("k")
        await hands.to("button", "5", within=30)
        await hands.press("Enter")
        await hands.press("k")
        await hands.press("t")
        await wes.page.get_by_label("Name or number").wait_for()
        await hands.to("textbox", "Name or number", within=30)
        await hands.type("Ben")
        await wes.sees("Ben Galo")
        await hands.to("button", "Send Ben Galo", within=12)
        await hands.press("Enter")
        await ben.rings(timeout=10)
        await wes.button("Hang up").wait_for(state="detached")
        await call.hangup()

        await wes.page.get_by_label("Number to call").wait_for()
        await hands.to("textbox", "Number to call", within=30)
        await hands.type(ben_number)
        await hands.press("Enter")
        outgoing = await ben.rings(timeout=10)
        await wes.talks(ben, outgoing)
        await hands.to("button", "Hang up", within=30)
        await hands.press("Enter")
        await wes.button("Hang up").wait_for(state="detached")

        await hands.to("combobox", "Reason of the pause", within=30)
        await hands.type("lunch")
        await hands.to("button", "Pause", within=3)
        await hands.press("p")
        await floor.centre.until_member("sales", wes.number, paused=True, reason="lunch")
        await wes.button("End the pause").first.wait_for()
        await hands.press("p")
        await floor.centre.until_member("sales", wes.number, paused=False)
        await hands.to("button", "End shift", within=60)
        await hands.press("Enter")
        await wes.button("Start shift").wait_for()

        async def out() -> bool:
            return not (await floor.centre.status("wes"))["logged_in"]

        await until(out, within=10, what="the end of the shift")
        print(f"a shift of two calls, a pause and a transfer took {hands.pressed} keys")
