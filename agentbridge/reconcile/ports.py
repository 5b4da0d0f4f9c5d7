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
    Fields,
    Interface,
    Loss,
    Member,
    MemberId,
    ObservedState,
    QueueName,
    Reading,
    Step,
)
from agentbridge.plan.difference import Observed


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass found for one key; with both fields empty Asterisk has what the directory says."""

    error: str = ""
    """why it can't be so"""
    waits_for: str = ""
    """why it is not so yet"""


SUCCESS = Outcome()
"""what most keys come to; one object for all, since there are many thousands of them"""


class Directory(Protocol):
    """What the loop needs of PostgreSQL. Methods raise Unavailable without the database, Refused when a rule forbids
    it."""

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
        """Turns a pause by app_queue into the agent's pause in that queue; returns False where it changes nothing."""
        ...

    async def judge(self, losses: Sequence[Loss]) -> Mapping[Loss, Fate]:
        """Returns for each loss what became of it in the directory."""
        ...

    async def hold(self, keys: Collection[EndpointId], owned: int) -> set[EndpointId]:
        """Notes that the removal of these keys and no others is held back. Returns those that an administrator
        confirmed lately.

        owned: how many agents and telephones Asterisk has, for the administrator to see.
        """
        ...

    async def hand_over(self, queues: Collection[QueueName]) -> None:
        """Notes that nobody of ours is left in these queues, which left the directory: they are not ours any more."""
        ...

    async def record(self, snapshot: str, outcomes: Mapping[EndpointId, Outcome]) -> None:
        """Writes down what a pass found for these keys, by the rows of that snapshot."""
        ...


class Asterisk(Observed, Protocol):
    """What the loop needs of one Asterisk: the state last observed, and how it is changed."""

    @property
    def up(self) -> bool:
        """Whether it is connected and has been read completely since."""
        ...

    @property
    def losses(self) -> int:
        """How often the connection was lost."""
        ...

    @property
    def tasks_of_an_aor(self) -> int:
        """How many tasks a written AOR counts as: it makes Asterisk walk all endpoints."""
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

    def member(self, queue: QueueName, interface: Interface) -> Member | None:
        """That member of that queue as it was observed last; None where there is none."""
        ...

    def is_others(self, key: EndpointId) -> bool:
        """Whether Asterisk has an endpoint of that name from its own files (pjsip.conf), which is not ours to
        change."""
        ...

    def expressible(self, wanted: DesiredState) -> DesiredState:
        """Returns `wanted` without the fields and objects that this version of Asterisk does not know."""
        ...

    async def engaged(self, members: Collection[MemberId], anew: Collection[MemberId]) -> Mapping[MemberId, str]:
        """Asks which of these members ring, are in a call or in wrap-up just now; each with the words for it.

        anew: those of them that are added again to their queue at once. The last one for whom customers wait there is
        engaged too: an empty queue would throw the customers out.
        """
        ...

    async def reserve(self, members: Collection[MemberId]) -> Collection[MemberId]:
        """Keeps the free ones of these members from beginning to ring until they are taken out.

        Returns those that ring or are in a call by now; raises Refused or Unavailable.
        """
        ...

    async def apply(self, step: Step) -> None:
        """Carries out one step and returns when the change has been observed. Raises Refused, InvalidValue or
        Unavailable."""
        ...

    def takes_together(self, aors: int) -> bool:
        """Whether so many new AORs are made sooner by `put_new_aors` than one by one."""
        ...

    async def put_new_aors(self, aors: Mapping[EndpointId, Fields]) -> Mapping[EndpointId, str]:
        """Makes AORs that are not there yet, all together; returns why some could not be made. Raises Refused or
        Unavailable."""
        ...
