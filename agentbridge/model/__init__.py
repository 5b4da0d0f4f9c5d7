"""What agentbridge speaks of: the directory's facts, Asterisk's objects, and the actions between them.

Everything turns on one kind of key, the *endpoint id*: an agent's internal number or a telephone's name.
The two share one name space in the directory, one in PJSIP and one in queue interfaces, so "what should be"
and "what is" are compared key by key, and a change of number is simply a change of two keys.
"""

from __future__ import annotations

from agentbridge.model.actions import (
    ABSENT,
    Action,
    AddMember,
    DeleteMailbox,
    DeleteObject,
    DeletePolicy,
    DropContact,
    MemberAction,
    PauseMember,
    PutMailbox,
    PutObject,
    PutPolicy,
    RemoveMember,
    SetPenalty,
    SetRingInUse,
    Step,
    member_id,
)
from agentbridge.model.directory import (
    SIP_PORT,
    Agent,
    CallOptions,
    Line,
    Membership,
    Reading,
    Recording,
    Session,
    SessionPause,
    SipType,
    Subject,
    Telephone,
    Typology,
)
from agentbridge.model.keys import (
    ALL_KEYS,
    AUTOPAUSE,
    REMOTE_CONTEXT,
    AgentId,
    EndpointId,
    Fields,
    Interface,
    MemberId,
    QueueName,
    queue_name,
)
from agentbridge.model.losses import Fate, Loss, LossKind
from agentbridge.model.nodes import Contact, Location, Node
from agentbridge.model.row import Row
from agentbridge.model.state import (
    DesiredState,
    Member,
    ObjectKind,
    ObservedState,
)

__all__ = [
    "ABSENT",
    "ALL_KEYS",
    "AUTOPAUSE",
    "REMOTE_CONTEXT",
    "SIP_PORT",
    "Action",
    "AddMember",
    "Agent",
    "AgentId",
    "CallOptions",
    "Contact",
    "DeleteMailbox",
    "DeleteObject",
    "DeletePolicy",
    "DesiredState",
    "DropContact",
    "EndpointId",
    "Fate",
    "Fields",
    "Interface",
    "Line",
    "Location",
    "Loss",
    "LossKind",
    "Member",
    "MemberAction",
    "MemberId",
    "Membership",
    "Node",
    "ObjectKind",
    "ObservedState",
    "PauseMember",
    "PutMailbox",
    "PutObject",
    "PutPolicy",
    "QueueName",
    "Reading",
    "Recording",
    "RemoveMember",
    "Row",
    "Session",
    "SessionPause",
    "SetPenalty",
    "SetRingInUse",
    "SipType",
    "Step",
    "Subject",
    "Telephone",
    "Typology",
    "member_id",
    "queue_name",
]
