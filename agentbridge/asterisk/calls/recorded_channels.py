"""On which channels something is recorded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

GONE = 1000
"""channels of which it is remembered that they have ended: what is told of them late counts no more"""
LOOKS = 12


@dataclass(slots=True)
class RecordedChannel:
    """A channel that is being recorded or was, with what events told of its recordings."""

    name: str
    paths: set[str] = field(default_factory=set)
    told: int = 0
    """how many recordings run, by Asterisk's events"""
    looks: int = 0
    """tries left to find them in Asterisk's list: under load the event of a beginning comes before that has it"""
    unanswered: bool = False
    """a call that the agent made, and nobody answered"""
    changes: int = 0
    """events so far; a look that began before the last of them does not count"""
    linkedid: str = ""
    """the latest that was heard of: a transfer joins the call to an older one"""

    def count(self, change: int) -> None:
        """Notes by an event that one more (+1) or one less (-1) recording runs, so that the channel is compared with
        Asterisk's list."""
        self.told = max(0, self.told + change)
        self.looks = LOOKS
        self.changes += 1


class RecordedChannels:
    """The channels that are being recorded, by their Uniqueid."""

    def __init__(self) -> None:
        self._channels: dict[str, RecordedChannel] = {}
        self._gone: dict[str, None] = {}

    def __contains__(self, uniqueid: str) -> bool:
        return uniqueid in self._channels

    def get(self, uniqueid: str) -> RecordedChannel | None:
        """None for a channel on which nothing was recorded."""
        return self._channels.get(uniqueid)

    def add(self, uniqueid: str, name: str) -> RecordedChannel | None:
        """Returns the channel, which is added where it is new; None for one that has ended and must not come back."""
        if uniqueid in self._gone:
            return None
        return self._channels.setdefault(uniqueid, RecordedChannel(name))

    def remove(self, uniqueid: str) -> RecordedChannel | None:
        """Forgets a channel that has ended and returns it; None for one on which nothing was recorded."""
        channel = self._channels.pop(uniqueid, None)
        if channel is not None:
            self._gone[uniqueid] = None
            if len(self._gone) > GONE:
                del self._gone[next(iter(self._gone))]
        return channel

    def to_look_at(self) -> list[tuple[str, RecordedChannel]]:
        """Those whose recordings are to be compared with Asterisk's list, with their Uniqueids."""
        return [(uniqueid, channel) for uniqueid, channel in self._channels.items() if channel.looks]

    def without(self, alive: Collection[str]) -> list[str]:
        """The Uniqueids that are not among these."""
        return list(self._channels.keys() - set(alive))

    def recording(self, path: str) -> str:
        """The Uniqueid of the channel that is recorded into this file; '' where there is none any more."""
        return next((uniqueid for uniqueid, channel in self._channels.items() if path in channel.paths), "")

    def paths(self) -> set[str]:
        """The files of all channels."""
        return set[str]().union(*(channel.paths for channel in self._channels.values()))
