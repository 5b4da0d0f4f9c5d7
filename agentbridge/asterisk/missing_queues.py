"""Queues that the directory has and Asterisk does not: looked for until they are there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from agentbridge.asterisk.drivers.members import Members
from agentbridge.asterisk.listener import AsteriskListener
from agentbridge.errors import InvalidValue, Refused, Unavailable
from agentbridge.model import QueueName

LOOK_EVERY_SECONDS = 2.0


class MissingQueues:
    """Looks for queues that the directory has and Asterisk does not, and tells the listener when one exists.

    `queue reload` has no event of its own. up: whether Asterisk can be asked.
    """

    def __init__(self, members: Members, up: Callable[[], bool], listener: AsteriskListener) -> None:
        self._members, self._up, self._listener = members, up, listener
        self._missing: set[QueueName] = set()

    def note(self, queue: QueueName) -> None:
        """Asterisk was asked for this queue and does not know it."""
        self._missing.add(queue)

    def clear(self) -> None:
        """All keys are about to be compared: those that are missed then are noted again."""
        self._missing.clear()

    async def run(self) -> NoReturn:
        """Looks for the noted queues until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            if not self._up():
                continue
            try:
                found = {queue for queue in tuple(self._missing) if await self._exists(queue)}
            except (Unavailable, Refused):
                continue  # everything is read again when the link is back
            if found:
                self._listener.asterisk_stale()

    async def _exists(self, queue: QueueName) -> bool:
        """Asks whether Asterisk has this queue; False for a name that no queue can have."""
        try:
            return await self._members.queue_exists(queue)
        except InvalidValue:
            return False
