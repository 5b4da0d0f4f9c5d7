"""Agents, what belongs to them, and what their verbs take."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentbridge.api.models.common import (
    CallerId,
    CallGroup,
    Codecs,
    Context,
    Given,
    Host,
    Long,
    Name,
    Nat,
    Penalty,
    PickupGroup,
    Port,
    Seconds,
    SipExpires,
    SipType,
    Text,
    Transports,
    Typology,
    Words,
    optional,
)


class AgentFields(Given):
    """What can be set of an agent."""

    username: Name = optional("letters, digits, `.` and `_`; unique")
    full_name: Text = optional("the name that people see; `strict_full_name` of the settings limits its characters")
    alias: Text = optional("shown in queues and to colleagues in place of the full name")
    email: Text = optional("where a link for a new password is sent")
    internal: Annotated[str, Field(min_length=1, max_length=16)] = optional(
        "the number that others call; left out: the lowest free one"
    )
    typology: Typology = optional("`phonebar`: a desktop client; `external`: any SIP phone; `webrtc`: the browser")
    description: Long = optional("for managers; Asterisk does not have it")
    voicemail: bool = optional("the agent has a voicemail box")
    deactivated: bool = optional("can't log in, and its phone can't register; it is logged out. Reversible")
    hot_desk: bool = optional("`external` agents only: each login names a telephone")
    login_in_pause: bool = optional("a login starts on pause in all queues")
    mask_sensitive: bool = optional("the caller's number and name are shown masked to this agent")
    transport: Transports = optional()
    host: Host = optional()
    nat: Nat = optional()
    sip_type: SipType = optional()
    codecs: Codecs = optional()
    caller_id: CallerId = optional()
    context: Context = optional()
    call_group: CallGroup = optional()
    pickup_group: PickupGroup = optional()
    chanspy: bool = optional("those who may listen may listen to this agent's calls; off: nobody may")
    record_calls: Literal["inactive", "wav", "wav49", "gsm"] = optional("answered calls are recorded in this format")
    record_made_calls: bool = optional("calls that the agent makes are recorded too")
    sip_expires: SipExpires = optional()
    sip_port: Port = optional("the port of a phonebar at a fixed address")
    auto_answer: bool = optional("the phone answers by itself")
    auto_answer_delay: Seconds = optional("after so many seconds")
    ring_in_use: bool = optional("`phonebar` only: further calls ring during a call")
    manual_recording: bool = optional("the agent may start recordings itself")
    dtmf_tones: bool = optional("the agent hears the tones of the keys")
    dnd_in_pause: bool = optional("no direct or internal call rings while the agent is on pause")
    unanswered_badge: bool = optional("`phonebar` only: shows how many calls were missed")
    jaws: bool = optional("`phonebar` only: works with the JAWS screen reader")
    screen_recording: Text = optional("`phonebar` only: `none`, `agent` (who starts it) or `automatic`")
    screen_recording_path: Text = optional("`phonebar` only: the folder for screen recordings")
    remote_control: bool = optional("`phonebar` only: other programs of the computer may control it")
    remote_control_port: Port = optional("`phonebar` only: the port for that")
    forward_allowed: bool = optional("`phonebar` only: the agent may forward its direct calls")
    forward_to: Text = optional("`phonebar` only: the number that direct calls go to; empty: none")
    may_see_settings: bool = optional("the agent's client shows its settings")
    may_change_settings: bool = optional("the agent's client changes its settings")
    tls_certificate_path: Text = optional("`webrtc` only: the file with the certificate of Asterisk's websocket")
    tls_key_path: Text = optional("`webrtc` only: the file with its key")
    wss_port: Port | None = optional("`webrtc` only: the port of Asterisk's websocket")
    ignore_pause_preview: bool = optional("`webrtc` only: preview calls come during a pause too")
    client_log: bool = optional("the agent's client sends its log")
    client_log_level: Literal["error", "warning", "info", "debug"] = optional("from this level on")
    internal_messenger: bool = optional("the agent may use the internal messenger")
    prefix_required: bool = optional("calls outside need one of the prefixes")
    recall_me: bool = optional("the agent may use recall-me campaigns")
    may_call: bool = optional("the agent makes calls")
    may_spy: bool = optional("may listen to the calls of agents in its own queues")
    download_attachments: bool = optional("may download attachments")
    download_interactions: bool = optional("may download interactions of other channels")
    download_recordings: bool = optional("may download recorded calls")


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
