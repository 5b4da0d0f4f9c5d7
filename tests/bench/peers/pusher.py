"""The best that a cold start or an import could be: pushes what should be in the best order, at the daemon's pace.

`python -m tests.bench.peers.pusher CONFIG [FIRST]`. It uses the daemon's own drivers and its writer: nothing is read
before, nothing is looked at again, and nobody is told. It prints how many seconds that took until Asterisk had no task
left. FIRST: pushes the first so many keys before, and prints the seconds of the others alone.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentbridge import logs
from agentbridge.asterisk.calls.live import set_variable
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import desired, reserve
from agentbridge.model import EndpointId, Member, ObservedState, QueueName
from agentbridge.plan.difference import joined, plan
from agentbridge.reconcile.pace import Pace
from agentbridge.reconcile.work_queue import Cause
from agentbridge.reconcile.writer import Writer
from agentbridge.service.daemon import built
from agentbridge.service.parts import Parts
from agentbridge.settings import Log, Settings, load

AT_ONCE = 500
LAMPS_AT_ONCE = 50
AWAY = "UNAVAILABLE"
"""the lamp of an agent whose phone is not registered"""


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


async def main(config: Path, first: int) -> None:
    settings = load(config)
    logs.configure(Log(level="error"), settings.node.name)
    async with built(settings) as parts, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(parts.node.run())
        await parts.node.read_all(timeout=60.0)
        started = time.perf_counter()
        keys = sorted(await parts.directory.keys())
        spare = sorted(set(await parts.directory.reserve()).difference(keys))
        parts.directory.hinted = "1:1:"
        if first:
            await _push(parts, settings, keys[:first], spare + keys[first:])
            started = time.perf_counter()
            await _push(parts, settings, keys[first:], [])
        else:
            await _push(parts, settings, keys, spare)
        print(round(time.perf_counter() - started, 2), flush=True)
        running.cancel()


async def _push(parts: Parts, settings: Settings, keys: Sequence[EndpointId], reserved: Sequence[EndpointId]) -> None:
    """Writes all that should be of these keys, and the AORs of reserved numbers, until Asterisk has no task left."""
    plans = [plan(dict.fromkeys(reserved, reserve(SipDefaults())), Nothing(), frozenset())]
    agents: set[EndpointId] = set()
    for some in _parts(keys):
        reading = await parts.directory.read(some)
        wanted = {key: desired(subject, SipDefaults()) for key, subject in reading.subjects.items()}
        plans.append(plan(wanted, Nothing(), reading.queues))
        agents |= {key for key, subject in reading.subjects.items() if subject.agent is not None}
    steps = joined(plans).steps
    causes = dict.fromkeys((step.key for step in steps), Cause.RESYNC)
    # the lamps first: app_queue looks at all its members for each, and there are none yet
    for some in _parts(sorted(agents), LAMPS_AT_ONCE):
        await asyncio.gather(*(set_variable(parts.node, f"DEVICE_STATE(Custom:agent{key})", AWAY) for key in some))
    pace = Pace(parts.node.depth, clock=time.monotonic, ceiling=settings.pace.ceiling)
    written = await Writer(parts.node, pace, time.monotonic).write(steps, causes, lambda: None)
    if written.failures:
        raise RuntimeError(f"{len(written.failures)} keys failed: {next(iter(written.failures.values()))}")
    while await parts.node.depth():  # noqa: ASYNC110 - Asterisk has no event for it
        await asyncio.sleep(0.05)


def _parts(keys: Sequence[EndpointId], size: int = AT_ONCE) -> Iterator[Sequence[EndpointId]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
