"""What a monitoring system sees of the daemon: alive, ready or why not, and its figures."""

import asyncio
import json

import aiohttp

from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre

GETVARS = 'agentbridge_ami_actions_total{action="Getvar"}'


async def asked(centre: Centre, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.get(f"http://127.0.0.1:{centre.bridge.http_port}{path}") as answer,
    ):
        return answer.status, await answer.text()


def value(text: str, series: str) -> float:
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(series + " ")), 0.0)


async def test_addresses_tell_health_readiness_and_figures(postgres: Postgres) -> None:
    async with Centre(postgres, audio=False) as centre:
        assert await asked(centre, "/healthz") == (200, '{"turns": true}')
        status, body = await asked(centre, "/readyz")
        assert (status, json.loads(body)["comparison"]) == (200, "done")

        before = (await asked(centre, "/metrics"))[1]
        await centre.agent("ana", "sales")

        async def applied() -> bool:
            text = (await asked(centre, "/metrics"))[1]
            name = "agentbridge_change_apply_seconds_count"
            return value(text, name) > value(before, name)

        await until(applied, within=20.0, what="the change in the figures")
        text = (await asked(centre, "/metrics"))[1]
        assert value(text, 'agentbridge_database_state{state="up"}') == 1
        assert value(text, 'agentbridge_link_up{link="actions"}') == 1
        assert value(text, "agentbridge_changes_seen_total") > 0

        await centre.asterisk.kill()

        async def not_ready() -> bool:
            return (await asked(centre, "/readyz"))[0] == 503

        await until(not_ready, within=20.0, what="readyz to say that Asterisk is away")
        _, body = await asked(centre, "/readyz")
        assert json.loads(body)["asterisk"] == "away"
        assert (await asked(centre, "/healthz"))[0] == 200


async def test_a_comparison_asks_no_telephone_again_that_was_never_in_use(postgres: Postgres) -> None:
    """Asterisk lists only the states of the others, so that each of these is a question of its own."""
    async with Centre(postgres, audio=False) as centre:
        for number in range(20):
            await centre.agent(f"agent{number}", "sales")
        await centre.settled()

        async def count(series: str) -> float:
            return value((await asked(centre, "/metrics"))[1], series)

        async def compared() -> float:
            """Has everything compared, and returns how many variables Asterisk was asked for until it was."""
            before, asks = await count("agentbridge_resync_seconds_count"), await count(GETVARS)
            await centre.db.execute("SELECT agentbridge.note('{*}')")

            async def done() -> bool:
                return await count("agentbridge_resync_seconds_count") > before

            await until(done, within=20, what="another comparison")
            await asyncio.sleep(1)  # the lamps are looked at after it
            return await count(GETVARS) - asks

        await compared()
        assert await compared() < 10
