"""`Prefer: wait` tells the truth: 200 only for what Asterisk has, whether it is well, slow or away."""

import asyncio

from agentbridge.directory.passwords import hash_password
from lab.api import Api, Browser
from lab.postgres import API, Postgres
from tests.acceptance.centre import Centre

ROUNDS = 50
PASSWORD = "Secret-1"


async def test_an_answer_of_200_means_that_asterisk_has_it(postgres: Postgres) -> None:
    async with Centre(postgres, audio=False) as centre:
        internal = await centre.agent("ana", "sales", typology="external", password_hash=hash_password(PASSWORD))
        database = centre.dsn.rpartition("/")[2]
        async with Api(postgres.dsn(database, API)) as api, Browser(api) as ana:
            await ana.log_in("ana", PASSWORD)

            async def paused() -> bool | None:
                seen = await centre.member("sales", internal)
                return None if seen is None else seen.paused

            async def ask(method: str, path: str, seconds: float) -> tuple[int, dict[str, object]]:
                return await ana.ask(method, f"/v1/me/{path}", {}, {"Prefer": f"wait={seconds:g}"})

            status, body = await ask("PUT", "session", 20)
            assert (status, body["changed"], await paused()) == (200, True, False)
            answered = []
            for _ in range(ROUNDS):
                for method, wanted in (("PUT", True), ("DELETE", False)):
                    status, body = await ask(method, "pause", 20)
                    answered.append(status)
                    assert status != 200 or await paused() is wanted, body
            assert answered.count(200) == 2 * ROUNDS

            # it hangs for three seconds: who waits for one is told that it is pending, who waits longer gets it
            for _ in range(3):
                centre.asterisk.pause()
                status, body = await ask("PUT", "pause", 1)
                assert (status, body["pending"]) == (202, True)
                waiting = asyncio.create_task(ask("DELETE", "pause", 25))
                await asyncio.sleep(2)
                centre.asterisk.resume()
                status, body = await waiting
                assert (status, await paused()) == (200, False), body

            await centre.asterisk.kill()
            for method in ("PUT", "DELETE", "PUT"):
                status, body = await ask(method, "pause", 1)
                assert status == 202, body
                assert body.get("pending") or body.get("error"), body
            await centre.asterisk.start()
            status, body = await ask("PUT", "pause", 30)
            assert (status, await paused()) == (200, True), body
