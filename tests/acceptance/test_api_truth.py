"""`Prefer: wait` tells the truth: 200 only for what Asterisk has, whether it is well, slow or away. 300 verbs.

The judge of what Asterisk has is lab/manager.py, which shares no code with the daemon.
"""

import asyncio
from typing import Any

from lab.api import Api, Browser
from lab.postgres import API, Postgres
from tests.acceptance.centre import Centre
from tests.integration.api_scene import Scene

AGENTS, ROUNDS = 20, 5
"""so many verbs at once, so often: with Asterisk well, slow, and away"""
Answer = tuple[int, dict[str, Any]]


class Shift:
    """Agents who pause and come back all at once, by a machine."""

    def __init__(self, centre: Centre, machine: Browser, numbers: dict[str, str]) -> None:
        self._centre, self._machine, self._numbers = centre, machine, numbers

    async def ask(self, method: str, name: str, seconds: float, part: str = "pause") -> Answer:
        headers = {"Prefer": f"wait={seconds:g}"}
        return await self._machine.ask(method, f"/v1/agents/{name}/{part}", {}, headers)

    async def all_ask(self, method: str, seconds: float, part: str = "pause") -> dict[str, Answer]:
        answers = await asyncio.gather(*(self.ask(method, name, seconds, part) for name in self._numbers))
        return dict(zip(self._numbers, answers, strict=True))

    async def true(self, answers: dict[str, Answer], *, paused: bool) -> int:
        """How many were told that Asterisk has it; each of them is right."""
        seen = await self._centre.members("sales")
        for name, (status, body) in answers.items():
            assert status in (200, 202), body
            if status == 200:
                assert body["applied_at"], body
                assert seen["sales", f"PJSIP/{self._numbers[name]}"].paused is paused, (name, body)
            else:
                assert body.get("pending") or body.get("error"), body
        return sum(status == 200 for status, _ in answers.values())


async def test_an_answer_of_200_means_that_asterisk_has_it(postgres: Postgres) -> None:
    async with Centre(postgres, audio=False) as centre:
        numbers = {f"agent{n}": await centre.agent(f"agent{n}", "sales", typology="external") for n in range(AGENTS)}
        api_dsn = postgres.dsn(centre.dsn.rpartition("/")[2], API)
        token = await Scene(centre.db, "").token("sessions")
        async with Api(api_dsn) as api, Browser(api, token=token) as machine:
            shift = Shift(centre, machine, numbers)
            assert await shift.true(await shift.all_ask("PUT", 30, "session"), paused=False) == AGENTS
            for round_ in range(ROUNDS):
                answers = await shift.all_ask("DELETE" if round_ % 2 else "PUT", 30)
                assert await shift.true(answers, paused=not round_ % 2) == AGENTS

            # it hangs for three seconds: who waits for one is told that it is pending, who waits longer gets it
            for round_ in range(ROUNDS):
                method, paused = ("PUT", True) if round_ % 2 else ("DELETE", False)
                centre.asterisk.pause()
                waits = {name: 1.0 if place % 2 else 30.0 for place, name in enumerate(numbers)}
                tasks = {name: asyncio.create_task(shift.ask(method, name, seconds)) for name, seconds in waits.items()}
                await asyncio.sleep(3)
                early = {name: task.result() for name, task in tasks.items() if task.done()}
                centre.asterisk.resume()
                assert {status for status, _ in early.values()} <= {202}, early
                late = {name: await task for name, task in tasks.items() if waits[name] > 1}
                assert await shift.true(late, paused=paused) == len(late)
                rest = {name: await task for name, task in tasks.items() if waits[name] == 1}
                await shift.true(rest, paused=paused)
                await centre.settled(within=30)

            await centre.asterisk.kill()
            for round_ in range(ROUNDS):
                answers = await shift.all_ask("DELETE" if round_ % 2 else "PUT", 1)
                assert {status for status, _ in answers.values()} == {202}, answers
            await centre.asterisk.start()
            assert await shift.true(await shift.all_ask("PUT", 30), paused=True) == AGENTS
