"""A contact centre at work behind proxies that fail on demand, and what must hold after each fault.

The proof of a healing is `agentbridge plan`, worked out by connections of its own beside the proxies, and the
members as SQL and a bare client of AMI see them, without a line of the product; that no call was lost is heard;
that nobody was rung wrongly is what the phones saw.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from agentbridge.cli.differences import work_out
from agentbridge.errors import Refused, Unavailable
from agentbridge.settings import load
from lab.asterisk import MUSIC_HZ
from lab.bridge import Bridge, Sections
from lab.faults import FaultProxy
from lab.phones import Call, Phone, RegistrationRefusedError, Ring, State
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre

QUICK: Sections = {
    "database": {"poll_seconds": 1.0, "probe_seconds": 1.0, "statement_seconds": 2.0},
    "ari": {"deadline_seconds": 3.0},
}
HEALED_WITHIN_S = 20.0
QUEUES: Mapping[str, Mapping[str, str]] = {
    "sales": {},
    "support": {},
    "billing": {},
    # of a caller who waits for ever: nobody in it is off pause
    "waiting": {},
}
# what should be, by a statement of our own: the daemon's is not asked
MEMBERS = """
SELECT q.name AS queue, a.internal, e.penalty, s.paused OR p.agent_id IS NOT NULL AS paused,
    CASE WHEN s.paused THEN s.pause_reason ELSE coalesce(p.reason, '') END AS reason
FROM agentbridge.sessions s
JOIN agentbridge.agents a ON a.id = s.agent_id
JOIN agentbridge.effective_members e ON e.agent_id = s.agent_id
JOIN agentbridge.queues q ON q.id = e.queue_id
LEFT JOIN agentbridge.queue_pauses p ON p.agent_id = e.agent_id AND p.queue_id = e.queue_id
"""
Condition = Callable[[], Awaitable[bool]]


class Stand(Centre):
    """A centre at work whose daemon reaches AMI, ARI and PostgreSQL through the proxies `ami`, `ari` and `pg`.

    ana talks to a customer; ben and cem are on pause in `waiting`, where a caller waits; dua is free; eve is not logged
    in.
    """

    def __init__(
        self,
        postgres: Postgres,
        *,
        seed: int = 0,
        sections: Sections | None = None,
        extra: Mapping[str, str] | None = None,
        numbers: range = range(1000, 1030),
    ) -> None:
        super().__init__(
            postgres,
            queues=QUEUES,
            numbers=numbers,
            sections=_over(QUICK, sections),
            extra=extra,
            started=False,
        )
        self._seed = seed
        self.healings: list[float] = []

    async def _open(self, stack: AsyncExitStack) -> None:
        await super()._open(stack)
        self.eye = self.bridge  # never started: a configuration that leads straight to the servers
        self.ami = await stack.enter_async_context(FaultProxy(self.asterisk.ami_port, seed=self._seed))
        self.ari = await stack.enter_async_context(FaultProxy(self.asterisk.ari_port, seed=self._seed))
        self.pg = await stack.enter_async_context(FaultProxy(self.postgres.port, seed=self._seed))
        self.bridge = await stack.enter_async_context(self.faulty_daemon())
        await self.bridge.start()
        await self._people()

    def faulty_daemon(self, *, sections: Sections | None = None) -> Bridge:
        """Makes a daemon behind the proxies, which is not started."""
        dsn = self.dsn.replace(f":{self.postgres.port}/", f":{self.pg.port}/")
        return Bridge(
            self.asterisk,
            dsn,
            ami_port=self.ami.port,
            ari_port=self.ari.port,
            sections=_over(self._sections or {}, sections),
        )

    async def _people(self) -> None:
        self.internal = {
            "ana": await self.agent("ana", "sales"),
            "ben": await self.agent("ben", "support", "waiting"),
            "cem": await self.agent("cem", "billing", "waiting", login_in_pause=True),
            "dua": await self.agent("dua", "sales", "support", penalty=7),
            "eve": await self.agent("eve", "sales", "waiting"),
        }
        await self.login("ben")
        await self.pause("ben")
        await self.login("ana", "cem", "dua")
        await self.settled()
        self.ana, self.ben, self.cem, self.dua, self.eve = await self.phones(self.internal)
        for phone in (self.ben, self.cem, self.eve):
            phone.behaviour = Ring()
        await self.talk()

    async def talk(self) -> None:
        """Lets two customers call: one is answered by ana, one waits where everybody is on pause."""
        self.customer, waiting = await self.caller(), await self.caller()
        self.call = await self.customer.call("sales", timeout=5)
        await self.ana.rings(timeout=10)
        self.waiting = await waiting.call("waiting", timeout=5)
        await self.hears()

    async def hears(self) -> None:
        """Checks that both ends of the call hear each other, and the waiting caller the music."""
        async with asyncio.TaskGroup() as all_three:
            all_three.create_task(both_hear(self.call, self.customer, self.ana.calls[-1], self.ana))
            all_three.create_task(self.waiting.hears(MUSIC_HZ, timeout=5))

    # ------------------------------------------------------------ faults

    async def lasts(self, seconds: float) -> None:
        """Waits so many seconds while the fault lasts; checks that the daemon lives."""
        end = time.monotonic() + seconds

        async def over() -> bool:
            assert self.bridge.running, "the daemon ended"
            return time.monotonic() > end

        await until(over, within=seconds + 5, what="the end of the fault")

    async def bridge_stays_away(self, seconds: float) -> bool:
        """Waits so many seconds; returns whether the daemon, which has ended, is still gone."""
        end = time.monotonic() + seconds

        async def over() -> bool:
            return self.bridge.running or time.monotonic() > end

        await until(over, within=seconds + 5, what="the end of the look")
        return not self.bridge.running

    async def bridge_is_quiet(
        self, heard: socket.socket, feeds: Callable[[socket.socket], int], *, seconds: float
    ) -> None:
        """Waits until the daemon has not fed the watchdog for so many seconds."""
        last = time.monotonic()

        async def quiet() -> bool:
            nonlocal last
            last = time.monotonic() if feeds(heard) else last
            return time.monotonic() - last > seconds

        await until(quiet, within=seconds + 10, what=f"{seconds} s without a feed of the watchdog")

    async def phones_return(self) -> None:
        """Registers the phones again after a restart of Asterisk, and begins new calls."""
        for phone in (self.ana, self.ben, self.cem, self.dua, self.eve):
            for call in phone.calls:
                call.drop()
            await self._registered(phone)
        await self.until_member("sales", self.internal["ana"], paused=False)
        await self.talk()

    async def _registered(self, phone: Phone) -> None:
        """Registers a phone; Asterisk may have lost its endpoint until the daemon gives it back."""

        async def let_in() -> bool:
            try:
                await phone.register(timeout=10)
            except RegistrationRefusedError:
                return False
            return True

        await until(let_in, within=10, what=f"the registration of {phone.user}")

    # ------------------------------------------------------------ what must hold

    async def healed(self, within: float = HEALED_WITHIN_S) -> float:
        """Waits until nothing differs, then checks that all works; returns the seconds that it took."""
        took = await self.converged(within)
        await self.works()
        self.healings.append(took)
        sys.stderr.write(f"    healed {took:.1f} s after the fault\n")
        return took

    async def converged(self, within: float = HEALED_WITHIN_S) -> float:
        """Waits until nothing differs; returns the seconds that it took."""
        started = time.monotonic()
        try:
            await until(self.nothing_differs, within=within, what="no difference between database and Asterisk")
        except Exception as late:
            late.add_note(await self._differences())
            raise
        return time.monotonic() - started

    async def works(self) -> None:
        """Checks that the next change is applied, the calls are up, and only who should has rung."""
        await self.pause("dua", "after the fault")
        await self.until_member("support", self.internal["dua"], paused=True, reason="after the fault")
        await self.unpause("dua")
        await self.until_member("support", self.internal["dua"], paused=False)
        assert self.call.state is State.UP, "the call was lost"
        assert self.waiting.state is State.UP, "the caller who waits was lost"
        await self.hears()
        self.nobody_rang_wrongly()

    def nobody_rang_wrongly(self) -> None:
        assert [phone.user for phone in (self.ben, self.cem, self.eve) if phone.invites] == []

    async def nothing_differs(self) -> bool:
        try:
            found = await work_out(load(self.eye.config))
        except (Unavailable, Refused):
            return False
        return not found.plan.steps and not found.plan.problems and not await self.unlike()

    async def unlike(self) -> set[object]:
        """Returns the members that are only in database or Asterisk, or differ, read without agentbridge's code."""
        wanted = {
            (row["queue"], f"PJSIP/{row['internal']}", row["penalty"], row["paused"], row["reason"])
            for row in await self.db.fetch(MEMBERS)
        }
        there = {(*key, seen.penalty, seen.paused, seen.reason) for key, seen in (await self.members()).items()}
        return {*(wanted ^ there)}

    async def _differences(self) -> str:
        try:
            found = await work_out(load(self.eye.config))
        except (Unavailable, Refused) as error:
            return f"no comparison: {error}"
        ended = "\n".join(self.bridge.lines()[-15:])
        found_here = f"differences: {found.plan.steps} {found.plan.problems}; by our own eyes {await self.unlike()}"
        return f"{found_here}\nthe daemon's log ends in:\n{ended}"


async def both_hear(one: Call, of_one: Phone, other: Call, of_other: Phone) -> None:
    assert of_one.tone
    assert of_other.tone
    async with asyncio.TaskGroup() as both:
        both.create_task(one.hears(of_other.tone, timeout=5))
        both.create_task(other.hears(of_one.tone, timeout=5))


def _over(below: Sections, above: Sections | None) -> Sections:
    above = above or {}
    return {name: {**below.get(name, {}), **above.get(name, {})} for name in {**below, **above}}
