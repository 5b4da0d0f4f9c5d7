"""What is, or should be, in Asterisk for one endpoint id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agentbridge.model.keys import AgentId, Fields, Interface, QueueName


class ObjectKind(StrEnum):
    AOR = "aor"
    AUTH = "auth"
    ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A queue member; `reason` is empty when it is not paused."""

    queue: QueueName
    interface: Interface
    name: str
    penalty: int = 0
    paused: bool = False
    reason: str = ""
    state_interface: str = ""
    dynamic: bool = True
    """observed only: False for one of queues.conf or realtime, which app_queue does not let go"""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is, or should be, in Asterisk for one endpoint id.

    `objects` maps a kind of PJSIP object to its fields, `members` a queue to the member, `policy` an AstDB
    path below the family `agentbridge` to its value.
    """

    objects: Mapping[ObjectKind, Fields] = field(default_factory=dict)
    members: Mapping[QueueName, Member] = field(default_factory=dict)
    policy: Fields = field(default_factory=dict)
    mailbox: Fields = field(default_factory=dict)
    """the voicemail box of this number; empty: there is none"""
    agent: AgentId | None = None
    """desired only: whose calls the endpoint takes"""
    transports: frozenset[str] = frozenset()
    """desired only: how a client may be registered; empty: any way"""
    contacts: frozenset[str] = frozenset()
    """observed only: the URIs at which the endpoint is reached"""
    turned_away: str = ""
    """observed only: the transport of a client whose registration was taken back, until another registers"""
    displaced: tuple[str, ...] = ()
    """observed only: the URIs of two devices that push each other out"""
    problem: str = ""
    """desired only: why this key can't be worked on"""

    def __bool__(self) -> bool:
        return bool(self.objects or self.members or self.policy or self.mailbox)
