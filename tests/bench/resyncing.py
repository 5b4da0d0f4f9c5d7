"""The daemon in this process, with a clock beside it on the same event loop.

`python -m tests.bench.resyncing CONFIG RESYNCS` prints JSON: seconds from the start until nothing is left to
do, mean seconds of a resync, the longest stall of the loop during the resyncs, and the process's memory.
"""

import asyncio
import gc
import json
import sys
import time
from pathlib import Path

import psutil

from agentbridge import logs
from agentbridge.service.daemon import built, serve
from agentbridge.service.parts import Parts
from agentbridge.settings import Log, load

TICK_S = 0.002
CALM_TICKS = 100
"""that long nothing is pending before a start counts as done"""


class Stalls:
    """Watches how late the event loop wakes a sleeper, at worst."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            self.worst = max(self.worst, time.perf_counter() - before - TICK_S)


async def main(config: Path, resyncs: int) -> dict[str, float]:
    """Runs the daemon's parts in this process for so many comparisons; returns the figures."""
    settings = load(config)
    logs.configure(Log(level="error"), settings.node.name)
    gc.freeze()  # as `daemon.run` does
    async with built(settings) as parts, asyncio.TaskGroup() as tasks:
        started = time.perf_counter()
        serving = tasks.create_task(serve(parts, settings))
        await _started(parts)
        start_s = time.perf_counter() - started - CALM_TICKS * TICK_S
        stalls = Stalls()
        watching = tasks.create_task(stalls.watch())
        taken = [await _resync(parts) for _ in range(resyncs)]
        watching.cancel()
        serving.cancel()
    return {
        "start_s": round(start_s, 2),
        "resync_s": round(sum(taken) / len(taken), 3) if taken else 0.0,
        "stall_ms": round(stalls.worst * 1000, 1),
        "rss_mb": round(psutil.Process().memory_info().rss / 1e6, 1),
    }


async def _started(parts: Parts) -> None:
    await parts.resync.done.wait()
    calm = 0
    while calm < CALM_TICKS:
        await asyncio.sleep(TICK_S)
        calm = 0 if len(parts.reconciler.work) else calm + 1


async def _resync(parts: Parts) -> float:
    """Requests a full comparison; returns the seconds until every key was compared."""
    started = time.perf_counter()
    parts.resync.now()
    for done in (False, True):  # first there is something to do, then nothing any more
        while (not len(parts.reconciler.work)) is not done:  # noqa: ASYNC110 - the product has no event for it
            await asyncio.sleep(TICK_S)
    return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))))
