"""The rows of recordings on their way to the directory: a beginning, the measuring of a file, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

import structlog

from agentbridge.asterisk.calls.folder import Missing, Size, Unreadable, sizes
from agentbridge.asterisk.calls.recorder import SpoolFolder
from agentbridge.asterisk.calls.recording_trouble import RecordingTroubles
from agentbridge.model.calls import RecordingEnd, RecordingStart, RecordingTrouble, recording_file

log = structlog.get_logger()

CROWDED = "the call has other files of this agent and part already: this one stays on disk, without a row"

STILL_SECONDS = 1.0
"""a file that has not grown for so long after its channel's end is whole: Asterisk writes a last buffer late"""
KEPT = 10_000
"""of whatever waits here at most; beyond that the folder and the directory are read anew"""
AT_ONCE = 1000


class Ledger(Protocol):
    """The rows of recordings in the directory. Methods raise Unavailable and are safe to repeat."""

    async def start(self, rows: Sequence[RecordingStart]) -> set[str]:
        """Returns the paths that got no row: a third file of a call, where there may be two."""
        ...

    async def finish(self, rows: Sequence[RecordingEnd]) -> None:
        """Writes the ends of these recordings."""
        ...

    async def unknown(self, paths: Sequence[str]) -> set[str]:
        """Those of these paths that have no row."""
        ...

    async def unfinished(self, after: str, limit: int) -> Mapping[str, str]:
        """Path → Uniqueid of those that have no end, in the order of their paths, from beyond `after`."""
        ...

    async def listed_at(self) -> datetime | None:
        """When the whole folder was last compared with the rows; None: never."""
        ...

    async def note_listed(self, at: datetime) -> None:
        """Notes that the whole folder was compared with the rows at that time."""
        ...

    async def note_trouble(self, trouble: RecordingTrouble) -> bool:
        """Keeps it for `status`. False where it could not be kept: to be tried later."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """A recording that has ended and whose file is measured until it no longer grows.

    `at` is None where the file's own time is to tell the end; `size` is None while no file is there.
    """

    at: datetime | None
    size: int | None = None
    since: float | None = None
    """of the clock; None: not looked at yet"""
    alarmed: bool = False
    """it was told that nothing is written, or nothing is to be written: nobody answered the call"""
    channel: str = ""
    """Uniqueid of a call that may still go on"""
    linkedid: str = ""
    """of that channel at its end"""


class RecordingRows:
    """Keeps beginnings and ends of recordings until they are written to the directory.

    `start` and `end` only take notes; the `write_…` methods write and raise Unavailable. now: the time of day. clock:
    seconds, monotonic.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: SpoolFolder,
        troubles: RecordingTroubles,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._ledger, self._spool, self._troubles = ledger, spool, troubles
        self._now, self._clock = now, clock
        self._started: dict[str, RecordingStart] = {}
        self._ending: dict[str, _Ending] = {}
        self._finished: dict[str, RecordingEnd] = {}
        self.overflowed = False
        """something had no room here; a comparison of folder and directory finds it again"""

    @property
    def measures(self) -> bool:
        """Whether a file is to be looked at until it is still."""
        return bool(self._ending)

    def has_end(self, path: str) -> bool:
        """Whether the recording's end is on its way."""
        return path in self._ending or path in self._finished

    # ------------------------------------------------------------ beginnings

    def start(self, row: RecordingStart) -> None:
        """Queues the row of a recording that has begun."""
        self._ending.pop(row.file.path, None)
        if len(self._started) >= KEPT:
            self.overflowed = True  # it has no row and is found again in the folder
            return
        self._started[row.file.path] = row

    async def write_starts(self) -> None:
        """Writes the rows of recordings that have begun. Raises Unavailable, and keeps them then."""
        while batch := list(islice(self._started.values(), AT_ONCE)):
            rejected = await self._ledger.start(batch)
            for row in batch:
                if self._started.get(row.file.path) is row:
                    del self._started[row.file.path]
            for path in rejected:
                self._ending.pop(path, None)
                log.error("recording.not_kept", file=path, reason=CROWDED)

    # ------------------------------------------------------------ ends

    def end(
        self, path: str, at: datetime | None, *, channel: str = "", linkedid: str = "", unanswered: bool = False
    ) -> None:
        """Notes that a recording has ended; its file is measured until it no longer grows.

        at: None where the file's own time is to tell the end.
        """
        self._troubles.expect_no_more(path)
        if len(self._ending) >= KEPT:
            self.overflowed = True  # its row has no end and is found again in the directory
            return
        alarmed = self._troubles.is_alarmed(path) or unanswered
        self._ending[path] = _Ending(at=at, alarmed=alarmed, channel=channel, linkedid=linkedid)

    def end_all(self, found: Mapping[str, Size | Missing | Unreadable]) -> None:
        """Notes the ends of recordings whose channels are gone and whose files were looked at.

        A file that was written to a moment ago may still grow and is measured again.
        """
        young = self._now() - timedelta(seconds=2 * STILL_SECONDS)
        for path, size in found.items():
            match size:
                case Unreadable():
                    self._troubles.note_unmeasured(path, size)
                case Size() if size.written_at < young:
                    self._troubles.note_measured(path)
                    self._finished[path] = RecordingEnd(path=path, at=size.written_at, bytes=size.bytes)
                case _:
                    self.end(path, None)

    async def write_ends(self) -> None:
        """Measures the files of recordings that have ended, and writes the ends of those that no longer grow. Raises
        Unavailable."""
        if self._ending:
            found = await asyncio.to_thread(sizes, await self._spool.get(), list(self._ending))
            self._measure(found)
        await self.write_finished()

    async def write_finished(self) -> None:
        """Writes the ends whose files need no measuring any more. Raises Unavailable."""
        while batch := list(islice(self._finished.values(), AT_ONCE)):
            await self._ledger.finish(batch)
            for row in batch:
                self._finished.pop(row.path, None)
                file = recording_file(row.path)
                agent = file.internal if file else None
                log.info("recording.finished", agent=agent, file=row.path, bytes=row.bytes)

    def _measure(self, found: Mapping[str, Size | Missing | Unreadable]) -> None:
        """Takes the files' sizes: finishes those that have not grown for long enough; unreadable ones wait for the next
        comparison."""
        moment = self._clock()
        for path, size in found.items():
            ending = self._ending.get(path)
            if ending is None:
                continue
            if isinstance(size, Unreadable):
                del self._ending[path]
                self._troubles.note_unmeasured(path, size)
                continue
            self._troubles.note_measured(path)
            bytes_ = size.bytes if isinstance(size, Size) else None
            if ending.since is None or ending.size != bytes_:
                self._ending[path] = replace(ending, size=bytes_, since=moment)
            elif moment - ending.since >= STILL_SECONDS:
                del self._ending[path]
                if not bytes_ and not ending.alarmed:
                    self._troubles.alarm(path, ending.channel)
                written_at = size.written_at if isinstance(size, Size) else None
                at = ending.at or written_at or self._now()
                joined = _joined_call(path, ending.linkedid)
                self._finished[path] = RecordingEnd(path=path, at=at, bytes=bytes_ or 0, joined=joined)


def _joined_call(path: str, linkedid: str) -> str:
    """Returns the linkedid of the call that the recorded one was joined to; '' where there is none."""
    file = recording_file(path)
    return linkedid if file is not None and linkedid != file.linkedid else ""
