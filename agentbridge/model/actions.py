"""The actions that close a difference between desired and observed state."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentbridge.model.keys import EndpointId, Fields, Interface, MemberId, QueueName
from agentbridge.model.state import Member, ObjectKind


@dataclass(frozen=True, slots=True)
class PutObject:
    """Writes a PJSIP object, or changes fields of one that is there."""

    kind: ObjectKind
    id: EndpointId
    fields: Fields
    """only what differs: a PUT merges; a field taken back is sent as its default"""


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Deletes a PJSIP object."""

    kind: ObjectKind
    id: EndpointId


@dataclass(frozen=True, slots=True)
class AddMember:
    """Adds a member to its queue."""

    member: Member


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """Removes a member from its queue."""

    member: Member
    """as observed, for the log"""


@dataclass(frozen=True, slots=True)
class PauseMember:
    """Pauses a member in one queue, or ends its pause; sets the reason either way."""

    queue: QueueName
    interface: Interface
    paused: bool
    reason: str


@dataclass(frozen=True, slots=True)
class SetPenalty:
    """Sets a member's penalty in one queue."""

    queue: QueueName
    interface: Interface
    penalty: int


@dataclass(frozen=True, slots=True)
class SetRingInUse:
    """Sets whether one queue calls a member that is in a call."""

    queue: QueueName
    interface: Interface
    ring_in_use: bool


@dataclass(frozen=True, slots=True)
class PutPolicy:
    """Writes a value of call policy into the AstDB, where the dialplan reads it."""

    path: str
    """below the AstDB family, e.g. `agent/1001/record`"""
    value: str


@dataclass(frozen=True, slots=True)
class DeletePolicy:
    """Deletes a value of call policy from the AstDB."""

    path: str


@dataclass(frozen=True, slots=True)
class PutMailbox:
    """Writes a voicemail box, or changes one that is there."""

    id: EndpointId
    fields: Fields = field(repr=False)
    """all of them, the PIN too"""


@dataclass(frozen=True, slots=True)
class DeleteMailbox:
    """Deletes a voicemail box."""

    id: EndpointId
    """the messages in it stay on disk"""


@dataclass(frozen=True, slots=True)
class DropContact:
    """Deletes the registered contact `uri` of an AOR, because its client must not stay registered.

    That is a client over a transport that its row does not allow, or the phone of an agent who had this number
    before.
    """

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


ABSENT = "absent"
"""what a step replaces that makes something new"""


MemberAction = AddMember | RemoveMember | PauseMember | SetPenalty | SetRingInUse


def member_id(action: MemberAction) -> MemberId:
    """Returns queue and interface of the member that the action is about."""
    match action:
        case AddMember(member) | RemoveMember(member):
            return member.queue, member.interface
        case PauseMember(queue, interface) | SetPenalty(queue, interface) | SetRingInUse(queue, interface):
            return queue, interface


@dataclass(frozen=True, slots=True)
class Step:
    """One action of a plan, with the key (endpoint id) for which it is done and, for the log, the value that it
    replaces."""

    key: EndpointId
    action: Action
    was: str = ""
