"""What goes on now, as it is shown: agents, their calls, and queues. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class AgentState(StrEnum):
    """What an agent does, as the calls of its device show it."""

    OFFLINE = "offline"
    UNREACHABLE = "unreachable"
    READY = "ready"
    RINGING = "ringing"
    TALKING = "talking"
    HELD = "held"
    WRAPUP = "wrapup"
    PAUSED = "paused"


class Direction(StrEnum):
    """Whether the agent was called or called by itself."""

    IN = "in"
    OUT = "out"


class RecordingState(StrEnum):
    """Of a running call. FAILED: it should be recorded, and Asterisk writes nothing."""

    NONE = "none"
    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAgent:
    """`pauses` maps a queue to the reason; `device` is empty for who is not logged in."""

    internal: str
    state: AgentState
    since: datetime
    pauses: Mapping[str, str]
    device: str
    contact: bool
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCall:
    """`channel` is the Uniqueid of the agent's channel; `number` and `name` are the other party's, unmasked.

    `ended_at` is None while the call goes on.
    """

    channel: str
    linkedid: str
    internal: str
    direction: Direction
    queue: str
    number: str
    name: str
    rang_at: datetime
    answered_at: datetime | None
    held_at: datetime | None
    recording: RecordingState
    parts: tuple[int, ...]
    spied_by: tuple[str, ...]
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveQueue:
    """Callers and members now, and the counts of `day`."""

    queue: str
    waiting: int
    longest_since: datetime | None
    ready: int
    paused: int
    talking: int
    day: date
    answered: int
    abandoned: int
    in_level: int
    level_seconds: int
