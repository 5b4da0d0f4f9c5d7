"""The red button: what it shows is what the server says, and what is in the files is what it showed."""

from __future__ import annotations

import asyncio

from lab.recordings import heard_at, longest_gap, samples_of
from tests.browser.conftest import Floor
from tests.browser.shift import at_desk


async def test_a_recording_is_paused_goes_on_and_gets_a_second_file(floor: Floor) -> None:
    """Scenario 14."""
    async with at_desk(floor, "wes", "sales", record_calls="wav") as wes:
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        red = wes.page.locator("button.danger.recording")
        await red.wait_for()
        assert "Rec 1/2" in await red.inner_text()
        await red.click()
        await wes.sees("Paused 1/2")
        await red.wait_for(state="detached")
        await asyncio.sleep(2)  # what is silent in the file
        await wes.page.locator("button.recording").click()
        await red.wait_for()
        await wes.press("New file")
        await wes.sees("Rec 2/2")
        assert await wes.button("New file").is_disabled()
        # a third one is refused by the server as well
        refused = await wes.page.evaluate(
            """async () => {
                const calls = await (await fetch("/v1/me/calls")).json();
                const path = `/v1/me/calls/${encodeURIComponent(calls.items[0].id)}/recording/files`;
                const body = { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" };
                return (await fetch(path, body)).status;
            }"""
        )
        assert refused == 409
        await wes.seat.hears(caller.tone or 0)
        await wes.hangs_up()
        await floor.quiet()
        first, second = floor.recordings()
        heard = heard_at(samples_of(first), caller.tone)
        assert longest_gap(heard) > 1.5
        assert heard_at(samples_of(second), wes.seat.tone)
        wes.seat.faults.clear()  # the browser complains of the 409


async def test_a_reload_in_a_call_asks_and_afterwards_all_agree(floor: Floor) -> None:
    """Scenarios 9 and 14: who leaves the page in a call is asked; server, bar and red button agree afterwards."""
    async with at_desk(floor, "wes", "sales", record_calls="wav") as wes:
        caller = await floor.centre.caller()
        call = await wes.answers(caller)
        await wes.talks(caller, call)
        asked: list[str] = []

        async def stay_or_go(dialog: object) -> None:
            asked.append(dialog.type)  # type: ignore[attr-defined]
            await (dialog.dismiss() if len(asked) == 1 else dialog.accept())  # type: ignore[attr-defined]

        wes.page.on("dialog", stay_or_go)
        await wes.page.evaluate("setTimeout(() => location.reload(), 0)")
        await wes.page.wait_for_timeout(1000)
        assert asked == ["beforeunload"]
        await wes.talks(caller, call)
        await wes.page.evaluate("setTimeout(() => location.reload(), 0)")
        # the call ends with a word, not with silence
        await call.ended(timeout=5)
        await wes.in_service("sales")
        await wes.sees("Taking calls")
        assert await wes.button("Hang up").count() == 0
        again = await wes.answers(caller)
        await wes.talks(caller, again)
        await wes.page.locator("button.danger.recording").wait_for()
        await wes.hangs_up()
