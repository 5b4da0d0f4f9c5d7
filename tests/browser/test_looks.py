"""Every page in every state: axe finds nothing, nothing sticks out or is cut off, in three languages and widths.

`make pictures` takes pictures of them for people to judge, into build/screenshots/: light and dark, 360, 1280, 2560 px
wide, in three languages.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from lab.browser import seat
from tests.browser.conftest import PASSWORD, Floor
from tests.browser.judge import judged, open_page, pictures
from tests.browser.people import at_work, cleared, people, recorded

PAGES = ("floor", "agents", "queues", "teams", "telephones", "recordings", "audit", "users", "settings", "system")


@pytest_asyncio.fixture
async def busy(floor: Floor) -> AsyncIterator[Floor]:
    await people(floor)
    await at_work(floor)
    for days_ago, username in enumerate(("anna", "ben", "anna")):
        await recorded(floor, username, 6.0 + days_ago, days_ago)
    yield floor
    await cleared(floor)


async def test_each_page_of_the_console_is_clean_and_fits_every_screen(busy: Floor) -> None:
    wrong: list[str] = []
    async with seat(busy.browser, busy.origin) as boss:
        await boss.log_in("boss", PASSWORD)
        for name in PAGES:
            await open_page(boss, f"/console/{name}")
            wrong += await judged(boss, name)
            wrong += await pictures(boss, name)
        await open_page(boss, "/console/agents/anna")
        wrong += await pictures(boss, "agent")
        for record in ("queues/sales", "teams/north", "telephones/desk1", "users/lead", "none"):
            await open_page(boss, f"/console/{record}")
            wrong += await judged(boss, record.replace("/", "-"))
        assert not wrong, "\n".join(wrong)
        assert boss.faults == []


async def test_each_state_of_the_agents_pages_is_clean(busy: Floor, tmp_path: Path) -> None:
    wrong: list[str] = []
    async with seat(busy.browser, busy.origin) as boss:
        page = boss.page
        await boss.log_in("boss", PASSWORD)
        await open_page(boss, "/console/agents/anna")
        for tab in ("Person", "Voice", "Client", "Rights", "Queues", "Channels", "Password"):
            await page.get_by_role("tab", name=tab).click()
            wrong += await judged(boss, f"agent-{tab.split()[0].lower()}", narrow=tab in ("Voice", "Channels"))
        await page.get_by_role("tab", name="Voice").click()
        await page.get_by_label("Codecs").fill("g729, nonsense")
        await page.get_by_role("button", name="Save").click()
        await page.locator("[aria-invalid=true]").wait_for()
        wrong += await judged(boss, "agent-refused", narrow=False)
        await open_page(boss, "/console/agents")
        await page.get_by_label("Select all on this page").check()
        wrong += await judged(boss, "agents-selected")
        for button in ("To queue…", "Change…", "Delete…"):
            await page.get_by_role("button", name=button).click()
            wrong += await judged(boss, f"dialog-{button.split()[0].strip('…').lower()}", narrow=button == "Delete…")
            await page.keyboard.press("Escape")
        await page.get_by_role("button", name="New agent").click()
        wrong += await judged(boss, "dialog-new-agent")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Import").click()
        await page.get_by_label("CSV file").set_input_files(file_with_wrong_lines(tmp_path))
        await page.get_by_role("alert").first.wait_for()
        wrong += await judged(boss, "dialog-import-wrong")
        await page.keyboard.press("Escape")
        await page.get_by_label("Search agents").fill("nobody at all")
        await page.get_by_text("Nothing fits").wait_for()
        wrong += await judged(boss, "agents-nothing-found", narrow=False)
        assert not wrong, "\n".join(wrong)


def file_with_wrong_lines(folder: Path) -> Path:
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["username", "full_name", "typology", "codecs"])
    lines.writerow(["olga", "Olga Petrova", "phonebar", "alaw"])
    lines.writerow(["paul", "Paul Meyer", "webrtc", "g729"])
    lines.writerow(["", "Nobody", "phonebar", ""])
    path = folder / "agents.csv"
    path.write_text(text.getvalue())
    return path


async def test_each_other_state_is_clean(busy: Floor) -> None:
    wrong: list[str] = []
    async with seat(busy.browser, busy.origin) as boss:
        page = boss.page
        await boss.log_in("boss", PASSWORD)
        await open_page(boss, "/console/recordings")
        await page.get_by_role("button", name="Play: ben").first.click()
        await page.locator("audio").wait_for()
        wrong += await judged(boss, "recordings-playing")
        await page.get_by_role("button", name="Delete: ben").click()
        wrong += await judged(boss, "dialog-recording-delete", narrow=False)
        for name in ("queues", "teams", "telephones", "users"):
            await open_page(boss, f"/console/{name}")
            await page.get_by_role("button", name="New").click()
            wrong += await judged(boss, f"dialog-new-{name}", narrow=False)
        await open_page(boss, "/console/settings")
        await page.get_by_role("button", name="New token").click()
        wrong += await judged(boss, "dialog-new-token")
        await page.get_by_label("Name", exact=True).fill("script")
        await page.get_by_label("read").check()
        await page.get_by_role("dialog").get_by_role("button", name="Create").click()
        await page.get_by_role("button", name="Copy").wait_for()
        wrong += await judged(boss, "dialog-token-once", narrow=False)
        await open_page(boss, "/console/floor")
        await page.get_by_text("Anna Rossi").wait_for()
        await page.context.set_offline(True)
        # its websocket lives on (Playwright's setOffline leaves it): ended from the other side
        await busy.api.kill()
        await page.get_by_text("The connection is lost").wait_for()
        wrong += await judged(boss, "floor-stale")
        await page.context.set_offline(False)
        await busy.api.start()
        await page.get_by_text("The connection is lost").wait_for(state="detached", timeout=30_000)
        assert not wrong, "\n".join(wrong)


async def test_the_pages_before_the_login_are_clean(floor: Floor) -> None:
    wrong: list[str] = []
    await floor.user("boss")
    async with seat(floor.browser, floor.origin) as anybody:
        page = anybody.page
        await open_page(anybody, "/login")
        wrong += await judged(anybody, "login") + await pictures(anybody, "login")
        await page.get_by_label("Username").fill("boss")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("alert").wait_for()
        wrong += await judged(anybody, "login-refused", narrow=False)
        await page.get_by_role("button", name="Forgot your password?").click()
        wrong += await judged(anybody, "forgotten", narrow=False)
        await page.get_by_label("Your e-mail address").fill("boss@example.org")
        await page.get_by_role("button", name="Send the link").click()
        await page.get_by_role("status").wait_for()
        wrong += await judged(anybody, "forgotten-sent", narrow=False)
        await open_page(anybody, "/reset?token=none")
        wrong += await judged(anybody, "reset") + await pictures(anybody, "reset")
        await page.get_by_label("New password").fill("Lunch-at-13")
        await page.get_by_label("Once more").fill("Lunch-at-13")
        await page.get_by_role("button", name="Set the password").click()
        await page.get_by_role("alert").wait_for()
        wrong += await judged(anybody, "reset-refused", narrow=False)
        assert not wrong, "\n".join(wrong)


async def test_an_empty_centre_says_what_to_do_first(floor: Floor) -> None:
    wrong: list[str] = []
    await floor.user("boss")
    await floor.quiet()
    await cleared(floor)
    async with seat(floor.browser, floor.origin) as boss:
        await boss.log_in("boss", PASSWORD)
        for name in ("agents", "teams", "telephones", "recordings"):
            await open_page(boss, f"/console/{name}")
            await boss.page.locator(".empty").wait_for()
            wrong += await judged(boss, f"empty-{name}", narrow=False)
        await open_page(boss, "/console/floor")
        await boss.page.get_by_text("Nobody is logged in").wait_for()
        wrong += await judged(boss, "empty-floor", narrow=False)
        assert not wrong, "\n".join(wrong)
