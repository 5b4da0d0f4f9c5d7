"""A shift that ends or begins without agentbridge: its queue members written by two scripts.

One writes them as fast as the socket takes them; the other keeps the limit with the least that could, and shows what
the limit itself costs. Neither compares, checks or logs anything.
"""

import asyncio
from collections.abc import Mapping, Sequence

from lab.asterisk import Asterisk
from lab.manager import Manager, Message
from lab.task_processors import TaskProcessors

AT_ONCE = 50
"""members whose tasks Asterisk works off while as many more are written: 200 tasks at most"""
FED = "stasis/m:devicestate:all"
"""the task processors, each fed by the one before, of which the last has app_queue look at all members"""
Place = tuple[str, str]
"""a queue and an interface"""


async def unpaced(asterisk: Asterisk, places: Sequence[Place], action: str, fields: Mapping[str, str]) -> None:
    """Does the action at all places at once."""
    async with Manager(asterisk) as manager:
        await _write(manager, places, action, fields)


async def paced(asterisk: Asterisk, places: Sequence[Place], action: str, fields: Mapping[str, str]) -> None:
    """Does the action at some places, and at the next while the tasks of those before are worked off."""
    async with Manager(asterisk) as manager, Manager(asterisk) as asking, TaskProcessors(asterisk) as processors:
        fed = await processors.named(FED)
        worked_off: asyncio.Future[None] | None = None
        for first in range(0, len(places), AT_ONCE):
            await _write(manager, places[first : first + AT_ONCE], action, fields)
            if worked_off is not None:
                await worked_off
            worked_off = asyncio.ensure_future(_worked_off(asking, fed))
        if worked_off is not None:
            await worked_off


async def _write(manager: Manager, places: Sequence[Place], action: str, fields: Mapping[str, str]) -> None:
    """Sends an action for each place, and reads as many answers."""
    for queue, interface in places:
        told: Message = {"Queue": queue, "Interface": interface, **fields}
        manager.send(action, told)
    for _ in places:
        await manager.read()


async def _worked_off(asking: Manager, processors: Sequence[str]) -> None:
    """Waits until these task processors have done all tasks of before."""
    for name in processors:
        await asking.ask("Command", {"Command": f"core ping taskprocessor {name}"})
