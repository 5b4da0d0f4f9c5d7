"""Autopauses: app_queue pauses a member that did not answer, which becomes a pause in the directory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import structlog

from agentbridge.errors import Refused
from agentbridge.model import AUTOPAUSE, EndpointId, PauseMember, QueueName
from agentbridge.plan.difference import Plan
from agentbridge.reconcile.ports import Asterisk, Directory
from agentbridge.reconcile.work_queue import Cause

log = structlog.get_logger()


class Autopauses:
    """Pauses that app_queue made by itself and that are not yet in the directory."""

    def __init__(self, directory: Directory, asterisk: Asterisk) -> None:
        self._directory = directory
        self._asterisk = asterisk
        self._heard: dict[EndpointId, set[QueueName]] = {}

    def note(self, key: EndpointId, queue: QueueName) -> None:
        """To be adopted before the next pass could undo it."""
        self._heard.setdefault(key, set()).add(queue)

    def waits(self, key: EndpointId) -> bool:
        """Whether an autopause of the key was heard of and is not adopted yet; the pass that adopts it is due then."""
        return key in self._heard

    async def adopt(self, keys: Collection[EndpointId]) -> dict[EndpointId, str]:
        """Writes the autopauses of these keys into the directory, as pauses of the agent.

        Returns the keys that the directory now describes differently, each with the reason why it refused a pause, ''
        where it took all. Raises Unavailable without the database; then they are kept.
        """
        return {key: await self._adopt_of(key) for key in [key for key in self._heard if key in keys]}

    async def _adopt_of(self, key: EndpointId) -> str:
        """Adopts the autopauses of one key; returns why the directory refused one, '' where it took all. Raises
        Unavailable."""
        queues = sorted(self._heard.get(key, ()))
        taken, refused = [], ""
        for queue in queues:
            # a key that changed before its pass looked at it is in another pass too, which adopts meanwhile
            if queue not in self._heard.get(key, ()):
                continue
            try:
                if await self._directory.adopt_pause(key, queue, AUTOPAUSE):
                    taken.append(queue)
            except Refused as error:  # the agent stays on pause in Asterisk, and the next resync asks again
                refused = f"the pause by Asterisk in {queue} is not in the directory: {error}"
        if left := self._heard.pop(key, set()) - set(queues):
            self._heard[key] = left
        if taken:
            log.info("pause.adopted", agent=key, queue=",".join(taken), reason=AUTOPAUSE)
        return refused

    def unheard(self, planned: Plan, causes: Mapping[EndpointId, Cause]) -> set[EndpointId]:
        """Notes pauses that the plan would end but that app_queue made while nobody listened; returns their keys.

        Only where the directory has not changed: else an unpause in the directory could never win.
        """
        keys = set()
        for key, unpause in _unpauses(planned):
            # of an agent who moves it may be the one at the endpoint before
            member = self._asterisk.member(unpause.queue, unpause.interface)
            if not causes[key].is_wish and member is not None and member.reason == AUTOPAUSE:
                self.note(key, unpause.queue)
                keys.add(key)
        return keys


def _unpauses(planned: Plan) -> Iterable[tuple[EndpointId, PauseMember]]:
    """Yields the steps that end a member's pause, each with its key."""
    for step in planned.steps:
        if isinstance(step.action, PauseMember) and not step.action.paused:
            yield step.key, step.action
