"""What a Changes told its listener."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentbridge.model import EndpointId, Reading, SessionPause


@dataclass
class Seen:
    """A DirectoryListener that stores what it is told."""

    keys: set[str] = field(default_factory=set)
    pauses: dict[EndpointId, SessionPause] = field(default_factory=dict)
    ups: int = 0
    downs: list[str] = field(default_factory=list)

    def keys_changed(self, keys: set[EndpointId], _reading: Reading | None) -> None:
        self.keys |= keys

    def pauses_changed(self, pauses: Mapping[EndpointId, SessionPause]) -> None:
        self.keys |= pauses.keys()
        self.pauses.update(pauses)

    def directory_up(self) -> None:
        self.ups += 1

    def directory_lost(self, reason: str) -> None:
        self.downs.append(reason)

    def results_written(self) -> None:
        pass
