"""What goes on now, as it is shown: agents, their calls, and queues. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class AgentState(StrEnum):
    """What an agent does now, as supervisors are shown it."""

    OFFLINE = "offline"
    UNREACHABLE = "unreachable"
    READY = "ready"
    RINGING = "ringing"
    TALKING = "talking"
    HELD = "held"
    WRAPUP = "wrapup"
    PAUSED = "paused"


class Direction(StrEnum):
    """The direction of an agent's call: IN when the agent was called, OUT when the agent called."""

    IN = "in"
    OUT = "out"


class RecordingState(StrEnum):
    """Whether a running call is being recorded. FAILED: it should be, and Asterisk writes no file."""

    NONE = "none"
    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAgent:
    """What one agent does now, as supervisors are shown it.

    `pauses` maps each queue in which the agent is paused to the reason; `device` is the endpoint at which the agent is
    logged in, '' for none; `contact` says whether that device is registered; `calls` is their number now.
    """

    internal: str
    state: AgentState
    since: datetime
    pauses: Mapping[str, str]
    device: str
    contact: bool
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCall:
    """One call of an agent that is running, or has just ended, as supervisors are shown it.

    `channel` is the Uniqueid of the agent's channel; `number` and `name` are the other party's, unmasked. `parts`
    are the numbers of its recording's files, `spied_by` the agents who listen. `answered_elsewhere` is true of a call
    that ended because somebody else took it while it rang here. `ended_at` is None while the call goes on.
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
    answered_elsewhere: bool = False
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveQueue:
    """What goes on in one queue now: its waiting callers, its members by state, and what was answered and abandoned on
    `day`.

    `in_level` of the answered calls waited at most `level_seconds`.
    """

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
