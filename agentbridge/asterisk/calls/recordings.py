"""A row for each recording, whole when its file is: from Asterisk's events, and from the folder for what began or
ended while nobody listened.

Nothing here must be remembered: what the directory does not know is found in the folder, and a row that is unfinished
ends when its channel is gone. So everything that is held in memory has a bound, beyond which it is read anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NoReturn

import structlog

from agentbridge import metrics
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.folder import Size, Slice, on_disk, sizes, slices
from agentbridge.asterisk.calls.live import Asks, Channel, channels, variable
from agentbridge.asterisk.calls.recorded_channels import LOOKS, RecordedChannel, RecordedChannels
from agentbridge.asterisk.calls.recorder import FILE, Monitor, SpoolFolder, listed, monitors, ours
from agentbridge.asterisk.calls.recording_rows import AT_ONCE, Ledger, RecordingRows
from agentbridge.asterisk.calls.recording_trouble import WRITTEN_WITHIN_SECONDS, RecordingTroubles
from agentbridge.asterisk.retrying import repeat
from agentbridge.model.calls import RecordingFile, RecordingStart, RecordingTrouble, recording_file

log = structlog.get_logger()

MISNAMED = "not a name that agentbridge's dialplan gives: the recording gets no row"

LOOK_EVERY_SECONDS = 0.25
RETRY_SECONDS = 1.0
OVERLAP = timedelta(minutes=5)


class Recordings:
    """Follows all recordings of agents' calls, and keeps a row for each in the directory.

    `on_event` only takes notes; `run` writes. now: the time of day. clock: seconds, monotonic. on_found: called with
    the Uniqueid of a channel whose recording began unseen.
    """

    def __init__(
        self,
        link: Asks,
        ledger: Ledger,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        on_found: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._link, self._ledger, self._now, self._on_found = link, ledger, now, on_found
        self._spool = SpoolFolder(link)
        self._channels = RecordedChannels()
        self._troubles = RecordingTroubles(self._channels, clock)
        self._rows = RecordingRows(ledger, self._spool, self._troubles, now=now, clock=clock)
        self._told_trouble: RecordingTrouble | None = None
        self._scan = False
        self._scanned_at: datetime | None = None
        """what was not written to since then needs no second look"""
        self._wake = asyncio.Event()

    # ------------------------------------------------------------ what happens

    def on_event(self, event: Message) -> None:
        """Takes an event about a recording, or about the end of a channel that was recorded."""
        uniqueid = event.get("Uniqueid")
        match event.event:
            case "UserEvent" if event.get("UserEvent") == "AgentbridgeRecordingStarted":
                self._take_file(event)
            case "UserEvent" if event.get("UserEvent") == "AgentbridgeRecordingUnanswered":
                if (channel := self._channels.get(uniqueid)) is not None:
                    channel.unanswered = True
            case "MixMonitorStart" | "MixMonitorStop":
                if (channel := self._channels.add(uniqueid, event.get("Channel"))) is not None:
                    channel.count(1 if event.event == "MixMonitorStart" else -1)
            case "Hangup":
                self._hang_up(uniqueid, event.get("Linkedid"))
            case _:
                return
        self._wake.set()

    def look_again(self) -> None:
        """Makes the folder of recordings be compared with the rows: after a start, a reconnect, and at intervals."""
        self._scan = True
        self._spool.forget()  # another Asterisk, or another asterisk.conf, may have another
        self._wake.set()

    def _take_file(self, event: Message) -> None:
        """Takes the name of a file that the dialplan has begun to record; logs one that is not named as ours are."""
        file = recording_file(event.get("File"))
        if file is None:
            log.warning("recording.misnamed", file=event.get("File"), agent=event.get("Agent"), reason=MISNAMED)
            return
        self._begin(file, event.get("Uniqueid"), event.get("Channel"))

    def _begin(self, file: RecordingFile, uniqueid: str, name: str) -> None:
        """Notes that a recording runs; only once, though dialplan, Asterisk's events and its list all tell it."""
        channel = self._channels.add(uniqueid, name)
        if channel is None or file.path in channel.paths:
            return
        channel.paths.add(file.path)
        self._troubles.expect(file.path)
        self._rows.start(RecordingStart(file=file, at=self._now(), channel=uniqueid))
        metrics.RECORDINGS.inc()
        log.info("recording.started", agent=file.internal, file=file.path)

    def _hang_up(self, uniqueid: str, linkedid: str = "") -> None:
        """Ends the recordings of a channel that has hung up; ignores one that was not recorded."""
        channel = self._channels.remove(uniqueid)
        if channel is None:
            return
        for path in channel.paths:
            self._rows.end(path, self._now(), linkedid=linkedid or channel.linkedid, unanswered=channel.unanswered)
        self._troubles.forget_call(uniqueid)

    # ------------------------------------------------------------ what is asked

    def is_silent(self, uniqueid: str) -> bool:
        """Whether this channel should be recorded and Asterisk has written nothing."""
        return self._troubles.is_silent(uniqueid)

    def paths_of(self, uniqueid: str) -> frozenset[str]:
        """The files into which this channel is recorded."""
        channel = self._channels.get(uniqueid)
        return frozenset(channel.paths) if channel else frozenset()

    # ------------------------------------------------------------ the loop

    async def run(self) -> NoReturn:
        """Writes recordings' rows when events came, and while files are to be measured, until it is cancelled."""
        await repeat(
            self._work, self._wake, name="recordings", retry_seconds=RETRY_SECONDS, idle_seconds=self._idle_seconds
        )

    def _idle_seconds(self) -> float | None:
        """Returns after how many seconds to work without an event; None for never."""
        if self._rows.measures or self._channels.to_look_at():
            return LOOK_EVERY_SECONDS
        return WRITTEN_WITHIN_SECONDS if self._troubles.waits else None

    async def _work(self) -> None:
        """Asks Asterisk what runs, compares folder and rows where that is due, and writes. Raises Unavailable or
        Refused.

        Asterisk is asked first: what it says is gone soon, while the rows wait.
        """
        for uniqueid, channel in self._channels.to_look_at():
            await self._look_at(uniqueid, channel)
        await self._rows.write_starts()
        if self._scan or self._rows.overflowed:
            self._scan = self._rows.overflowed = False
            await self._compare()
        await self._rows.write_ends()
        if self._troubles.waits:
            await self._troubles.prove(await self._spool.get())
        await self._tell_trouble()

    async def _tell_trouble(self) -> None:
        """Writes what is wrong with recordings to metrics and directory, where it changed. Raises Unavailable."""
        trouble = self._troubles.trouble
        metrics.RECORDINGS_UNMEASURED.set(trouble.unmeasured)
        metrics.RECORDINGS_SILENT.set(trouble.silent)
        if trouble != self._told_trouble and await self._ledger.note_trouble(trouble):
            self._told_trouble = trouble

    async def _look_at(self, uniqueid: str, channel: RecordedChannel) -> None:
        """Compares one channel's recordings with Asterisk's list; again later until the list has all that events
        told."""
        changes = channel.changes
        rows = await listed(self._link, channel.name)
        if self._channels.get(uniqueid) is not channel:
            return  # it hung up meanwhile
        found = ours(channel.name, rows)
        running = {monitor.stem for monitor in found}
        for path in [path for path in channel.paths if _stem(path) not in running]:
            channel.paths.discard(path)
            self._rows.end(path, self._now(), channel=uniqueid, linkedid=channel.linkedid)
        known = {_stem(path) for path in channel.paths}
        files = [await self._identify(monitor) for monitor in found if monitor.stem not in known]
        for file in files:
            if file is not None:
                self._begin(file, uniqueid, channel.name)
        if channel.changes == changes:
            complete = None not in files and len(rows) >= channel.told
            channel.looks = 0 if complete else channel.looks - 1

    async def _identify(self, monitor: Monitor) -> RecordingFile | None:
        """Returns the file that a running recording writes; None where it can't be found out.

        Asterisk does not say a file's suffix: the channel's variable does, or the file itself.
        """
        file = recording_file(await variable(self._link, FILE, monitor.channel))
        if file is None or file.stem != monitor.stem:
            file = await asyncio.to_thread(on_disk, await self._spool.get(), monitor.stem)
        return file

    # ------------------------------------------------------------ what was missed

    async def _compare(self) -> None:
        """Compares Asterisk's channels, the files in the folder and the directory's rows. What fails is due again."""
        began = self._now()
        try:
            if await self._troubles.try_closed():
                self._scanned_at = None  # all is listed anew
            alive = {channel.uniqueid: channel for channel in await channels(self._link)}
            for uniqueid in self._channels.without(alive):  # those whose end was lost with the link
                self._hang_up(uniqueid)
            await self._end_what_is_gone(alive)
            await self._find_unknown(alive)
        except BaseException:
            self._scan = True
            raise
        self._scanned_at = began
        if not self._troubles.closed:
            await self._ledger.note_listed(began)

    async def _end_what_is_gone(self, alive: Mapping[str, Channel]) -> None:
        """Ends the unfinished rows whose channel is gone, and follows those whose channel lives."""
        last, unmeasured = "", set[str]()
        while rows := await self._ledger.unfinished(last, AT_ONCE):
            last = max(rows)
            unmeasured |= self._troubles.unmeasured_among(rows)
            gone = []
            for path, uniqueid in rows.items():
                if (channel := alive.get(uniqueid)) is not None:
                    self._resume(path, uniqueid, channel)
                elif not self._rows.has_end(path):
                    gone.append(path)
            self._rows.end_all(await asyncio.to_thread(sizes, await self._spool.get(), gone))
            await self._rows.write_finished()
        self._troubles.keep_unmeasured(unmeasured)

    def _resume(self, path: str, uniqueid: str, channel: Channel) -> None:
        """Follows a running recording whose beginning this process has not seen."""
        found = self._channels.add(uniqueid, channel.name)
        if found is None:
            return
        found.linkedid = channel.linkedid
        if path not in found.paths:
            found.paths.add(path)
            found.looks = LOOKS  # it may have been stopped since
            self._troubles.expect(path)
            self._on_found(uniqueid)

    async def _find_unknown(self, alive: Mapping[str, Channel]) -> None:
        """Makes rows for the files in the folder that have none."""
        since = self._scanned_at or await self._ledger.listed_at()
        parts = slices(await self._spool.get(), since=since - OVERLAP if since else None, at_most=AT_ONCE)
        running: dict[str, str] | None = None
        while (part := await asyncio.to_thread(_next, parts)) is not None:
            for why in part.unreadable:
                self._troubles.note_closed(why)
            unknown = await self._ledger.unknown([file.path for file, _ in part.files])
            unknown -= self._channels.paths()  # those that began meanwhile: their rows are on their way
            if not unknown:
                continue
            if running is None:
                running = await self._running(alive)
            await self._note_unknown([one for one in part.files if one[0].path in unknown], alive, running)

    async def _running(self, alive: Mapping[str, Channel]) -> dict[str, str]:
        """Returns the recordings that run now: from a file's path without suffix to the channel's Uniqueid."""
        return {
            monitor.stem: channel.uniqueid
            for channel in alive.values()
            for monitor in await monitors(self._link, channel.name)
        }

    async def _note_unknown(
        self, files: Sequence[tuple[RecordingFile, Size]], alive: Mapping[str, Channel], running: Mapping[str, str]
    ) -> None:
        """Makes rows for these files; of those that nobody writes to, the end too."""
        for file, _ in files:
            uniqueid = running.get(file.stem, "")
            self._rows.start(RecordingStart(file=file, at=file.call_began, channel=uniqueid))
            if uniqueid:
                self._resume(file.path, uniqueid, alive[uniqueid])
            log.info("recording.found", agent=file.internal, file=file.path, running=bool(uniqueid))
        await self._rows.write_starts()
        self._rows.end_all({file.path: size for file, size in files if file.stem not in running})
        await self._rows.write_finished()


def _next(parts: Iterator[Slice]) -> Slice | None:
    return next(parts, None)


def _stem(path: str) -> str:
    return path.rpartition(".")[0]
