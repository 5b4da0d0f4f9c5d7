"""Running calls and those that are over, and what is asked of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from agentbridge.api.models.common import Given, Name


class CallOfAgent(BaseModel):
    """What is told of a call, whether it goes on or is over."""

    id: str
    linkedid: str
    direction: Literal["in", "out"]
    queue: str
    number: str = Field(description="the other party's")
    name: str
    rang_at: datetime
    answered_at: datetime | None


class Call(CallOfAgent):
    """A running call of an agent."""

    agent: str
    internal: str
    held_at: datetime | None
    recording: Literal["none", "running", "paused", "failed"]
    parts: list[int]
    node: str
    stale: bool = Field(description="its node says nothing, or its Asterisk is away")


class PastCall(CallOfAgent):
    """A call of an agent that is over."""

    ended_at: datetime
    missed: bool = Field(description="it came in, and nobody answered it while it rang at the agent")


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
