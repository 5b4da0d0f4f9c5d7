"""What a pass stands on: the directory, Asterisk and this process itself went on since its look.

Between a look and its last write there may be minutes, and each of the three may go and come back meanwhile. Then
what is still to be written is old: another server was admitted, Asterisk has lost what it was told, or another
daemon took the node's lock and has carried out what came later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from agentbridge.errors import Unavailable

BEAT_SECONDS = 0.25
STOOD_STILL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Moment:
    """How often each had been lost by then."""

    directory: int
    asterisk: int
    process: int


class Footing:
    """`moment` before something is asked, `check` before something is done by the answer.

    asterisk_losses: how often it was lost. clock: seconds, monotonic. `run` notices a process that was stopped.
    """

    def __init__(self, asterisk_losses: Callable[[], int], clock: Callable[[], float]) -> None:
        self._asterisk_losses = asterisk_losses
        self._clock = clock
        self._suspensions = 0
        self._standstills = 0
        self._beat_at = clock()
        self.active = False
        """the directory may be obeyed"""

    def suspend(self) -> None:
        self.active = False
        self._suspensions += 1

    def resume(self, since: Moment) -> None:
        """Unavailable where the directory was lost since that moment."""
        self._check_directory(since)
        self.active = True

    def moment(self) -> Moment:
        return Moment(self._suspensions, self._asterisk_losses(), self._standstills)

    def check(self, since: Moment) -> None:
        """Raises Unavailable: all is to be read again."""
        self._check_directory(since)
        if not self.active:
            raise Unavailable("the directory is lost")
        if self._asterisk_losses() != since.asterisk:
            raise Unavailable("Asterisk was lost meanwhile")
        if self._standstills != since.process or self._stands_still():
            raise Unavailable("this process stood still: what it was to write may be over")

    def _check_directory(self, since: Moment) -> None:
        if self._suspensions != since.directory:
            raise Unavailable("the directory was lost meanwhile")

    def _stands_still(self) -> bool:
        return self._clock() - self._beat_at > BEAT_SECONDS + STOOD_STILL_SECONDS

    async def run(self) -> NoReturn:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if self._stands_still():
                self._standstills += 1
            self._beat_at = self._clock()
