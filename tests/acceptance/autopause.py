"""Rounds of a race: app_queue puts agents who don't answer on Auto-Pause, and the directory ends it again (C10)."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from lab.asterisk import Queues
from lab.bridge import Sections
from lab.phones import Ring
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre

AGENTS = 10
QUEUES: Queues = {f"hasty{number}": {"autopause": "yes", "timeout": "1", "retry": "1"} for number in range(AGENTS)}
# looked at again so often that a comparison mostly reads an unpause before the hint of it is
SECTIONS: Sections = {"database": {"poll_seconds": 3.0}, "resync": {"seconds": 1.0}}
WITHIN_S = 30.0


@asynccontextmanager
async def hasty_centre(postgres: Postgres) -> AsyncIterator[Centre]:
    """Runs a centre in which each agent is alone in a queue, and its phone rings in vain."""
    async with Centre(postgres, queues=QUEUES, sections=SECTIONS, audio=False) as centre:
        names = [f"agent{number}" for number in range(AGENTS)]
        for name, queue in zip(names, QUEUES, strict=True):
            await centre.agent(name, queue)
        await centre.login(*names)
        await centre.settled()
        for phone in await centre.phones(names):
            phone.behaviour = Ring()
        yield centre


async def lose_notifications(centre: Centre) -> None:
    """Makes the daemon find changes by polling alone, as behind a pooler in transaction mode."""
    text = await centre.db.fetchval("SELECT pg_get_functiondef('agentbridge.note'::regproc)")
    silent, found = re.subn(r"perform pg_notify\('agentbridge', [^;]*\);", "null;", text)
    assert found == 1
    await centre.db.execute(silent)


async def one_round(centre: Centre, pauses_between: Iterator[float]) -> None:
    """Lets each agent be autopaused, then unpauses it by SQL one after the other; checks that both sides keep that."""
    callers = [await centre.caller() for _ in QUEUES]
    calls = [caller.dial(queue) for caller, queue in zip(callers, QUEUES, strict=True)]

    async def all_autopaused() -> bool:
        return all(seen.paused for seen in (await centre.members()).values())

    await until(all_autopaused, within=WITHIN_S, what="the autopause of each")
    for call in calls:
        await call.hangup()

    async def all_adopted() -> bool:
        return bool(await centre.db.fetchval("SELECT count(*) = $1 FROM agentbridge.queue_pauses", AGENTS))

    await until(all_adopted, within=WITHIN_S, what="the autopauses in the directory")
    for number, queue in enumerate(QUEUES):
        await centre.unpause(f"agent{number}", queue)
        await asyncio.sleep(next(pauses_between))
    await holds(centre)


async def holds(centre: Centre) -> None:
    """Checks that nobody is on pause in the directory, and soon nobody in Asterisk."""

    async def unpaused() -> bool:
        assert await centre.db.fetchval("SELECT count(*) FROM agentbridge.queue_pauses") == 0, "undone"
        return not any(seen.paused for seen in (await centre.members()).values())

    await until(unpaused, within=WITHIN_S, what="the unpauses in Asterisk")
    assert centre.bridge.events("drift.repaired") == [], "what the directory wished is no drift"
