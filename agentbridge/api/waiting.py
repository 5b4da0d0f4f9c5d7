"""Waits until Asterisk has an agent's change, as `Prefer: wait` asks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agentbridge.api.database import Database

LOOK_SECONDS = 0.5
"""without a notification: what a lost one costs at most"""


class Waiting:
    """Lets requests with `Prefer: wait` wait until their change has reached Asterisk.

    `woken` is to be called at each notification of written results; whoever waits looks for its own then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news = asyncio.Event()

    def woken(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def news(self) -> asyncio.Event:
        """Returns the event of the next notification: to be had before a look, and waited for after it."""
        return self._news

    async def soon(self, news: asyncio.Event, seconds: float) -> None:
        """Waits for the event, but not long: a lost notification costs no more than that."""
        try:
            async with asyncio.timeout(min(seconds, LOOK_SECONDS)):
                await news.wait()
        except TimeoutError:
            return

    async def applied(self, proof: bytes, username: str, seconds: float) -> dict[str, Any]:
        """Waits until Asterisk has the agent's last change, at most `seconds`; returns {pending, applied_at, error}.

        What failed is tried again, so an error is waited for too.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while True:
            news = self._news
            found: dict[str, Any] = json.loads(await self._database.call("api_applied", proof, username))
            left = until - clock()
            if not found["pending"] or left <= 0:
                return found
            await self.soon(news, left)
