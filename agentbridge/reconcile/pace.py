"""How fast the writer may go: never so fast that Asterisk's own task processors fill up.

AMI acknowledges before the work is done: each member write leaves a task behind that scans every member of
every queue, and above 500 waiting tasks res_pjsip drops new calls. So the writer spends a *credit*: after a
reading of the deepest task processor it may write only so often that the ceiling is not passed even if
Asterisk finished nothing meanwhile. Nothing is assumed about how fast it works them off. Writes that are not
answered when a reading begins are not in it and count in full, so that Asterisk need not be idle meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from agentbridge import metrics
from agentbridge.errors import Unavailable

log = structlog.get_logger()

TASKS_A_WRITE = 3
"""of a member: 5,000 QueueAdd left 11,000 tasks in the busiest processor (22.10.1), a little more than two each.
Whatever else is written leaves at most one: an endpoint does; an auth or an AstDB key leaves none. An AOR beside many
endpoints counts as several."""
AT_ONCE = 300
"""of writes that leave nothing: enough to keep a connection busy, few enough to let others in between"""
SPARE = 40
"""writes of a member that may go on an old reading, so that a single change does not wait for one"""
FRESH_SECONDS = 2.0
AHEAD_SECONDS = 0.004
"""how long a reading ahead gives way to the write that made it necessary: most single changes are in Asterisk then, and
the next has not come"""
DRAIN_SECONDS = 0.05
"""how long to wait before the depth is read again when there is no credit"""
PATIENCE_SECONDS = 10.0
"""how long one who wants to write waits for credit before it is told that there is none"""


class Pace:
    """Limits how many writes go to Asterisk, so that its task processors don't fill up.

    depth: reads the number of tasks in the deepest task processor; may raise Unavailable. clock: seconds, monotonic.
    ceiling: tasks that may wait there; Asterisk's low-water mark is 450.
    """

    def __init__(
        self,
        depth: Callable[[], Awaitable[int]],
        *,
        clock: Callable[[], float],
        ceiling: int = 300,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._depth = depth
        self._clock = clock
        self._sleep = sleep
        self._ceiling = ceiling
        self._credit = 0
        self._spent = 0
        """tasks that all writes so far may leave"""
        self._answered = 0
        """those of the writes that were answered"""
        self._answers = asyncio.Event()
        self._spare = SPARE
        self._read_at = float("-inf")
        self._ahead: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # fair: a single change is served between two parts of a long pass
        self.deepest = 0
        """the highest depth that was read"""
        self._behind = False

    async def take(self, wanted: int, *, tasks: int = TASKS_A_WRITE) -> int:
        """Waits for room, then returns how many of `wanted` writes may be done now; 0 where there was none for
        PATIENCE_SECONDS.

        tasks: how many tasks in Asterisk one of these writes may leave. Each write is to be told as `answered`. Raises
        Unavailable where the depth can't be read.
        """
        if tasks == 0:
            return min(wanted, AT_ONCE)
        tasks = self._bounded(tasks)
        if not self._turn.locked() and self._grants_at_once(wanted, tasks):
            return wanted
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._turn:
                return await self._granted(wanted, tasks)
        except TimeoutError:
            self._tell_behind()
            return 0

    def answered(self, writes: int = 1, *, tasks: int) -> None:
        """Notes that writes are over, in whatever way, or will not be done; tasks: those for which each was taken."""
        self._answered += writes * self._bounded(tasks)
        self._answers.set()

    def _bounded(self, tasks: int) -> int:
        """Returns for how many tasks a write counts: in an Asterisk at work something always waits, and one may go."""
        return min(tasks, self._ceiling // 2)

    async def _granted(self, wanted: int, tasks: int) -> int:
        """Waits until Asterisk can take at least one more write and returns how many of those wanted it can take.

        tasks: how many tasks in Asterisk one of these writes may leave.
        """
        if self._grants_at_once(wanted, tasks):
            return wanted
        while not self._has_fresh_credit(tasks):
            await self._until_answered()
            await self._read(tasks)
        self._behind = False
        granted = min(wanted, self._credit // tasks)
        self._spend(granted * tasks)
        return granted

    def _grants_at_once(self, wanted: int, tasks: int) -> bool:
        """Whether all of the writes may go without waiting for a reading; spends what they cost."""
        if self._has_fresh_credit(tasks):
            if wanted * tasks > self._credit:
                return False
            self._behind = False
            self._spend(wanted * tasks)
            if self._credit < self._ceiling // 2:
                self._begin_reading_ahead()
            return True
        cost = wanted * max(1, tasks // TASKS_A_WRITE)
        if cost > self._spare:
            return False
        self._spare -= cost
        self._spent += wanted * tasks
        if self._spare < SPARE // 2:
            self._begin_reading_ahead()
        return True

    def _spend(self, tasks: int) -> None:
        """Takes what writes cost from the credit."""
        self._credit -= tasks
        self._spent += tasks

    def _begin_reading_ahead(self) -> None:
        """Has the depth read before credit or spare writes are used up, so that no single change waits for it."""
        if self._ahead is None or self._ahead.done():
            self._ahead = asyncio.create_task(self._read_ahead(), name="pace")

    async def _read_ahead(self) -> None:
        """Reads the depth while writes go on."""
        await self._sleep(AHEAD_SECONDS)
        began, answered = self._read_at, self._answered
        try:
            depth = await self._depth()
        except Unavailable:
            return  # whoever needs it asks again, and is told
        # Only where there is room: above the ceiling the spare writes are all there is. And who has read meanwhile has
        # handed out already what this reading would hand out again.
        has_room = depth + self._spent - answered + TASKS_A_WRITE <= self._ceiling
        if has_room and self._read_at == began and not self._turn.locked():
            self._note(depth, answered)

    def _tell_behind(self) -> None:
        """Logs that writes wait because Asterisk is behind; only once until it has caught up."""
        if not self._behind:
            reason = "Asterisk has too many unfinished tasks: nothing is written until there are fewer"
            log.warning("pace.waiting", deepest=self.deepest, ceiling=self._ceiling, reason=reason)
        self._behind = True

    def _has_fresh_credit(self, tasks: int) -> bool:
        return self._credit >= tasks and self._clock() - self._read_at < FRESH_SECONDS

    async def _read(self, tasks: int) -> None:
        """Reads the depth of the task processors; sleeps a moment where there is no room for a write of so many
        tasks."""
        answered = self._answered
        self._note(await self._depth(), answered)
        if self._credit < tasks:
            metrics.PACE_WAITS.inc()
            await self._sleep(DRAIN_SECONDS)

    async def _until_answered(self) -> None:
        """Waits until no more than half of the ceiling is on its way: a reading now would tell of too little."""
        while self._spent - self._answered > self._ceiling // 2:
            self._answers.clear()
            await self._answers.wait()

    def _note(self, depth: int, answered: int) -> None:
        """Takes a depth that was read: computes how much may be written by it.

        answered: the tasks of all writes that were answered when the reading began; the others are not in it.
        """
        self.deepest = max(self.deepest, depth)
        metrics.TASKPROCESSOR_DEPTH.set(depth)
        self._credit = self._ceiling - depth - (self._spent - answered)
        self._read_at = self._clock()
        self._spare = SPARE
