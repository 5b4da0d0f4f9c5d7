"""A row for each recording, whole when its file is: from Asterisk's events, and from the folder for what
began or ended while nobody listened.

Nothing here must be remembered: what the directory does not know is found in the folder, and a row that is
unfinished ends when its channel is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NoReturn, Protocol

import structlog

from agentbridge import metrics
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live import Asks, Channel, channels, variable
from agentbridge.asterisk.calls.recorder import FILE, Monitor, listed, monitors, ours, spool_folder
from agentbridge.asterisk.retrying import repeat
from agentbridge.errors import Unavailable
from agentbridge.model.calls import RECORDINGS, Finished, RecordingFile, Started, recording_file

log = structlog.get_logger()

STILL_SECONDS = 1.0
"""a file that has not grown for so long after its channel's end is whole: Asterisk writes a last buffer late"""
LOOK_EVERY_SECONDS = 0.25
LOOKS = 12
RETRY_SECONDS = 1.0
KEPT = 10_000
"""rows that wait for the database at most; beyond that the folder is read anew"""
AT_ONCE = 1000
OVERLAP = timedelta(minutes=5)
LONGEST_CALL = timedelta(days=7)


class Ledger(Protocol):
    """The directory. Every method raises Unavailable, and is safe to repeat."""

    async def start(self, rows: Sequence[Started]) -> None: ...

    async def finish(self, rows: Sequence[Finished]) -> None: ...

    async def unknown(self, paths: Sequence[str]) -> set[str]: ...

    async def unfinished(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """A file that nobody writes to any more. `at` None: its own time tells; `size` None: not there."""

    at: datetime | None
    size: int | None = None
    since: float | None = None
    """of the clock; None: not looked at yet"""


@dataclass(frozen=True, slots=True)
class _Look:
    uniqueid: str
    left: int
    """tries: under load the event of a beginning comes before Asterisk lists it"""


class Recordings:
    """`clock` only grows, in seconds; `now` is the time of day."""

    def __init__(
        self, link: Asks, ledger: Ledger, *, now: Callable[[], datetime], clock: Callable[[], float]
    ) -> None:
        self._link, self._ledger = link, ledger
        self._now, self._clock = now, clock
        self._started: dict[str, Started] = {}
        self._ending: dict[str, _Ending] = {}
        self._finished: dict[str, Finished] = {}
        self._live: dict[str, set[str]] = {}
        """Uniqueid → what records it, by path"""
        self._looks: dict[str, _Look] = {}
        """channels on which a recording began or ended, by name"""
        self._running: dict[str, int] = {}
        """Uniqueid → how many recordings, as told by events"""
        self._scan = False
        self._scanned_at: datetime | None = None
        """what was not written to since then needs no second look"""
        self._spool: Path | None = None
        self._wake = asyncio.Event()

    # ------------------------------------------------------------ what is told

    def on_event(self, event: Message) -> None:
        match event.event:
            case "UserEvent" if event.get("UserEvent") == "AgentbridgeRecordingStarted":
                self._announced(event)
            case "MixMonitorStart":
                self._counted(event, 1)
            case "MixMonitorStop":
                self._counted(event, -1)
            case "Hangup":
                self._hung_up(event.get("Uniqueid"))
            case _:
                return
        self._wake.set()

    def _counted(self, event: Message, change: int) -> None:
        uniqueid = event.get("Uniqueid")
        self._running[uniqueid] = max(0, self._running.get(uniqueid, 0) + change)
        self._looks[event.get("Channel")] = _Look(uniqueid, LOOKS)

    def look_again(self) -> None:
        """After a start, a reconnect, and at intervals: the folder is compared with the rows."""
        self._scan = True
        self._wake.set()

    def _announced(self, event: Message) -> None:
        file = recording_file(event.get("File"))
        if file is None:
            log.warning("recording.misnamed", file=event.get("File"), agent=event.get("Agent"))
            return
        self._began(file, event.get("Uniqueid"), self._now())

    def _began(self, file: RecordingFile, channel: str, at: datetime) -> None:
        running = self._live.setdefault(channel, set())
        if file.path in running:
            return  # told of twice: by the dialplan, and by Asterisk
        running.add(file.path)
        self._ending.pop(file.path, None)
        self._keep(Started(file=file, at=at, channel=channel))
        metrics.RECORDINGS.inc()
        log.info("recording.started", agent=file.internal, file=file.path)

    def _keep(self, row: Started) -> None:
        if len(self._started) >= KEPT:
            self._scan = True  # it has no row and is found again in the folder
            return
        self._started[row.file.path] = row

    def _hung_up(self, channel: str) -> None:
        self._running.pop(channel, None)
        for path in self._live.pop(channel, ()):
            self._ending[path] = _Ending(at=self._now())

    # ------------------------------------------------------------ the loop

    async def run(self) -> NoReturn:
        await repeat(
            self._work,
            self._wake,
            name="recordings",
            retry_seconds=RETRY_SECONDS,
            idle_seconds=lambda: LOOK_EVERY_SECONDS if self._ending or self._looks else None,
        )

    async def _work(self) -> None:
        """Asterisk is asked first: what it says is gone soon, while the rows wait."""
        for name, look in list(self._looks.items()):
            seen = await self._look_at(name, look.uniqueid)
            if self._looks.get(name) is not look:
                continue  # something more happened meanwhile
            if seen or look.left <= 1:
                del self._looks[name]
            else:
                self._looks[name] = _Look(look.uniqueid, look.left - 1)
        await self._write_starts()
        if self._scan:
            self._scan = False
            await self._compare()
        await self._write_ends()

    # ------------------------------------------------------------ one channel

    async def _look_at(self, name: str, uniqueid: str) -> bool:
        """Whether Asterisk lists all that were told of."""
        rows = await listed(self._link, name)
        found = ours(name, rows)
        known = {_stem(path): path for path in self._live.get(uniqueid, ())}
        for stem in known.keys() - {monitor.stem for monitor in found}:
            self._live[uniqueid].discard(known[stem])
            self._ending[known[stem]] = _Ending(at=self._now())
        fresh = [monitor for monitor in found if monitor.stem not in known]
        identified = [await self._identify(monitor, uniqueid) for monitor in fresh]
        return all(identified) and len(rows) >= self._running.get(uniqueid, 0)

    async def _identify(self, monitor: Monitor, uniqueid: str) -> bool:
        """Asterisk does not say a file's suffix: the channel's variable does, or the file itself."""
        file = recording_file(await variable(self._link, FILE, monitor.channel))
        if file is None or file.stem != monitor.stem:
            file = await asyncio.to_thread(_on_disk, await self._folder(), monitor.stem)
        if file is not None:
            self._began(file, uniqueid, self._now())
        return file is not None

    # ------------------------------------------------------------ the rows

    async def _write_starts(self) -> None:
        while batch := list(islice(self._started.values(), AT_ONCE)):
            await self._ledger.start(batch)
            for row in batch:
                if self._started.get(row.file.path) is row:
                    del self._started[row.file.path]

    async def _write_ends(self) -> None:
        if self._ending:
            await self._measure(await self._folder())
        while batch := list(islice(self._finished.values(), AT_ONCE)):
            await self._ledger.finish(batch)
            for row in batch:
                self._finished.pop(row.path, None)
                file = recording_file(row.path)
                agent = file.internal if file else None
                log.info("recording.finished", agent=agent, file=row.path, bytes=row.bytes)

    async def _measure(self, spool: Path) -> None:
        """Those that have been still for long enough are finished."""
        sizes = await asyncio.to_thread(_sizes, spool, list(self._ending))
        moment = self._clock()
        for path, (size, written_at) in sizes.items():
            ending = self._ending.get(path)
            if ending is None:
                continue
            if ending.since is None or ending.size != size:
                self._ending[path] = replace(ending, size=size, since=moment)
            elif moment - ending.since >= STILL_SECONDS:
                del self._ending[path]
                at = ending.at or written_at or self._now()
                self._finished[path] = Finished(path=path, at=at, bytes=size or 0)

    async def _folder(self) -> Path:
        if self._spool is None:
            self._spool = await spool_folder(self._link)
        return self._spool

    # ------------------------------------------------------------ what was missed

    async def _compare(self) -> None:
        began = self._now()
        try:
            alive = {channel.uniqueid: channel for channel in await channels(self._link)}
            await self._end_what_is_gone(alive)
            await self._find_unknown(alive)
        except BaseException:
            self._scan = True
            raise
        self._scanned_at = began

    async def _end_what_is_gone(self, alive: Mapping[str, Channel]) -> None:
        for path, channel in (await self._ledger.unfinished()).items():
            if channel in alive:
                self._live.setdefault(channel, set()).add(path)
                continue
            self._live.pop(channel, None)
            if path not in self._ending and path not in self._finished:
                self._ending[path] = _Ending(at=None)

    async def _find_unknown(self, alive: Mapping[str, Channel]) -> None:
        since = self._scanned_at - OVERLAP if self._scanned_at else None
        files = await asyncio.to_thread(_files, await self._folder(), since)
        for start in range(0, len(files), AT_ONCE):
            some = files[start : start + AT_ONCE]
            unknown = await self._ledger.unknown([file.path for file in some])
            unknown -= set().union(*self._live.values())  # began meanwhile; its row is on its way
            await self._note_unknown([file for file in some if file.path in unknown], alive)

    async def _note_unknown(self, files: Sequence[RecordingFile], alive: Mapping[str, Channel]) -> None:
        if not files:
            return
        running = {
            monitor.stem: channel.uniqueid
            for channel in alive.values()
            for monitor in await monitors(self._link, channel.name)
        }
        for file in files:
            channel = running.get(file.stem, "")
            self._started[file.path] = Started(file=file, at=file.call_began, channel=channel)
            if channel:
                self._live.setdefault(channel, set()).add(file.path)
            else:
                self._ending[file.path] = _Ending(at=None)
            log.info("recording.found", agent=file.internal, file=file.path, running=bool(channel))
        await self._write_starts()


# ---------------------------------------------------------------- the folder


def _stem(path: str) -> str:
    return path.rpartition(".")[0]


def _on_disk(spool: Path, stem: str) -> RecordingFile | None:
    place = spool / stem
    names = (recording_file(f"{stem}{path.suffix}") for path in place.parent.glob(f"{place.name}.*"))
    return next(filter(None, names), None)


def _sizes(spool: Path, paths: Iterable[str]) -> dict[str, tuple[int | None, datetime | None]]:
    """Bytes, and when it was last written to; None for one that is not there."""
    return {path: _size(spool / path) for path in paths}


def _size(file: Path) -> tuple[int | None, datetime | None]:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise Unavailable(f"{file}: can't be looked at: {error.strerror}") from error
    return found.st_size, datetime.fromtimestamp(found.st_mtime, UTC)


def _files(spool: Path, since: datetime | None) -> list[RecordingFile]:
    """All recordings, or those that were written to since then; whatever else is there is not ours."""
    folder = spool / RECORDINGS
    # a file lies where its call began, however long that is ago
    first = f"{(since - LONGEST_CALL).astimezone():%Y/%m/%d}" if since else ""
    try:
        days = [day for day in folder.glob("[0-9]*/[0-9]*/[0-9]*") if str(day.relative_to(folder)) >= first]
        files = (path for day in sorted(days) for path in sorted(day.iterdir()))
        oldest = since.timestamp() if since else 0.0
        recent = (path for path in files if path.stat().st_mtime >= oldest)
        return list(filter(None, (recording_file(str(path)) for path in recent)))
    except OSError as error:
        raise Unavailable(f"{folder}: can't be read: {error.strerror}") from error
