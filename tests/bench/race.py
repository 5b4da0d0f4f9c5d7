"""Many agents log in, on pause at once, while customers wait in their queue: is any phone rung in between?

`python -m tests.bench.race [AGENTS]`. Each agent has a registered phone and is in five queues or six, one of which is
the same for all; three customers wait in it. All log in, one transaction each; a member that was added and then paused
would ring. At last one agent ends the pause, and that phone must ring: else nothing was seen.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from lab.manager import members
from lab.phones import Call, Farm, Phone, Ring, State
from lab.processes import until
from tests.bench.stand import QUEUES, WITHIN_S, Stand

AGENTS = 2000
WAITING = 3
TOGETHER = 50
"""phones that register at once"""
QUEUE = next(iter(QUEUES))
SETTLED_WITHIN_S = 3 * WITHIN_S
AFTER_S = 3.0
"""the queue offers a call again every second"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """`invites`: of all phones, until the first pause ended. `ring_s`: from that to the phone's INVITE."""

    logins: int
    members: int
    invites: int
    login_s: float
    settled_s: float
    ring_s: float


async def measure(agents: int = AGENTS) -> Race:
    """Logs agents in on pause while customers wait, and counts the phones that rang in between."""
    async with Stand(numbers=agents + 100) as stand, Farm(_server(stand), audio=False) as farm:
        await stand.people(agents, login_in_pause=True)
        await stand.db.execute(
            "INSERT INTO agentbridge.queue_members (agent_id, queue_id) SELECT a.id, q.id"
            " FROM agentbridge.agents a, agentbridge.queues q WHERE q.name = $1 ON CONFLICT DO NOTHING",
            QUEUE,
        )
        await stand.bridge.start(within=WITHIN_S)
        await stand.settled()
        phones = await _phones(stand, farm)
        customers = await _waiting(stand, farm)
        started = time.perf_counter()
        await stand.login(0, agents)
        login_s = time.perf_counter() - started
        await stand.settled(SETTLED_WITHIN_S, look_s=1.0)
        settled_s = time.perf_counter() - started
        await asyncio.sleep(AFTER_S)
        there = await members(stand.asterisk, within=WITHIN_S)
        assert len({interface for _, interface in there}) == agents
        assert {seen.paused for seen in there.values()} == {True}
        assert all(call.state is State.UP for call in customers), "the customers wait still"
        invites = sum(len(phone.invites) for phone in phones)
        return Race(
            logins=agents,
            members=len(there),
            invites=invites,
            login_s=round(login_s, 2),
            settled_s=round(settled_s, 2),
            ring_s=round(await _rings(stand, phones[-1]), 3),
        )


def _server(stand: Stand) -> tuple[str, int]:
    return stand.asterisk.host, stand.asterisk.sip_port


async def _phones(stand: Stand, farm: Farm) -> list[Phone]:
    rows = await stand.db.fetch("SELECT internal, sip_secret FROM agentbridge.agents ORDER BY id")
    phones: list[Phone] = []
    for part in _parts({row["internal"]: row["sip_secret"] for row in rows}):
        phones += await farm.register(part, timeout=WITHIN_S)
    for phone in phones:
        phone.behaviour = Ring()
    return phones


def _parts(secrets: dict[str, str]) -> Iterator[dict[str, str]]:
    names = list(secrets)
    for first in range(0, len(names), TOGETHER):
        yield {name: secrets[name] for name in names[first : first + TOGETHER]}


async def _waiting(stand: Stand, farm: Farm) -> list[Call]:
    asterisk = stand.asterisk
    phones = [await farm.phone(asterisk.caller_user, asterisk.caller_secret) for _ in range(WAITING)]
    return [await phone.call(QUEUE, WITHIN_S) for phone in phones]


async def _rings(stand: Stand, phone: Phone) -> float:
    """Ends the agent's pause; returns the seconds until its phone rings."""
    started = time.perf_counter()
    await stand.db.execute(
        "SELECT agentbridge.unpause(username, source => 'admin') FROM agentbridge.agents WHERE internal = $1",
        phone.user,
    )

    async def rung() -> bool:
        return len(phone.invites) > 0

    await until(rung, within=WITHIN_S, what="the phone of the agent who is there being rung")
    return time.perf_counter() - started


def main() -> None:
    race = asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else AGENTS))
    print(json.dumps(asdict(race), indent=2))


if __name__ == "__main__":
    main()
