"""Who waits in each queue, what it did today, and how many of its members are in which state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live_marks import Marks
from agentbridge.model import EndpointId, QueueName, queue_name
from agentbridge.model.live import AgentState, LiveQueue


@dataclass(slots=True)
class _Figures:
    """One queue's waiting callers and its counts since midnight."""

    callers: dict[str, datetime] = field(default_factory=dict)
    """Uniqueid → since when it waits"""
    answered: int = 0
    abandoned: int = 0
    in_level: int = 0
    level_seconds: int = 0


class QueueFigures:
    """The waiting callers and today's counts of each queue, and its members by state; a change marks the queue's row.

    now: the time of day.
    """

    def __init__(self, marks: Marks, now: Callable[[], datetime]) -> None:
        self._marks, self._now = marks, now
        self._queues: dict[QueueName, _Figures] = {}
        self._day: date | None = None
        self._places: dict[EndpointId, Mapping[QueueName, AgentState]] = {}
        """how each agent counts in each of its queues"""
        self._sums: dict[tuple[QueueName, AgentState], int] = {}

    def names(self) -> list[QueueName]:
        """Of all queues."""
        return list(self._queues)

    def row(self, queue: QueueName) -> LiveQueue:
        """Returns the queue's row for the directory."""
        figures = self._of(queue)
        return LiveQueue(
            queue=queue,
            waiting=len(figures.callers),
            longest_since=min(figures.callers.values(), default=None),
            ready=self._sum(queue, AgentState.READY),
            paused=self._sum(queue, AgentState.PAUSED),
            talking=self._sum(queue, AgentState.TALKING) + self._sum(queue, AgentState.HELD),
            day=self.day(),
            answered=figures.answered,
            abandoned=figures.abandoned,
            in_level=figures.in_level,
            level_seconds=figures.level_seconds,
        )

    # ------------------------------------------------------------ events

    def caller_moved(self, event: Message) -> None:
        """Takes the event that a caller joined, left or abandoned a queue."""
        queue, uniqueid = queue_name(event.get("Queue")), event.get("Uniqueid")
        figures = self._of(queue)
        if event.event == "QueueCallerJoin":
            figures.callers[uniqueid] = self._now()
        else:
            figures.callers.pop(uniqueid, None)
            figures.abandoned += event.event == "QueueCallerAbandon"
        self._marks.queue(queue)

    def answered(self, queue: QueueName, waited: str) -> None:
        """Counts a call that an agent answered. waited: the caller's seconds in the queue, as Asterisk writes them."""
        figures = self._of(queue)
        figures.answered += 1
        if figures.level_seconds and waited.isdigit() and int(waited) <= figures.level_seconds:
            figures.in_level += 1
        self._marks.queue(queue)

    def count_agent(self, agent: EndpointId, places: Mapping[QueueName, AgentState]) -> None:
        """Counts the agent in these queues, in each with its state there, in place of how it was counted before."""
        if (before := self._places.get(agent, {})) == places:
            return
        for queue, counted in before.items():
            self._sums[queue, counted] -= 1
            if not self._sums[queue, counted]:
                del self._sums[queue, counted]
            self._marks.queues.add(queue)
        for queue, counted in places.items():
            self._sums[queue, counted] = self._sums.get((queue, counted), 0) + 1
            self._marks.queues.add(queue)
        if places:
            self._places[agent] = places
        else:
            self._places.pop(agent, None)

    def _of(self, queue: QueueName) -> _Figures:
        return self._queues.setdefault(queue, _Figures())

    def _sum(self, queue: QueueName, state: AgentState) -> int:
        return self._sums.get((queue, state), 0)

    # ------------------------------------------------------------ the day

    def day(self) -> date:
        """The day whose calls are counted."""
        return self._day or self._today()

    def begin_day(self) -> None:
        """Sets the counts to zero when a new day has begun, by this machine's time zone."""
        if self._day is not None and self._day != self._today():
            for queue, figures in self._queues.items():
                figures.answered = figures.abandoned = figures.in_level = 0
                self._marks.queues.add(queue)
        self._day = self._today()

    def _today(self) -> date:
        return self._now().astimezone().date()

    def add_counts(self, counts: Mapping[str, tuple[int, int, int]]) -> None:
        """Adds what was counted today before this daemon started: for a queue answered, abandoned, answered within its
        level."""
        for queue, (answered, abandoned, in_level) in counts.items():
            figures = self._of(QueueName(queue))
            figures.answered += answered
            figures.abandoned += abandoned
            figures.in_level += in_level

    # ------------------------------------------------------------ a look at everything

    def take_over(self, items: Sequence[Message], asked_at: datetime) -> None:
        """Takes waiting callers and service levels from the items of a QueueStatus that was requested at `asked_at`.

        Queues that are not listed are forgotten, and so are callers, unless they joined later.
        """
        waiting: dict[QueueName, dict[str, datetime]] = {}
        for item in items:
            queue = queue_name(item.get("Queue"))
            match item.event:
                case "QueueParams":
                    waiting.setdefault(queue, {})
                    level = item.get("ServiceLevel")
                    self._of(queue).level_seconds = int(level) if level.isdigit() else 0
                case "QueueEntry":
                    seconds = item.get("Wait")
                    since = asked_at - timedelta(seconds=int(seconds) if seconds.isdigit() else 0)
                    waiting.setdefault(queue, {})[item.get("Uniqueid")] = since
                case _:
                    pass
        for queue in self._queues.keys() - waiting.keys():
            del self._queues[queue]
        for queue, callers in waiting.items():
            figures = self._of(queue)
            joined = {uniqueid: at for uniqueid, at in figures.callers.items() if at >= asked_at}
            known_since = {uniqueid: figures.callers.get(uniqueid, at) for uniqueid, at in callers.items()}
            figures.callers = known_since | joined
