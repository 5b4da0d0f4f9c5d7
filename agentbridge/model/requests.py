"""Requests about running calls, as the daemon takes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from agentbridge.model.keys import EndpointId


class Verb(StrEnum):
    """What can be asked of a daemon about a running call."""

    RECORDING_START = "recording_start"
    RECORDING_STOP = "recording_stop"
    RECORDING_PAUSE = "recording_pause"
    RECORDING_RESUME = "recording_resume"
    SPY = "spy"
    DIAL = "dial"
    HANGUP = "hangup"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request about a running call that somebody left in the directory for the daemon of one node.

    `internal` is the number of the agent whose device or call it is about; of a spy it is the supervisor's. `arguments`
    depend on the verb.
    """

    id: int
    verb: Verb
    internal: EndpointId
    arguments: Mapping[str, str]
    seconds_left: float
    """until its deadline, when it was read"""
