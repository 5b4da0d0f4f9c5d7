"""What the directory says: agents, telephones, sessions, memberships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agentbridge.model.keys import AgentId, EndpointId, QueueName

SIP_PORT = 5060
"""of RFC 3261, which a URI leaves out"""


class Typology(StrEnum):
    """What an agent's phone is (A4): our phone bar, any SIP phone, or a browser."""

    PHONEBAR = "phonebar"
    EXTERNAL = "external"
    WEBRTC = "webrtc"


class SipType(StrEnum):
    """Whether a device may call and be called (V4): `friend` both, `user` only calls, `peer` is only called."""

    FRIEND = "friend"
    USER = "user"
    PEER = "peer"


class Recording(StrEnum):
    """The file format in which calls that the agent answers are recorded (V10); INACTIVE records none."""

    INACTIVE = "inactive"
    WAV = "wav"
    WAV49 = "wav49"
    GSM = "gsm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The SIP side of an agent or a telephone, as the directory holds it."""

    secret: str = field(repr=False)
    transports: tuple[str, ...] = ("udp",)
    host: str = "dynamic"
    nat: tuple[str, ...] = ("no",)
    sip_type: SipType = SipType.FRIEND
    codecs: tuple[str, ...] = ("ulaw", "alaw")
    caller_id: str = ""
    context: str = "from-sip"
    call_group: str = ""
    pickup_group: str = ""
    sip_port: int = SIP_PORT
    """P12: where a phonebar of a fixed address is called"""
    sip_expires: int = 3600
    """seconds; the longest registration that the AOR accepts (P11, W9)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """An agent's settings for single calls: recording, listening, masking, auto-answer, forwarding, voicemail,
    dialling.

    They become AstDB entries that the dialplan reads; the ids are explained in docs/features.md.
    """

    record: Recording = Recording.INACTIVE
    """V10"""
    record_made: bool = False
    """V11: calls that the agent makes; in the format of `record`, else wav"""
    chanspy: bool = False
    """V9: administrators may listen to this agent"""
    may_spy: bool = False
    """V9: this one may listen to others"""
    mask: int | None = None
    """A11: how many characters of the caller's number and name stay hidden; None shows all"""
    dnd_in_pause: bool = True
    """P6, W7"""
    ring_in_use: bool = False
    """P3"""
    auto_answer: int | None = None
    """P2, W4: the delay in seconds; None rings"""
    manual_recording: bool = False
    """P4, W5"""
    forward_to: str = ""
    """P13: the number that all direct calls go to; empty when it is not allowed or not set"""
    voicemail: bool = False
    voicemail_pin: str = field(default="", repr=False)
    prefixes: tuple[str, ...] | None = None
    """A19: one of them must be dialled before an outside number; None where none need be"""
    may_call: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """An agent's membership of one queue, its own or through a team, with the pause that holds for this queue alone."""

    queue: QueueName
    penalty: int = 0
    paused: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An agent's login. `paused` is the pause in all queues; `telephone` is where a hot-desk agent is logged in."""

    paused: bool = False
    reason: str = ""
    telephone: EndpointId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPause:
    """Whether the agent of a number or at a telephone is on pause in all queues, where this alone has changed."""

    paused: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent as the directory describes it, with its session where it is logged in."""

    id: AgentId
    username: str
    internal: EndpointId
    display_name: str
    """the alias, else the full name: MemberName in app_queue"""
    typology: Typology
    line: Line
    hot_desk: bool = False
    active: bool = True
    """neither deactivated nor locked (A10)"""
    session: Session | None = None
    memberships: tuple[Membership, ...] = ()
    """in the queues that this node serves"""
    node: str = ""
    """where its device is registered; empty: with this node, or nowhere"""
    among_several: bool = False
    """there are other nodes, which have queues of this agent"""
    options: CallOptions = field(default_factory=lambda: CallOptions())

    @property
    def device(self) -> EndpointId | None:
        """The endpoint that takes this agent's calls now, if any."""
        if self.session is None or not self.active:
            return None
        if self.hot_desk:
            return self.session.telephone
        return self.internal


@dataclass(frozen=True, slots=True, kw_only=True)
class Telephone:
    """A hot-desk telephone as the directory describes it."""

    name: EndpointId
    line: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """All that the directory says about one endpoint id: the agent or the telephone of that name, both None for an
    unknown id.

    `carried` is the agent whose calls this endpoint takes: the agent itself on a device of its own, or the hot-desk
    agent who is logged in at this telephone.
    """

    key: EndpointId
    agent: Agent | None = None
    telephone: Telephone | None = None
    carried: Agent | None = None
    moved_at: float | None = None
    """when it registered with another node, in seconds since 1970 by the database's clock; None: it is with no other"""
    problem: str = ""
    """a row that could not be understood; nothing is changed for this key, and the reason is reported"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one consistent read of the directory returned for the keys that were asked for.

    `snapshot` is PostgreSQL's pg_snapshot as text; `subjects` has an entry for each of those keys.
    """

    snapshot: str
    subjects: Mapping[EndpointId, Subject]
    queues: frozenset[QueueName]
    """the queues whose members are ours, `retired` included"""
    retired: frozenset[QueueName] = frozenset()
    """those of them that left the directory, and of which ours must still be taken out"""
    changed: frozenset[EndpointId] = frozenset()
    """keys with a change that this reading sees, and of which no hint had come when it was asked for"""
