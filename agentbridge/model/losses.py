"""What an agent or a telephone would lose in Asterisk by a plan, to be judged before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentbridge.model.keys import AgentId, EndpointId, QueueName


class Fate(StrEnum):
    """Why the directory no longer has something that Asterisk still has."""

    TAKEN_AWAY = "taken away"
    """a statement ended it, or the rows say themselves that it should not be"""
    MOVED = "moved"
    """the agent has this place in the queue by another endpoint now: a new number, another telephone"""
    VANISHED = "vanished"
    """the rows are missing, and no statement took them away"""


class LossKind(StrEnum):
    """What it is that an agent or a telephone would lose in Asterisk."""

    ENDPOINT = "endpoint"
    """the agent's or the telephone's own SIP endpoint"""
    LOGIN = "login"
    """that calls for the agent ring this device"""
    MEMBERSHIP = "membership"
    """the place in one queue"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One thing that Asterisk has for an endpoint id and the directory does not want there any more.

    agent: the row id of the agent whose calls the endpoint takes, as Asterisk knows it; None for a telephone that
    nobody uses. queue: of a membership.
    """

    key: EndpointId
    kind: LossKind
    agent: AgentId | None
    queue: QueueName | None = None
