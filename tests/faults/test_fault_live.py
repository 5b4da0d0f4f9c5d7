"""What is shown of calls after daemon, database and Asterisk's link were killed at any moment: what Asterisk has.

The judge reads Asterisk's own list of channels on its console and shares no code with the daemon.
AGENTBRIDGE_ROUNDS says how often something is killed (default 8).
"""

import asyncio
import os
import random

import asyncpg
import pytest

from lab.phones import Call
from lab.postgres import Postgres
from lab.processes import LabError, until
from tests.acceptance.centre import Centre

ROUNDS = int(os.environ.get("AGENTBRIDGE_ROUNDS") or 8)
AGENTS = ("ana", "ben", "cem")
SHOWN = "SELECT channel, internal, answered_at IS NOT NULL AS up FROM agentbridge.live_running_calls WHERE NOT stale"
STATES = "SELECT internal, state FROM agentbridge.live_agent_states WHERE NOT stale"


async def channels(centre: Centre, numbers: list[str]) -> set[tuple[str, str, bool]]:
    """Uniqueid, agent, and whether it is up, of each channel of an agent's phone, as Asterisk lists them."""
    lines = (await centre.asterisk.cli("core show channels concise")).splitlines()
    rows = [line.split("!") for line in lines if line.count("!") >= 13]
    found = ((row[13], row[0].removeprefix("PJSIP/").rpartition("-")[0], row[4] == "Up") for row in rows)
    return {one for one in found if one[1] in numbers}


async def agrees(centre: Centre, numbers: list[str]) -> bool:
    try:
        rows = await centre.db.fetch(SHOWN)
        states = dict(await centre.db.fetch(STATES))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    shown = [(row["channel"], row["internal"], row["up"]) for row in rows]
    if len(shown) != len(set(shown)):
        raise AssertionError(f"a call is shown twice: {shown}")
    there = await channels(centre, numbers)
    talking = {number for _, number, up in there if up}
    return set(shown) == there and {n for n, state in states.items() if state == "talking"} == talking


async def killed(centre: Centre, postgres: Postgres, what: str) -> None:
    match what:
        case "daemon":
            await centre.bridge.kill()
            await centre.bridge.start(wait="")
        case "database":
            await postgres.kill()
            await postgres.start()
            await centre.reconnect()
        case _:
            await centre.bridge.kill()
            await postgres.kill()
            await postgres.start()
            await centre.reconnect()
            await centre.bridge.start(wait="")


async def test_after_a_kill_at_any_moment_the_board_shows_what_asterisk_has(
    fresh_postgres: Postgres, seed: int
) -> None:
    chance = random.Random(seed)
    async with Centre(fresh_postgres, sections={"resync": {"seconds": 10.0}}) as centre:
        numbers = [await centre.agent(name, "sales") for name in AGENTS]
        await centre.login(*AGENTS)
        for number in numbers:
            await centre.until_member("sales", number)
        await centre.phones(AGENTS)
        customers = [await centre.caller() for _ in AGENTS]
        running: list[Call] = []
        for round_ in range(ROUNDS):
            what = chance.choice(["daemon", "database", "both"])
            killing = asyncio.create_task(killed(centre, fresh_postgres, what))
            await asyncio.sleep(chance.uniform(0.0, 1.0))
            if running and chance.random() < 0.5:
                await running.pop(chance.randrange(len(running))).hangup()
            elif len(running) < len(customers):
                running.append(await customers[len(running)].call("sales", timeout=15))
            await killing

            async def same() -> bool:
                return await agrees(centre, numbers)

            try:
                await until(same, within=40, what=f"round {round_}, {what} killed: the board agreeing with Asterisk")
            except LabError as late:
                late.add_note(f"Asterisk has {await channels(centre, numbers)}")
                late.add_note(f"shown is {await centre.db.fetch(SHOWN)} {await centre.db.fetch(STATES)}")
                late.add_note("\n".join(centre.bridge.lines()[-15:]))
                raise
        for call in running:
            await call.hangup()


async def test_a_call_is_in_the_history_though_postgresql_is_killed_when_it_ends(fresh_postgres: Postgres) -> None:
    async with Centre(fresh_postgres) as centre:
        internal = await centre.agent("ana", "sales")
        await centre.login("ana")
        await centre.until_member("sales", internal)
        (phone,) = await centre.phones(["ana"])
        assert phone.tone
        customer = await centre.caller()

        async def ends(count: int) -> bool:
            return bool(count == await centre.db.fetchval("SELECT count(*) FROM agentbridge.ended_calls"))

        call = await customer.call("sales", timeout=15)
        await call.hears(phone.tone, timeout=10)
        since = len(centre.bridge.lines())
        await fresh_postgres.kill()
        await centre.bridge.logged("database.lost", since=since)
        await call.hangup()
        await asyncio.sleep(1.0)  # the daemon has nobody to tell
        await fresh_postgres.start()
        await centre.reconnect()
        await until(lambda: ends(1), within=20, what="the call that ended without a database in the history")

        call = await customer.call("sales", timeout=15)
        await call.hears(phone.tone, timeout=10)
        await call.hangup()
        await until(lambda: ends(2), within=10, what="the second call in the history")
        await fresh_postgres.kill()
        await fresh_postgres.start()
        await centre.reconnect()
        assert await ends(2)


@pytest.mark.parametrize("verb", ["recording_pause", "hangup"])
async def test_a_request_is_done_once_at_most_though_its_daemon_dies(fresh_postgres: Postgres, verb: str) -> None:
    """Killed at once after it was asked: done, refused or timed out, and never done later."""
    async with Centre(fresh_postgres) as centre:
        internal = await centre.agent("ana", "sales", record_calls="wav")
        await centre.login("ana")
        await centre.until_member("sales", internal)
        (phone,) = await centre.phones(["ana"])
        customer = await centre.caller()
        call = await customer.call("sales", timeout=15)
        assert phone.tone
        await call.hears(phone.tone, timeout=10)
        request = await centre.db.fetchval(f"SELECT agentbridge.{verb}('ana', seconds => 1)")
        await centre.bridge.kill()
        await asyncio.sleep(1.2)  # its deadline is over
        state = await centre.db.fetchval("SELECT agentbridge.request_result($1)->>'state'", request)
        assert state in ("done", "timed out")
        before = await channels(centre, [internal])
        await centre.bridge.start()
        rows = await centre.db.fetch("SELECT state FROM agentbridge.requests")
        assert [row["state"] for row in rows] in (["done"], ["asked"], ["taken"])
        assert await channels(centre, [internal]) == before
        await centre.db.execute("SELECT agentbridge.hangup('ana')")
