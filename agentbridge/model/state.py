"""Desired and observed state of one endpoint id, and queue members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agentbridge.model.keys import AgentId, Fields, Interface, QueueName


class ObjectKind(StrEnum):
    """The kinds of PJSIP object that are pushed to Asterisk."""

    AOR = "aor"
    AUTH = "auth"
    ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of one app_queue queue, desired or observed. `reason` is that of its pause, empty when it is not
    paused."""

    queue: QueueName
    interface: Interface
    name: str
    penalty: int = 0
    paused: bool = False
    reason: str = ""
    state_interface: str = ""
    ring_in_use: bool | None = None
    """P3: whether the queue may ring it while its device is in use; None where that is not known"""
    dynamic: bool = True
    """observed only: False for one of queues.conf or realtime, which app_queue does not let go"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """What should be in Asterisk for one endpoint id; an empty one means that nothing of it should be.

    `objects` maps a kind of PJSIP object to its fields, `members` a queue to the member, `policy` an AstDB path below
    the family `agentbridge` to its value; `mailbox` is the voicemail box of this number, empty when there is none.
    """

    objects: Mapping[ObjectKind, Fields] = field(default_factory=dict)
    members: Mapping[QueueName, Member] = field(default_factory=dict)
    policy: Fields = field(default_factory=dict)
    mailbox: Fields = field(default_factory=dict)
    agent: AgentId | None = None
    """whose calls the endpoint takes"""
    transports: frozenset[str] = frozenset()
    """how a client may be registered; empty: any way"""
    moved_at: float | None = None
    """when the device registered with another node, by the database's clock; None: it is with no other"""
    problem: str = ""
    """why this key can't be worked on; nothing of it is changed then"""

    def __bool__(self) -> bool:
        return bool(self.objects or self.members or self.policy or self.mailbox)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedState:
    """What is in Asterisk for one endpoint id, as last observed; the fields are those of DesiredState."""

    objects: Mapping[ObjectKind, Fields] = field(default_factory=dict)
    members: Mapping[QueueName, Member] = field(default_factory=dict)
    policy: Fields = field(default_factory=dict)
    mailbox: Fields = field(default_factory=dict)
    contacts: frozenset[str] = frozenset()
    """the URIs at which the endpoint is reached"""
    located_at: float | None = None
    """the moment of the device's place that the directory knew when it was told of these contacts, by the database's
    clock; None: it was not told yet"""
    turned_away: str = ""
    """the transport of a client whose registration was taken back, until another registers"""
    displaced: tuple[str, ...] = ()
    """the URIs of two devices that push each other out"""

    def __bool__(self) -> bool:
        """Whether anything of it is there; a contact alone is not."""
        return bool(self.objects or self.members or self.policy or self.mailbox)
