"""A fifth of a call centre leaves within a second, by each way there is, and nobody is asked to confirm it.

`python -m tests.bench.leaving [AGENTS]`. A fifth of the agents is logged in, in five queues each, with phones for ten
of them. For each way: they leave at once; how long until the last one is out of Asterisk; then a customer calls queues
and each of those numbers, and no phone may ring. Twice with the daemon away meanwhile, or Asterisk killed meanwhile.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from lab.manager import members
from lab.phones import Farm, Phone
from lab.processes import until
from tests.bench.stand import QUEUES, WITHIN_S, Stand

AGENTS = 10_000
PHONES = 10
AWAY_S = 60.0
"""how long the daemon is away in that case"""
THEM = "id IN (SELECT agent_id FROM agentbridge.sessions)"

Way = Callable[[Stand], Awaitable[object]]


def by(statement: str) -> Way:
    return lambda stand: stand.db.execute(statement, timeout=WITHIN_S)


async def by_command(stand: Stand) -> None:
    """`agentbridge agent delete`, five hundred names at a time."""
    rows = await stand.db.fetch(f"SELECT username FROM agentbridge.agents WHERE {THEM}")
    names = [row["username"] for row in rows]
    for first in range(0, len(names), 500):
        await stand.bridge.cli("agent", "delete", *names[first : first + 500], "--yes", within=WITHIN_S)


LOG_OUT = by(f"SELECT agentbridge.logout(username, 'admin') FROM agentbridge.agents WHERE {THEM}")
WAYS: dict[str, Way] = {
    "log out": LOG_OUT,
    "lock": by(f"UPDATE agentbridge.agents SET locked_at = now() WHERE {THEM}"),
    "deactivate": by(f"UPDATE agentbridge.agents SET deactivated = true WHERE {THEM}"),
    "no queues": by(
        "DELETE FROM agentbridge.queue_members WHERE agent_id IN (SELECT agent_id FROM agentbridge.sessions)"
    ),
    "delete by command": by_command,
}


async def measure(
    agents: int = AGENTS, *, away_s: float = AWAY_S, ways: tuple[str, ...] = tuple(WAYS)
) -> dict[str, float]:
    """Seconds until the last one is out, by way; AssertionError where somebody is held, or a phone rings."""
    count = agents // 5
    took: dict[str, float] = {}
    async with Stand(numbers=agents + count + 100) as stand, Farm(_server(stand), audio=False) as farm:
        await stand.people(agents)
        await stand.bridge.start(within=WITHIN_S)
        for way in ways:
            await _come(stand, count)
            phones = await _phones(stand, farm)
            took[way] = await _leave(stand, WAYS[way])
            await stand.settled()
            # who is in no queue any more is logged in still, and called directly
            await _nobody_rings(stand, farm, phones, directly=way != "no queues")
        await _come(stand, count)
        await stand.bridge.stop()
        await LOG_OUT(stand)
        await asyncio.sleep(away_s)
        took["log out, daemon away"] = await _until_out(stand, stand.bridge.start(within=WITHIN_S))
        await _come(stand, count)
        await stand.asterisk.kill()
        await LOG_OUT(stand)
        took["log out, Asterisk killed"] = await _until_out(stand, stand.asterisk.start())
        await _come(stand, count)
        took["new numbers"] = await _renumber(stand, agents + count)
        assert stand.bridge.events("removals.refused") == []
    return took


def _server(stand: Stand) -> tuple[str, int]:
    return stand.asterisk.host, stand.asterisk.sip_port


async def _come(stand: Stand, count: int) -> None:
    """So many agents log in who can: unlocked, with queues."""
    await stand.db.execute(
        "UPDATE agentbridge.agents SET locked_at = NULL, deactivated = false WHERE deactivated OR locked_at IS NOT NULL"
    )
    await stand.db.execute(
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id, penalty)"
        " SELECT a.id, q.id, 1 FROM agentbridge.agents a, agentbridge.queues q"
        " WHERE (a.id + q.id) % 4 = 0 ON CONFLICT DO NOTHING",
        timeout=WITHIN_S,
    )
    await stand.db.execute(
        "SELECT agentbridge.login(username, source => 'admin') FROM (SELECT username FROM agentbridge.agents"
        " ORDER BY id DESC LIMIT $1) a",
        count,
        timeout=WITHIN_S,
    )
    await stand.settled()
    await stand.processors.idle(within=WITHIN_S)


async def _phones(stand: Stand, farm: Farm) -> list[Phone]:
    rows = await stand.db.fetch(
        f"SELECT internal, sip_secret FROM agentbridge.agents WHERE {THEM} ORDER BY id LIMIT $1", PHONES
    )
    return await farm.register({row["internal"]: row["sip_secret"] for row in rows})


async def _leave(stand: Stand, way: Way) -> float:
    started = time.perf_counter()
    await way(stand)
    return round(await _until_out(stand, asyncio.sleep(0)) + time.perf_counter() - started, 2)


async def _until_out(stand: Stand, come_back: Awaitable[object]) -> float:
    """Seconds until nobody is a member any more, from the start of `come_back`."""
    started = time.perf_counter()
    await come_back

    async def out() -> bool:
        return not await members(stand.asterisk)

    await until(out, within=WITHIN_S, what="the last member being out")
    return round(time.perf_counter() - started, 2)


async def _nobody_rings(stand: Stand, farm: Farm, phones: list[Phone], *, directly: bool) -> None:
    before = [len(phone.invites) for phone in phones]
    caller = await farm.phone(stand.asterisk.caller_user, stand.asterisk.caller_secret)
    for called in [*list(QUEUES)[:5], *(phone.user for phone in phones if directly)]:
        with suppress(TimeoutError):
            await caller.call(called, timeout=1.0)
        for call in caller.calls:
            await call.hangup()
    assert [len(phone.invites) for phone in phones] == before, "somebody who left was rung"
    await farm.dismissed()


async def _renumber(stand: Stand, by_how_many: int) -> float:
    started = time.perf_counter()
    await stand.db.execute(
        f"UPDATE agentbridge.agents SET internal = (internal::bigint + {by_how_many})::text WHERE {THEM}",
        timeout=WITHIN_S,
    )
    rows = await stand.db.fetch(f"SELECT internal FROM agentbridge.agents WHERE {THEM}")
    wanted = {f"PJSIP/{row['internal']}" for row in rows}

    async def moved() -> bool:
        return {interface for _, interface in await members(stand.asterisk)} == wanted

    await until(moved, within=WITHIN_S, what="all members having their new numbers")
    return round(time.perf_counter() - started, 2)


def main() -> None:
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else AGENTS)), indent=2))


if __name__ == "__main__":
    main()
