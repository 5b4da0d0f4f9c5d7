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

    async def carry_out(
        self, verb: str, proof: bytes, username: str, *arguments: object, seconds: float
    ) -> dict[str, Any]:
        """Calls an SQL function that changes an agent, and waits until Asterisk has it, at most `seconds`.

        Returns {changed, pending, applied_at, error}. What failed is tried again, so an error is waited for too.
        """
        news = self._news
        found: dict[str, Any] = json.loads(await self._database.call(verb, proof, username, *arguments))
        if found["pending"] and seconds:
            found |= await self._changed(news, proof, username, seconds)
        return found

    async def applied(self, proof: bytes, username: str, seconds: float) -> dict[str, Any]:
        """Waits as `carry_out` does, for the agent's last change; returns {pending, applied_at, error}."""
        news = self._news
        found = await self._look(proof, username)
        return await self._changed(news, proof, username, seconds) if found["pending"] else found

    async def _changed(self, news: asyncio.Event, proof: bytes, username: str, seconds: float) -> dict[str, Any]:
        """Looks at each notification, from `news` on, until nothing is pending or the time is over."""
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while True:
            await self.soon(news, until - clock())
            news = self._news
            found = await self._look(proof, username)
            if not found["pending"] or clock() >= until:
                return found

    async def _look(self, proof: bytes, username: str) -> dict[str, Any]:
        """Returns what the directory has of the agent's last change: {pending, applied_at, error}."""
        found: dict[str, Any] = json.loads(await self._database.call("api_applied", proof, username))
        return found
