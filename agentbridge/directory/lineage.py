"""Which history a database has: one that forgot what Asterisk was told, or another one, is not obeyed.

A standby that was promoted before it had everything answers as if nothing had happened, and so does a backup
that was restored. Asterisk would lose what agents did since. So the daemon remembers the newest change that
it has read, also over its own restart, and looks for it at each connect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import structlog

log = structlog.get_logger()

UNREADABLE = "an older database is not noticed now"
UNWRITABLE = "after a restart an older database would not be noticed"

SAVE_SECONDS = 1.0
"""between two writes of the file; a busy day has many changes a second"""

Lineage = tuple[str, int]
"""cluster and timeline: the same for all servers that can't contradict each other"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point in a directory's history: which database, its timeline and its newest change. `change` is 0 when there
    was none."""

    cluster: str
    """PostgreSQL's system identifier: initdb makes it, and physical standbys have the same"""
    timeline: int
    """grows by one at each promotion"""
    change: int
    microseconds: int
    """when the newest change was made, since 1970: a promoted standby may use its number once more"""

    def __str__(self) -> str:
        return f"{self.cluster} {self.timeline} {self.change} {self.microseconds}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parses a mark that was saved as text; returns None for anything else."""
        match text.split():
            case [cluster, *numbers] if len(numbers) == 3 and all(number.isdecimal() for number in numbers):
                timeline, change, microseconds = map(int, numbers)
                return cls(cluster=cluster, timeline=timeline, change=change, microseconds=microseconds)
            case _:
                return None

    @property
    def lineage(self) -> Lineage:
        return self.cluster, self.timeline

    def with_change(self, change: int, microseconds: int) -> Self:
        return replace(self, change=change, microseconds=microseconds) if change > self.change else self


def why_older(known: Mark, found: Mark, *, has_known: bool, may_be_pruned: bool) -> str:
    """Returns why a database may not be obeyed, having lost changes that Asterisk was told; '' when it may.

    has_known: it holds the known change. may_be_pruned: the change may have been deleted as old; nothing shows that it
    never was there.
    """
    if found.cluster == known.cluster and found.timeline < known.timeline:
        return f"it was overtaken by a failover, from timeline {found.timeline} to {known.timeline}"
    if has_known:  # also where it was moved to by dump and restore
        return ""
    if found.cluster != known.cluster:
        return "this is another database than the one that Asterisk was told from"
    if known.change == 0:
        return ""
    if found.timeline == known.timeline and found.change > known.change and may_be_pruned:
        return ""  # newer ones came, and every daemon had read it
    return f"change {known.change}, which Asterisk was told of, is not in this database"


class Memory:
    """Remembers the mark of the database that was last obeyed, in a file, or without one as long as the process
    lives."""

    def __init__(self, file: Path | None, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._saved: Mark | None = None
        self._saved_at = float("-inf")
        self.mark: Mark | None = None
        self.read_file()

    def read_file(self) -> None:
        """Takes the file's mark where it is newer: another daemon of this node may have gone on while this one stood
        by."""
        found = self._load()
        if found is None:
            return
        if self.mark is None or (found.timeline, found.change) > (self.mark.timeline, self.mark.change):
            self.mark = found

    def keep(self, mark: Mark) -> None:
        """Sets the mark, and saves it to the file at most every SAVE_SECONDS."""
        self.mark = mark
        if mark != self._saved and self._clock() - self._saved_at >= SAVE_SECONDS:
            self._save(mark)

    def _load(self) -> Mark | None:
        """Returns the mark that the file holds; None without a file. A file that can't be read is logged."""
        if self._file is None:
            return None
        try:
            self._saved = Mark.parse(self._file.read_text("ascii", "replace"))
        except FileNotFoundError:
            pass  # the first start
        except OSError as error:
            log.warning("state.unreadable", file=str(self._file), reason=error.strerror, meanwhile=UNREADABLE)
        return self._saved

    def _save(self, mark: Mark) -> None:
        """Writes the mark to the file, whole or not at all. A failure is logged."""
        self._saved_at = self._clock()
        if self._file is None:
            return
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_text(f"{mark}\n")
            fresh.replace(self._file)
        except OSError as error:
            # and go on: only a restart would miss it
            log.warning("state.unwritable", file=str(self._file), reason=error.strerror, meanwhile=UNWRITABLE)
        else:
            self._saved = mark
