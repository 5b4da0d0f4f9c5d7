"""The best that a cold start could be: pushes what should be in the best order, at the daemon's pace, without a look.

`python -m tests.bench.peers.pusher CONFIG`. It uses the daemon's own drivers and its writer, and ends when all is
written: nothing is read before, nothing is looked at again, and nobody is told.
"""

import asyncio
import sys
import time
from pathlib import Path

from agentbridge import logs
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import desired
from agentbridge.model import Member, ObservedState, QueueName
from agentbridge.plan.difference import joined, plan
from agentbridge.reconcile.pace import Pace
from agentbridge.reconcile.work_queue import Cause
from agentbridge.reconcile.writer import Writer
from agentbridge.service.daemon import built
from agentbridge.settings import Log, load

AT_ONCE = 500


class Nothing:
    """An Asterisk of which nothing is known but that it has every queue."""

    def state(self, _key: object) -> ObservedState:
        return ObservedState()

    def members_of(self, _key: object) -> dict[QueueName, Member]:
        return {}

    def policy(self, _path: str) -> str:
        return ""

    def knows_queue(self, _queue: object) -> bool:
        return True

    def carriers(self, _agent: object) -> tuple[()]:
        return ()


async def main(config: Path) -> None:
    settings = load(config)
    logs.configure(Log(level="error"), settings.node.name)
    async with built(settings) as parts, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(parts.node.run())
        await parts.node.read_all(timeout=60.0)
        keys = sorted(await parts.directory.keys())
        parts.directory.hinted = "1:1:"
        plans = []
        for start in range(0, len(keys), AT_ONCE):
            reading = await parts.directory.read(keys[start : start + AT_ONCE])
            wanted = {key: desired(subject, SipDefaults()) for key, subject in reading.subjects.items()}
            plans.append(plan(wanted, Nothing(), reading.queues))
        steps = joined(plans).steps
        pace = Pace(parts.node.depth, clock=time.monotonic, ceiling=settings.pace.ceiling)
        causes = dict.fromkeys(keys, Cause.RESYNC)
        written = await Writer(parts.node, pace, time.monotonic).write(steps, causes, lambda: None)
        print(f"{len(steps)} written, {len(written.failures)} failed", flush=True)
        running.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
