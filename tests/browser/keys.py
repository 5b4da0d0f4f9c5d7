"""A reader without a mouse: what it can reach with Tab, arrows and Enter alone."""

from __future__ import annotations

from playwright.async_api import Page

# role and name of what has the focus, as far as the tests ask for them
FOCUSED = """
() => {
  const at = document.activeElement;
  if (!at || at === document.body) return ["", ""];
  const labels = at.labels?.length ? [...at.labels].map((label) => label.textContent).join(" ") : "";
  const name = at.getAttribute("aria-label") || labels || at.textContent || at.placeholder || "";
  const roles = { A: "link", BUTTON: "button", SELECT: "combobox", TEXTAREA: "textbox" };
  const inputs = { checkbox: "checkbox", search: "searchbox", file: "file", number: "spinbutton" };
  const own = at.tagName === "INPUT" ? inputs[at.type] || "textbox" : roles[at.tagName] || "";
  const role = at.getAttribute("role") || own;
  return [role, name.replace(/\\s+/g, " ").trim()];
}
"""


class Hands:
    """Uses a page by keyboard alone; `pressed` counts the keys."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.pressed = 0

    async def press(self, key: str) -> None:
        self.pressed += 1
        await self.page.keyboard.press(key)

    async def type(self, text: str) -> None:
        self.pressed += len(text)
        await self.page.keyboard.type(text)

    async def to(self, role: str, name: str, *, within: int = 60, back: bool = False) -> None:
        """Presses Tab until this element has the focus. Raises AssertionError, with what was passed, when it is not
        reached."""
        passed: list[str] = []
        for _ in range(within):
            found = await self.page.evaluate(FOCUSED)
            if found[0] == role and found[1].startswith(name):
                assert await self.shows(), f"{role} {name} has the focus and does not show it"
                return
            passed.append(f"{found[0]} {found[1][:30]}")
            await self.press("Shift+Tab" if back else "Tab")
        raise AssertionError(f"{role} {name} is not within {within} tabs; passed: {passed}")

    async def has(self, name: str) -> bool:
        """Whether what begins with this name has the focus."""
        return str((await self.page.evaluate(FOCUSED))[1]).startswith(name)

    async def shows(self) -> bool:
        """Whether the focus is visible: an outline around what has it."""
        return bool(
            await self.page.evaluate(
                "() => { const s = getComputedStyle(document.activeElement);"
                " return s.outlineStyle !== 'none' || s.boxShadow !== 'none'; }"
            )
        )

    async def log_in(self, origin: str, username: str, password: str) -> None:
        """Logs in by keyboard: the first field has the focus when the page is there."""
        await self.page.goto(f"{origin}/login")
        await self.page.get_by_label("Username").wait_for()
        await self.to("textbox", "Username", within=1)
        await self.type(username)
        await self.press("Tab")
        await self.type(password)
        await self.press("Enter")
        await self.page.wait_for_url(lambda url: "/login" not in url, timeout=20_000)
