"""What is asked of every page: nothing that axe finds, nothing wider than the screen, no key instead of a text."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

AXE = AXE_SCRIPT
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# what shows a key of a catalogue, and what sticks out of the page, as the reader sees it
LOOK = """
() => {
  const keys = /\\b(agents|queue|field|choice|channel|nav|tab|hint|state|count|floor|live|spy|system)\\.[a-z_]{2,}\\b/;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const unnamed = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement?.closest("script, style, code, noscript")) continue;
    if (keys.test(node.textContent)) unnamed.push(node.textContent.trim());
  }
  const root = document.documentElement;
  return { unnamed, over: root.scrollWidth - root.clientWidth };
}
"""


async def looks_well(page: Page, where: str) -> list[str]:
    """What a reader would stumble over."""
    found = await page.evaluate(LOOK)
    wrong = [f"{where}: shows the key {text!r}" for text in found["unnamed"]]
    return wrong + ([f"{where}: is {found['over']} px wider than the screen"] if found["over"] > 0 else [])


async def axe(page: Page, where: str) -> list[str]:
    """Findings of axe-core, a line each: rule, element, and how to mend it."""
    if not await page.evaluate("() => Boolean(window.axe)"):
        # through the driver and not as a script of the page, which its policy forbids
        await page.evaluate(AXE + "\n;0")
    result: dict[str, Any] = await page.evaluate(
        "(rules) => axe.run(document, { ...rules, resultTypes: ['violations'] })", RULES
    )
    return [
        f"{where}: {violation['id']}: {node['html'][:160]}: {node['failureSummary'].splitlines()[-1].strip()}"
        for violation in result["violations"]
        for node in violation["nodes"][:4]
    ]
