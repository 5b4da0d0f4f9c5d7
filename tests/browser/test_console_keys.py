"""Five tasks of somebody who never saw the desk and has the keyboard alone. The keys pressed are counted.

Each test says how many were needed at most: who makes a page longer to get through sees it here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import expect

from lab.browser import seat
from lab.processes import until
from tests.acceptance.desk import switched_on
from tests.browser.conftest import PASSWORD, Floor
from tests.browser.keys import Hands
from tests.browser.people import at_work, cleared, people
from tests.browser.test_console import hears, holds


@pytest_asyncio.fixture
async def centre(floor: Floor) -> AsyncIterator[Floor]:
    await people(floor)
    yield floor
    await cleared(floor)


async def test_logs_in_on_a_free_desk_pauses_for_lunch_and_goes_home(centre: Floor) -> None:
    await centre.centre.settled(within=30)
    await switched_on(centre.centre, "desk1")
    async with seat(centre.browser, centre.origin) as ines:
        hands = Hands(ines.page)
        await hands.log_in(centre.origin, "ines", PASSWORD)
        await ines.page.get_by_text("desk1").first.wait_for()
        hands.pressed = 0
        await hands.to("button", "Sit down at desk1", within=15)
        await hands.press("Enter")
        await holds(centre, "SELECT telephone = 'desk1' FROM agentbridge.agent_status WHERE username = 'ines'")
        hands.counted("log in on a free desk", 7)
        await ines.page.get_by_role("combobox", name="Reason of the pause").wait_for()
        # what was pressed is gone: the focus is at what came of it
        await until(lambda: hands.has("Ready"), within=5, what="the focus being at the state")
        hands.pressed = 0
        await hands.to("combobox", "Reason of the pause", within=3)
        await hands.type("lunch")
        await hands.to("button", "Pause", within=5)
        await hands.press("Enter")
        await holds(
            centre, "SELECT paused AND pause_reason = 'lunch' FROM agentbridge.agent_status WHERE username = 'ines'"
        )
        hands.counted("pause for lunch", 8)
        await until(lambda: hands.has("End the pause"), within=10, what="the focus being at the pause's end")
        await hands.press("Enter")
        await holds(centre, "SELECT NOT paused FROM agentbridge.agent_status WHERE username = 'ines'")
        await until(lambda: hands.has("Pause"), within=10, what="the focus being at the pause again")
        await hands.to("button", "End shift", within=25)
        await hands.press("Enter")
        await holds(centre, "SELECT NOT logged_in FROM agentbridge.agent_status WHERE username = 'ines'")
        assert ines.faults == []


async def test_finds_agent_1017_and_switches_recording_on(centre: Floor) -> None:
    await centre.agent("petra", "sales", full_name="Petra Wanted", internal="1017", typology="phonebar")
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        hands = Hands(page)
        await hands.log_in(centre.origin, "boss", PASSWORD)
        await page.get_by_role("heading", name="Floor").wait_for()
        hands.pressed = 0
        await hands.to("link", "Agents", within=5)
        await hands.press("Enter")
        await page.get_by_label("Search agents").wait_for()
        # the page that came has the focus, and Enter opens the only agent that is found, also before it is
        await until(lambda: hands.at("main"), within=5, what="the focus being in the page")
        await hands.to("searchbox", "Search agents", within=2)
        await hands.type("1017")
        await hands.press("Enter")
        await page.get_by_role("heading", name="Petra Wanted").wait_for()
        await page.wait_for_function("() => document.activeElement.tagName === 'H1'")
        await hands.to("tab", "Person", within=10)
        await hands.press("ArrowRight")
        await hands.to("combobox", "Record calls", within=20)
        await hands.type("wav")
        await hands.press("Enter")
        if await page.get_by_role("button", name="Save").is_enabled():
            await hands.to("button", "Save", within=10)
            await hands.press("Enter")
        await holds(centre, "SELECT record_calls = 'wav' FROM agentbridge.agents WHERE username = 'petra'")
        await page.get_by_text("Saved.").wait_for()
        assert await hands.has("Save")
        hands.counted("find agent 1017 and switch recording on", 41)
        assert boss.faults == []


async def test_listens_to_an_agent(centre: Floor) -> None:
    phones = await at_work(centre)
    hugo = await centre.centre.phone("hugo")
    await centre.centre.login("hugo")
    await centre.centre.db.execute("UPDATE agentbridge.agents SET may_spy = true WHERE username = 'hugo'")
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        hands = Hands(page)
        await hands.log_in(centre.origin, "boss", PASSWORD)
        await page.get_by_role("link", name="Anna Rossi").wait_for()
        hands.pressed = 0
        await hands.press("/")
        await hands.type("talking")
        await page.get_by_role("link", name="Ben Galo").wait_for(state="detached")
        await hands.to("link", "Anna Rossi", within=4)
        await hands.press("Enter")
        await page.get_by_role("heading", name="Anna Rossi").wait_for()
        await page.wait_for_function("() => document.activeElement.tagName === 'H1'")
        # the reason can be reached too: whose phone is to ring
        await hands.to("button", "Listen", within=8)
        assert "Choose whose phone rings" in await page.get_by_role("button", name="Listen").evaluate(
            "(button) => document.getElementById(button.getAttribute('aria-describedby')).textContent"
        )
        await hands.to("combobox", "Ring the phone of", within=6)
        await hands.type("Hugo")
        await hands.to("button", "Listen", within=6, back=True)
        await hands.press("Enter")
        await hears(hugo, phones[-2])
        hands.counted("listen to an agent", 24)
        assert boss.faults == []


async def test_imports_a_file_with_one_wrong_line(centre: Floor, tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    wrong = "username,full_name,typology,codecs\nolga,Olga Petrova,phonebar,alaw\npaul,Paul Meyer,webrtc,g729\n"
    file.write_text(wrong)
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        # from now on, and not from the press on: else the browser may be asked too late to give the choice to the test
        page.on("filechooser", lambda _: None)
        hands = Hands(page)
        await hands.log_in(centre.origin, "boss", PASSWORD)
        await page.get_by_role("heading", name="Floor").wait_for()
        hands.pressed = 0
        await hands.to("link", "Agents", within=5)
        await hands.press("Enter")
        await page.get_by_label("Search agents").wait_for()
        await until(lambda: hands.at("main"), within=5, what="the page having the focus")
        await hands.to("button", "Import", within=4)
        await hands.press("Enter")
        await until(lambda: hands.has("CSV file"), within=5, what="the dialog having the focus")
        async with page.expect_file_chooser() as chooser:
            await hands.press("Enter")
        await (await chooser.value).set_files(file)
        row = page.get_by_role("row", name="paul,Paul Meyer,webrtc,g729")
        await row.get_by_text("codecs").wait_for()
        await row.get_by_role("rowheader", name="3").wait_for()
        assert await page.get_by_role("button", name="Import", exact=True).last.is_disabled()
        file.write_text(wrong.replace("g729", "opus"))
        await hands.to("button", "CSV file", within=8)
        async with page.expect_file_chooser() as chooser:
            await hands.press("Enter")
        await (await chooser.value).set_files(file)
        await page.get_by_text("2 agents would be made").wait_for()
        # who is quicker than the page would pass the button by while it can't be pressed
        await expect(page.get_by_role("button", name="Import", exact=True).last).to_be_enabled()
        await hands.to("button", "Import", within=8)
        await hands.press("Enter")
        await page.get_by_text("2 agents were made.").wait_for()
        await until(lambda: hands.has("Close"), within=5, what="the focus being at what is left to press")
        await hands.press("Enter")
        await page.get_by_role("link", name="Paul Meyer").wait_for()
        hands.counted("import a file with one wrong line", 15)
        assert boss.faults == []


async def test_a_dialog_keeps_the_focus_and_gives_it_back(centre: Floor) -> None:
    async with seat(centre.browser, centre.origin) as boss:
        hands = Hands(boss.page)
        await hands.log_in(centre.origin, "boss", PASSWORD)
        await boss.page.goto(f"{centre.origin}/console/agents")
        await hands.to("button", "New agent", within=30)
        await hands.press("Enter")
        await boss.page.wait_for_selector("dialog[open]")  # a Tab before that would take the focus from the button
        inside = "() => Boolean(document.activeElement.closest('dialog')) || document.activeElement === document.body"
        for _ in range(12):
            await hands.press("Tab")
            assert await boss.page.evaluate(inside)
        await hands.press("Escape")

        async def back() -> bool:
            return bool(await boss.page.evaluate("() => document.activeElement.textContent.trim() === 'New agent'"))

        await until(back, within=5, what="the focus being at the button again")
