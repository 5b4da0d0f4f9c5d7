"""A row for each recording, whole when its file is: from Asterisk's events, and from the folder for what began or
ended while nobody listened.

Nothing here must be remembered: what the directory does not know is found in the folder, and a row that is unfinished
ends when its channel is gone. So everything that is held in memory has a bound, beyond which it is read anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NoReturn, Protocol

import structlog

from agentbridge import metrics
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.folder import Missing, Size, Slice, Unreadable, on_disk, sizes, slices, still_closed
from agentbridge.asterisk.calls.live import Asks, Channel, channels, variable
from agentbridge.asterisk.calls.recorder import FILE, Monitor, listed, monitors, ours, spool_folder
from agentbridge.asterisk.retrying import repeat
from agentbridge.model.calls import Finished, RecordingFile, RecordingTrouble, Started, recording_file

log = structlog.get_logger()

STILL_SECONDS = 1.0
"""a file that has not grown for so long after its channel's end is whole: Asterisk writes a last buffer late"""
LOOK_EVERY_SECONDS = 0.25
LOOKS = 12
RETRY_SECONDS = 1.0
WRITTEN_WITHIN_SECONDS = 3.0
"""Asterisk makes the file at the first sound after the answer: without one after so long, nothing is recorded"""
KEPT = 10_000
"""of whatever waits here at most; beyond that the folder and the directory are read anew"""
AT_ONCE = 1000
GONE = 1000
"""channels of which it is remembered that they have ended: what is told of them late counts no more"""
OVERLAP = timedelta(minutes=5)


class Ledger(Protocol):
    """The directory. Every method raises Unavailable, and is safe to repeat."""

    async def start(self, rows: Sequence[Started]) -> set[str]:
        """Returns the paths that got no row: a third file of a call, where there may be two."""
        ...

    async def finish(self, rows: Sequence[Finished]) -> None: ...

    async def unknown(self, paths: Sequence[str]) -> set[str]: ...

    async def unfinished(self, after: str, limit: int) -> Mapping[str, str]:
        """Path → Uniqueid of those that have no end, in the order of their paths, from beyond `after`."""
        ...

    async def listed_at(self) -> datetime | None:
        """When the whole folder was last compared with the rows; None: never."""
        ...

    async def note_listed(self, at: datetime) -> None: ...

    async def note_trouble(self, trouble: RecordingTrouble) -> bool:
        """For `status`. False: not kept, try later."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """A file that nobody writes to any more. `at` None: its own time tells; `size` None: not there."""

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


@dataclass(slots=True)
class _Recorded:
    """A channel on which something is recorded, or was."""

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


class Recordings:
    """`clock` only grows, in seconds; `now` is the time of day."""

    def __init__(self, link: Asks, ledger: Ledger, *, now: Callable[[], datetime], clock: Callable[[], float]) -> None:
        self._link, self._ledger = link, ledger
        self._now, self._clock = now, clock
        self._started: dict[str, Started] = {}
        self._ending: dict[str, _Ending] = {}
        self._finished: dict[str, Finished] = {}
        self._channels: dict[str, _Recorded] = {}
        """by Uniqueid"""
        self._gone: dict[str, None] = {}
        self._unproven: dict[str, float] = {}
        """path → when its file must be there, by the clock"""
        self._silent: dict[str, str] = {}
        """path → Uniqueid of a call that goes on and of which nothing is written"""
        self._unmeasured: dict[str, str] = {}
        """path → which folder refuses"""
        self._closed: dict[str, str] = {}
        """folder → why it can't be looked at"""
        self._told_trouble: RecordingTrouble | None = None
        self._scan = False
        self._scanned_at: datetime | None = None
        """what was not written to since then needs no second look"""
        self._spool: Path | None = None
        self._wake = asyncio.Event()

    # ------------------------------------------------------------ what is told

    def on_event(self, event: Message) -> None:
        match event.event:
            case "UserEvent" if event.get("UserEvent") == "AgentbridgeRecordingStarted":
                self._announce(event)
            case "UserEvent" if event.get("UserEvent") == "AgentbridgeRecordingUnanswered":
                if (channel := self._channels.get(event.get("Uniqueid"))) is not None:
                    channel.unanswered = True
            case "MixMonitorStart":
                self._count(event, 1)
            case "MixMonitorStop":
                self._count(event, -1)
            case "Hangup":
                self._hang_up(event.get("Uniqueid"), event.get("Linkedid"))
            case _:
                return
        self._wake.set()

    def look_again(self) -> None:
        """After a start, a reconnect, and at intervals: the folder is compared with the rows."""
        self._scan = True
        self._spool = None  # another Asterisk, or another asterisk.conf, may have another
        self._wake.set()

    def _count(self, event: Message, change: int) -> None:
        if (channel := self._channel(event.get("Uniqueid"), event.get("Channel"))) is not None:
            channel.told = max(0, channel.told + change)
            channel.looks = LOOKS
            channel.changes += 1

    def _announce(self, event: Message) -> None:
        file = recording_file(event.get("File"))
        if file is None:
            log.warning("recording.misnamed", file=event.get("File"), agent=event.get("Agent"))
            return
        self._begin(file, event.get("Uniqueid"), event.get("Channel"))

    def _channel(self, uniqueid: str, name: str) -> _Recorded | None:
        """None for a channel that has ended: it would never be told of again, and stay here for ever."""
        if uniqueid in self._gone:
            return None
        return self._channels.setdefault(uniqueid, _Recorded(name))

    def _begin(self, file: RecordingFile, uniqueid: str, name: str) -> None:
        """A recording runs; told of once, though the dialplan, Asterisk and its list all say so."""
        channel = self._channel(uniqueid, name)
        if channel is None or file.path in channel.paths:
            return
        channel.paths.add(file.path)
        self._ending.pop(file.path, None)
        self._unproven[file.path] = self._clock() + WRITTEN_WITHIN_SECONDS
        self._keep(Started(file=file, at=self._now(), channel=uniqueid))
        metrics.RECORDINGS.inc()
        log.info("recording.started", agent=file.internal, file=file.path)

    def _keep(self, row: Started) -> None:
        if len(self._started) >= KEPT:
            self._scan = True  # it has no row and is found again in the folder
            return
        self._started[row.file.path] = row

    def _hang_up(self, uniqueid: str, linkedid: str = "") -> None:
        channel = self._channels.pop(uniqueid, None)
        if channel is None:
            return  # most channels are not recorded
        self._gone[uniqueid] = None
        if len(self._gone) > GONE:
            del self._gone[next(iter(self._gone))]
        for path in channel.paths:
            self._end(path, self._now(), linkedid=linkedid or channel.linkedid, unanswered=channel.unanswered)
        for path in [path for path, silent in self._silent.items() if silent == uniqueid]:
            del self._silent[path]

    def _end(
        self, path: str, at: datetime | None, *, channel: str = "", linkedid: str = "", unanswered: bool = False
    ) -> None:
        self._unproven.pop(path, None)
        if len(self._ending) >= KEPT:
            self._scan = True  # its row has no end and is found again in the directory
            return
        alarmed = path in self._silent or unanswered
        self._ending[path] = _Ending(at=at, alarmed=alarmed, channel=channel, linkedid=linkedid)

    # ------------------------------------------------------------ what is wrong

    @property
    def trouble(self) -> RecordingTrouble:
        """What `status` tells: recordings that nobody can measure, and calls that are not recorded."""
        return RecordingTrouble(unmeasured=len(self._unmeasured), silent=len(self._silent), closed=dict(self._closed))

    def is_silent(self, uniqueid: str) -> bool:
        """Whether this channel should be recorded and Asterisk has written nothing."""
        return uniqueid in self._silent.values()

    def paths_of(self, uniqueid: str) -> frozenset[str]:
        """What records this channel."""
        channel = self._channels.get(uniqueid)
        return frozenset(channel.paths) if channel else frozenset()

    # ------------------------------------------------------------ the loop

    async def run(self) -> NoReturn:
        await repeat(
            self._work, self._wake, name="recordings", retry_seconds=RETRY_SECONDS, idle_seconds=self._idle_seconds
        )

    def _idle_seconds(self) -> float | None:
        if self._ending or any(channel.looks for channel in self._channels.values()):
            return LOOK_EVERY_SECONDS
        return WRITTEN_WITHIN_SECONDS if self._unproven else None

    async def _work(self) -> None:
        """Asterisk is asked first: what it says is gone soon, while the rows wait."""
        for uniqueid, channel in list(self._channels.items()):
            if channel.looks:
                await self._look_at(uniqueid, channel)
        await self._write_starts()
        if self._scan:
            self._scan = False
            await self._compare()
        await self._write_ends()
        await self._prove()
        await self._tell_trouble()

    async def _tell_trouble(self) -> None:
        trouble = self.trouble
        metrics.RECORDINGS_UNMEASURED.set(trouble.unmeasured)
        metrics.RECORDINGS_SILENT.set(trouble.silent)
        if trouble != self._told_trouble and await self._ledger.note_trouble(trouble):
            self._told_trouble = trouble

    # ------------------------------------------------------------ one channel

    async def _look_at(self, uniqueid: str, channel: _Recorded) -> None:
        """Until Asterisk lists all that its events told of, or the tries are used up."""
        changes = channel.changes
        rows = await listed(self._link, channel.name)
        if self._channels.get(uniqueid) is not channel:
            return  # it hung up meanwhile
        found = ours(channel.name, rows)
        running = {monitor.stem for monitor in found}
        for path in [path for path in channel.paths if _stem(path) not in running]:
            channel.paths.discard(path)
            self._end(path, self._now(), channel=uniqueid, linkedid=channel.linkedid)
        known = {_stem(path) for path in channel.paths}
        files = [await self._identify(monitor) for monitor in found if monitor.stem not in known]
        for file in files:
            if file is not None:
                self._begin(file, uniqueid, channel.name)
        if channel.changes == changes:
            complete = None not in files and len(rows) >= channel.told
            channel.looks = 0 if complete else channel.looks - 1

    async def _identify(self, monitor: Monitor) -> RecordingFile | None:
        """Asterisk does not say a file's suffix: the channel's variable does, or the file itself."""
        file = recording_file(await variable(self._link, FILE, monitor.channel))
        if file is None or file.stem != monitor.stem:
            file = await asyncio.to_thread(on_disk, await self._folder(), monitor.stem)
        return file

    # ------------------------------------------------------------ the rows

    async def _write_starts(self) -> None:
        while batch := list(islice(self._started.values(), AT_ONCE)):
            rejected = await self._ledger.start(batch)
            for row in batch:
                if self._started.get(row.file.path) is row:
                    del self._started[row.file.path]
            for path in rejected:
                self._ending.pop(path, None)
                log.error("recording.not_kept", file=path, reason="the call has other files of this agent and part")

    async def _write_ends(self) -> None:
        if self._ending:
            await self._measure(await self._folder())
        await self._write_finished()

    async def _write_finished(self) -> None:
        while batch := list(islice(self._finished.values(), AT_ONCE)):
            await self._ledger.finish(batch)
            for row in batch:
                self._finished.pop(row.path, None)
                _tell_end(row)

    async def _measure(self, spool: Path) -> None:
        """Those that have been still for long enough are finished; one that can't be looked at waits for the next
        comparison."""
        found = await asyncio.to_thread(sizes, spool, list(self._ending))
        moment = self._clock()
        for path, size in found.items():
            ending = self._ending.get(path)
            if ending is None:
                continue
            if isinstance(size, Unreadable):
                del self._ending[path]
                self._note_unmeasured(path, size)
                continue
            self._unmeasured.pop(path, None)
            bytes_ = size.bytes if isinstance(size, Size) else None
            if ending.since is None or ending.size != bytes_:
                self._ending[path] = replace(ending, size=bytes_, since=moment)
            elif moment - ending.since >= STILL_SECONDS:
                del self._ending[path]
                if not bytes_ and not ending.alarmed:
                    self._alarm(path, ending.channel)
                written_at = size.written_at if isinstance(size, Size) else None
                at = ending.at or written_at or self._now()
                joined = _joined(path, ending.linkedid)
                self._finished[path] = Finished(path=path, at=at, bytes=bytes_ or 0, joined=joined)

    def _note_unmeasured(self, path: str, why: Unreadable) -> None:
        self._note_closed(why)
        if len(self._unmeasured) < KEPT:
            self._unmeasured[path] = why.folder

    def _note_closed(self, why: Unreadable) -> None:
        """Told of once for each folder."""
        if self._closed.get(why.folder) != why.reason and len(self._closed) < AT_ONCE:
            log.error("recordings.unreadable", folder=why.folder, reason=why.reason, cure=CURE)
            self._closed[why.folder] = why.reason

    async def _folder(self) -> Path:
        if self._spool is None:
            self._spool = await spool_folder(self._link)
        return self._spool

    # ------------------------------------------------------------ whether it records

    async def _prove(self) -> None:
        """A recording whose file is not there is an alarm: MixMonitor tells nobody when it can't open one."""
        moment = self._clock()
        due = [path for path, at in self._unproven.items() if at <= moment]
        if not due:
            return
        found = await asyncio.to_thread(sizes, await self._folder(), due)
        for path, size in found.items():
            if path not in self._unproven:
                continue  # it ended meanwhile
            if isinstance(size, Size):
                del self._unproven[path]
                if self._silent.pop(path, None) is not None:
                    log.info("recording.written", file=path)
                continue
            self._unproven[path] = moment + WRITTEN_WITHIN_SECONDS
            if isinstance(size, Unreadable):
                self._note_closed(size)
            elif path not in self._silent:
                self._alarm(path, self._recorded_on(path))

    def _recorded_on(self, path: str) -> str:
        return next((uniqueid for uniqueid, channel in self._channels.items() if path in channel.paths), "")

    def _alarm(self, path: str, uniqueid: str) -> None:
        """Also of a call that is over: somebody will ask for its recording."""
        file = recording_file(path)
        agent = file.internal if file else None
        goes_on = uniqueid in self._channels
        what = "this call is not recorded" if goes_on else "this call was not recorded"
        log.error("recording.not_written", agent=agent, file=path, reason=f"Asterisk has written no file: {what}")
        if goes_on:
            self._silent[path] = uniqueid

    # ------------------------------------------------------------ what was missed

    async def _compare(self) -> None:
        began = self._now()
        try:
            await self._try_closed()
            alive = {channel.uniqueid: channel for channel in await channels(self._link)}
            self._forget_channels(alive)
            await self._end_what_is_gone(alive)
            await self._find_unknown(alive)
        except BaseException:
            self._scan = True
            raise
        self._scanned_at = began
        if not self._closed:
            await self._ledger.note_listed(began)

    async def _try_closed(self) -> None:
        """A folder that opens may hold anything: all is listed anew."""
        for folder in list(self._closed):
            if not await asyncio.to_thread(still_closed, folder):
                del self._closed[folder]
                self._scanned_at = None
                log.info("recordings.readable", folder=folder)

    def _forget_channels(self, alive: Mapping[str, Channel]) -> None:
        """Those whose end was lost with the link."""
        for uniqueid in self._channels.keys() - alive.keys():
            self._hang_up(uniqueid)

    async def _end_what_is_gone(self, alive: Mapping[str, Channel]) -> None:
        last, seen = "", set[str]()
        while rows := await self._ledger.unfinished(last, AT_ONCE):
            last = max(rows)
            seen |= rows.keys() & self._unmeasured.keys()
            gone = []
            for path, uniqueid in rows.items():
                if (channel := alive.get(uniqueid)) is not None:
                    self._resume(path, uniqueid, channel)
                elif path not in self._ending and path not in self._finished:
                    gone.append(path)
            await self._finish_all(await asyncio.to_thread(sizes, await self._folder(), gone))
        for path in self._unmeasured.keys() - seen:
            del self._unmeasured[path]  # its row is gone, or has its end

    async def _finish_all(self, found: Mapping[str, Size | Missing | Unreadable]) -> None:
        """Of channels that are gone. A file that was written to a moment ago may still grow."""
        young = self._now() - timedelta(seconds=2 * STILL_SECONDS)
        for path, size in found.items():
            match size:
                case Unreadable():
                    self._note_unmeasured(path, size)
                case Size() if size.written_at < young:
                    self._unmeasured.pop(path, None)
                    self._finished[path] = Finished(path=path, at=size.written_at, bytes=size.bytes)
                case _:
                    self._end(path, None)
        await self._write_finished()

    def _resume(self, path: str, uniqueid: str, channel: Channel) -> None:
        """A recording that this process has not seen begin."""
        found = self._channel(uniqueid, channel.name)
        if found is None:
            return
        found.linkedid = channel.linkedid
        if path not in found.paths:
            found.paths.add(path)
            found.looks = LOOKS  # it may have been stopped since
            self._unproven[path] = self._clock() + WRITTEN_WITHIN_SECONDS

    async def _find_unknown(self, alive: Mapping[str, Channel]) -> None:
        since = self._scanned_at or await self._ledger.listed_at()
        parts = slices(await self._folder(), since=since - OVERLAP if since else None, at_most=AT_ONCE)
        running: dict[str, str] | None = None
        while (part := await asyncio.to_thread(_next, parts)) is not None:
            for why in part.unreadable:
                self._note_closed(why)
            unknown = await self._ledger.unknown([file.path for file, _ in part.files])
            # those that began meanwhile: their rows are on their way
            unknown -= set[str]().union(*(channel.paths for channel in self._channels.values()))
            if not unknown:
                continue
            if running is None:
                running = await self._running(alive)
            await self._note_unknown([one for one in part.files if one[0].path in unknown], alive, running)

    async def _running(self, alive: Mapping[str, Channel]) -> dict[str, str]:
        """Stem → Uniqueid of all that records now."""
        return {
            monitor.stem: channel.uniqueid
            for channel in alive.values()
            for monitor in await monitors(self._link, channel.name)
        }

    async def _note_unknown(
        self, files: Sequence[tuple[RecordingFile, Size]], alive: Mapping[str, Channel], running: Mapping[str, str]
    ) -> None:
        for file, _ in files:
            uniqueid = running.get(file.stem, "")
            self._started[file.path] = Started(file=file, at=file.call_began, channel=uniqueid)
            if uniqueid:
                self._resume(file.path, uniqueid, alive[uniqueid])
            log.info("recording.found", agent=file.internal, file=file.path, running=bool(uniqueid))
        await self._write_starts()
        await self._finish_all({file.path: size for file, size in files if file.stem not in running})


CURE = "the daemon's user needs the group that may enter this folder: see SupplementaryGroups= in its unit"


def _next(parts: Iterator[Slice]) -> Slice | None:
    return next(parts, None)


def _stem(path: str) -> str:
    return path.rpartition(".")[0]


def _joined(path: str, linkedid: str) -> str:
    """The call that the recorded one was joined to; '' where it stayed by itself, or that is not known."""
    file = recording_file(path)
    return linkedid if file is not None and linkedid != file.linkedid else ""


def _tell_end(row: Finished) -> None:
    file = recording_file(row.path)
    log.info("recording.finished", agent=file.internal if file else None, file=row.path, bytes=row.bytes)
