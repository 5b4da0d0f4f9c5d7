"""Which rows of the picture of running calls are to be written, and the event that wakes their writer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from agentbridge.model import EndpointId, QueueName
from agentbridge.model.live import LiveCall

ENDED = 10_000
"""calls that have ended and are not written yet: so many of an outage of the database get into the history"""

_Row = TypeVar("_Row", bound=str)


class Marks:
    """Which live rows have changed and are to be written: agents, calls (by Uniqueid), queues, and calls that have
    ended."""

    def __init__(self) -> None:
        self.agents: set[EndpointId] = set()
        self.calls: set[str] = set()
        self.queues: set[QueueName] = set()
        self.ended: dict[str, LiveCall] = {}
        """by Uniqueid: not written yet"""
        self.wake = asyncio.Event()

    def __bool__(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.agents or self.calls or self.queues or self.ended)

    def agent(self, agent: EndpointId) -> None:
        """Marks an agent's row and wakes the writer."""
        self.agents.add(agent)
        self.wake.set()

    def call(self, uniqueid: str) -> None:
        """Marks a call's row and wakes the writer."""
        self.calls.add(uniqueid)
        self.wake.set()

    def call_ended(self, call: LiveCall) -> None:
        """Keeps the last row of a call that is over, for the history; above a bound the oldest is dropped."""
        self.calls.discard(call.channel)
        if len(self.ended) >= ENDED:
            del self.ended[next(iter(self.ended))]
        self.ended[call.channel] = call
        self.wake.set()

    def ended_written(self, calls: Iterable[LiveCall]) -> None:
        """Drops ended calls that have been written to the history."""
        for call in calls:
            self.ended.pop(call.channel, None)

    def queue(self, queue: QueueName) -> None:
        """Marks a queue's row and wakes the writer."""
        self.queues.add(queue)
        self.wake.set()

    def forget_changes(self) -> None:
        """Forgets which rows have changed: all are going to be written. Calls that have ended are kept for the
        history, since nobody else knows of them any more."""
        for marked in (self.agents, self.calls, self.queues):
            marked.clear()


def take(marked: set[_Row], most: int) -> list[_Row]:
    """Removes at most `most` marks from the set and returns them."""
    taken = list(islice(marked, most))
    marked.difference_update(taken)
    return taken


def in_parts(rows: Iterable[_Row], most: int) -> Iterable[list[_Row]]:
    """Yields the rows in lists of at most `most`."""
    left = iter(rows)
    while part := list(islice(left, most)):
        yield part
