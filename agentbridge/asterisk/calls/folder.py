"""The files of recordings below Asterisk's spool folder.

Each path is looked at on its own and a refusal is a result, never an empty answer: one folder that the daemon may not
enter hides no other, and a closed one does not look like one without recordings. Blocking; call it in a thread.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from agentbridge.model.calls import RECORDINGS, SUFFIXES, RecordingFile, recording_file

LONGEST_CALL = timedelta(days=7)
_YEAR, _PART_OF_DATE = re.compile(r"[0-9]{4}"), re.compile(r"[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a file that exists, and when it was last written to."""

    bytes: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Missing:
    """Says that a file does not exist."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Says that a path can't be looked at: `folder` is the outermost one on the way that can't be entered."""

    folder: str
    reason: str


def sizes(spool: Path, paths: Iterable[str]) -> dict[str, Size | Missing | Unreadable]:
    """What is known of each path below the spool."""
    return {path: size_of(spool / path) for path in paths}


def size_of(file: Path) -> Size | Missing | Unreadable:
    """Returns size and time of a file, or that it is missing, or why it can't be looked at."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Missing()
    except OSError as error:
        return refused(file, error)
    return Size(found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def refused(path: Path, error: OSError) -> Unreadable:
    """Finds the outermost folder on the path that the daemon's user may not enter: that is where permissions are to be
    mended."""
    for folder in reversed(path.parents):
        if folder.is_dir() and not os.access(folder, os.X_OK):
            return Unreadable(str(folder), error.strerror or str(error))
    return Unreadable(str(path), error.strerror or str(error))


def on_disk(spool: Path, stem: str) -> RecordingFile | None:
    """Returns the recording file with this path, whatever its suffix; None where there is none or it can't be looked
    at."""
    for suffix in SUFFIXES:
        if isinstance(size_of(spool / f"{stem}.{suffix}"), Size):
            return recording_file(f"{stem}.{suffix}")
    return None


_Found = tuple[RecordingFile, Size]


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the recording files in the folder, and the folders that could not be listed meanwhile."""

    files: list[_Found]
    unreadable: list[Unreadable]


def slices(spool: Path, *, since: datetime | None, at_most: int) -> Iterator[Slice]:
    """Yields the recording files in parts of `at_most`: all, or those written to since then."""
    refusals: list[Unreadable] = []
    files = _files(spool / RECORDINGS, since, refusals)
    while part := list(islice(files, at_most)):
        yield Slice(part, list(refusals))
        refusals.clear()
    if refusals:
        yield Slice([], refusals)


def _files(folder: Path, since: datetime | None, refusals: list[Unreadable]) -> Iterator[_Found]:
    """Yields the recording files of all days that were written to since then; adds unreadable folders to `refusals`."""
    # a file lies where its call began, however long that is ago
    first = f"{(since - LONGEST_CALL).astimezone():%Y/%m/%d}" if since else ""
    oldest = since.timestamp() if since else 0.0
    for year in _folders(folder, _YEAR, refusals):
        for month in _folders(year, _PART_OF_DATE, refusals):
            for day in _folders(month, _PART_OF_DATE, refusals):
                if str(day.relative_to(folder)) >= first:
                    yield from _of_day(day, oldest, refusals)


def _folders(folder: Path, name: re.Pattern[str], refusals: list[Unreadable]) -> Iterator[Path]:
    return (Path(entry.path) for entry in _entries(folder, refusals) if name.fullmatch(entry.name))


def _of_day(day: Path, oldest: float, refusals: list[Unreadable]) -> Iterator[_Found]:
    """Yields the recording files in one day's folder that were written to after `oldest`, in seconds since 1970."""
    for entry in _entries(day, refusals):
        file = recording_file(entry.path)
        if file is None:
            continue
        match size_of(Path(entry.path)):
            case Size() as size if size.written_at.timestamp() >= oldest:
                yield file, size
            case Unreadable() as refusal:
                refusals.append(refusal)
            case _:
                pass


def _entries(folder: Path, refusals: list[Unreadable]) -> list[os.DirEntry[str]]:
    """Returns the folder's entries by name; none where it does not exist. Adds a folder that can't be read to
    `refusals`."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        refusals.append(refused(folder, error))
        return []


def still_closed(folder: str) -> bool:
    """Whether a folder, or file, that could not be read still can't be."""
    path = Path(folder)
    try:
        return not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK) and path.exists()
    except OSError:
        return True
