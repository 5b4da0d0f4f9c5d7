"""What is asked of every page: nothing that axe finds, nothing wider than the screen, no key instead of a text."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

from lab.browser import Seat

WIDTHS = {360: 740, 1280: 800, 2560: 1440}
PICTURES = bool(os.environ.get("AGENTBRIDGE_PICTURES"))
"""whether they are taken: `make pictures`"""
AXE = AXE_SCRIPT
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# What shows a key of a catalogue, what sticks out of the page or of its box, and what its box cuts off: not what may
# be scrolled or ends with an ellipsis. A queue's figures stand in one row, each with its name in one line.
LOOK = """
(keys) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const unnamed = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement?.closest("script, style, code, noscript")) continue;
    const word = node.textContent.trim();
    if (keys.includes(word)) unnamed.push(word);
  }
  const told = (one) => `${one.tagName.toLowerCase()}.${one.className}: ${one.textContent.trim().slice(0, 40)}`;
  const whole = "button, .state, .button, h1, h2, label, dt, dd, .notice";
  const passed = ".hidden-text, .scroll, .top nav, .skip, svg, meter, canvas";
  const lines = (one) => one.getBoundingClientRect().height
    / one.currentCSSZoom / parseFloat(getComputedStyle(one).lineHeight);
  const out = [], cut = [];
  for (const element of document.querySelectorAll("main *, dialog *, header *")) {
    if (element.closest(passed) || !element.checkVisibility()) continue;
    const box = element.parentElement.closest(".panel, .card, dialog, .top")?.getBoundingClientRect();
    const own = element.getBoundingClientRect();
    if (box && own.width && (own.right > box.right + 1 || own.left < box.left - 1)) out.push(told(element));
    if (element.matches(".figures") && (own.height > 1.5 * element.firstElementChild.getBoundingClientRect().height
      || [...element.querySelectorAll("dt")].some((name) => lines(name) > 1.5))) cut.push(`wraps: ${told(element)}`);
    if (element.matches(whole) && element.scrollWidth > element.clientWidth + 1
      && getComputedStyle(element).textOverflow !== "ellipsis") cut.push(told(element));
  }
  const root = document.documentElement;
  return { unnamed, over: root.scrollWidth - root.clientWidth, out: out.slice(0, 5), cut: cut.slice(0, 5) };
}
"""
CATALOGUE = Path(__file__).parents[2] / "agentbridge/web/app/locales/en.js"
KEYS = [key for key in re.findall(r'^  "([^"]+)":', CATALOGUE.read_text(), re.MULTILINE) if "." in key]


async def looks_well(page: Page, where: str) -> list[str]:
    """Returns what a reader would stumble over: untranslated keys, texts cut off or out of their box, a page wider than
    the screen."""
    found = await page.evaluate(LOOK, KEYS)
    wrong = [f"{where}: shows the key {text!r}" for text in found["unnamed"]]
    wrong += [f"{where}: sticks out of its box: {element}" for element in found["out"]]
    wrong += [f"{where}: is cut off: {element}" for element in found["cut"]]
    return wrong + ([f"{where}: is {found['over']} px wider than the screen"] if found["over"] > 0 else [])


async def axe(page: Page, where: str, rules: list[str] | None = None) -> list[str]:
    """Returns the findings of axe-core, a line each: rule, element, and how to mend it. rules: only these rules are
    checked."""
    if not await page.evaluate("() => Boolean(window.axe)"):
        # through the driver and not as a script of the page, which its policy forbids
        await page.evaluate(AXE + "\n;0")
    wanted = {"runOnly": {"type": "rule", "values": rules}} if rules else RULES
    result: dict[str, Any] = await page.evaluate(
        "(rules) => axe.run(document, { ...rules, resultTypes: ['violations'] })", wanted
    )
    return [
        f"{where}: {violation['id']}: {node['html'][:160]}: {node['failureSummary'].splitlines()[-1].strip()}"
        for violation in result["violations"]
        for node in violation["nodes"][:4]
    ]


async def dressed(page: Seat, *, language: str = "en", dark: bool = False) -> None:
    """The open page in another language and theme, as if it had been chosen there."""
    await page.page.evaluate(
        """async ([language, theme]) => {
            document.documentElement.dataset.theme = theme;
            const select = document.querySelector("select[data-language]");
            if (select && select.value !== language) {
                select.value = language;
                select.dispatchEvent(new Event("change", { bubbles: true }));
            }
        }""",
        [language, "dark" if dark else "light"],
    )
    await page.page.wait_for_function("language => document.documentElement.lang === language", arg=language)


async def open_page(page: Seat, path: str) -> None:
    await page.page.goto(f"{page.origin}{path}")
    await page.page.locator("main h1").first.wait_for()
    await page.page.wait_for_function("() => !document.querySelector('main [aria-busy=true]')")


async def pictures(page: Seat, name: str) -> list[str]:
    """Of the open page, in each language, theme and width; returns what is wrong with it."""
    wrong: list[str] = []
    for language in ("en", "it", "ar"):
        for dark in (False, True) if PICTURES else (False,):
            await dressed(page, language=language, dark=dark)
            for width, height in WIDTHS.items():
                await page.page.set_viewport_size({"width": width, "height": height})
                where = f"{name}-{language}-{'dark' if dark else 'light'}-{width}"
                await picture(page, where)
                if not dark:
                    wrong += await looks_well(page.page, where)
    await dressed(page)
    await page.page.set_viewport_size({"width": 1280, "height": 800})
    return wrong


async def picture(page: Seat, name: str) -> None:
    """For people to judge; a thousand of them take minutes."""
    if PICTURES:
        await page.picture(name)


async def judged(page: Seat, name: str, *, narrow: bool = True) -> list[str]:
    """Light, dark, and on a telephone's screen."""
    wrong = await axe(page.page, f"{name} light") + await looks_well(page.page, name)
    await picture(page, f"state-{name}")
    await dressed(page, dark=True)
    wrong += await axe(page.page, f"{name} dark", ["color-contrast"])  # all else is as in light
    await dressed(page)
    if narrow:
        await page.page.set_viewport_size({"width": 360, "height": 740})
        wrong += await axe(page.page, f"{name} 360") + await looks_well(page.page, f"{name} 360")
        await picture(page, f"state-{name}-360")
        await page.page.set_viewport_size({"width": 1280, "height": 800})
    return wrong
