"""A thousand agents whose daemon falls silent, and what the pages weigh: the figures go to build/desk-figures.json.

How long a thousand agents hold the page up is measured in `make faults`: on a busy machine it says nothing.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser

from lab.browser import seat
from lab.postgres import Postgres
from tests.browser.crowd import AGENTS, ALL_THERE, PASSWORD, Crowd, crowd, note

WEB = Path(__file__).parents[2] / "agentbridge/web"
CONSOLE_KB, BAR_KB = 80, 150


@pytest_asyncio.fixture(scope="module")
async def hall(postgres: Postgres) -> AsyncIterator[Crowd]:
    async with crowd(postgres, "hall") as made:
        yield made


async def test_a_wallboard_whose_daemon_falls_silent_says_so(hall: Crowd, browser: Browser) -> None:
    async with seat(browser, hall.api.origin) as boss:
        await hall.write([1])
        await boss.log_in("boss", PASSWORD)
        await boss.page.wait_for_function(ALL_THERE, arg=AGENTS, timeout=60_000)
        await hall.db.execute("UPDATE agentbridge.live_nodes SET written_at = now() - interval '1 minute'")
        await boss.page.get_by_text("1,000 not known").wait_for(timeout=30_000)
        await boss.page.get_by_text("Its daemon says nothing").first.wait_for()
        await boss.page.locator(".queue").get_by_text("Not known").first.wait_for()
        await hall.write([1])
        await boss.page.get_by_text("1,000 not known").wait_for(state="detached", timeout=30_000)


async def test_a_page_that_was_left_is_freed(hall: Crowd, browser: Browser) -> None:
    async with seat(browser, hall.api.origin) as boss:
        await hall.write([1])
        await boss.log_in("boss", PASSWORD)
        await boss.page.wait_for_function(ALL_THERE, arg=AGENTS, timeout=60_000)
        await hall.write(list(range(AGENTS)))  # each card is rendered more than once
        await boss.page.wait_for_timeout(3000)
        shown = await boss.nodes()
        await boss.page.locator("nav a[href='/console/queues']").click()
        await boss.page.get_by_role("cell", name="sales").wait_for()
        left = await boss.nodes()
    # the floor has about 17 nodes for each agent
    assert shown > 10 * AGENTS
    assert left < AGENTS, (shown, left)


async def test_the_console_is_small_and_soon_usable(hall: Crowd, browser: Browser) -> None:
    async with seat(browser, hall.api.origin) as boss:
        await hall.beat()
        await boss.log_in("boss", PASSWORD)
    async with seat(browser, hall.api.origin) as boss:
        await boss.log_in("boss", PASSWORD)
        await boss.page.goto(f"{hall.api.origin}/console/agents")
        await boss.page.get_by_role("link", name="Agent Number 0", exact=True).wait_for()
        usable = await boss.page.evaluate("() => performance.now()")
    console = wire_kb("console")
    note(console_kb=console, bar_kb=wire_kb("desk"), console_usable_ms=round(usable))
    assert console <= CONSOLE_KB
    assert wire_kb("desk") <= BAR_KB


def wire_kb(application: str) -> float:
    """What a browser fetches for it, each file as gzip: all that its first module brings in, and one language."""
    seen: set[Path] = set()

    def follow(file: Path) -> None:
        if file in seen:
            return
        seen.add(file)
        for name in re.findall(r"""(?:from|import)\s*"(\.[^"]+)";""", file.read_text()):
            follow((file.parent / name).resolve())

    follow(WEB / f"app/{application}/main.js")
    seen.update(WEB / name for name in ("app/theme.css", "app/theme.js", "app/locales/ar.js", f"{application}.html"))
    if application == "desk":
        seen.add(WEB / "vendor/jssip.js")
    return round(sum(len(gzip.compress(file.read_bytes())) for file in seen) / 1000, 1)
