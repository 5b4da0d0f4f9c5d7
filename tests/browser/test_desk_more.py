"""What an agent's page keeps to itself, does by itself, and leaves behind when it dies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from playwright.async_api import Route, WebSocket

from lab.phones.behaviour import Ring
from lab.processes import until
from tests.browser.conftest import Floor
from tests.browser.shift import Agent, at_desk

NUMBER, NAME = "390612345678", "Giuseppina Verdi"
"""of a customer: the agent may see the beginning of it, and no more"""


async def test_on_pause_nothing_rings_and_an_answer_by_itself_masks_the_caller(floor: Floor) -> None:
    """Scenario 15."""
    columns = {"mask_sensitive": True, "auto_answer": True, "auto_answer_delay": 2, "record_calls": "wav"}
    logs = {"client_log": True, "client_log_level": "debug"}
    async with at_desk(floor, "wes", "sales", started=False, **columns, **logs) as wes:
        told: list[str] = []

        def listen(socket: WebSocket) -> None:
            socket.on("framereceived", lambda frame: told.append(str(frame)))
            socket.on("framesent", lambda frame: told.append(str(frame)))

        wes.page.on("websocket", listen)
        await wes.page.reload()
        await wes.start_shift("sales")
        asterisk = floor.centre.asterisk
        caller = await floor.centre.farm.phone(asterisk.caller_user, asterisk.caller_secret, display=NAME)

        await wes.page.get_by_label("Reason of the pause").select_option("lunch")
        await wes.page.keyboard.press("Escape")
        await wes.press("Pause")
        await wes.sees("lunch")
        await floor.centre.until_member("sales", wes.number, paused=True, reason="lunch")
        waiting = caller.dial("sales", asserted=NUMBER)
        for call in (waiting, caller.dial(wes.number, asserted=NUMBER)):
            await wes.seat.hears_nothing(caller.tone or 0)
            assert await wes.button("Answer").count() == 0
            await call.hangup()

        await wes.press("End the pause")
        await floor.centre.until_member("sales", wes.number, paused=False)
        call = caller.dial("sales", asserted=NUMBER)
        await wes.button("Answer").wait_for()
        rang_at = time.monotonic()
        await wes.sees("in 2 s")
        await wes.button("Hang up").wait_for()
        assert 1 < time.monotonic() - rang_at < 6
        await wes.talks(caller, call)
        shown = await wes.page.content()
        assert "39061234" in shown or "*" in shown
        await wes.hangs_up()

        file = floor.api.dir / "logs/client/agent-wes.log"

        async def written() -> bool:
            return file.exists() and "call.ended" in file.read_text()

        await until(written, within=20, what="the client's log")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert {"phone.registered", "call.new", "call.answered"} <= {line["event"] for line in lines}
        assert sum("INVITE" in frame for frame in told) > 0
        everything = (*told, shown, file.read_text(), await wes.page.content())
        assert [text for text in everything if NUMBER in text or NAME in text] == []


async def test_an_unreachable_stun_server_delays_no_call(floor: Floor) -> None:
    """Scenario 11."""
    ben_number = await floor.centre.agent("ben")
    await floor.centre.login("ben")
    async with at_desk(floor, "wes", "sales", started=False) as wes:

        async def with_stun(route: Route) -> None:
            answer = await route.fetch()
            found = await answer.json()
            await route.fulfill(response=answer, json=found | {"ice_servers": ["stun:10.99.0.77:3478"]})

        await wes.page.route("**/v1/me/sip-session", with_stun)
        await wes.start_shift("sales")
        ben = await floor.centre.phone("ben")
        await wes.page.get_by_label("Number to call").fill(ben_number)
        began = time.monotonic()
        await wes.page.get_by_role("button", name="Call", exact=True).click()
        call = await ben.rings(timeout=10)
        took = ben.invites[-1].at - began
        print(f"INVITE {took:.2f} s after the press, with a STUN server that is not there")
        assert took < 2
        await wes.talks(ben, call)
        await wes.hangs_up()


async def crash(agent: Agent) -> None:
    """The tab dies without a word."""
    session = await agent.seat.context.new_cdp_session(agent.page)
    asyncio.ensure_future(session.send("Page.crash")).add_done_callback(lambda done: done.exception())


async def within(seconds: float, condition: Callable[[], Awaitable[bool]], what: str) -> float:
    began = time.monotonic()
    await until(condition, within=seconds, what=what)
    return time.monotonic() - began


async def is_on(floor: Floor, username: str) -> bool:
    """Whether the agent is logged in and on no pause."""
    status = await floor.centre.status(username)
    return bool(status["logged_in"]) and not status["paused"]


async def test_a_tab_that_dies_leaves_nobody_to_ring(floor: Floor) -> None:
    """Scenario 13: idle, and while it rings; its agent is put on pause, and goes on when it is back."""
    cli = floor.centre.asterisk.cli

    async def unavailable() -> bool:
        shown = await cli("queue show sales")
        return any("Unavailable" in line for line in shown.splitlines() if "PJSIP/" in line)

    async with at_desk(floor, "wes", "sales") as wes:
        caller = await floor.centre.caller()

        async def no_leg() -> bool:
            return f"PJSIP/{wes.number}-" not in await cli("core show channels concise")

        call = caller.dial("sales")
        await wes.button("Answer").wait_for()
        await crash(wes)
        gone = await within(10, no_leg, "the end of the ringing at the tab that died")
        print(f"a ring at a dead tab ended after {gone:.1f} s")
        assert await unavailable()
        await asyncio.sleep(2)
        assert await no_leg()
        await call.hangup()

    async with at_desk(floor, "ida", "sales") as ida:
        assert "qualify_frequency    : 15" in await cli(f"pjsip show aor {ida.number}")
        await crash(ida)
        gone = await within(10, unavailable, "the dead tab being unavailable")
        print(f"a dead tab was unavailable after {gone:.1f} s")

        async def paused() -> bool:
            status = await floor.centre.status("ida")
            return bool(status["paused"]) and status["pause_reason"] == "browser lost"

        print(f"its agent was on pause {await within(40, paused, 'the pause of who is not there'):.1f} s later")
        again = await ida.seat.context.new_page()
        await again.goto(f"{floor.origin}/desk")
        await again.get_by_text("Phone registered").wait_for(timeout=30_000)
        await within(20, lambda: is_on(floor, "ida"), "the end of that pause")
        await floor.centre.until_member("sales", ida.number, paused=False)


async def test_a_newer_version_is_offered_but_never_in_a_call(floor: Floor) -> None:
    async with at_desk(floor, "wes", "sales") as wes:

        async def newer(route: Route) -> None:
            await route.fulfill(json={"version": "another"})

        caller = await floor.centre.caller()
        await wes.page.route("**/version", newer)
        await wes.page.reload()
        await wes.sees("There is a newer version of this page")
        await wes.in_service("sales")
        call = await wes.answers(caller)
        await wes.sees("Load it after the call")
        assert await wes.button("Load it").count() == 0
        await wes.hangs_up()
        await call.ended(10)
        await wes.page.unroute("**/version")
        await wes.press("Load it")
        await wes.in_service("sales")
        await wes.no_longer_sees("There is a newer version of this page")


async def test_the_calls_of_today_with_the_missed_ones_and_calling_back(floor: Floor) -> None:
    await floor.centre.agent("ben", "sales")
    await floor.centre.login("ben")
    async with at_desk(floor, "wes", "sales") as wes:
        ben, customer = await floor.centre.phone("ben"), await floor.centre.caller()
        await wes.sees("No call yet today")
        # a colleague takes the first one, so it is not missed
        usual, ben.behaviour = ben.behaviour, Ring()
        outgoing = customer.dial("sales")
        await wes.button("Answer").wait_for()
        (await ben.rings(timeout=10)).answer()
        await wes.no_longer_sees("No call yet today")
        await outgoing.hangup()
        ben.behaviour = usual
        call = ben.dial(wes.number)
        await wes.button("Answer").wait_for()
        await call.hangup()
        await wes.sees("1 missed")
        await wes.press("Call Ben")
        again = await ben.rings(timeout=10)
        await wes.talks(ben, again)
        await wes.hangs_up()
        await wes.page.locator(".lines", has_text="out").first.wait_for()
        await wes.press("Seen")
        await wes.no_longer_sees("1 missed")


async def test_a_queue_that_is_added_in_a_shift_is_shown_at_once_and_paused_by_itself(floor: Floor) -> None:
    added = (
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id) SELECT a.id, q.id FROM agentbridge.agents a,"
        " agentbridge.queues q WHERE a.username = 'wes' AND q.name = 'billing'"
    )
    async with at_desk(floor, "wes", "sales") as wes:
        assert await wes.page.get_by_text("billing").count() == 0
        await floor.centre.db.execute(added)
        await wes.button("Pause billing").wait_for()
        await wes.page.get_by_label("Reason of the pause").select_option("lunch")
        await wes.press("Pause billing")
        await wes.button("End the pause billing").wait_for()
        await wes.page.locator(".lines .state", has_text="lunch").wait_for()
        await floor.centre.until_member("billing", wes.number, paused=True, reason="lunch")
        await floor.centre.until_member("sales", wes.number, paused=False)
        await wes.press("End the pause billing")
        await floor.centre.until_member("billing", wes.number, paused=False)
        # without the page there is no phone: who signs out ends the shift
        await wes.press("Sign out")
        await wes.page.get_by_label("Username").wait_for()
        assert not (await floor.centre.status("wes"))["logged_in"]
