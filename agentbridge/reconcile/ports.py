"""Everything that the loop needs of the world outside it: the directory, and one Asterisk.

`directory/` and `asterisk/` provide both; the tests have each in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentbridge.model import (
    AgentId,
    DesiredState,
    EndpointId,
    Fate,
    Interface,
    Loss,
    ObservedState,
    QueueName,
    Reading,
    Step,
)
from agentbridge.plan.difference import Observed


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass found for a key. Asterisk has what the directory says when both are empty."""

    error: str = ""
    """why it can't be so"""
    waits_for: str = ""
    """why it is not so yet"""


class Directory(Protocol):
    """PostgreSQL. Every method raises Unavailable when the database is gone, and Refused when a rule forbids it."""

    async def keys(self) -> set[EndpointId]:
        """Every endpoint id of the directory."""
        ...

    async def reserve(self) -> Collection[EndpointId]:
        """The numbers of the configured range, whose AORs are kept ahead of their agents."""
        ...

    async def read(self, keys: Collection[EndpointId]) -> Reading:
        """All that the directory says about these keys, at one moment."""
        ...

    async def adopt_pause(self, key: EndpointId, queue: QueueName, reason: str) -> bool:
        """Makes a pause of app_queue's the agent's pause of that queue; False when there is nothing new to it."""
        ...

    async def judge(self, losses: Sequence[Loss]) -> Mapping[Loss, Fate]:
        """What became of each loss in the directory."""
        ...

    async def hold(self, keys: Collection[EndpointId], owned: int) -> set[EndpointId]:
        """Notes that the removal of these keys and no others is held, of so many that Asterisk has.

        Returns those of them that an administrator has confirmed lately.
        """
        ...

    async def hand_over(self, queues: Collection[QueueName]) -> None:
        """Notes that nobody of ours is left in these queues, which left the directory: they are not ours any more."""
        ...

    async def record(self, snapshot: str, outcomes: Mapping[EndpointId, Outcome]) -> None:
        """Tells what a pass found, for the rows of that snapshot."""
        ...


class Asterisk(Observed, Protocol):
    """One Asterisk: what was observed of it, and how it is changed."""

    @property
    def up(self) -> bool:
        """Connected, and read completely since."""
        ...

    @property
    def losses(self) -> int:
        """How often it was lost."""
        ...

    def owned(self) -> Collection[EndpointId]:
        """Endpoint ids that our AstDB family lists."""
        ...

    def agent_of(self, key: EndpointId) -> AgentId | None:
        """The row id of the agent whose number this is, or who is logged in at this telephone, by our AstDB family."""
        ...

    def state(self, key: EndpointId) -> ObservedState:
        """What was observed of the key last."""
        ...

    def is_others(self, key: EndpointId) -> bool:
        """Whether Asterisk has a device of that name by its own files."""
        ...

    def expressible(self, wanted: DesiredState) -> DesiredState:
        """`wanted` without what this Asterisk has no word for."""
        ...

    async def engaged(
        self, members: Collection[tuple[QueueName, Interface]]
    ) -> Mapping[tuple[QueueName, Interface], str]:
        """Asks which of these members ring, are in a call or in wrap-up just now; each with the words for it."""
        ...

    async def hold(self, members: Collection[tuple[QueueName, Interface]]) -> Mapping[tuple[QueueName, Interface], str]:
        """Keeps the free ones of these members from beginning to ring until they are taken out.

        Returns those that ring or are in a call by now, each with the words for it; raises Refused or Unavailable.
        """
        ...

    async def apply(self, step: Step) -> None:
        """Does it. Returns when the change has been observed; raises Refused, InvalidValue or Unavailable."""
        ...
