"""Which keys have to be looked at, and when. No I/O; time comes in as a clock.

A key is in one pass at a time. A key that was written twice within `REST_SECONDS` rests, so that a storm of
changes of one agent costs Asterisk few writes; a key that fails backs off alone.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum

from agentbridge.model import EndpointId

WRITES_AT_ONCE = 2
REST_SECONDS = 1.5
QUIET_SECONDS = 0.25
"""a key that rests is looked at earlier when no further change has come for so long: the storm is over"""
WRITES_KEPT = 1000
"""above that the times of writes that no key rests for any more are forgotten"""
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0


class Cause(IntEnum):
    """Why a key is compared; see `joined` for several. A difference is drift, unless the directory wishes it."""

    RESYNC = 1
    EVENT = 2
    EVERYTHING = 3
    """every key may have changed in the directory"""
    PAUSE = 4
    """a session is on pause or no longer, and nothing else has changed"""
    CHANGE = 5

    @property
    def is_wish(self) -> bool:
        """Whether the directory may have changed the key."""
        return self >= Cause.EVERYTHING

    @property
    def is_urgent(self) -> bool:
        """Whether the key is known to differ, and does not wait for a comparison of all keys."""
        return self in (Cause.EVENT, Cause.PAUSE, Cause.CHANGE)

    @property
    def is_routine(self) -> bool:
        """Whether the key is compared with all others, and not known to differ."""
        return self in (Cause.RESYNC, Cause.EVERYTHING)

    def joined(self, other: Cause) -> Cause:
        """Returns what counts where a key is to be compared for both."""
        if self is other:
            return self
        return Cause.CHANGE if Cause.PAUSE in (self, other) else max(self, other)


class Batch(dict[EndpointId, Cause]):
    """The keys of one pass, each with its cause.

    A key that changes is taken out of it, where the pass has not begun with the key or has set it aside until it
    writes.
    """

    def __init__(self, causes: Mapping[EndpointId, Cause]) -> None:
        super().__init__(causes)
        self._waiting = set(causes)
        self._aside: set[EndpointId] = set()

    def begin(self, keys: Iterable[EndpointId]) -> dict[EndpointId, Cause]:
        """Begins with these keys, to compare or to write them; returns those that are still in the batch, with their
        causes."""
        mine = {key: self[key] for key in keys if key in self}
        self._waiting.difference_update(mine)  # `-=` with a view of keys would copy the whole set
        self._aside.difference_update(mine)
        return mine

    def set_aside(self, keys: Iterable[EndpointId]) -> None:
        """Notes keys that were compared and wait for the pass to write; see WorkQueue.set_aside."""
        self._aside.update(keys)

    def set_changed(self, keys: Iterable[EndpointId]) -> None:
        """Sets the cause of these keys to CHANGE: the directory has changed them, unknown when the pass took them.

        Keys that are not in the batch are ignored.
        """
        self.update({key: Cause.CHANGE for key in keys if key in self})

    def raise_cause(self, key: EndpointId, why: Cause) -> None:
        """Has the key, with which the pass has not begun, compared for this cause too."""
        self[key] = self[key].joined(why)

    def waits_with(self, key: EndpointId) -> bool:
        """Whether the pass has not begun with the key."""
        return key in self._waiting

    def may_leave(self, key: EndpointId) -> bool:
        """Whether the pass can do without the key: it has not begun with it, or has set it aside."""
        return key in self._waiting or key in self._aside


class WorkQueue:
    """The keys that are to be compared, and when: `mark` adds them, `take` reserves those that are due until `release`.

    A key is in one pass at a time, and several passes may run: a comparison of everything takes seconds, and a key that
    changes meanwhile need not wait for it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[EndpointId, Cause] = {}
        self._later: list[tuple[float, EndpointId]] = []
        self._waiting: dict[EndpointId, tuple[float, Cause]] = {}
        """keys in `_later`, with the time and cause that count; other entries of theirs there are stale"""
        self._busy: dict[EndpointId, Batch] = {}
        """keys in a pass"""
        self._again: dict[EndpointId, Cause] = {}
        """those of them that were marked meanwhile"""
        self._writes: dict[EndpointId, tuple[float, ...]] = {}
        """when each key was written lately; a tuple, since ten thousand deques are 6 MB"""
        self._retries: dict[EndpointId, float] = {}
        self._gathering = False
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due) + len(self._waiting) + len(self._busy)

    def mark(self, keys: Collection[EndpointId], why: Cause) -> None:
        """Makes these keys due; one that a pass is comparing just now becomes due again after it."""
        if not keys:
            return
        now = self._clock()
        for key in keys:
            batch = self._busy.get(key)
            if batch is None:
                self._mark(key, why, now)
            elif why.is_urgent and batch.may_leave(key):
                self._leave(batch, key, why, now)
            elif batch.waits_with(key):  # the look that is still to come is enough
                batch.raise_cause(key, why)
            else:
                # the pass may have read what is newer than this pause: it is read again
                why_again = Cause.CHANGE if why is Cause.PAUSE else why
                self._again[key] = why_again.joined(self._again.get(key, why_again))
        self._wake.set()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Only urgent keys are taken within the block, in which all others are marked part by part: they are for one
        pass, whose order of writes holds for all."""
        self._gathering = True
        try:
            yield
        finally:
            self._gathering = False
            self._wake.set()

    def set_aside(self, batch: Batch, keys: Iterable[EndpointId]) -> None:
        """Notes that the pass has compared these keys and writes them later, when it has compared all others.

        That may be seconds: a key that changes, or has changed since, leaves the pass and need not wait.
        """
        now = self._clock()
        mine = [key for key in keys if key in batch]
        batch.set_aside(mine)
        for key in mine:
            if self._again.get(key, Cause.RESYNC).is_urgent:
                self._leave(batch, key, self._again[key], now)
        self._wake.set()

    def _leave(self, batch: Batch, key: EndpointId, why: Cause, now: float) -> None:
        """Takes a key out of its pass and makes it due."""
        del self._busy[key]
        again = self._again.pop(key, why)
        self._mark(key, self._next(key, self._next(key, why, batch.pop(key)), again), now)

    def _next(self, key: EndpointId, cause: Cause, other: Cause) -> Cause:
        """Returns for what a key that is due for both is compared next: for both at once, unless one is a pause, which
        goes first, and the other the comparison with all others, which follows."""
        if Cause.PAUSE in (cause, other) and (routine := min(cause, other)).is_routine:
            self._again[key] = routine.joined(self._again.get(key, routine))
            return Cause.PAUSE
        return cause.joined(other)

    def is_in_work(self, key: EndpointId) -> bool:
        """Whether a pass has begun with the key, and may know more of it than who marks it."""
        return key in self._busy and not self._busy[key].may_leave(key)

    def is_due_again(self, key: EndpointId) -> bool:
        """Whether the key was marked while a pass was at work on it."""
        return key in self._again

    def mark_later(self, keys: Mapping[EndpointId, Cause], *, after: float) -> None:
        """Makes these keys due after that many seconds, whether or not they rest or are in a pass now."""
        until = self._clock() + after
        for key, cause in keys.items():
            self._put_later(key, cause, until)
        self._wake.set()

    def clear(self) -> dict[EndpointId, Cause]:
        """Drops every mark and returns the keys that were marked, with their causes; keys in a pass stay there until
        its release."""
        marks = {key: cause for key, (_, cause) in self._waiting.items()}
        for key, cause in [*self._due.items(), *self._again.items()]:
            marks[key] = cause.joined(marks.get(key, cause))
        self._due.clear()
        self._later.clear()
        self._waiting.clear()
        self._again.clear()
        return marks

    async def take(self) -> Batch:
        """Waits until keys are due, then reserves all of them that are in no pass and returns them; at least one.

        Where some are urgent it returns these alone: among thousands that are compared they would wait for all. So it
        does with those for which a pause is all that has to be written.
        """
        while True:
            self._wake.clear()
            self._move_due()
            free = {key: cause for key, cause in self._due.items() if key not in self._busy}
            urgent = {key: cause for key, cause in free.items() if cause.is_urgent}
            pauses = {key: cause for key, cause in urgent.items() if cause is Cause.PAUSE}
            if batch := Batch(pauses or urgent or ({} if self._gathering else free)):
                for key in batch:
                    del self._due[key]
                    self._busy[key] = batch
                if not self._due:
                    self._due.clear()  # gives back what it took while all keys were in it
                return batch
            await self._sleep()

    def release(self, batch: Batch, keys: Iterable[EndpointId] | None = None) -> None:
        """Ends the reservation of these keys, or of the whole batch; a key marked meanwhile becomes due, or rests
        first."""
        for key in list(batch if keys is None else keys):
            del batch[key], self._busy[key]
            if cause := self._again.pop(key, None):
                self.mark([key], cause)
        if not self._busy:
            self._busy.clear()  # gives back what it took while all keys were in it
        self._wake.set()

    def rest(self, keys: Collection[EndpointId]) -> None:
        """Notes that these keys were written now; a key written too often within REST_SECONDS rests before the next
        pass. A pass over more than WRITES_KEPT takes longer than that."""
        if len(keys) > WRITES_KEPT:
            return
        now = self._clock()
        for key in keys:
            self._writes[key] = (*self._writes.get(key, ()), now)[-WRITES_AT_ONCE:]
        if len(self._writes) > WRITES_KEPT:
            self._writes = {key: times for key, times in self._writes.items() if times[-1] > now - REST_SECONDS}

    def retry(
        self,
        keys: Mapping[EndpointId, Cause],
        *,
        first: float = FIRST_RETRY_SECONDS,
        last: float = LAST_RETRY_SECONDS,
    ) -> None:
        """Makes keys that are not done due again later: each backs off on its own, twice as long each time until it
        succeeds."""
        now = self._clock()
        for key, cause in keys.items():
            wait = min(self._retries.get(key, first), last)
            self._retries[key] = min(2 * wait, last)
            self._put_later(key, cause, now + wait)
        self._wake.set()

    def forget_back_off(self, keys: Iterable[EndpointId]) -> None:
        """Ends the back-off of these keys, because they have succeeded."""
        for key in keys:
            self._retries.pop(key, None)

    # ------------------------------------------------------------ inside

    def _mark(self, key: EndpointId, cause: Cause, now: float) -> None:
        """Makes a key that is in no pass due at once, or at the end of its rest."""
        if (until := self._rests_until(key)) > now:
            # a drift may be somebody who writes against us: that one rests in any case
            self._put_off(key, cause, min(until, now + QUIET_SECONDS) if cause.is_wish else until)
        else:
            _, waiting = self._waiting.pop(key, (0.0, cause))
            self._due[key] = self._next(key, self._next(key, cause, waiting), self._due.get(key, cause))

    def _rests_until(self, key: EndpointId) -> float:
        """Returns the time until which the key rests because it was written too often; 0 where it does not rest."""
        writes = self._writes.get(key)
        if writes is None or len(writes) < WRITES_AT_ONCE:
            return 0.0
        return writes[0] + REST_SECONDS

    def _put_off(self, key: EndpointId, cause: Cause, until: float) -> None:
        """Makes the key due at that time, even where it was to be due earlier."""
        _, other = self._waiting.get(key, (until, cause))
        self._waiting[key] = (until, self._next(key, cause, other))
        heapq.heappush(self._later, (until, key))

    def _put_later(self, key: EndpointId, cause: Cause, until: float) -> None:
        """Makes the key due at that time, or earlier where it is to be due earlier already."""
        earlier, other = self._waiting.get(key, (until, cause))
        self._waiting[key] = (min(until, earlier), self._next(key, cause, other))
        heapq.heappush(self._later, (min(until, earlier), key))

    def _move_due(self) -> None:
        """Makes the keys due whose time has come."""
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            _, key = heapq.heappop(self._later)
            until, cause = self._waiting.get(key, (float("inf"), Cause.RESYNC))
            if until <= now:
                del self._waiting[key]
                self._due[key] = self._next(key, cause, self._due.get(key, cause))

    async def _sleep(self) -> None:
        """Waits until a key is marked or the time of the next one has come."""
        timeout = max(0.0, self._later[0][0] - self._clock()) if self._later else None
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            pass  # a key is due
