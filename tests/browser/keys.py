"""A reader without a mouse and without a screen: what it reaches with Tab, arrows and Enter alone.

What has the focus is told by role and name of the browser's accessibility tree, as to a screen reader.
"""

from __future__ import annotations

from playwright.async_api import CDPSession, Page


class Hands:
    """Uses a page by keyboard alone; `pressed` counts the keys."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.pressed = 0
        self._tree: CDPSession | None = None

    async def focused(self) -> tuple[str, str]:
        """Returns role and name of what has the focus."""
        if self._tree is None:
            self._tree = await self.page.context.new_cdp_session(self.page)
        found = await self._tree.send("Runtime.evaluate", {"expression": "document.activeElement"})
        wanted = {"objectId": found["result"]["objectId"], "fetchRelatives": False}
        node = (await self._tree.send("Accessibility.getPartialAXTree", wanted))["nodes"][0]
        role, name = (node.get(part, {}).get("value", "") for part in ("role", "name"))
        return str(role), " ".join(str(name).split())

    def counted(self, task: str, at_most: int) -> None:
        """Prints how many keys a task took. Raises AssertionError where it took more."""
        print(f"{task}: {self.pressed} keys")
        assert self.pressed <= at_most, f"{task}: {self.pressed} keys, and {at_most} are enough"

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
            found = await self.focused()
            if found[0] == role and found[1].startswith(name):
                assert await self.shows(), f"{role} {name} has the focus and does not show it"
                return
            passed.append(f"{found[0]} {found[1][:30]}")
            await self.press("Shift+Tab" if back else "Tab")
        raise AssertionError(f"{role} {name} is not within {within} tabs; passed: {passed}")

    async def has(self, name: str) -> bool:
        """Whether what begins with this name has the focus."""
        return (await self.focused())[1].startswith(name)

    async def at(self, role: str) -> bool:
        """Whether what has the focus has this role."""
        return (await self.focused())[0] == role

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
