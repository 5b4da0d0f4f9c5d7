"""What a monitoring system sees of the daemon: alive, ready or why not, and its figures."""

import json

import aiohttp

from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre


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
