"""What agentbridge costs while nothing happens: processor time of daemon, PostgreSQL and Asterisk, and its memory.

`python -m tests.bench.idle [AGENTS] [SECONDS]`. A fifth of the agents is at work. The same is measured afterwards with
the daemon ended: what is left then, the servers spend on themselves.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import psutil

from tests.bench.stand import WITHIN_S, Stand

AGENTS = 10_000
SECONDS = 125.0
"""two full comparisons and a little"""
WITHOUT_SECONDS = 30.0
SETTLES_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Percent of a core, by process, with the daemon and without. `more_percent`: what it costs in all."""

    agents: int
    at_work: int
    seconds: float
    with_daemon: Mapping[str, float]
    without: Mapping[str, float]
    more_percent: float
    rss_mb: float


async def measure(agents: int = AGENTS, seconds: float = SECONDS) -> Idle:
    async with Stand(numbers=agents + 100) as stand:
        await stand.people(agents)
        await stand.login_at_once(0, agents // 5)
        await stand.bridge.start(within=WITHIN_S)
        await stand.settled()
        await stand.processors.idle(within=WITHIN_S)
        rss_mb = stand.rss_mb()
        # at the first start of all the node takes its queues, and the directory is looked through once more for that
        await stand.bridge.stop()
        await stand.bridge.start(within=WITHIN_S)
        resting = await with_daemon(stand, seconds)
        await stand.bridge.stop()
        return judged(agents, seconds, resting, await without_daemon(stand), rss_mb)


async def with_daemon(stand: Stand, seconds: float = SECONDS) -> dict[str, float]:
    """Percent of a core, by process, of a centre that is settled."""
    await asyncio.sleep(SETTLES_S)
    return await _spent(stand, seconds, {"agentbridge": stand.bridge.pid})


async def without_daemon(stand: Stand) -> dict[str, float]:
    """The same when the daemon has ended."""
    await stand.processors.idle(within=WITHIN_S)
    await asyncio.sleep(SETTLES_S)
    return await _spent(stand, WITHOUT_SECONDS, {})


def judged(
    agents: int, seconds: float, resting: Mapping[str, float], without: Mapping[str, float], rss_mb: float
) -> Idle:
    return Idle(
        agents=agents,
        at_work=agents // 5,
        seconds=seconds,
        with_daemon=resting,
        without=without,
        more_percent=round(sum(resting.values()) - sum(without.values()), 2),
        rss_mb=rss_mb,
    )


async def _spent(stand: Stand, seconds: float, more: Mapping[str, int]) -> dict[str, float]:
    """Percent of a core that each server spends, with all its children."""
    pids = {"PostgreSQL": stand.postgres.pid, "Asterisk": stand.asterisk.pid, **more}
    before, started = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - started
    return {name: round(100 * (cpu_seconds(pid) - before[name]) / took, 2) for name, pid in pids.items()}


def cpu_seconds(pid: int) -> float:
    """Seconds of a process, its children and those that have ended."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    spent = own.user + own.system + own.children_user + own.children_system
    for child in process.children():
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
    return float(spent)


def main() -> None:
    given = [float(word) for word in sys.argv[1:]]
    agents, seconds = [*given, *(AGENTS, SECONDS)[len(given) :]]
    print(json.dumps(asdict(asyncio.run(measure(int(agents), seconds))), indent=2))


if __name__ == "__main__":
    main()
