"""Who looks at the stream, and what of an object that shows: decided before anything is serialised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kinds of objects that are shown live."""

    AGENT = "agent"
    QUEUE = "queue"
    CALL = "call"
    RECORDING = "recording"
    TELEPHONE = "telephone"
    NODE = "node"
    ME = "me"


KINDS = frozenset(Kind)
MASKED_FIELDS = ("number", "name")
"""of a call: the other party's (A11)"""


@dataclass(frozen=True, slots=True)
class Viewer:
    """What a viewer of the live stream may see. Viewers with equal rights are equal, and share what is serialised for
    them."""

    sees_all: bool = False
    queues: frozenset[str] = frozenset()
    agent: str = ""
    """the agent itself; empty for others"""
    mask: int | None = None
    """how many characters of a caller are hidden; None: none"""
    own_queues: frozenset[str] = frozenset()
    """of the agent itself: it sees how many wait there"""
    telephones: bool = False
    nodes: bool = False

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Viewer:
        """Makes a Viewer from a row of the SQL function api_viewer."""
        roles = set(found["roles"])
        return cls(
            sees_all=found["all"],
            queues=frozenset(found["queues"]),
            agent=found["name"] if found["kind"] == "agent" else "",
            mask=found["mask"],
            own_queues=frozenset(found["own_queues"]),
            telephones=bool(roles & {"admin", "user", "machine"}),
            nodes=bool(roles & {"admin", "machine"}),
        )

    def sees(self, kind: Kind, agent: str, queues: frozenset[str]) -> bool:
        """Whether the viewer may see an object of this kind, which belongs to that agent and those queues."""
        match kind:
            case Kind.ME:
                return bool(self.agent) and agent == self.agent
            case Kind.TELEPHONE:
                return self.telephones
            case Kind.NODE:
                return self.nodes
            case Kind.QUEUE if not self.own_queues.isdisjoint(queues):
                return True
            case Kind.CALL | Kind.RECORDING if self.agent and agent == self.agent:
                return True
            case _:
                return self.sees_all or not self.queues.isdisjoint(queues)

    def shown(self, kind: Kind, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the part of an object's data that this viewer may get.

        An agent is not told who listens, and masked numbers stay masked.
        """
        if not self.agent or kind is not Kind.CALL:
            return data
        shown = {name: value for name, value in data.items() if name != "spied_by"}
        if self.mask is None:
            return shown
        return shown | {name: masked(data.get(name), self.mask) for name in MASKED_FIELDS}


def masked(text: Any, characters: int) -> Any:
    """Hides the last characters of a text, and all of a short one, as the dialplan does towards the agent's phone."""
    if not isinstance(text, str) or not text:
        return text
    return text[:-characters] + "*" * min(characters, len(text))
