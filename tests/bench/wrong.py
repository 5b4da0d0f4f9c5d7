"""What agentbridge and its peers get wrong: the other half of what the latency of one change costs.

`python -m tests.bench.wrong`. Each works alone, on the same directory and Asterisk (realtime on its own): sixteen
writers pause and unpause agents as fast as they can; agents pause while their phones ring; Asterisk is killed, and
agents log in, log out and pause before it is back; PostgreSQL is away for some seconds, and agents pause afterwards.
Counted is what is not as the directory says when nothing happens any more.
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import asyncpg

from lab.asterisk import Asterisk
from lab.manager import members
from lab.phones import Farm, Phone, Ring, State
from lab.processes import LabError, until
from tests.bench.latency import QUEUE
from tests.bench.peers.realtime import Realtime, realtime
from tests.bench.peers.running import AGENTBRIDGE, ORDINARY, REALTIME, Db, script
from tests.bench.stand import FIRST, WITHIN_S, Stand

AGENTS = 200
WRITERS, WRITING_S = 16, 6.0
RINGING = 10
"""phones, all of one queue; and so many agents do each thing while Asterisk is away"""
CALM_S = 8.0
"""long after anybody would still have done something"""
AWAY_S = 4.0
Places = dict[str, bool]
"""whether each interface that is a member of the queue is on pause"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Counts of agents; `changes` were made by the writers, `phones` rang."""

    changes: int
    lost_changes: int
    phones: int
    ringing_on_pause: int | None
    """None where the phones could not be made to ring"""
    after_asterisk: int
    while_postgresql_away: int
    after_postgresql: int


def differing(wanted: Places, there: Places) -> int:
    return sum(wanted.get(one) != there.get(one) for one in wanted.keys() | there.keys())


class Side:
    """What is asked of the daemon's Asterisk and its directory, and of realtime's."""

    def __init__(self, asterisk: Asterisk, dsn: str) -> None:
        self.asterisk, self.dsn = asterisk, dsn

    async def wanted(self) -> Places:
        db: Db = await asyncpg.connect(self.dsn)
        try:
            return {f"PJSIP/{row[0]}": row[1] for row in await db.fetch(self.WANTED)}
        finally:
            await db.close()

    async def there(self) -> Places:
        found = await members(self.asterisk, [QUEUE], within=WITHIN_S)
        return {interface: member.paused for (_, interface), member in found.items()}

    async def wrong(self) -> int:
        """How many agents are members and should not be, the other way round, or in the wrong state."""
        return differing(await self.wanted(), await self.there())

    async def act(self, db: Db, verb: str, number: int) -> None:
        await db.execute(f"SELECT agentbridge.{verb}($1, source => 'admin')", f"agent{number - FIRST}")

    async def secrets(self, count: int) -> dict[str, str]:
        db: Db = await asyncpg.connect(self.dsn)
        try:
            rows = await db.fetch("SELECT internal, sip_secret FROM agentbridge.agents ORDER BY id LIMIT $1", count)
            return {row["internal"]: row["sip_secret"] for row in rows}
        finally:
            await db.close()

    WANTED = "SELECT a.internal, s.paused FROM agentbridge.sessions s JOIN agentbridge.agents a ON a.id = s.agent_id"


class RealtimeSide(Side):
    """The rows are Asterisk's own, and a look at the queue reads them."""

    WANTED = "SELECT substr(interface, 7), paused = 1 FROM queue_members"
    ACTS: Mapping[str, str] = {
        "pause": "UPDATE queue_members SET paused = 1 WHERE interface = $1",
        "unpause": "UPDATE queue_members SET paused = 0 WHERE interface = $1",
        "logout": "DELETE FROM queue_members WHERE interface = $1",
        "login": f"INSERT INTO queue_members (queue_name, interface, penalty, paused) VALUES ('{QUEUE}', $1, 0, 0)",
    }

    async def there(self) -> Places:
        await self.asterisk.cli(f"queue show {QUEUE}", within=WITHIN_S)
        return await super().there()

    async def act(self, db: Db, verb: str, number: int) -> None:
        await db.execute(self.ACTS[verb], f"PJSIP/{number}")

    async def secrets(self, count: int) -> dict[str, str]:
        return {str(number): f"secret{number}" for number in range(FIRST, FIRST + count)}


async def measure(tell: Callable[[str, Wrong], None] = lambda _name, _wrong: None) -> dict[str, Wrong]:
    found: dict[str, Wrong] = {}
    async with Stand(numbers=AGENTS + 100) as stand, realtime(stand.postgres, {QUEUE: {}}) as own:
        await _fill(stand)
        await _own_rows(own)
        side = Side(stand.asterisk, stand.dsn)
        for name in (AGENTBRIDGE, ORDINARY):
            async with _daemon(stand, alone=name == AGENTBRIDGE):
                if name == AGENTBRIDGE:
                    found[name] = await _wrong(stand, side)
            if name != AGENTBRIDGE:
                async with script(name, stand.dsn, stand.asterisk):
                    found[name] = await _wrong(stand, side)
            tell(name, found[name])
        found[REALTIME] = await _wrong(stand, RealtimeSide(own.asterisk, own.dsn))
        tell(REALTIME, found[REALTIME])
    return found


async def _fill(stand: Stand) -> None:
    await stand.db.execute(
        "INSERT INTO agentbridge.agents (username) SELECT 'agent' || n FROM generate_series(0, $1::int - 1) n", AGENTS
    )
    await stand.db.execute(
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id)"
        " SELECT a.id, q.id FROM agentbridge.agents a, agentbridge.queues q WHERE q.name = $1",
        QUEUE,
    )


@contextlib.asynccontextmanager
async def _daemon(stand: Stand, *, alone: bool) -> AsyncIterator[None]:
    """The daemon brings Asterisk to where all begin: everybody logged in and ready. It stays where it is measured."""
    if stand.db.is_closed():
        stand.db = await stand.another_connection()
    await stand.login_at_once(0, AGENTS)
    await stand.db.execute("SELECT agentbridge.unpause(username, source => 'admin') FROM agentbridge.agents")
    await stand.bridge.start(within=WITHIN_S)
    await stand.settled()
    if not alone:
        await stand.bridge.stop()
    yield
    if alone:
        await stand.bridge.stop()


async def _own_rows(own: Realtime) -> None:
    await own.fill(QUEUE, [str(FIRST + n) for n in range(AGENTS)])
    await own.db.execute(
        "INSERT INTO ps_endpoints SELECT n::text, NULL, n::text, n::text, 'from-sip', 'all', 'ulaw,alaw', 'no'"
        " FROM generate_series($1::int, $2) n",
        FIRST,
        FIRST + RINGING,
    )
    await own.db.execute(
        "INSERT INTO ps_auths SELECT n::text, 'userpass', n::text, 'secret' || n FROM generate_series($1::int, $2) n",
        FIRST,
        FIRST + RINGING,
    )
    await own.db.execute(
        "INSERT INTO ps_aors SELECT n::text, 1, 'yes' FROM generate_series($1::int, $2) n", FIRST, FIRST + RINGING
    )
    # Asterisk makes an endpoint's device state when it loads its endpoints; of others it is 'Invalid', and nobody rings
    await own.asterisk.restart()


async def _wrong(stand: Stand, side: Side) -> Wrong:
    changes, lost = await _many_writers(side)
    ringing_on = await _ringing(side)
    after_asterisk = await _asterisk_killed(side)
    missing, after_postgresql = await _postgresql_away(stand, side)
    return Wrong(
        changes=changes,
        lost_changes=lost,
        phones=RINGING,
        ringing_on_pause=ringing_on,
        after_asterisk=after_asterisk,
        while_postgresql_away=missing,
        after_postgresql=after_postgresql,
    )


async def _many_writers(side: Side) -> tuple[int, int]:
    """How many changes there were, and how many agents are not as the last one wished."""

    async def write(writer: int) -> int:
        db: Db = await asyncpg.connect(side.dsn)
        count, end = 0, time.perf_counter() + WRITING_S
        mine = [FIRST + number for number in range(writer, AGENTS, WRITERS)]
        while time.perf_counter() < end:
            await side.act(db, random.choice(("pause", "unpause")), random.choice(mine))
            count += 1
        await db.close()
        return count

    counts = await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    await asyncio.sleep(CALM_S)
    return sum(counts), await side.wrong()


async def _ringing(side: Side) -> int | None:
    """How many phones still ring two seconds after their agents paused; None where they never rang."""
    db: Db = await asyncpg.connect(side.dsn)
    async with Farm((side.asterisk.host, side.asterisk.sip_port), audio=False) as farm:
        phones = await farm.register(await side.secrets(RINGING))
        for phone in phones:
            phone.behaviour = Ring()
            await side.act(db, "unpause", int(phone.user))
        await asyncio.sleep(CALM_S)
        customer = await farm.phone(side.asterisk.caller_user, side.asterisk.caller_secret)
        call = customer.dial(QUEUE)
        try:
            await until(lambda: all(_rings(phone) for phone in phones), within=20.0, what="all phones ringing")
        except LabError:
            return None
        for phone in phones:
            await side.act(db, "pause", int(phone.user))
        await asyncio.sleep(2.0)
        ringing_on = sum(_rings(phone) for phone in phones)
        await call.hangup()
    await db.close()
    return ringing_on


def _rings(phone: Phone) -> bool:
    return any(call.state is State.RINGING for call in phone.calls)


async def _asterisk_killed(side: Side) -> int:
    """How many members are wrong after a crash of Asterisk, while which thirty agents did something."""
    db: Db = await asyncpg.connect(side.dsn)
    first = FIRST + 2 * RINGING
    for number in range(first, first + RINGING):
        await side.act(db, "logout", number)
        await side.act(db, "unpause", number + RINGING)
    await asyncio.sleep(CALM_S)
    await side.asterisk.kill()
    for number in range(first, first + RINGING):
        await side.act(db, "login", number)
        await side.act(db, "pause", number + RINGING)
        await side.act(db, "logout", number + 2 * RINGING)
    await side.asterisk.start()
    await db.close()
    await asyncio.sleep(CALM_S)
    return await side.wrong()


async def _postgresql_away(stand: Stand, side: Side) -> tuple[int, int]:
    """How many members are wrong while PostgreSQL is away, and how many of ten pauses and their ends after it."""
    late = [FIRST + 5 * RINGING + number for number in range(RINGING)]
    await _all(side, "unpause", late)
    wanted = await side.wanted()
    before = differing(wanted, await side.there())
    await stand.postgres.stop()
    await asyncio.sleep(AWAY_S)
    missing = differing(wanted, await side.there()) - before
    await stand.postgres.start()
    await asyncio.sleep(CALM_S)
    followed = set(late)
    for verb, paused in (("pause", True), ("unpause", False)):
        await _all(side, verb, late)
        there = await side.there()
        followed -= {number for number in late if there.get(f"PJSIP/{number}") is not paused}
    return max(0, missing), len(late) - len(followed)


async def _all(side: Side, verb: str, numbers: Sequence[int]) -> None:
    """Each of them does it, and everybody had the time to follow."""
    db: Db = await asyncpg.connect(side.dsn)
    for number in numbers:
        await side.act(db, verb, number)
    await db.close()
    await asyncio.sleep(CALM_S)


def main() -> None:
    asyncio.run(measure(lambda name, wrong: print(json.dumps({name: asdict(wrong)}), flush=True)))


if __name__ == "__main__":
    main()
