"""What goes in and out, as the document says it. Values are bounded here and judged by the directory's rules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=80)]
Text = Annotated[str, Field(max_length=255)]
Long = Annotated[str, Field(max_length=2000)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Seconds = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647)]
Penalty = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Typology = Literal["phonebar", "external", "webrtc"]
Transport = Literal["udp", "tcp", "ws", "wss"]
Words = Annotated[list[Annotated[str, Field(max_length=80)]], Field(max_length=100)]
Item = TypeVar("Item")


def _unset() -> Any:
    """A field left out stays as it is, or gets the database's default: it has none here."""
    return None


def optional() -> Any:
    return Field(default_factory=_unset)


class Given(BaseModel):
    """The base of request bodies: an unknown field is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)


class Page(BaseModel, Generic[Item]):
    """One page of a list, with the cursor of the next."""

    items: list[Item]
    next: str | None = Field(description="cursor of the next page; null at the end")


class Items(BaseModel, Generic[Item]):
    """A list that has no pages."""

    items: list[Item]


# ---------------------------------------------------------------- people


class Credentials(Given):
    """Name and password of a user or an agent."""

    username: Name
    password: Annotated[str, Field(min_length=1, max_length=256)]
    kind: Literal["user", "agent"] | None = Field(default=None, description="where both have the name; else found out")


class Session(BaseModel):
    """Who is logged in, and what they may do."""

    kind: Literal["user", "agent", "token"]
    name: str
    roles: list[Literal["admin", "user", "supervisor", "agent", "machine"]]
    scopes: list[str] | None


class NewPassword(Given):
    """A password to set."""

    password: Annotated[str, Field(min_length=1, max_length=256)]


class OwnPassword(NewPassword):
    """A password to set, with the one that it replaces."""

    old: Annotated[str, Field(min_length=1, max_length=256)]


class ResetRequest(Given):
    """Whose password is to be reset."""

    email: Annotated[str, Field(min_length=3, max_length=254)]


class Changed(BaseModel):
    """The answer to a change of an agent: whether anything was changed."""

    changed: bool


class Applied(BaseModel):
    """The answer to a change of an agent, with `Prefer: wait` also whether Asterisk has it: then the status is 200."""

    changed: bool
    applied_at: datetime | None = None
    pending: bool | None = None
    error: str | None = None


# ---------------------------------------------------------------- agents


class AgentFields(Given):
    """What can be set of an agent."""

    username: Name = optional()
    full_name: Text = optional()
    alias: Text = optional()
    email: Text = optional()
    internal: Annotated[str, Field(min_length=1, max_length=16)] = optional()
    typology: Typology = optional()
    description: Long = optional()
    voicemail: bool = optional()
    deactivated: bool = optional()
    hot_desk: bool = optional()
    login_in_pause: bool = optional()
    mask_sensitive: bool = optional()
    transport: list[Transport] = optional()
    host: Text = optional()
    nat: Words = optional()
    sip_type: Literal["friend", "user", "peer"] = optional()
    codecs: Words = optional()
    caller_id: Text = optional()
    context: Text = optional()
    call_group: Text = optional()
    pickup_group: Text = optional()
    chanspy: bool = optional()
    record_calls: Literal["inactive", "wav", "wav49", "gsm"] = optional()
    record_made_calls: bool = optional()
    sip_expires: Seconds = optional()
    sip_port: Port = optional()
    auto_answer: bool = optional()
    auto_answer_delay: Seconds = optional()
    ring_in_use: bool = optional()
    manual_recording: bool = optional()
    dtmf_tones: bool = optional()
    dnd_in_pause: bool = optional()
    unanswered_badge: bool = optional()
    jaws: bool = optional()
    screen_recording: Text = optional()
    screen_recording_path: Text = optional()
    remote_control: bool = optional()
    remote_control_port: Port = optional()
    forward_allowed: bool = optional()
    forward_to: Text = optional()
    may_see_settings: bool = optional()
    may_change_settings: bool = optional()
    tls_certificate_path: Text = optional()
    tls_key_path: Text = optional()
    wss_port: Port | None = optional()
    ignore_pause_preview: bool = optional()
    client_log: bool = optional()
    client_log_level: Literal["error", "warning", "info", "debug"] = optional()
    internal_messenger: bool = optional()
    prefix_required: bool = optional()
    recall_me: bool = optional()
    may_call: bool = optional()
    may_spy: bool = optional()
    download_attachments: bool = optional()
    download_interactions: bool = optional()
    download_recordings: bool = optional()


class NewAgent(AgentFields):
    """An agent to create."""

    username: Name
    queues: dict[Name, Penalty] = Field(default_factory=dict, description="queue → penalty", max_length=1000)
    teams: Words = Field(default_factory=list)


class AgentSummary(BaseModel):
    """An agent in a list."""

    username: str
    full_name: str
    alias: str
    email: str
    internal: str
    typology: Typology
    description: str
    hot_desk: bool
    deactivated: bool
    locked: bool
    queues: list[str]
    teams: list[str]
    logged_in: bool
    paused: bool
    pause_reason: str | None
    telephone: str | None


class AgentStatus(BaseModel):
    """Whether an agent is logged in and paused, and how far Asterisk has the last change.

    `applied_at` is null while Asterisk does not have it.
    """

    logged_in: bool
    paused: bool
    pause_reason: str | None
    telephone: str | None
    wanted_at: datetime | None
    applied_at: datetime | None
    error: str | None
    pending: bool
    paused_queues: list[str]


class Channel(Given):
    """An agent's settings for one channel: how many interactions at once, and whether they are answered
    automatically."""

    capacity: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    auto_answer: bool = False
    auto_answer_delay: Seconds = 0


class Agent(BaseModel):
    """An agent with all fields but secrets; those of other typologies are there too."""

    model_config = ConfigDict(extra="allow")
    username: str
    full_name: str
    internal: str
    typology: Typology
    created_at: datetime
    locked: bool
    password_changed_at: datetime | None
    has_avatar: bool
    queues: dict[str, int] = Field(description="queue → penalty, those of its teams too")
    own_queues: dict[str, int] = Field(description="queue → penalty, without those of its teams")
    teams: list[str]
    modules: list[str]
    channels: dict[str, Channel]
    status: AgentStatus


class Usernames(Given):
    """Agents by their names."""

    usernames: Annotated[list[Name], Field(min_length=1, max_length=10_000)]


class Deleted(BaseModel):
    """How many records were deleted."""

    deleted: int


class Login(Given):
    """Where the agent logs in."""

    telephone: Name | None = Field(default=None, description="for a hot-desk agent")
    steal: bool = Field(default=False, description="take the telephone from whoever has it; for managers")


class Pause(Given):
    """Why the agent is on pause, and in which queue."""

    reason: Annotated[str, Field(max_length=80)] | None = None
    queue: Name | None = Field(default=None, description="this one alone; else all")


class Number(Given):
    """A number to call."""

    number: Annotated[str, Field(max_length=80)]


class Switch(Given):
    """Switches something on or off."""

    on: bool


class Imported(BaseModel):
    """How many agents of a file were created, and what is wrong with the other lines."""

    created: int
    errors: list[dict[str, Any]]


# ---------------------------------------------------------------- me


class MyQueue(BaseModel):
    """A queue of the agent who asks."""

    name: str
    channel: str
    penalty: int
    paused: bool
    pause_reason: str | None


class Me(BaseModel):
    """The agent who asks, with what its desk needs to know."""

    username: str
    full_name: str
    alias: str
    internal: str
    typology: Typology
    hot_desk: bool
    has_avatar: bool
    client_log: bool
    client_log_level: str
    record_calls: str
    record_made_calls: bool
    manual_recording: bool
    may_call: bool
    may_spy: bool
    forward_allowed: bool
    forward_to: str
    modules: list[str]
    queues: list[MyQueue]
    status: AgentStatus


class Profile(BaseModel):
    """The settings that the agent's client needs: of a phonebar P1 to P13, of a browser W3 to W9; they differ by
    typology."""

    model_config = ConfigDict(extra="allow")
    typology: Typology
    auto_answer: bool
    auto_answer_delay: int
    manual_recording: bool
    dtmf_tones: bool
    dnd_in_pause: bool
    sip_expires: int
    client_log: bool
    client_log_level: str
    prefix_required: bool
    prefixes: list[dict[str, str]] = Field(description="to choose from, with their labels, where one is required")


class PickableTelephone(BaseModel):
    """A telephone as the agent who asks may pick it."""

    name: str
    description: str
    available: bool
    mine: bool
    reason: Literal["taken", "not registered"] | None = Field(description="why it can't be picked")


class Colleague(BaseModel):
    """Another agent, as agents see one another."""

    username: str
    name: str
    internal: str
    logged_in: bool
    paused: bool
    state: str = Field(description="as in the live stream; unknown while the node is silent")


class SipSessionWish(Given):
    """Which page of the agent asks for the phone, and whether it needs a new secret."""

    page: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{0,64}$")] = Field(
        default="", description="a name of the page's own choice: it has the phone, other pages of the agent are told"
    )
    again: bool = Field(default=False, description="a new secret for the page that has the phone; 409 for another one")


class SipSession(BaseModel):
    """What a browser's phone registers with, told only once: keep it in memory."""

    uri: str
    display_name: str
    username: str
    realm: str
    ha1: str
    wss: str
    ice_servers: list[str]
    expires: int
    applied: bool = Field(description="Asterisk has the new secret; else it will in a moment")


# ---------------------------------------------------------------- the other records


class QueueFields(Given):
    """The fields of a queue that can be set."""

    name: Name = optional()
    channel: Text = optional()
    description: Long = optional()


class NewQueue(QueueFields):
    """A queue to create."""

    name: Name


class QueueSummary(BaseModel):
    """A queue in a list."""

    name: str
    channel: str
    description: str
    members: int


class Queue(BaseModel):
    """A queue with its members and teams, each with its penalty."""

    name: str
    channel: str
    description: str
    created_at: datetime
    members: dict[str, int]
    teams: dict[str, int]


class TeamFields(Given):
    """The fields of a team that can be set."""

    name: Name = optional()
    description: Long = optional()


class NewTeam(TeamFields):
    """A team to create."""

    name: Name


class TeamSummary(BaseModel):
    """A team in a list."""

    name: str
    description: str
    members: int
    queues: int


class Team(BaseModel):
    """A team with its members, and its queues with their penalties."""

    name: str
    description: str
    members: list[str]
    queues: dict[str, int]


class TelephoneFields(Given):
    """The fields of a hot-desk telephone that can be set."""

    name: Name = optional()
    description: Long = optional()
    transport: list[Transport] = optional()
    host: Text = optional()
    nat: Words = optional()
    sip_type: Literal["friend", "user", "peer"] = optional()
    codecs: Words = optional()
    caller_id: Text = optional()
    context: Text = optional()
    call_group: Text = optional()
    pickup_group: Text = optional()
    sip_expires: Seconds = optional()


class NewTelephone(TelephoneFields):
    """A hot-desk telephone to create."""

    name: Name


class TelephoneSummary(BaseModel):
    """A hot-desk telephone in a list."""

    name: str
    description: str
    registered: bool
    agent: str | None
    available: bool


class Telephone(TelephoneSummary):
    """A hot-desk telephone with all its fields; those of SIP come as the directory shows them."""

    model_config = ConfigDict(extra="allow")
    created_at: datetime


class UserFields(Given):
    """The fields of a user that can be set."""

    username: Name = optional()
    role: Literal["admin", "user"] = optional()
    agents_permission: bool = optional()
    may_spy: bool = optional()
    download_recordings: bool = optional()


class NewUser(UserFields):
    """A user to create."""

    username: Name


class User(BaseModel):
    """Somebody who manages agents, with the queues whose agents those are."""

    username: str
    role: Literal["admin", "user"]
    agents_permission: bool
    may_spy: bool
    download_recordings: bool
    queues: list[str]


class SettingFields(Given):
    """The directory's settings; those that are not named here are refused by the directory."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, strict=True)
    internal_from: Annotated[int, Field(strict=True, ge=1, lt=10**16)] = optional()
    internal_to: Annotated[int, Field(strict=True, ge=1, lt=10**16)] = optional()
    strict_full_name: bool = optional()
    security_suite: bool = optional()
    lock_after: Annotated[int, Field(strict=True, ge=0, le=1000)] = optional()
    mask_characters: Annotated[int, Field(strict=True, ge=1, le=64)] = optional()
    screen_recording_path: Text = optional()


class Settings(BaseModel):
    """The settings that hold for the whole directory."""

    model_config = ConfigDict(extra="allow")
    internal_from: int
    internal_to: int
    strict_full_name: bool
    security_suite: bool
    lock_after: int
    mask_characters: int
    screen_recording_path: str


class PauseReason(Given):
    """A reason that agents can choose for a pause."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    position: Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)] = 0


class PrefixFields(Given):
    """The fields of a prefix that can be set."""

    prefix: Annotated[str, Field(pattern="^[0-9*#]{1,8}$")] = optional()
    label: Annotated[str, Field(max_length=80)] = optional()


class NewPrefix(PrefixFields):
    """A prefix to create."""

    prefix: Annotated[str, Field(pattern="^[0-9*#]{1,8}$")]


class Prefix(BaseModel):
    """A prefix that agents choose for outside calls."""

    prefix: str
    label: str


class NewToken(Given):
    """A token for an application, to create."""

    name: Name
    scopes: Annotated[
        list[
            Literal["read", "agents", "sessions", "phonebar", "calls", "recordings", "interactions", "events", "admin"]
        ],
        Field(min_length=1, max_length=9),
    ]
    expires_at: Annotated[datetime, Field(strict=False)]


class Token(BaseModel):
    """A token of an application, without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class TokenOnce(Token):
    """A token that was just created, with its secret."""

    token: str = Field(description="told this once")


# ---------------------------------------------------------------- what is looked at


class Node(BaseModel):
    """An Asterisk node and its daemon."""

    model_config = ConfigDict(extra="allow")
    node: str
    version: str
    alive: bool
    asterisk_up: bool
    state: str = Field(description="up, ill, lost (others serve its queues) or new (its daemon was never there)")
    trouble: str = Field(description="what is wrong with it, in words; empty for nothing")
    pending: int
    failed: int
    queues: int = Field(description="how many it serves")
    members: int
    devices: int = Field(description="how many are registered there; 0 where there is one node")


class Nodes(BaseModel):
    """All nodes."""

    items: list[Node]


class Plan(BaseModel):
    """Which agents' state Asterisk does not have as the directory says, which failed, and which removals are held
    back."""

    pending: list[str]
    failed: list[dict[str, Any]]
    refused: list[dict[str, Any]]


class Confirmation(Given):
    """Which held removals are confirmed."""

    node: Name | None = Field(default=None, description="this one; else all")
    code: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="of what was shown: refused where something else is held by now"
    )


class Confirmed(BaseModel):
    """How many nodes' removals were confirmed."""

    confirmed: int


class AuditLine(BaseModel):
    """An entry of the audit: who did what to which object."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    detail: Any


class RecordingRow(BaseModel):
    """A recording of a call."""

    id: int
    node: str
    username: str | None
    internal: str
    linkedid: str
    part: int
    format: str
    started_at: datetime
    ended_at: datetime | None
    bytes: int | None


class Interaction(Given):
    """An interaction of another channel that an agent is to be given, or to give back."""

    username: Name
    interaction: Annotated[str, Field(min_length=1, max_length=255)]
    follow_up: bool = False


class Granted(BaseModel):
    """Whether the agent takes the interaction, and how many it has in hand."""

    granted: bool
    auto_answer: bool | None
    auto_answer_delay: int | None
    in_hand: int | None
    capacity: int | None


# ---------------------------------------------------------------- running calls


class Call(BaseModel):
    """A running call of an agent."""

    id: str
    linkedid: str
    agent: str
    internal: str
    direction: Literal["in", "out"]
    queue: str
    number: str = Field(description="the other party's")
    name: str
    rang_at: datetime
    answered_at: datetime | None
    held_at: datetime | None
    recording: Literal["none", "running", "paused", "failed"]
    parts: list[int]
    node: str
    stale: bool = Field(description="its node says nothing")


class PastCall(BaseModel):
    """A call of an agent that is over."""

    id: str
    linkedid: str
    direction: Literal["in", "out"]
    queue: str
    number: str = Field(description="the other party's")
    name: str
    rang_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    missed: bool


class MyCalls(BaseModel):
    """The calls of the agent who asks: those that go on, and those of today that are over."""

    items: list[Call] = Field(description="those that go on")
    today: list[PastCall] = Field(description="those that are over, the newest first; at most 500")


class RecordingWish(Given):
    """What is to become of the recording of a call."""

    state: Literal["started", "running", "paused", "stopped"]


class MyRecordingWish(Given):
    """What is to become of the recording of one's own call."""

    state: Literal["running", "paused", "stopped"]


class Spy(Given):
    """How a call is listened to, and on whose device."""

    mode: Literal["listen", "whisper", "barge"] = "listen"
    listener: Name | None = Field(default=None, description="for a user: the agent whose device rings")


class Asked(BaseModel):
    """The answer to a request to a daemon: its id, by which the result can be asked for, and its state."""

    id: int
    state: str


class RequestResult(BaseModel):
    """A request to a daemon about a running call, with its result."""

    id: int
    verb: str
    username: str
    state: Literal["asked", "taken", "done", "refused", "timed out"]
    node: str | None
    result: Any
    reason: str
    asked_at: datetime
    deadline: datetime
    finished_at: datetime | None


class Kept(BaseModel):
    """How many lines of a browser's log were stored, and from which level on."""

    on: bool = Field(description="the agent's log is switched on")
    level: Literal["error", "warning", "info", "debug"] | None = None
    kept: int
