"""The names by which things are known: endpoint ids, queues, interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NewType

EndpointId = NewType("EndpointId", str)
"""An agent's internal number (`1001`) or a telephone's name (`desk7`)."""
AgentId = NewType("AgentId", int)
"""The agent's row id in the directory; it survives a change of number or name."""
QueueName = NewType("QueueName", str)
Interface = NewType("Interface", str)
"""How app_queue dials a member, e.g. `PJSIP/1001`."""
MemberId = tuple[QueueName, Interface]
"""A member of one queue: app_queue knows each by these two."""

Fields = Mapping[str, str]
"""Attributes of one PJSIP object. Always strings: anything else crashes Asterisk."""

REMOTE_CONTEXT = "agentbridge-remote"
"""of the dialplan: calls the agent of an internal number at the node where its device is registered"""
AUTOPAUSE = "Auto-Pause"
"""app_queue's own reason, when it pauses a member that did not answer"""


def queue_name(text: str) -> QueueName:
    """Returns the queue's name in lower case: Asterisk compares queue names without regard to case."""
    return QueueName(text.lower())


ALL_KEYS = EndpointId("*")
"""The hint that stands for every key, e.g. after a TRUNCATE."""
