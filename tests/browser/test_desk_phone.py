"""The browser's phone when something is wrong: secrets, tabs, microphones, servers that stand still."""

from __future__ import annotations

import asyncio
import re
import time

from lab.api import Browser
from lab.browser import seat
from lab.cut import cut
from lab.phones import State
from lab.processes import until
from tests.browser.conftest import MEDIA_ADDRESS, PASSWORD, Floor
from tests.browser.crowd import note
from tests.browser.shift import Agent, at_desk


async def rotate(floor: Floor, username: str) -> None:
    await floor.centre.db.execute(
        "UPDATE agentbridge.agents SET sip_secret = agentbridge.new_secret() WHERE username = $1", username
    )
    await floor.centre.settled()


async def test_register_is_tried_again_after_three_refusals(floor: Floor) -> None:
    """Scenario 6."""
    refused = 0
    async with at_desk(floor, "wes", "sales", started=False) as wes:

        def between(socket: object) -> None:
            server = socket.connect_to_server()  # type: ignore[attr-defined]

            def from_page(text: str | bytes) -> None:
                nonlocal refused
                plain = text if isinstance(text, str) else text.decode()
                if plain.startswith("REGISTER") and refused < 3:
                    refused += 1
                    kept = [line for line in plain.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
                    head = ["SIP/2.0 503 Service Unavailable", *kept, "Content-Length: 0"]
                    socket.send("\r\n".join([*head, "", ""]))  # type: ignore[attr-defined]
                else:
                    server.send(text)

            socket.on_message(from_page)  # type: ignore[attr-defined]

        await wes.page.route_web_socket(re.compile(r"/ws$"), between)
        await wes.press("Start shift")
        await wes.sees("Asterisk refuses your phone (503")
        await wes.in_service("sales")
        assert refused == 3
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        await wes.hangs_up()


async def test_a_rotated_secret_is_taken_over_also_in_a_call(floor: Floor) -> None:
    """Scenario 7: found out at the next REGISTER, which a short registration brings soon."""
    # JsSIP registers again after half of it where it is longer than 64 s, and shortly before its end where it is not
    async with at_desk(floor, "wes", "sales", sip_expires=70) as wes:
        await rotate(floor, "wes")
        await wes.page.evaluate("window.dispatchEvent(new Event('online'))")
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        await rotate(floor, "wes")
        # the refresh of the registration comes in a call, is refused, and mended
        async with wes.page.expect_response(re.compile(r"/v1/me/sip-session"), timeout=70_000):
            pass
        await wes.sees("Phone registered")
        assert call.state is State.UP
        await wes.talks(caller, call)
        await call.hangup()
        await wes.button("Hang up").wait_for(state="detached")
        again = await wes.answers(caller)
        await wes.talks(caller, again)
        await wes.hangs_up()


async def test_one_phone_over_all_tabs_and_machines(floor: Floor) -> None:
    """Scenario 8."""
    async with at_desk(floor, "wes", "sales") as wes:
        caller = await floor.centre.caller()
        tab = Agent(floor, "wes", wes.number, wes.seat)
        tab.page = await wes.seat.context.new_page()
        await tab.page.goto(f"{floor.origin}/desk")
        await tab.sees("Another tab has your phone")
        await tab.sees("Taking calls")
        await tab.press("Use it here")
        await wes.sees("Another tab took your phone over")
        await tab.in_service("sales")
        call = caller.dial("sales")
        await tab.press("Answer")
        await call.answered(10)
        await tab.press("Hang up")
        await call.ended(10)
        assert await wes.button("Answer").count() == 0

        # the one that waits leads when the other closes
        await wes.page.reload()
        await wes.sees("Another tab has your phone")
        await tab.page.close()
        await wes.in_service("sales")
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        await wes.hangs_up()

        # another machine
        async with seat(floor.browser, floor.origin, tone=900) as second:
            await second.log_in("wes", PASSWORD)
            other = Agent(floor, "wes", wes.number, second)
            await wes.sees("Another browser uses your phone now")
            await other.in_service("sales")
            call = await other.answers(caller)
            await other.talks(caller, call)
            assert await wes.button("Answer").count() == 0
            await other.hangs_up()
            assert second.faults == []


# of each microphone that the page was given, in their order: how many of its tracks and of their copies are live
WATCH_MICROPHONES = """
() => {
  const open = navigator.mediaDevices.getUserMedia, clone = MediaStream.prototype.clone, given = [];
  navigator.mediaDevices.getUserMedia = async (asked) => {
    const stream = await open(asked);
    given.push([stream]);
    return stream;
  };
  MediaStream.prototype.clone = function () {
    const copy = clone.call(this);
    given.find((family) => family.includes(this))?.push(copy);
    return copy;
  };
  navigator.mediaDevices.enumerateDevices = async () =>
    ["one", "two"].map((name) => ({ deviceId: name, kind: "audioinput", label: `Headset ${name}` }));
  const live = (stream) => stream.getTracks().filter((track) => track.readyState === "live").length;
  window.__microphones = () => given.map((family) => family.map(live).reduce((sum, one) => sum + one));
}
"""


async def test_a_microphone_that_is_denied_missing_or_unplugged(floor: Floor) -> None:
    """Scenario 10; and no microphone of before goes on listening."""
    async with at_desk(floor, "wes", "sales", started=False) as wes:

        async def listening(*expected: int) -> None:
            async def so() -> bool:
                return await wes.page.evaluate("window.__microphones()") == [*expected]

            await until(so, within=5, what=f"live tracks of the microphones being {expected}")

        await wes.page.evaluate(WATCH_MICROPHONES)
        for error, words in (
            ("NotAllowedError", "The browser keeps the microphone from this page"),
            ("NotFoundError", "No microphone is there"),
        ):
            await wes.page.evaluate(f"window.__microphone.fails = '{error}'")
            await wes.press("Start shift")
            await wes.sees(words)
        assert await floor.centre.member("sales", wes.number) is None
        await wes.page.evaluate("window.__microphone.fails = ''")
        await wes.start_shift("sales")
        await listening(1)
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        await listening(2)
        # another one is there: it is taken at once
        await wes.page.evaluate("window.__microphone.unplug()")
        await wes.talks(caller, call)
        await listening(0, 2)
        await wes.page.get_by_label("Microphone").select_option("Headset two")
        await listening(0, 0, 2)
        await wes.talks(caller, call)
        # none is there, until one is plugged in
        await wes.page.evaluate("window.__microphone.fails = 'NotFoundError'; window.__microphone.unplug()")
        await wes.sees("The microphone was unplugged")
        await call.stops_hearing(wes.seat.tone, timeout=20)
        await wes.seat.hears(caller.tone or 0)
        await wes.page.evaluate("window.__microphone.plug()")
        await wes.no_longer_sees("The microphone was unplugged")
        await wes.talks(caller, call)
        await listening(0, 0, 0, 2)
        await wes.hangs_up()
        await listening(0, 0, 0, 1)
        # logged out by somebody else: microphone and phone end as at the end of the shift
        await floor.centre.logout("wes")
        await wes.button("Start shift").wait_for()
        await listening(0, 0, 0, 0)
        await wes.sees("No phone")


async def test_asterisk_that_stands_still_is_noticed_and_comes_back(floor: Floor) -> None:
    """Scenario 5."""
    async with at_desk(floor, "wes", "sales") as wes:
        floor.centre.asterisk.pause()
        try:
            began = time.monotonic()
            await wes.sees("Your phone can't be reached", within=20)
            noticed = time.monotonic() - began
        finally:
            floor.centre.asterisk.resume()
        began = time.monotonic()
        await wes.no_longer_sees("Your phone can't be reached", within=30)
        note(stopped_noticed_s=round(noticed, 1), stopped_healed_s=round(time.monotonic() - began, 1))
        assert noticed < 10
        await wes.in_service("sales")
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        await wes.hangs_up()


async def test_a_network_that_is_gone_for_five_seconds_costs_no_call(floor: Floor) -> None:
    """Scenario 4, the short one; longer ones are in tests/faults."""
    async with at_desk(floor, "wes", "sales") as wes:
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        async with cut(MEDIA_ADDRESS):
            await asyncio.sleep(5)
        await wes.talks(caller, call)
        await wes.sees("Phone registered", within=30)
        await wes.talks(caller, call)
        await call.hangup()
        await wes.button("Hang up").wait_for(state="detached", timeout=5000)


async def test_the_api_restarts_and_nobody_logs_in_again(floor: Floor) -> None:
    """Scenario 17."""
    async with at_desk(floor, "wes", "sales") as wes:
        await floor.user("boss")
        async with seat(floor.browser, floor.origin) as boss:
            await boss.log_in("boss", PASSWORD)
            await boss.page.goto(f"{floor.origin}/console")
            card = boss.page.locator(".card", has_text="Wes")
            await card.wait_for()
            await floor.api.stop()
            await wes.sees("Not live")
            await floor.api.start()
            await wes.page.get_by_text("Live", exact=True).wait_for(timeout=30_000)
            await boss.page.get_by_text("Live", exact=True).first.wait_for(timeout=30_000)
            assert await card.count() == 1
            assert await wes.page.locator(".lines", has_text="sales").count() == 1
            assert "/login" not in wes.page.url + boss.page.url
            boss.faults.clear()
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        await wes.hangs_up()
        wes.seat.faults.clear()  # the browser complains of sockets that the server closed


async def test_wrong_passwords_by_the_thousand_log_nobody_off(floor: Floor) -> None:
    """Scenario 16."""
    async with at_desk(floor, "wes", "sales") as wes, Browser(floor.api) as stranger:
        wrong = {"username": "wes", "password": "guessed"}
        answers: list[int] = []
        for _ in range(20):
            tries = (stranger.ask("POST", "/v1/session", wrong) for _ in range(50))
            answers += [status for status, _ in await asyncio.gather(*tries)]
        # a few passwords are looked at; the others must wait, or find too many waiting
        assert set(answers) <= {401, 429, 503}, set(answers)
        assert answers.count(401) < 100
        assert not (await floor.centre.status("wes"))["error"]
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        await wes.hangs_up()
        await wes.sees("Taking calls")
