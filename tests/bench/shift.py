"""A call centre of some size through its day: cold start, a shift that logs in, a resync, and the careless way.

`python -m tests.bench.shift [AGENTS]`. A fifth of the agents is logged in at the cold start, in five queues
each. They leave, and log in paused within ten seconds. They leave again, the daemon stops, and a script adds the
same members as fast as the socket takes them.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass

from lab.bridge import Bridge
from lab.manager import Manager, members
from lab.processes import run
from tests.acceptance.wire import Wire
from tests.bench.stand import WITHIN_S, Load, Stand

AGENTS = 10_000
LOGIN_WITHIN_S = 10.0
RESYNCS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Resync:
    """The cost of a comparison without differences: writes, seconds, longest stall of the event loop, memory."""

    writes: int
    seconds: float
    longest_stall_ms: float
    rss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """`rss_mb`: of the daemon's own process, after the shift has come."""

    agents: int
    logged_in: int
    cold_start: Load
    shift: Load
    unpaced: Load
    rss_mb: float
    resync: Resync


async def measure(agents: int = AGENTS) -> Day:
    """Measures a day: cold start, a shift that logs in, a comparison, and the same changes without pace."""
    async with Stand(numbers=agents + 100) as stand:
        shift = agents // 5
        await stand.people(agents, login_in_pause=True)
        await stand.login_at_once(0, shift)
        async with stand.measured() as cold_start:
            await stand.bridge.start(within=WITHIN_S)
            await cold_start.done()
        await _leave(stand, shift)
        async with stand.measured() as coming:
            await stand.login(0, shift, over_s=LOGIN_WITHIN_S * 0.9)
            await coming.done()
        rss_mb, there = stand.rss_mb(), await members(stand.asterisk)
        await _leave(stand, shift)
        await stand.bridge.stop()
        unpaced = await _unpaced(stand, set(there))
        await stand.login_at_once(0, shift)
        return Day(
            agents=agents,
            logged_in=shift,
            cold_start=cold_start.load(),
            shift=coming.load(),
            unpaced=unpaced,
            rss_mb=rss_mb,
            resync=await _resync(stand),
        )


async def _leave(stand: Stand, shift: int) -> None:
    await stand.logout_at_once(0, shift)
    await stand.settled()
    await stand.processors.idle(within=WITHIN_S)


async def _unpaced(stand: Stand, new: set[tuple[str, str]]) -> Load:
    """Adds the members by AMI without the daemon's pace, for comparison."""
    async with stand.measured() as measure, Manager(stand.asterisk) as manager:
        for queue, interface in sorted(new):
            manager.send("QueueAdd", {"Queue": queue, "Interface": interface, "Paused": "true", "Penalty": "1"})
        for _ in new:
            await manager.read()
        await measure.done(by_daemon=False)
    return measure.load()


async def _resync(stand: Stand) -> Resync:
    """Measures a comparison with the daemon in a child process; a first one repairs what the script has added."""
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
