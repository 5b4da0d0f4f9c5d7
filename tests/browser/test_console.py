"""The console against a real API, daemon and Asterisk: of each page its main deed, and who may see what."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Route

from lab.api import Browser
from lab.browser import Seat, seat
from lab.phones import Phone
from lab.processes import until
from tests.browser.conftest import PASSWORD, Floor
from tests.browser.people import NAMES, at_work, cleared, people, recorded

DRAWN = """
() => {
  const canvas = document.querySelector("canvas");
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
}
"""


@pytest_asyncio.fixture
async def centre(floor: Floor) -> AsyncIterator[Floor]:
    await people(floor)
    yield floor
    await cleared(floor)


async def holds(floor: Floor, query: str, *arguments: object, within: float = 10) -> None:
    """Until the query says true."""

    async def so() -> bool:
        return bool(await floor.centre.db.fetchval(query, *arguments))

    await until(so, within=within, what=query)


async def opened(floor: Floor, boss: Seat, path: str, username: str = "boss") -> None:
    if boss.page.url == "about:blank":
        await boss.log_in(username, PASSWORD)
    await boss.page.goto(f"{floor.origin}/console/{path}")
    await boss.page.locator("main h1").first.wait_for()


async def test_an_agent_is_made_and_changed_and_the_page_says_when_asterisk_has_it(centre: Floor) -> None:
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        await opened(centre, boss, "agents")
        await page.get_by_role("button", name="New agent").click()
        await page.get_by_role("dialog").get_by_label("Username").fill("olga")
        await page.get_by_role("dialog").get_by_label("Internal number").fill("not a number")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_role("dialog").locator("[aria-invalid=true][name=internal]").wait_for()
        await page.get_by_role("dialog").get_by_label("Internal number").fill("1040")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_role("heading", name="olga").wait_for()
        await page.get_by_text("In Asterisk").wait_for()
        assert "1040" in await centre.centre.asterisk.cli("pjsip show endpoint 1040")
        await page.get_by_role("tab", name="Voice").click()
        # a phonebar has a SIP port, and no certificate of a browser
        await page.get_by_label("SIP port").wait_for()
        await page.get_by_label("Codecs").fill("g729")
        await page.get_by_role("button", name="Save").click()
        await page.locator("[aria-invalid=true]").wait_for()
        await page.locator(".field .wrong").get_by_text("g729").wait_for()
        await page.get_by_label("Codecs").fill("alaw")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        await holds(centre, "SELECT codecs = '{alaw}' FROM agentbridge.agents WHERE username = 'olga'")
        await page.get_by_role("tab", name="Queues").click()
        await page.get_by_label("Queue", exact=True).select_option("support")
        await page.get_by_role("tabpanel").get_by_role("button", name="Add").first.click()
        await page.get_by_role("button", name="Take out: support").wait_for()
        await page.get_by_role("tabpanel").get_by_label("penalty").fill("3")
        await page.keyboard.press("Tab")
        await holds(
            centre,
            "SELECT penalty = 3 FROM agentbridge.queue_members m JOIN agentbridge.agents a ON a.id = m.agent_id"
            " WHERE a.username = 'olga'",
        )
        await page.get_by_role("tab", name="Channels").click()
        await page.get_by_label("Chat: At once").fill("4")
        await page.keyboard.press("Tab")
        await holds(
            centre,
            "SELECT capacity = 4 FROM agentbridge.agent_channels c JOIN agentbridge.agents a ON a.id = c.agent_id"
            " WHERE a.username = 'olga' AND channel = 'chat'",
        )
        assert boss.faults == []


async def test_a_console_that_meets_a_newer_server_offers_to_load_it(centre: Floor) -> None:
    async with seat(centre.browser, centre.origin) as boss:

        async def newer(route: Route) -> None:
            await route.fulfill(json={"version": "another"})

        await boss.page.route("**/version", newer)
        await boss.log_in("boss", PASSWORD)
        await boss.page.get_by_text("There is a newer version of this page").wait_for()
        await boss.page.unroute("**/version")
        await boss.page.get_by_role("button", name="Load it").click()
        await boss.page.get_by_text("There is a newer version of this page").wait_for(state="detached")


async def test_queues_that_come_by_a_team_stay_the_teams(centre: Floor) -> None:
    await centre.centre.db.execute(
        "INSERT INTO agentbridge.team_queues (team_id, queue_id) SELECT t.id, q.id FROM agentbridge.teams t,"
        " agentbridge.queues q WHERE q.name = 'support'"
    )
    async with seat(centre.browser, centre.origin) as boss:
        await opened(centre, boss, "agents/anna")
        await boss.page.get_by_role("tab", name="Queues").click()
        await boss.page.get_by_text("by a team").wait_for()
        await boss.page.get_by_role("button", name="Take out: billing").click()
        await boss.page.get_by_role("button", name="Take out: billing").wait_for(state="detached")
    own = "SELECT array_agg(q.name) = '{sales}' FROM agentbridge.queue_members m JOIN agentbridge.queues q"
    await holds(
        centre,
        f"{own} ON q.id = m.queue_id JOIN agentbridge.agents a ON a.id = m.agent_id WHERE a.username = 'anna'",
    )


async def test_of_two_editors_the_second_sees_both_versions_and_chooses(centre: Floor) -> None:
    async with seat(centre.browser, centre.origin) as one, seat(centre.browser, centre.origin) as two:
        for editor in (one, two):
            await opened(centre, editor, "agents/farid")
            await editor.page.get_by_label("Full name").wait_for()
        await one.page.get_by_label("Full name").fill("Farid H.")
        await one.page.get_by_role("button", name="Save").click()
        await one.page.get_by_text("Saved.").wait_for()
        await two.page.get_by_label("Full name").fill("F. Hadi")
        await two.page.get_by_role("button", name="Save").click()
        dialog = two.page.get_by_role("dialog")
        await dialog.get_by_role("row", name="Full name Farid H. F. Hadi").wait_for()
        await dialog.get_by_role("button", name="Save mine").click()
        await dialog.wait_for(state="detached")
    await holds(centre, "SELECT full_name = 'F. Hadi' FROM agentbridge.agents WHERE username = 'farid'")


async def test_many_are_changed_exported_and_deleted_and_who_is_in_a_call_is_named(centre: Floor) -> None:
    await at_work(centre)
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        await opened(centre, boss, "agents")
        await page.get_by_label("Select all on this page").check()
        await page.get_by_text("14 selected").wait_for()
        await page.get_by_role("button", name="Change…").click()
        await page.get_by_text(re.compile("In a call now: .*anna")).wait_for()
        await page.get_by_label("What", exact=True).select_option("mask_sensitive")
        await page.get_by_label("To", exact=True).select_option("on")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("14 agents were changed.").wait_for(timeout=30_000)
        await holds(centre, "SELECT bool_and(mask_sensitive) FROM agentbridge.agents")
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Export these").click()
        text = (await content(download)).decode()
        assert text.splitlines()[0].startswith("username,")
        assert len(text.splitlines()) == 15
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Export").click()
        assert len((await content(download)).decode().splitlines()) == 15
        await page.get_by_role("button", name="Clear").click()
        for name in ("anna", "farid"):
            await page.get_by_label(f"Select {name}").check()
        await page.get_by_role("button", name="Delete…").click()
        await page.get_by_text("In a call now: anna.").wait_for()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await page.get_by_role("link", name="Farid Hadi").wait_for(state="detached")
    await holds(centre, "SELECT count(*) = 12 FROM agentbridge.agents")


async def test_a_selection_holds_over_pages_and_sort_and_search_are_the_servers(centre: Floor) -> None:
    await centre.centre.db.execute(
        "INSERT INTO agentbridge.agents (username, internal, deactivated) SELECT 'x' || n, (2000 + n)::text, true"
        " FROM generate_series(1, 90) n"
    )
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        await opened(centre, boss, "agents")
        await page.get_by_role("button", name="Number").click()
        await page.get_by_role("row").nth(1).get_by_text("1000").wait_for()
        await page.get_by_label("Select all on this page").check()
        await page.get_by_text("50 selected").wait_for()
        await page.get_by_role("button", name="Next").click()
        await page.get_by_text("Page 2").wait_for()
        await page.get_by_role("link", name="x40").wait_for()
        assert not await page.get_by_label("Select all on this page").is_checked()
        await page.get_by_text("50 selected").wait_for()
        await page.get_by_role("button", name="Select all that were found").click()
        await page.get_by_text("104 selected").wait_for()
        await page.get_by_label("Search agents").fill("x9")
        await page.get_by_role("link", name="x90").wait_for()
        await page.get_by_role("link", name="x40").wait_for(state="detached")


async def test_records_are_made_changed_and_deleted(centre: Floor) -> None:
    db = centre.centre.db
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        await opened(centre, boss, "teams")
        await page.get_by_role("button", name="New team").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("south")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_role("heading", name="south").wait_for()
        await page.get_by_label("Queue", exact=True).select_option("billing")
        await page.get_by_role("button", name="Add").first.click()
        await page.get_by_role("button", name="Take out: billing").wait_for()
        await page.get_by_label("Agent", exact=True).select_option("david")
        await page.get_by_role("button", name="Add").last.click()
        await page.get_by_role("link", name="david").wait_for()
        await opened(centre, boss, "users")
        await page.get_by_role("button", name="New user").click()
        await page.get_by_role("dialog").get_by_label("Username").fill("mina")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_role("heading", name="mina").wait_for()
        await page.get_by_label("Queue", exact=True).select_option("sales")
        await page.get_by_role("button", name="Add").click()
        await page.get_by_role("button", name="Take out: sales").wait_for()
        await page.get_by_label("Password").fill("Another-1-day")
        await page.get_by_role("button", name="Set the password").click()
        await page.get_by_text("The new password holds.").wait_for()
        assert await db.fetchval("SELECT password_hash IS NOT NULL FROM agentbridge.users WHERE username = 'mina'")
        await opened(centre, boss, "queues/support")
        await page.get_by_label("Description").fill("those who have trouble")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        await page.get_by_role("link", name="elena").wait_for()
        await opened(centre, boss, "users/mina")
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await page.get_by_role("heading", name="mina").first.wait_for(state="detached")
        await holds(centre, "SELECT NOT EXISTS (SELECT FROM agentbridge.users WHERE username = 'mina')")
        assert boss.faults == []


async def test_who_sits_at_a_telephone_is_shown_and_logged_out(centre: Floor) -> None:
    await at_work(centre)
    await holds(centre, "SELECT registered FROM agentbridge.telephones WHERE name = 'desk1'", within=20)
    await centre.centre.db.fetchval("SELECT agentbridge.login('ines', 'desk1', source => 'admin')")
    async with seat(centre.browser, centre.origin) as boss:
        await opened(centre, boss, "telephones")
        await boss.page.get_by_text("Not registered").wait_for()
        await boss.page.get_by_role("link", name="desk1").click()
        await boss.page.get_by_role("button", name="Log ines out").click()
        await boss.page.get_by_role("region", name="desk1").get_by_text("Free").wait_for()
    await holds(centre, "SELECT NOT logged_in FROM agentbridge.agent_status WHERE username = 'ines'")


async def test_settings_reasons_and_tokens(centre: Floor) -> None:
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        await opened(centre, boss, "settings")
        await page.get_by_label("Masked characters").fill("99")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("alert").or_(page.locator("[aria-invalid=true]")).first.wait_for()
        await page.get_by_label("Masked characters").fill("5")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        await page.get_by_label("New reason").fill("doctor")
        await page.get_by_role("button", name="Add").click()
        await page.get_by_role("button", name="Delete: doctor").click()
        await page.get_by_role("button", name="Delete: doctor").wait_for(state="detached")
        await page.get_by_role("button", name="New token").click()
        await page.get_by_label("Name", exact=True).fill("script")
        await page.get_by_label("read").check()
        await page.get_by_role("dialog").get_by_role("button", name="Create").click()
        token = await page.get_by_role("textbox", name="Tokens for machines").input_value()
        await page.get_by_role("button", name="Close").click()
        async with Browser(centre.api, token=token) as machine:
            assert (await machine.ask("GET", "/v1/queues"))[0] == 200
            await page.get_by_role("button", name="Delete: script").click()
            await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
            await page.get_by_role("button", name="Delete: script").wait_for(state="detached")
            assert (await machine.ask("GET", "/v1/queues"))[0] == 401
    await centre.centre.db.execute("UPDATE agentbridge.settings SET mask_characters = 4")


async def test_a_supervisor_listens_with_one_button_and_the_audit_says_so(centre: Floor) -> None:
    phones = await at_work(centre)
    customer = phones[-2]
    hugo = await centre.centre.phone("hugo")
    await centre.centre.login("hugo")
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        await opened(centre, boss, "agents/ben")
        await page.get_by_text("This agent may not be listened to").first.wait_for()
        await opened(centre, boss, "agents/anna")
        await page.get_by_text("No other agent is at work who may listen").first.wait_for()
        await centre.centre.db.execute(
            "UPDATE agentbridge.agents SET may_spy = true WHERE username IN ('hugo', 'david', 'farid')"
        )
        await page.get_by_text("Choose whose phone rings").first.wait_for()
        # of those at work only who may listen, and whose phone can ring: David's is not registered
        phone = page.get_by_label("Ring the phone of")
        assert [text.split(" ·")[0] for text in await phone.locator("option").all_inner_texts()] == ["", NAMES["hugo"]]
        await phone.select_option("hugo")
        await page.get_by_role("button", name="Listen").click()
        await hears(hugo, customer)
        await page.get_by_text("The phone rings").wait_for()
        await opened(centre, boss, "audit")
        await page.get_by_label("Who, action").fill("agents.spy")
        await page.get_by_role("row", name="user:boss agents.spy anna").wait_for()
        assert boss.faults == []


async def content(download: Any) -> bytes:
    """Of a file that the page gave to the reader."""
    path = await (await download.value).path()
    return await asyncio.to_thread(Path(path).read_bytes)


async def hears(listener: Phone, speaker: Phone) -> None:
    call = await listener.rings(timeout=15)
    assert speaker.tone is not None
    await call.hears(speaker.tone, timeout=15)


async def test_a_recording_is_played_downloaded_and_deleted(centre: Floor) -> None:
    deleted = await recorded(centre, "anna", 6.0)
    kept = await recorded(centre, "ben", 2.0, days_ago=3)
    async with seat(centre.browser, centre.origin) as boss:
        page = boss.page
        await opened(centre, boss, "recordings")
        await page.get_by_label("Search by agent or number").fill("ann")
        await page.get_by_role("cell", name="ben · 1001", exact=True).wait_for(state="detached")
        await page.get_by_role("button", name="Play: anna").click()
        length = "() => document.querySelector('audio')?.duration"
        await page.wait_for_function(f"() => Math.abs(({length})() - 6) < 0.2")
        await page.wait_for_function("() => document.querySelector('audio').currentTime > 0.2")
        await page.wait_for_function(DRAWN)
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Download: anna").click()
        assert (await content(download))[:4] == b"RIFF"
        await page.get_by_role("button", name="Delete: anna").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await page.get_by_text("Nothing fits").wait_for()
    there = "SELECT array_agg(id) = $1 FROM agentbridge.recordings WHERE id = ANY ($2)"
    await holds(centre, there, [kept], [deleted, kept])


async def test_what_is_held_is_shown_and_confirmed_as_it_was_shown(centre: Floor) -> None:
    db = centre.centre.db
    async with seat(centre.browser, centre.origin) as boss:
        await opened(centre, boss, "system")
        node = await db.fetchval("SELECT node FROM agentbridge.nodes")
        await boss.page.get_by_text("up", exact=True).wait_for()
        await db.execute(
            "INSERT INTO agentbridge.held (node, key, owned) VALUES ($1, '1098', 14), ($1, '1099', 14)", node
        )
        await boss.page.get_by_text("2 of 14 would be removed").wait_for()
        await boss.page.get_by_text("What would be removed").click()
        await boss.page.get_by_text("1098, 1099").wait_for()
        await boss.page.get_by_role("button", name="Remove them").click()
        await boss.page.get_by_text("Confirmed.").wait_for()
        await boss.page.get_by_text("would be removed").first.wait_for(state="detached")
    await holds(centre, "SELECT NOT EXISTS (SELECT FROM agentbridge.held WHERE confirmed_at IS NULL)")


# ---------------------------------------------------------------- scenario 20

SEES = {
    "boss": "Floor Agents Queues Teams Telephones Recordings Audit Users Settings System",
    "lead": "Floor Agents Queues Teams Telephones Recordings",
    "sue": "Floor Agents Queues Recordings",
}
# per role: what its pages need, and what is somebody else's
REFUSED = {
    "lead": ["/users", "/audit", "/settings", "/tokens", "/nodes", "/plan"],
    "sue": ["/users", "/audit", "/settings", "/tokens", "/nodes", "/plan", "/teams", "/telephones"],
    "farid": [
        "/agents",
        "/queues",
        "/teams",
        "/telephones",
        "/users",
        "/audit",
        "/settings",
        "/tokens",
        "/nodes",
        "/plan",
    ],
}


@pytest.mark.parametrize("username", ["boss", "lead", "sue", "farid"])
async def test_each_role_sees_its_own_and_gets_403_for_the_rest(centre: Floor, username: str) -> None:
    async with seat(centre.browser, centre.origin) as somebody:
        page = somebody.page
        await somebody.log_in(username, PASSWORD)
        asked: dict[str, Any] = await page.evaluate(
            "async (paths) => Object.fromEntries(await Promise.all(paths.map(async (path) =>"
            " [path, (await fetch('/v1' + path)).status])))",
            REFUSED.get(username, []),
        )
        assert set(asked.values()) <= {403}, asked
        if username == "farid":
            assert page.url.endswith("/desk")
            return
        await page.get_by_role("navigation").get_by_role("link", name="Floor").wait_for()
        assert " ".join(await page.get_by_role("navigation").get_by_role("link").all_inner_texts()) == SEES[username]
        for name in SEES[username].split():
            await page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
            await page.locator("main h1").first.wait_for()
            await page.wait_for_function("() => !document.querySelector('main [aria-busy=true]')")
            assert await page.locator("main .wrong").count() == 0, name
        if username != "boss":
            await page.goto(f"{centre.origin}/console/users")
            await page.get_by_text("There is no such page, or it is not for you.").wait_for()
        assert somebody.faults == []


async def test_a_foreign_origin_is_refused(centre: Floor) -> None:
    async with Browser(centre.api) as boss, Browser(centre.api, origin="https://elsewhere.example") as stranger:
        await boss.log_in("boss", PASSWORD)
        stranger.cookie = boss.cookie
        status, _ = await stranger.ask("POST", "/v1/queues", {"name": "stolen"}, {"Sec-Fetch-Site": "cross-site"})
        assert status == 403
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        answer = await stranger.session.get(f"{centre.origin}/v1/events", headers=stranger.headers() | upgrade)
        assert answer.status == 403
    assert not await centre.centre.db.fetchval("SELECT EXISTS (SELECT FROM agentbridge.queues WHERE name = 'stolen')")
