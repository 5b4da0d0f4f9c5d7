"""What is looked at: nodes, the plan, the audit, recordings; and interactions of other channels."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agentbridge.api.models.common import Given, Name


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
