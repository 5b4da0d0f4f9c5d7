"""A fifth of a call centre leaves within a second, by each way there is, and nobody is asked to confirm it.

`python -m tests.bench.leaving [AGENTS [WAY...]]`. A fifth of the agents is logged in, in five queues each, with phones
for ten of them, which ring while their agents are there. For each way: they leave at once; how long until the last one
is out of Asterisk; then customers call queues and each of those numbers, and no phone may ring. Twice they leave while
the daemon is away, or while Asterisk is dead.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from lab.manager import members
from lab.phones import Farm, Phone, Ring
from tests.bench.stand import QUEUES, WITHIN_S, Stand

AGENTS = 10_000
PHONES = 10
AWAY_S = 60.0
"""how long the daemon is away in that case"""
SOME_QUEUES = list(QUEUES)[:4]
"""each agent is in one of any four that follow each other"""
OUT_WITHIN_S = 3 * WITHIN_S
LOOKS_A_SECOND = 2000
"""agents that are looked at in a second: more would take what is measured its processor"""
HEARTBEATS_S = 6.0
"""until the daemon has surely told how many keys are due"""
CALLED_S = 2.0
"""how long a customer waits: a queue tries its members every second"""
THEM = "id IN (SELECT agent_id FROM agentbridge.sessions)"

Way = Callable[[Stand], Awaitable[object]]


def by(statement: str) -> Way:
    return lambda stand: stand.db.execute(statement, timeout=WITHIN_S)


async def by_command(stand: Stand) -> None:
    """Deletes agents by `agentbridge agent delete`, five hundred names at a time."""
    rows = await stand.db.fetch(f"SELECT username FROM agentbridge.agents WHERE {THEM}")
    names = [row["username"] for row in rows]
    for first in range(0, len(names), 500):
        await stand.bridge.cli("agent", "delete", *names[first : first + 500], "--yes", within=WITHIN_S)


LOG_OUT = by(f"SELECT agentbridge.logout(username, 'admin') FROM agentbridge.agents WHERE {THEM}")
WAYS: Mapping[str, Way] = {
    "log out": LOG_OUT,
    "lock": by(f"UPDATE agentbridge.agents SET locked_at = now() WHERE {THEM}"),
    "deactivate": by(f"UPDATE agentbridge.agents SET deactivated = true WHERE {THEM}"),
    "no queues": by(
        "DELETE FROM agentbridge.queue_members WHERE agent_id IN (SELECT agent_id FROM agentbridge.sessions)"
    ),
    "delete by command": by_command,
}


async def measure(agents: int = AGENTS, *, away_s: float = AWAY_S, ways: Collection[str] = ()) -> dict[str, float]:
    """Returns the seconds until the last one is out, by each way of leaving; `ways` are those of WAYS to try, else all
    and the outages. New numbers come always.

    Raises AssertionError where somebody is held, or a phone rings.
    """
    centre = Leaving(agents)
    async with centre:
        for way, leave in WAYS.items():
            if ways and way not in ways:
                continue
            # who is in no queue any more is logged in still, and called directly
            async with centre.leaving(way, directly=way != "no queues"):
                await leave(centre.stand)
        if not ways:
            await _leave_in_outages(centre, away_s)
        first = await centre.widen()
        async with centre.leaving("new numbers", stay=True):
            await centre.renumber(first)
        assert centre.stand.bridge.events("removals.refused") == []
    return centre.took


async def _leave_in_outages(centre: "Leaving", away_s: float) -> None:
    """Logs the agents out while the daemon is away, then while Asterisk is dead."""
    async with centre.leaving("log out, daemon away"):
        await centre.stand.bridge.stop()
        await LOG_OUT(centre.stand)
        await asyncio.sleep(away_s)
        centre.clock_starts()
        await centre.stand.bridge.start(within=WITHIN_S)
    async with centre.leaving("log out, Asterisk killed"):
        await centre.stand.asterisk.kill()
        await LOG_OUT(centre.stand)
        centre.clock_starts()
        await centre.stand.asterisk.start()


class Leaving:
    """A centre of so many agents, with a daemon that has filled Asterisk with them."""

    def __init__(self, agents: int) -> None:
        self._agents, self._leave = agents, agents // 5
        self.stand = Stand(numbers=agents + 100)
        self._look_s = agents / LOOKS_A_SECOND
        self.took: dict[str, float] = {}
        self._started = 0.0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.stand)
            await self.stand.people(self._agents)
            await self.stand.bridge.start(within=WITHIN_S)
            await self.stand.settled(OUT_WITHIN_S, look_s=self._look_s)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def clock_starts(self) -> None:
        """Again: what was before is not counted."""
        self._started = time.perf_counter()

    @asynccontextmanager
    async def leaving(self, way: str, *, directly: bool = True, stay: bool = False) -> AsyncIterator[None]:
        """Logs a fifth of the agents in and lets their phones ring; the block makes them leave; checks that they are
        out and silent.

        directly: whether calls to their numbers must not ring either. stay: they go on working by other numbers.
        """
        started = time.perf_counter()
        await self._come()
        print(f"{self._leave} there after {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
        async with Farm((self.stand.asterisk.host, self.stand.asterisk.sip_port), audio=False) as farm:
            phones = await self._phones(farm)
            assert all(await self._rung(farm, phones, directly=False)), "who works is rung"
            self.clock_starts()
            yield
            await self._until_members_are(await self._numbers() if stay else set())
            self.took[way] = round(time.perf_counter() - self._started, 2)
            assert await self._held() == 0
            assert not any(await self._rung(farm, phones, directly=directly)), "somebody who left was rung"
        print(f"{way}: {self.took[way]} s, nobody rung", file=sys.stderr, flush=True)

    async def widen(self) -> int:
        """Widens the range of internal numbers by as many as work, waits until Asterisk has an AOR for each, and
        returns the first."""
        started = time.perf_counter()
        last = await self.stand.db.fetchval("SELECT internal_to FROM agentbridge.settings")
        await self.stand.db.execute("UPDATE agentbridge.settings SET internal_to = $1", last + self._leave)
        await asyncio.sleep(HEARTBEATS_S)
        async with asyncio.timeout(OUT_WITHIN_S):
            while await self.stand.db.fetchval("SELECT pending FROM agentbridge.nodes"):  # noqa: ASYNC110 - likewise
                await asyncio.sleep(self._look_s)
        print(f"range widened after {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
        return int(last) + 1

    async def renumber(self, first: int) -> None:
        """Gives all who work the numbers from `first` on, by one statement."""
        await self.stand.db.execute(
            "UPDATE agentbridge.agents a SET internal = (n.number + $1::bigint)::text FROM"
            f" (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM agentbridge.agents WHERE {THEM}) n"
            " WHERE a.id = n.id",
            first,
            timeout=WITHIN_S,
        )

    async def _come(self) -> None:
        """Logs a fifth in: those with the highest ids, unlocked, with five queues each."""
        db = self.stand.db
        await db.execute(
            "UPDATE agentbridge.agents SET locked_at = NULL, deactivated = false"
            " WHERE deactivated OR locked_at IS NOT NULL"
        )
        await db.execute(
            "INSERT INTO agentbridge.queue_members (agent_id, queue_id, penalty)"
            " SELECT a.id, q.id, 1 FROM agentbridge.agents a, agentbridge.queues q"
            " WHERE (a.id + q.id) % 4 = 0 ON CONFLICT DO NOTHING",
            timeout=WITHIN_S,
        )
        await db.execute(
            "SELECT agentbridge.login(username, source => 'admin') FROM (SELECT username FROM agentbridge.agents"
            " ORDER BY id DESC LIMIT $1) a",
            self._leave,
            timeout=WITHIN_S,
        )
        await self._until_members_are(await self._numbers())
        await self.stand.processors.idle(within=WITHIN_S)

    async def _numbers(self) -> set[str]:
        return {
            row["internal"]
            for row in await self.stand.db.fetch(f"SELECT internal FROM agentbridge.agents WHERE {THEM}")
        }

    async def _held(self) -> int:
        return int(
            await self.stand.db.fetchval("SELECT count(*) FROM agentbridge.agent_status WHERE error IS NOT NULL")
        )

    async def _until_members_are(self, numbers: set[str]) -> None:
        """Waits until each of these is in five queues, and nobody else in any."""
        await self.stand.settled(OUT_WITHIN_S, look_s=self._look_s)
        wanted = {f"PJSIP/{number}" for number in numbers}
        async with asyncio.timeout(OUT_WITHIN_S):
            while True:
                there = await members(self.stand.asterisk, within=WITHIN_S)
                if len(there) == 5 * len(wanted) and {interface for _, interface in there} == wanted:
                    return
                await asyncio.sleep(self._look_s)

    async def _phones(self, farm: Farm) -> list[Phone]:
        rows = await self.stand.db.fetch(
            f"SELECT internal, sip_secret FROM agentbridge.agents WHERE {THEM} ORDER BY id LIMIT $1", PHONES
        )
        phones = await farm.register({row["internal"]: row["sip_secret"] for row in rows})
        for phone in phones:
            phone.behaviour = Ring()
        return phones

    async def _rung(self, farm: Farm, phones: list[Phone], *, directly: bool) -> list[int]:
        """Calls four queues and each number; returns how often each phone rang."""
        before = [len(phone.invites) for phone in phones]
        for called in (SOME_QUEUES, [phone.user for phone in phones] if directly else []):
            asterisk = self.stand.asterisk
            customers = [await farm.phone(asterisk.caller_user, asterisk.caller_secret) for _ in called]
            calls = [customer.dial(extension) for customer, extension in zip(customers, called, strict=True)]
            await asyncio.sleep(CALLED_S)
            for call in calls:
                await call.hangup()
        return [len(phone.invites) - count for phone, count in zip(phones, before, strict=True)]


def main() -> None:
    agents = int(sys.argv[1]) if len(sys.argv) > 1 else AGENTS
    print(json.dumps(asyncio.run(measure(agents, ways=sys.argv[2:])), indent=2))


if __name__ == "__main__":
    main()
