"""Sets the global variables that the dialplan needs and that no restart of Asterisk survives.

One says that Asterisk has been compared with the directory since its boot (C12).

Members and policy survive a restart of Asterisk as they were, so who paused or logged out meanwhile would be rung until
the daemon has looked. The dialplan holds a queue's call back until the variable is set; without a daemon it lets the
call go on after some seconds.

The other masks what is told to a telephone that picks a call up (A11): no dialplan runs before that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from agentbridge.asterisk.calls.live import Asks, set_variable, variable
from agentbridge.asterisk.retrying import repeat

COMPARED = "AGENTBRIDGE_COMPARED"
"""the global variable, `1` when it is set; dialplan/agentbridge.conf reads it"""
PICKUP = "CONNECTED_LINE_SEND_SUB"
MASK_ANY = "agentbridge-mask-any,s,1"
RETRY_SECONDS = 0.5
LOOK_SECONDS = 0.05
LONGEST_SECONDS = 5.0
"""for all that differed: then calls are let go, though a busy directory always leaves something to do"""


class BootMark:
    """Sets the global variable by which the dialplan lets queue calls ring, once this boot of Asterisk has been
    compared.

    `look_again` after each comparison; `run` sets what is missing. settled: whether nothing waits to be written to
    Asterisk. clock: seconds, monotonic.
    """

    def __init__(self, link: Asks, *, settled: Callable[[], bool], clock: Callable[[], float]) -> None:
        self._link, self._settled, self._clock = link, settled, clock
        self._due = False
        self._wake = asyncio.Event()

    def look_again(self) -> None:
        self._due = True
        self._wake.set()

    async def run(self) -> NoReturn:
        await repeat(self._work, self._wake, name="boot_mark", retry_seconds=RETRY_SECONDS)

    async def _work(self) -> None:
        """Sets the global variables of this boot: pickup at once, and that Asterisk was compared once all is
        written."""
        if not self._due:
            return
        if not await variable(self._link, PICKUP):  # else it is the administrator's own
            await set_variable(self._link, PICKUP, MASK_ANY)
        if await variable(self._link, COMPARED) != "1":
            end = self._clock() + LONGEST_SECONDS
            while not self._settled() and self._clock() < end:  # noqa: ASYNC110 - it settles elsewhere, and tells nobody
                await asyncio.sleep(LOOK_SECONDS)
            await set_variable(self._link, COMPARED, "1")
        self._due = False
