"""Which node serves each queue of another node: in the AstDB, where the dialplan sends callers there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NoReturn, Protocol

import structlog

from agentbridge.errors import InvalidValue, Refused, Unavailable
from agentbridge.model import ABSENT, Action, DeletePolicy, EndpointId, Fields, PutPolicy, QueueName, Step

log = structlog.get_logger()

UNWRITTEN = "callers go where the node that served their queue before is; tries again"

RETRY_SECONDS = 1.0


class Asterisk(Protocol):
    """One Asterisk, as far as its AstDB goes."""

    @property
    def up(self) -> bool: ...

    def queue_policy(self) -> Fields:
        """What our AstDB family says of queues, by its path."""
        ...

    async def apply(self, step: Step) -> None:
        """Does it. Raises Refused, InvalidValue or Unavailable."""
        ...


class QueueNodes:
    """Writes into the AstDB which node serves each queue of another node, so that the dialplan sends callers there.

    `heard` takes what the directory says at each heartbeat; `run` writes what differs. active: whether this daemon acts
    for its node.
    """

    def __init__(self, asterisk: Asterisk, *, active: Callable[[], bool]) -> None:
        self._asterisk = asterisk
        self._active = active
        self._wanted: Fields = {}
        self._wake = asyncio.Event()

    def heard(self, elsewhere: Mapping[QueueName, str]) -> None:
        """Notes which queues other nodes serve, each with the node's name; for all other queues there is no entry."""
        self._wanted = {f"queue/{queue}/node": node for queue, node in elsewhere.items()}
        if self._asterisk.up and self._wanted != self._asterisk.queue_policy():
            self._wake.set()

    async def run(self) -> NoReturn:
        """Writes the differences, until it is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not (self._active() and self._asterisk.up):
                continue  # the next heartbeat finds the same difference
            try:
                for step in self._steps():
                    await self._asterisk.apply(step)
                    log.info("queue.node", path=step.key, was=step.was, action=type(step.action).__name__)
            except (Refused, InvalidValue, Unavailable) as reason:
                log.warning("queue.node_unwritten", reason=str(reason), meanwhile=UNWRITTEN)
                await asyncio.sleep(RETRY_SECONDS)

    def _steps(self) -> list[Step]:
        """Returns the steps that make the AstDB entries as they should be."""
        found, wanted = self._asterisk.queue_policy(), self._wanted
        puts: dict[str, Action] = {
            path: PutPolicy(path, node) for path, node in wanted.items() if found.get(path) != node
        }
        deletes: dict[str, Action] = {path: DeletePolicy(path) for path in found.keys() - wanted.keys()}
        return [
            Step(EndpointId(path), action, was=found.get(path, ABSENT)) for path, action in (puts | deletes).items()
        ]
