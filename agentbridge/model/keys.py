"""The names by which things are known: endpoint ids, queues, interfaces."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NewType, overload

EndpointId = NewType("EndpointId", str)
"""An agent's internal number (`1001`) or a telephone's name (`desk7`)."""
AgentId = NewType("AgentId", int)
"""The agent's row id in the directory; it survives a change of number or name."""
QueueName = NewType("QueueName", str)
Interface = NewType("Interface", str)
"""How app_queue dials a member, e.g. `PJSIP/1001`."""
MemberId = tuple[QueueName, Interface]
"""A member of one queue: app_queue knows each by these two."""

Fields = Mapping[str, str]
"""Attributes of one PJSIP object. Always strings: anything else crashes Asterisk."""

REMOTE_CONTEXT = "agentbridge-remote"
"""of the dialplan: calls the agent of an internal number at the node where its device is registered"""
AUTOPAUSE = "Auto-Pause"
"""app_queue's own reason, when it pauses a member that did not answer"""


def queue_name(text: str) -> QueueName:
    """Returns the queue's name in lower case: Asterisk compares queue names without regard to case."""
    return QueueName(sys.intern(text.lower()))  # one object for all of its members


@dataclass(frozen=True, slots=True)
class NumberRange(Sequence[EndpointId]):
    """The internal numbers from the first to the last, without their strings: 20,000 of them would be 3 MB."""

    first: int
    last: int

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.isdecimal() and self._has(int(key)) and key == str(int(key))

    def _has(self, number: int) -> bool:
        return self.first <= number <= self.last

    def __len__(self) -> int:
        return max(0, self.last - self.first + 1)

    @overload
    def __getitem__(self, place: int) -> EndpointId: ...

    @overload
    def __getitem__(self, place: slice) -> list[EndpointId]: ...

    def __getitem__(self, place: int | slice) -> EndpointId | list[EndpointId]:
        numbers = range(self.first, self.last + 1)
        if isinstance(place, slice):
            return [EndpointId(str(number)) for number in numbers[place]]
        return EndpointId(str(numbers[place]))


ALL_KEYS = EndpointId("*")
"""The hint that stands for every key, e.g. after a TRUNCATE."""
