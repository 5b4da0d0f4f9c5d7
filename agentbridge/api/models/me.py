"""The agent's own, as its client needs it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentbridge.api.models.agents import AgentStatus
from agentbridge.api.models.common import Given, Typology


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


class Kept(BaseModel):
    """How many lines of a browser's log were stored, and from which level on."""

    on: bool = Field(description="the agent's log is switched on")
    level: Literal["error", "warning", "info", "debug"] | None = None
    kept: int
