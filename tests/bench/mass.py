"""A call centre of some size through its day: cold start, idle, the end and the start of a shift, an import.

`python -m tests.bench.mass [AGENTS]`. A fifth of the agents is logged in, in five queues each; all of them leave
and come with one statement, on pause. Beside the cold start
stands a script that pushes the same and compares nothing; beside the shift two that add and take out the same members,
one as fast as the socket takes them, one within the limit. Customers call all the time.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from lab.asterisk import Asterisk
from lab.bridge import Bridge
from lab.manager import members
from lab.processes import run
from lab.sipp import Customers
from tests.acceptance.wire import Wire
from tests.bench import idle
from tests.bench.importing import Import, imported
from tests.bench.peers import shift as shift_by
from tests.bench.stand import QUEUES, WITHIN_S, Load, Stand

AGENTS = 10_000
RESYNCS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Resync:
    """Without a difference: writes on the wire, seconds of one, the loop's longest stall, memory."""

    writes: int
    seconds: float
    longest_stall_ms: float
    rss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """`pushed_s`, `pushed_import_s`: what the script needed for the objects of the cold start and of the import.
    `unpaced_…`, `paced_…`: the shift by a script without a pace, and by one that keeps the limit."""

    agents: int
    logged_in: int
    cold_start: Load
    pushed_s: float
    shift_end: Load
    shift_start: Load
    unpaced_end: Load
    unpaced_start: Load
    paced_end: Load
    paced_start: Load
    imported: Import
    pushed_import_s: float
    rss_mb: float
    idle: idle.Idle
    resync: Resync


async def measure(agents: int = AGENTS, idle_s: float = idle.SECONDS) -> Day:
    async with Stand(numbers=2 * agents + 100) as stand:
        shift = agents // 5
        await stand.people(agents, login_in_pause=True)
        await stand.login_at_once(0, shift)
        pushed_s = await _pushed(stand)
        async with stand.measured() as cold_start:
            await stand.bridge.start(within=WITHIN_S)
            await cold_start.done()
        rss_mb, there = stand.rss_mb(), set(await members(stand.asterisk, within=WITHIN_S))
        resting = await idle.with_daemon(stand, idle_s)
        async with stand.measured() as leaving:
            await stand.logout_at_once(0, shift)
            await leaving.done()
        async with stand.measured() as coming:
            await stand.login_at_once(0, shift)
            await coming.done()
        more = await imported(stand, agents)
        await stand.bridge.stop()
        # First the one that keeps the limit: it takes out the members that the daemon has added, which are scattered in
        # Asterisk's memory and take a third longer to look at than those of a script, side by side.
        paced_end, paced_start = await _shift(stand, there, shift_by.paced)
        unpaced_end, unpaced_start = await _shift(stand, there, shift_by.unpaced)
        return Day(
            agents=agents,
            logged_in=shift,
            cold_start=cold_start.load(),
            pushed_s=pushed_s,
            shift_end=leaving.load(),
            shift_start=coming.load(),
            unpaced_end=unpaced_end,
            unpaced_start=unpaced_start,
            paced_end=paced_end,
            paced_start=paced_start,
            imported=more,
            pushed_import_s=await _pushed(stand, agents),
            rss_mb=rss_mb,
            idle=idle.judged(agents, idle_s, resting, await idle.without_daemon(stand), rss_mb),
            resync=await _resync(stand),
        )


async def _pushed(stand: Stand, first: int = 0) -> float:
    """Seconds until an Asterisk of its own, which customers call too, has no task left from being told all that the
    directory says.

    first: of the agents beyond so many alone, beside the first ones.
    """
    async with (
        Asterisk(queues=QUEUES) as asterisk,
        Bridge(asterisk, stand.dsn, name="pusher") as bridge,
        Customers(asterisk),
    ):
        started = time.perf_counter()
        command = (sys.executable, "-m", "tests.bench.peers.pusher", str(bridge.config), str(first))
        pushed_s = float((await run(*command, within=WITHIN_S)).split()[-1])
        return pushed_s if first else round(time.perf_counter() - started, 2)


async def _shift(stand: Stand, places: set[shift_by.Place], write: Callable[..., Awaitable[None]]) -> tuple[Load, Load]:
    """Has a script take these members out and add them again; returns what each cost."""
    loads = []
    for action, fields in (("QueueRemove", {}), ("QueueAdd", {"Paused": "true", "Penalty": "1"})):
        async with stand.measured() as measure:
            await write(stand.asterisk, sorted(places), action, fields)
            await measure.done(by_daemon=False)
        loads.append(measure.load())
    end, start = loads
    return end, start


async def _resync(stand: Stand) -> Resync:
    """In a child, the daemon in process; the first one repairs what the script has added."""
    async with (
        Wire(stand.asterisk) as wire,
        Bridge(stand.asterisk, stand.dsn, ami_port=wire.ami_port, ari_port=wire.ari_port) as bridge,
    ):
        await _child(bridge, resyncs=0)
        wire.forget()
        found = await _child(bridge, resyncs=RESYNCS)
        return Resync(
            writes=len(wire.writes()),
            seconds=found["resync_s"],
            longest_stall_ms=found["stall_ms"],
            rss_mb=found["rss_mb"],
        )


async def _child(bridge: Bridge, *, resyncs: int) -> dict[str, float]:
    command = (sys.executable, "-m", "tests.bench.resyncing", str(bridge.config), str(resyncs))
    answer: dict[str, float] = json.loads((await run(*command, within=WITHIN_S)).splitlines()[-1])
    return answer


def main() -> None:
    day = asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else AGENTS))
    print(json.dumps(asdict(day), indent=2))


if __name__ == "__main__":
    main()
