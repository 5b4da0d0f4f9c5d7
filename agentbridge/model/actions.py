"""The actions that close a difference between desired and observed state."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentbridge.model.keys import EndpointId, Fields, Interface, QueueName
from agentbridge.model.state import Member, ObjectKind


@dataclass(frozen=True, slots=True)
class PutObject:
    kind: ObjectKind
    id: EndpointId
    fields: Fields
    """only what differs: a PUT merges; a field taken back is sent as its default"""


@dataclass(frozen=True, slots=True)
class DeleteObject:
    kind: ObjectKind
    id: EndpointId


@dataclass(frozen=True, slots=True)
class AddMember:
    member: Member


@dataclass(frozen=True, slots=True)
class RemoveMember:
    member: Member
    """as observed, for the log"""


@dataclass(frozen=True, slots=True)
class PauseMember:
    queue: QueueName
    interface: Interface
    paused: bool
    reason: str


@dataclass(frozen=True, slots=True)
class SetPenalty:
    queue: QueueName
    interface: Interface
    penalty: int


@dataclass(frozen=True, slots=True)
class SetRingInUse:
    queue: QueueName
    interface: Interface
    ring_in_use: bool


@dataclass(frozen=True, slots=True)
class PutPolicy:
    path: str
    """below the AstDB family, e.g. `agent/1001/record`"""
    value: str


@dataclass(frozen=True, slots=True)
class DeletePolicy:
    path: str


@dataclass(frozen=True, slots=True)
class PutMailbox:
    id: EndpointId
    fields: Fields = field(repr=False)
    """all of them, the PIN too"""


@dataclass(frozen=True, slots=True)
class DeleteMailbox:
    id: EndpointId
    """the messages in it stay on disk"""


@dataclass(frozen=True, slots=True)
class DropContact:
    id: EndpointId
    uri: str


Action = (
    PutObject
    | DeleteObject
    | AddMember
    | RemoveMember
    | PauseMember
    | SetPenalty
    | SetRingInUse
    | PutPolicy
    | DeletePolicy
    | PutMailbox
    | DeleteMailbox
    | DropContact
)


@dataclass(frozen=True, slots=True)
class Step:
    """An action with the key that it serves and, for the log, what it replaces."""

    key: EndpointId
    action: Action
    was: str = ""
