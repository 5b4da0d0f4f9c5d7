"""The fence before each write: no answer counts from before the directory, Asterisk or this process was lost.

Between a comparison and its last write there may be minutes, and each of the three may go and come back meanwhile. Then
what is still to be written is old: another server was admitted, Asterisk has lost what it was told, or another daemon
took the node's lock and has carried out what came later.
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
class FenceToken:
    """How often directory, Asterisk and this process had been lost when the token was given out."""

    directory: int
    asterisk: int
    process: int


class Fence:
    """Prevents writes by answers that are out of date: `token` before something is read, `check` before it is acted on.

    asterisk_losses: returns how often Asterisk was lost. clock: seconds, monotonic. `run` notices when this process was
    stopped for a while.
    """

    def __init__(self, asterisk_losses: Callable[[], int], clock: Callable[[], float]) -> None:
        self._asterisk_losses = asterisk_losses
        self._clock = clock
        self._closings = 0
        self._standstills = 0
        self._beat_at = clock()
        self.open = False
        """the directory may be obeyed"""

    def close(self) -> None:
        """Notes that the directory is lost: every token given out before is void, and `check` fails until `reopen`."""
        self.open = False
        self._closings += 1

    def reopen(self, since: FenceToken) -> None:
        """Allows writes again. Raises Unavailable where the directory was lost once more since that token."""
        self._check_directory(since)
        self.open = True

    def token(self) -> FenceToken:
        """Returns a token of the current state, for a later `check`."""
        return FenceToken(self._closings, self._asterisk_losses(), self._standstills)

    def check(self, since: FenceToken) -> None:
        """Raises Unavailable when directory, Asterisk or this process was lost since that token: all is to be read
        again."""
        self._check_directory(since)
        if not self.open:
            raise Unavailable("the database is lost: nothing is written to Asterisk until it has been read again")
        if self._asterisk_losses() != since.asterisk:
            raise Unavailable("Asterisk was lost meanwhile: it is read again before anything is written")
        if self._standstills != since.process or self._stands_still():
            raise Unavailable("this process was stopped for a while: all is read again before anything is written")

    def _check_directory(self, since: FenceToken) -> None:
        if self._closings != since.directory:
            raise Unavailable("the database was lost meanwhile: it is read again before anything is written")

    def _stands_still(self) -> bool:
        return self._clock() - self._beat_at > BEAT_SECONDS + STOOD_STILL_SECONDS

    async def run(self) -> NoReturn:
        """Notices when this process was stopped for a second or more, and voids the tokens then; runs until it is
        cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if self._stands_still():
                self._standstills += 1
            self._beat_at = self._clock()
