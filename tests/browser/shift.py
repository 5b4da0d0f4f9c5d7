"""An agent at work in a browser: logged in, the shift started, in its queues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Locator

from lab.browser import Seat, seat
from lab.phones import Call, Phone
from lab.processes import until
from tests.browser.conftest import PASSWORD, Floor


class Agent:
    """An agent at its desk in a browser; `number` is the internal one."""

    def __init__(self, floor: Floor, username: str, number: str, seat: Seat) -> None:
        self.floor, self.username, self.number, self.seat, self.page = floor, username, number, seat, seat.page

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    async def press(self, name: str) -> None:
        await self.button(name).first.click()

    async def sees(self, text: str, within: float = 15) -> None:
        await self.page.get_by_text(text).first.wait_for(timeout=within * 1000)

    async def no_longer_sees(self, text: str, within: float = 15) -> None:
        await self.page.get_by_text(text).first.wait_for(state="detached", timeout=within * 1000)

    async def start_shift(self, *queues: str) -> None:
        await self.press("Start shift")
        await self.in_service(*queues)

    async def in_service(self, *queues: str) -> None:
        """Waits until the agent's phone is registered and a member of the queues that Asterisk would ring."""
        await self.page.get_by_text("Phone registered").wait_for()
        for queue in queues:
            await self.floor.centre.until_member(queue, self.number)

        async def reachable() -> bool:
            shown = await self.floor.centre.asterisk.cli("queue show")
            lines = [line for line in shown.splitlines() if f"PJSIP/{self.number}" in line]
            return all("Not in use" in line for line in lines)

        await until(reachable, within=10, what=f"{self.number} being reachable")

    async def answers(self, caller: Phone, queue: str = "sales") -> Call:
        """Calls the queue, and answers with the button on the page; returns the caller's call."""
        call = caller.dial(queue)
        await self.press("Answer")
        await self.button("Hang up").first.wait_for()
        await call.answered(10)
        return call

    async def talks(self, caller: Phone, call: Call) -> None:
        """Checks that both hear each other."""
        assert caller.tone
        await call.hears(self.seat.tone, timeout=20)
        await self.seat.hears(caller.tone)

    async def hangs_up(self) -> None:
        await self.press("Hang up")
        await self.button("Hang up").first.wait_for(state="detached")


@asynccontextmanager
async def at_desk(
    floor: Floor,
    username: str,
    *queues: str,
    tone: int = 700,
    browser: Browser | None = None,
    started: bool = True,
    **columns: object,
) -> AsyncIterator[Agent]:
    """Makes an agent that is logged in at the page and, with `started`, works; at the end the page must have no
    errors."""
    number = await floor.agent(username, *queues, **columns)
    await floor.centre.settled()
    async with seat(browser or floor.browser, floor.origin, tone=tone) as one:
        await one.log_in(username, PASSWORD)
        one.page.set_default_timeout(30_000)
        agent = Agent(floor, username, number, one)
        if started:
            await agent.start_shift(*queues)
        yield agent
        assert one.faults == []
