"""Recordings as browsers play them: wav as it is, wav49 and gsm as PCM, which is kept in a folder of bounded size."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path

import soundfile  # type: ignore[import-untyped]  # it has no types
import structlog

from agentbridge.api.problems import Problem

log = structlog.get_logger()

SUFFIXES = {"wav": ".wav", "wav49": ".WAV", "gsm": ".gsm"}
RATE = 8000
LONGEST_SECONDS = 24 * 3600
BLOCK_FRAMES = 65536
AT_ONCE = 2
"""conversions side by side"""
_FILE = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/[A-Za-z0-9._-]{1,120}")
FOLDER = "monitor/agentbridge"
UNHEARD = "the HTTP API can't play it"
CURE = "the API's user needs the group that may read it: SupplementaryGroups= in its unit"


class Audio:
    """Gives recordings as files that browsers play: wav as it is, wav49 and gsm converted to PCM and cached.

    spool: Asterisk's folder. cache: this process's own, which holds at most `cache_bytes`.
    """

    def __init__(self, spool: Path, cache: Path, cache_bytes: int) -> None:
        self._spool = spool
        self._cache = cache
        self._cache_bytes = cache_bytes
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def playable(self, recording: int, file: str, kind: str) -> Path:
        """Returns the path of a file that a browser plays. Raises a Problem: 404 where the file is gone, 503 where it
        can't be read."""
        source = self._path(file, kind)
        if kind == "wav":
            return source
        target = self._cache / f"{recording}.wav"
        if target.exists():
            with contextlib.suppress(OSError):
                os.utime(target)  # heard lately
            return target
        async with self._turn:
            if not target.exists():
                await asyncio.to_thread(self._convert, source, target, kind)
        return target

    def _path(self, file: str, kind: str) -> Path:
        """Returns the recording's path in the spool. Raises a Problem for one outside the recordings' folder.

        Links that lead out of that folder count as outside, whatever the row says.
        """
        name = file.removeprefix(f"{FOLDER}/")
        if _FILE.fullmatch(name) is None or Path(name).suffix != SUFFIXES.get(kind):
            raise Problem(404, "file: this recording's row names a file that is not among the recordings")
        root = (self._spool / FOLDER).resolve()
        path = (root / name).resolve()
        try:
            if not path.is_relative_to(root) or not path.is_file():
                raise Problem(404, "the file is not there any more")
            os.close(os.open(path, os.O_RDONLY))
        except PermissionError as error:
            log.warning("recording.unreadable", file=str(path), reason=error.strerror, meanwhile=UNHEARD, cure=CURE)
            raise Problem(503, "the recording can't be read by this server; see its log") from None
        return path

    def _convert(self, source: Path, target: Path, kind: str) -> None:
        """Writes the recording as PCM into the cache. Raises a Problem where it can't be read."""
        self._cache.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        raw = {"samplerate": RATE, "channels": 1, "format": "RAW", "subtype": "GSM610"} if kind == "gsm" else {}
        try:
            with (
                soundfile.SoundFile(source, **raw) as coded,
                soundfile.SoundFile(part, "w", RATE, 1, "PCM_16", format="WAV") as plain,
            ):
                left = LONGEST_SECONDS * RATE
                while left > 0 and len(block := coded.read(min(BLOCK_FRAMES, left), dtype="int16")):
                    plain.write(block)
                    left -= len(block)
            part.rename(target)
        except (soundfile.SoundFileError, OSError) as error:
            log.warning("recording.unreadable", file=str(source), reason=str(error), meanwhile=UNHEARD)
            raise Problem(503, "the recording can't be converted; see the server's log") from None
        finally:
            part.unlink(missing_ok=True)
        self._make_room(target)

    def _make_room(self, keep: Path) -> None:
        """Deletes cached files, those not heard for the longest time first, until the cache is within its size; keeps
        `keep`."""
        files = sorted(self._cache.glob("*.wav"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total <= self._cache_bytes:
                return
            if path != keep:
                total -= path.stat().st_size
                path.unlink(missing_ok=True)

    async def delete(self, recording: int, file: str, kind: str) -> None:
        """Deletes the file of a recording whose row is deleted, and its converted copy.

        The spool may be Asterisk's alone; then the file stays, and the log says so.
        """
        (self._cache / f"{recording}.wav").unlink(missing_ok=True)
        try:
            self._path(file, kind).unlink(missing_ok=True)
        except (Problem, OSError) as error:
            log.warning("recording.left_on_disk", file=file, reason=str(error), cure="delete the file by hand")
