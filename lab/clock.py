"""A wall clock of some processes alone, by libfaketime, which moves while they run.

Only the wall clock: the one that just grows (CLOCK_MONOTONIC) stays right, as it does where somebody sets the time.
"""

import shutil
from pathlib import Path

from lab.processes import LabError

FAKETIME = "usr/lib/*/faketime/libfaketimeMT.so.1"  # the one for many threads


class Clock:
    """Of the processes that are started with its `environment`: `offset` seconds from the true one.

    Library and offset are in `folder`, which those processes must see under the same path.
    """

    def __init__(self, folder: Path) -> None:
        installed = next(Path("/").glob(FAKETIME), None)
        if installed is None:
            raise LabError("libfaketime is missing: run lab/setup")
        library = shutil.copy(installed, folder)
        self._offset = folder / "offset"
        self.offset = 0
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @property
    def offset(self) -> int:
        return int(self._offset.read_text())

    @offset.setter
    def offset(self, seconds: int) -> None:
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._offset)  # whoever asks for the time reads it: never half a file
