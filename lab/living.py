"""A little centre that lives: callers come and go, agents answer, pause and come back, so that a wallboard moves."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence

import asyncpg

from lab.phones import Answer, Phone, RegistrationRefusedError

QUEUES = ("sales", "support")
REASONS = ("lunch", "training", "back office")
AGENTS = {
    "1004": ("cleo", "Cleo Marchetti"),
    "1005": ("dario", "Dario Okoro"),
    "1006": ("elif", "Elif Ünal"),
    "1007": ("fadi", "Fadi Haddad"),
    "1008": ("greta", "Greta Lind"),
    "1009": ("hugo", "Hugo Blanc"),
    "1010": ("ines", "Ines Duarte"),
    "1011": ("jonas", "Jonas Berg"),
}
RINGS_S = 4.0
"""at most, until an agent answers"""
CALM = (TimeoutError, OSError, asyncpg.PostgresError, RegistrationRefusedError)
"""of one caller or one agent: the next try is another"""


class LivingCentre:
    """A small contact centre in motion, inside `async with LivingCentre(...).at_work()`: callers call, agents answer
    and pause.

    db: a connection of its own. phones: the agents', registered. callers: the customers' phones, which call the queues
    again and again. hurry: divides every wait.
    """

    def __init__(
        self,
        db: "asyncpg.Connection[asyncpg.Record]",
        phones: Sequence[Phone],
        callers: Sequence[Phone],
        *,
        seed: int = 1,
        hurry: float = 1.0,
    ) -> None:
        self._db, self._phones, self._callers = db, phones, callers
        self._chance = random.Random(seed)
        self._hurry = hurry
        self.calls = 0

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Logs the agents in and lets customers call, inside the block; all calls end after it."""
        for phone in self._phones:
            phone.behaviour = Answer(after=self._chance.uniform(0.5, RINGS_S) / self._hurry)
        for username, _ in AGENTS.values():
            await self._say("login", username)
        tasks = [asyncio.create_task(self._call(caller)) for caller in self._callers]
        tasks.append(asyncio.create_task(self._pauses()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for caller in self._callers:
                for call in caller.live_calls:
                    with contextlib.suppress(*CALM):
                        await call.hangup()

    async def _wait(self, least: float, most: float) -> None:
        await asyncio.sleep(self._chance.uniform(least, most) / self._hurry)

    async def _call(self, caller: Phone) -> None:
        """Calls a queue, talks for a while or gives up, and calls again."""
        while True:
            await self._wait(0.5, 8)
            call = caller.dial(self._chance.choice(QUEUES))
            self.calls += 1
            await self._wait(6, 30)
            with contextlib.suppress(*CALM):
                await call.hangup()

    async def _pauses(self) -> None:
        """Pauses agents and ends their pauses, at random."""
        away: list[str] = []
        while True:
            await self._wait(2, 6)
            here = [username for username, _ in AGENTS.values() if username not in away]
            if len(away) > 2 or (away and self._chance.random() < 0.4):
                await self._say("unpause", away.pop(0))
            else:
                away.append(self._chance.choice(here))
                await self._say("pause", away[-1], self._chance.choice(REASONS))

    async def _say(self, verb: str, username: str, *more: str) -> None:
        """Calls an SQL function of the directory for an agent."""
        places = ", ".join(f"${n}" for n in range(1, len(more) + 2))
        with contextlib.suppress(*CALM):
            await self._db.fetchval(f"SELECT agentbridge.{verb}({places}, source => 'admin')", username, *more)
