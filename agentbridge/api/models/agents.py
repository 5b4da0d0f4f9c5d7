"""Agents, what belongs to them, and what their verbs take."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentbridge.api.models.common import (
    Given,
    Long,
    Name,
    Penalty,
    Port,
    Seconds,
    Text,
    Transport,
    Typology,
    Words,
    optional,
)


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
