"""What is asked over HTTP while daemon or API die: done once at most. What viewers are shown afterwards: what there is.

AGENTBRIDGE_ROUNDS says how often something is killed (default 8; 50 for the long form).
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg

from lab.api import Api, Browser
from lab.phones import Call, Reject
from lab.postgres import API, Postgres
from lab.processes import LabError, until
from lab.witness import Witness
from tests.acceptance.centre import Centre
from tests.integration.api_scene import Scene

ROUNDS = int(os.environ.get("AGENTBRIDGE_ROUNDS") or 8)
AGENTS = ("ana", "ben", "cem")


async def test_a_click_rings_once_at_most_though_daemon_or_api_die(fresh_postgres: Postgres, seed: int) -> None:
    """Each request is a dial: what it does can be counted, since the telephone rings."""
    chance = random.Random(seed)
    async with Centre(fresh_postgres, audio=False) as centre:
        internal = await centre.agent("ana", "sales")
        await centre.login("ana")
        await centre.until_member("sales", internal)
        (phone,) = await centre.phones(["ana"])
        phone.behaviour = Reject()
        token = await Scene(centre.db, "").token("calls")
        database = centre.dsn.rpartition("/")[2]
        async with Api(fresh_postgres.dsn(database, API)) as api, Browser(api, token=token) as machine:
            for round_ in range(ROUNDS):
                rung, known = len(phone.invites), await centre.db.fetchval("SELECT count(*) FROM agentbridge.requests")
                what = ("daemon", "API", "daemon")[round_ % 3]
                asking = asyncio.create_task(machine.ask("PUT", "/v1/agents/ana/dial", {"number": "4711"}))
                await asyncio.sleep(chance.uniform(0.0, 0.1))
                await (centre.bridge if what == "daemon" else api).kill()
                with contextlib.suppress(aiohttp.ClientError):
                    await asking
                await (centre.bridge if what == "daemon" else api).start()
                await asyncio.sleep(chance.uniform(0.0, 1.0))

                async def over() -> bool:
                    return not await centre.db.fetchval(
                        "SELECT count(*) FROM agentbridge.requests WHERE state IN ('asked', 'taken')"
                        " AND deadline > clock_timestamp() - interval '1 second'"
                    )

                await until(over, within=20, what=f"round {round_}: the end of the request")
                rows = await centre.db.fetch("SELECT state FROM agentbridge.requests ORDER BY id OFFSET $1", known)
                states = [row["state"] for row in rows]
                rings = len(phone.invites) - rung
                assert len(states) <= 1, (round_, what, states)
                assert rings <= len(states), (round_, what, states, rings)
                # what nobody took was not done, and what is done was done
                assert rings == 0 if states in ([], ["asked"], ["refused"]) else True, (round_, what, states, rings)


class Screen:
    """A viewer that comes back with its cursor, as a browser does, and holds what it was told."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._cursor = ""
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.told_at = 0.0
        self.connected = False

    async def run(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await self._watch()
            self.connected = False
            await asyncio.sleep(0.2)

    async def _watch(self) -> None:
        url = f"{self._browser.api.origin}/v1/events"
        async with self._browser.session.ws_connect(url, headers=self._browser.headers()) as socket:
            await socket.send_json({"op": "subscribe", "kinds": ["agent", "call"], "cursor": self._cursor})
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                self._take(message.json())

    def _take(self, told: dict[str, Any]) -> None:
        if told["type"] == "snapshot":
            self.objects.clear()
        if told["type"] in ("snapshot", "resumed"):
            self.connected = True
        for one in told.get("objects", ()):
            identity = (one["kind"], one["key"])
            if one["data"] is None:
                self.objects.pop(identity, None)
            else:
                self.objects[identity] = one["data"]
        self._cursor = told.get("cursor", self._cursor)
        self.told_at = time.monotonic()

    def calls(self) -> set[tuple[str, str, bool]]:
        found = [(key, data) for (kind, key), data in self.objects.items() if kind == "call"]
        return {(key, data["internal"], data["answered_at"] is not None) for key, data in found if not data["stale"]}

    def states(self) -> dict[str, str]:
        return {data["internal"]: data["state"] for (kind, _), data in self.objects.items() if kind == "agent"}


async def _killed(what: str, centre: Centre, postgres: Postgres, api: Api) -> None:
    match what:
        case "daemon":
            await centre.bridge.kill()
            await centre.bridge.start(wait="")
        case "API":
            await api.kill()
            await api.start()
        case _:
            await postgres.kill()
            await postgres.start()
            await centre.reconnect()


@contextlib.asynccontextmanager
async def open_screens(api: Api, tokens: list[str]) -> AsyncIterator[list[Screen]]:
    async with contextlib.AsyncExitStack() as stack:
        screens = [Screen(await stack.enter_async_context(Browser(api, token=token))) for token in tokens]
        watching = [asyncio.create_task(screen.run()) for screen in screens]
        try:
            yield screens
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


async def test_after_a_kill_at_any_moment_each_viewer_has_exactly_what_asterisk_has(
    fresh_postgres: Postgres, seed: int
) -> None:
    chance = random.Random(seed)
    async with Centre(fresh_postgres, sections={"resync": {"seconds": 10.0}}) as centre:
        numbers = [await centre.agent(name, "sales", record_calls="wav") for name in AGENTS]
        await centre.login(*AGENTS)
        for number in numbers:
            await centre.until_member("sales", number)
        await centre.phones(AGENTS)
        customers = [await centre.caller() for _ in AGENTS]
        tokens = [await Scene(centre.db, "").token("events") for _ in range(3)]
        database = centre.dsn.rpartition("/")[2]
        running: list[Call] = []
        async with (
            Witness(centre.asterisk) as witness,
            Api(fresh_postgres.dsn(database, API)) as api,
            open_screens(api, tokens) as screens,
        ):
            for round_ in range(ROUNDS):
                what = chance.choice(["daemon", "API", "database"])
                killing = asyncio.create_task(_killed(what, centre, fresh_postgres, api))
                await asyncio.sleep(chance.uniform(0.0, 1.0))
                if running and chance.random() < 0.5:
                    await running.pop(chance.randrange(len(running))).hangup()
                elif len(running) < len(customers):
                    running.append(await customers[len(running)].call("sales", timeout=15))
                await killing

                async def same() -> bool:
                    there = await witness.calls(numbers)
                    talking = {number for _, number, up in there if up}
                    return all(
                        screen.connected
                        and screen.calls() == there
                        and {number for number, state in screen.states().items() if state == "talking"} == talking
                        for screen in screens
                    )

                try:
                    await until(same, within=40, what=f"round {round_}, {what} killed: viewers that agree")
                except LabError as late:
                    late.add_note(f"Asterisk has {await witness.calls(numbers)}")
                    late.add_note("\n".join(f"shown {screen.calls()} {screen.states()}" for screen in screens))
                    late.add_note("\n".join(centre.bridge.lines()[-15:]))
                    raise
            for call in running:
                await call.hangup()
            await _rows_agree(centre, witness, numbers)


async def _rows_agree(centre: Centre, witness: Witness, numbers: list[str]) -> None:
    """Each answered channel of an agent that Asterisk had is one call in the history and one recording."""

    async def written() -> bool:
        try:
            past = await centre.db.fetch("SELECT channel, answered_at IS NOT NULL AS up FROM agentbridge.ended_calls")
            recorded = await centre.db.fetch("SELECT linkedid FROM agentbridge.recordings WHERE ended_at IS NOT NULL")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        calls = {row["channel"] for row in past}
        files = [row["linkedid"] for row in recorded]
        assert len(files) == len(set(files)), "a recording has two rows"
        return calls >= set(witness.answered) and set(files) == set(witness.answered.values())

    try:
        await until(written, within=40, what="a row for each call and recording")
    except LabError as late:
        late.add_note(f"Asterisk had {witness.answered}")
        late.add_note(str(await centre.db.fetch("SELECT channel, linkedid FROM agentbridge.ended_calls")))
        late.add_note(str(await centre.db.fetch("SELECT linkedid, ended_at FROM agentbridge.recordings")))
        raise
    assert await witness.calls(numbers) == set()
