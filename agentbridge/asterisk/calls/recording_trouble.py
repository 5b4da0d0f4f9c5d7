"""What is wrong with recordings: calls of which nothing is written, and folders that the daemon can't look into."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

import structlog

from agentbridge.asterisk.calls.folder import Size, Unreadable, sizes, still_closed
from agentbridge.asterisk.calls.recorded_channels import RecordedChannels
from agentbridge.model.calls import RecordingTrouble, recording_file

log = structlog.get_logger()

WRITTEN_WITHIN_SECONDS = 3.0
"""Asterisk makes the file at the first sound after the answer: without one after so long, nothing is recorded"""
UNMEASURED = 10_000
"""files of which it is remembered that they could not be measured"""
CLOSED = 1000
"""folders of which it is remembered that they refuse"""
CURE = "the daemon's user needs the group that may enter this folder: see SupplementaryGroups= in its unit"


class RecordingTroubles:
    """Finds recordings that Asterisk does not write and folders that the daemon can't read, and logs each once.

    clock: seconds, monotonic.
    """

    def __init__(self, channels: RecordedChannels, clock: Callable[[], float]) -> None:
        self._channels, self._clock = channels, clock
        self._unproven: dict[str, float] = {}
        """path → when its file must be there, by the clock"""
        self._silent: dict[str, str] = {}
        """path → Uniqueid of a call that goes on and of which nothing is written"""
        self._unmeasured: dict[str, str] = {}
        """path → which folder refuses"""
        self._closed: dict[str, str] = {}
        """folder → why it can't be looked at"""

    @property
    def trouble(self) -> RecordingTrouble:
        """What `status` tells: recordings that nobody can measure, and calls that are not recorded."""
        return RecordingTrouble(unmeasured=len(self._unmeasured), silent=len(self._silent), closed=dict(self._closed))

    # ------------------------------------------------------------ whether Asterisk writes

    def is_silent(self, uniqueid: str) -> bool:
        """Whether this channel should be recorded and Asterisk has written nothing."""
        return uniqueid in self._silent.values()

    def is_alarmed(self, path: str) -> bool:
        """Whether it was told that nothing is written to this file."""
        return path in self._silent

    @property
    def waits(self) -> bool:
        """Whether a file is expected, so that `prove` has to be called."""
        return bool(self._unproven)

    def expect(self, path: str) -> None:
        """Notes a recording that has begun: its file must exist after WRITTEN_WITHIN_SECONDS, which `prove` checks."""
        self._unproven[path] = self._clock() + WRITTEN_WITHIN_SECONDS

    def expect_no_more(self, path: str) -> None:
        """Expects the file no more: the recording is over."""
        self._unproven.pop(path, None)

    def forget_call(self, uniqueid: str) -> None:
        """Forgets a call for which no file was written, because it is over."""
        for path in [path for path, silent in self._silent.items() if silent == uniqueid]:
            del self._silent[path]

    async def prove(self, spool: Path) -> None:
        """Logs an alarm for each expected recording whose file is not there in time.

        MixMonitor tells nobody when it can't open a file.
        """
        moment = self._clock()
        due = [path for path, at in self._unproven.items() if at <= moment]
        found = await asyncio.to_thread(sizes, spool, due)
        for path, size in found.items():
            if path not in self._unproven:
                continue  # it ended meanwhile
            if isinstance(size, Size):
                del self._unproven[path]
                if self._silent.pop(path, None) is not None:
                    log.info("recording.file_there", file=path)
                continue
            self._unproven[path] = moment + WRITTEN_WITHIN_SECONDS
            if isinstance(size, Unreadable):
                self.note_closed(size)
            elif path not in self._silent:
                self.alarm(path, self._channels.recording(path))

    def alarm(self, path: str, uniqueid: str) -> None:
        """Logs that no file was written for a recording, and counts its call as unrecorded while it goes on."""
        file = recording_file(path)
        goes_on = uniqueid in self._channels
        what = "this call is not recorded" if goes_on else "this call was not recorded"
        log.error(
            "recording.file_missing",
            agent=file.internal if file else None,
            file=path,
            reason=f"Asterisk has written no file: {what}",
        )
        if goes_on:
            self._silent[path] = uniqueid

    # ------------------------------------------------------------ what can't be looked at

    def note_unmeasured(self, path: str, why: Unreadable) -> None:
        """Notes a recording that has ended and whose file's size can't be read."""
        self.note_closed(why)
        if len(self._unmeasured) < UNMEASURED:
            self._unmeasured[path] = why.folder

    def note_measured(self, path: str) -> None:
        """Notes that a file's size was read."""
        self._unmeasured.pop(path, None)

    def unmeasured_among(self, paths: Collection[str]) -> set[str]:
        """Those of these files that could not be measured."""
        return self._unmeasured.keys() & set(paths)

    def keep_unmeasured(self, paths: Collection[str]) -> None:
        """Forgets the unmeasured files that are not among these: their rows are gone or complete."""
        for path in self._unmeasured.keys() - set(paths):
            del self._unmeasured[path]

    def note_closed(self, why: Unreadable) -> None:
        """Notes a folder that the daemon can't read; logs it once for each reason."""
        if self._closed.get(why.folder) != why.reason and len(self._closed) < CLOSED:
            log.error("recordings.folder_unreadable", folder=why.folder, reason=why.reason, cure=CURE)
            self._closed[why.folder] = why.reason

    @property
    def closed(self) -> bool:
        """Whether a folder refuses."""
        return bool(self._closed)

    async def try_closed(self) -> bool:
        """Tries the folders that could not be read again; returns True when one can be read now."""
        opened = False
        for folder in list(self._closed):
            if not await asyncio.to_thread(still_closed, folder):
                del self._closed[folder]
                opened = True
                log.info("recordings.folder_readable", folder=folder)
        return opened
