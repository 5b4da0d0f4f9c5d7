"""The agent's page in every state, as test_looks judges the console's."""

from __future__ import annotations

from lab.browser import seat
from lab.processes import until
from tests.acceptance.desk import switched_on, telephones
from tests.browser.conftest import PASSWORD, Floor
from tests.browser.judge import judged, pictures
from tests.browser.shift import at_desk

COLLEAGUES = {"anna": "Anna Rossi", "hugo": "Hugo Blanc-Villeneuve de la Rochefoucauld", "ben": "Ben Galo"}
CUSTOMER = {"display": "Giuseppina Verdi"}
NUMBER = "390612345678"


async def test_each_state_of_a_browsers_desk_is_clean(floor: Floor) -> None:
    wrong: list[str] = []
    for username, name in COLLEAGUES.items():
        await floor.centre.agent(username, "support", full_name=name)
    await floor.centre.login("anna", "hugo")
    settings = {"may_see_settings": True, "may_change_settings": True, "record_calls": "wav"}
    async with at_desk(
        floor, "wes", "sales", "billing", started=False, full_name="Wes Craven", mask_sensitive=True, **settings
    ) as wes:
        page, seat_ = wes.page, wes.seat
        await wes.button("Start shift").wait_for()
        wrong += await judged(seat_, "desk-before")
        await page.evaluate("window.__microphone.fails = 'NotAllowedError'")
        await wes.press("Start shift")
        await wes.sees("The browser keeps the microphone from this page")
        wrong += await judged(seat_, "desk-no-microphone")
        await page.evaluate("window.__microphone.fails = ''")
        await wes.start_shift("sales")
        await wes.sees("Ready")
        wrong += await judged(seat_, "desk-ready") + await pictures(seat_, "desk-ready")
        await page.get_by_label("Reason of the pause").select_option("lunch")
        await wes.press("Pause")
        await wes.button("End the pause").first.wait_for()
        await wes.sees("lunch")
        wrong += await judged(seat_, "desk-paused")
        await wes.press("End the pause")
        await floor.centre.until_member("sales", wes.number, paused=False)

        asterisk = floor.centre.asterisk
        caller = await floor.centre.farm.phone(asterisk.caller_user, asterisk.caller_secret, **CUSTOMER)
        call = caller.dial("sales", asserted=NUMBER)
        await wes.button("Answer").wait_for()
        wrong += await judged(seat_, "desk-ringing")
        await wes.press("Answer")
        await wes.button("Hang up").first.wait_for()
        await call.answered(10)
        await page.locator("button.danger.recording").wait_for()
        await wes.sees("Talking")
        wrong += await judged(seat_, "desk-talking") + await pictures(seat_, "desk-talking")
        await page.keyboard.press("k")
        await page.locator(".keypad").wait_for()
        wrong += await judged(seat_, "desk-keypad")
        await page.keyboard.press("t")
        await wes.sees(COLLEAGUES["hugo"])
        wrong += await judged(seat_, "desk-transfer")
        await page.keyboard.press("t")
        await page.keyboard.press("h")
        await wes.button("Take back").wait_for()
        await wes.press("Second call")
        wrong += await judged(seat_, "desk-held")
        await page.keyboard.press("Escape")
        await page.evaluate("window.__microphone.fails = 'NotFoundError'; window.__microphone.unplug()")
        await wes.sees("The microphone was unplugged")
        wrong += await judged(seat_, "desk-unplugged")
        await page.evaluate("window.__microphone.plug()")
        await wes.hangs_up()
        await wes.sees("0:")  # the call is in the list of today
        asterisk.pause()
        try:
            await wes.sees("Your phone can't be reached", within=20)
            wrong += await judged(seat_, "desk-unreachable")
        finally:
            asterisk.resume()
        await wes.sees("Phone registered", within=30)
        await floor.api.kill()
        await wes.sees("The connection is lost", within=60)
        wrong += await judged(seat_, "desk-stale")
        await floor.api.start()
        await wes.no_longer_sees("The connection is lost", within=60)
        wes.seat.faults.clear()  # of the server that was away
        assert not wrong, "\n".join(wrong)


async def test_the_desks_of_agents_with_telephones_are_clean(floor: Floor) -> None:
    wrong: list[str] = []
    await telephones(floor.centre, "desk1", "desk2", description="by the window")
    await switched_on(floor.centre, "desk1")
    await floor.agent("ines", "sales", typology="external", hot_desk=True, full_name="Ines Duarte")
    await floor.agent("oleg", typology="external", full_name="Oleg Petrov")
    await floor.agent("jonas", "sales", typology="phonebar", full_name="Jonas Berg", forward_allowed=True)
    await floor.centre.settled()
    async with seat(floor.browser, floor.origin) as ines:
        await ines.log_in("ines", PASSWORD)
        await ines.page.get_by_text("desk2").wait_for()
        wrong += await judged(ines, "desk-hot") + await pictures(ines, "desk-hot")
        await ines.page.get_by_role("button", name="Sit down at desk1").click()
        await ines.page.get_by_text("at desk1").wait_for()
        wrong += await judged(ines, "desk-seated")
        assert ines.faults == []
    async with seat(floor.browser, floor.origin) as oleg:
        await oleg.log_in("oleg", PASSWORD)
        await oleg.page.get_by_text("You are in no queue.").wait_for()
        wrong += await judged(oleg, "desk-no-queue")
    async with seat(floor.browser, floor.origin) as jonas:
        await jonas.log_in("jonas", PASSWORD)
        await jonas.page.get_by_text("on your phonebar").wait_for()
        wrong += await judged(jonas, "desk-phonebar-out")
        await floor.centre.login("jonas")

        async def shown() -> bool:
            return await jonas.page.get_by_text("Your phone is not registered").count() == 1

        await until(shown, within=20, what="the state of a phonebar without a phone")
        wrong += await judged(jonas, "desk-phonebar")
    async with seat(floor.browser, floor.origin) as first:
        await floor.agent("kira", "sales", full_name="Kira Novak")
        await floor.centre.settled()
        await first.log_in("kira", PASSWORD)
        await first.page.get_by_role("button", name="Start shift").click()
        await first.page.get_by_text("Phone registered").wait_for()
        second = await first.context.new_page()
        await second.goto(f"{first.origin}/desk")
        await second.get_by_role("button", name="Use it here").wait_for()
        first.page = second
        wrong += await judged(first, "desk-other-tab")
    assert not wrong, "\n".join(wrong)
