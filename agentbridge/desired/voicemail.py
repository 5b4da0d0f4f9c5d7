"""The voicemail box that an agent should have. Pure."""

from __future__ import annotations

import unicodedata

from agentbridge.desired.caller_id import clipped
from agentbridge.model import Agent, Fields, Subject

MAILBOX_CONTEXT = "agentbridge"
NO_PIN = "none"
"""of a box without a PIN: no telephone can dial letters, while an empty one would let everybody in"""


def mailbox(agent: Agent | None) -> Fields:
    """Returns the fields of the agent's voicemail box; {} where the agent has none."""
    if agent is None or not agent.options.voicemail:
        return {}
    return {
        # not the number, which somebody else may have next: who has it would hear what was said to the last one
        "mailbox": str(agent.id),
        "password": agent.options.voicemail_pin or NO_PIN,
        "fullname": mailbox_name(agent.display_name),
    }


def mailbox_of(subject: Subject) -> str:
    """Returns the name of the voicemail box whose new messages light this endpoint's lamp; '' for none."""
    agent = subject.carried or subject.agent
    return f"{agent.id}@{MAILBOX_CONTEXT}" if agent and agent.options.voicemail else ""


def mailbox_name(text: str) -> str:
    """Returns a name with only the characters that are safe in an Asterisk command line: no quotes, no escapes."""
    kept = (c if c.isalnum() or unicodedata.category(c).startswith("M") or c in " ._-" else " " for c in text)
    return clipped(" ".join("".join(kept).split()))
