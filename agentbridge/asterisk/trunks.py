"""What is to be done in an Asterisk that loses another node by SIP, and when it finds that node again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import NoReturn

import structlog

from agentbridge.asterisk.calls.live import TIMEOUT_SECONDS, Asks, channels, is_gone
from agentbridge.errors import Refused, Unavailable

log = structlog.get_logger()

NOT_MENDED = "phones may ring on for a lost node, or device states of one that is back are old; tries again"

PUBLISHER = "res_pjsip_publish_asterisk.so"
"""the module by which nodes tell each other device states. Its reload sends all of them, and touches no call"""
RINGS_ON_SECONDS = 1.5
"""after a node did not answer within a second, until what rings between it and us is ended. It is asked every second,
twice each time: so it has left two questions and a half unanswered, and some packets may be lost"""
TELL_AGAIN_SECONDS = 10.0
"""at least between two reloads: a link may come and go"""
RETRY_SECONDS = 1.0
CONGESTION = "34"
"""the Q.850 cause with which a leg to the lost node is ended: agentbridge-remote makes a busy agent of it, and the next
one rings"""


class Trunks:
    """Ends what rings between this Asterisk and a node that is lost, and tells one that is back all device states.

    Changes that were published while the other node was away are not sent again by Asterisk itself. `look` is told
    again and again which nodes are not reached; `run` acts. active: whether this daemon acts for its node. Rings are
    ended without the directory too: a node that lost its network loses both.
    """

    def __init__(self, link: Asks, *, active: Callable[[], bool], clock: Callable[[], float]) -> None:
        self._link = link
        self._active = active
        self._clock = clock
        self._lost: dict[str, float] = {}
        """nodes that are not reached, and since when"""
        self._ringing: set[str] = set()
        """lost nodes whose ringing calls are to be ended"""
        self._ended: set[str] = set()
        """lost nodes whose ringing calls were ended"""
        self._back = False
        """a node is reached again, and not told yet"""
        self._tell_from = 0.0
        """when it may be told, by the clock"""
        self._wake = asyncio.Event()

    def look(self, unreachable: Collection[str]) -> None:
        """Takes which other nodes this Asterisk does not reach now; wakes `run` to end rings of one that is lost for
        RINGS_ON_SECONDS, and to publish all device states once one is back."""
        now = self._clock()
        for name in unreachable:
            since = self._lost.setdefault(name, now)
            if now - since >= RINGS_ON_SECONDS and name not in self._ended:
                self._ended.add(name)
                self._ringing.add(name)
        for name in self._lost.keys() - set(unreachable):
            del self._lost[name]
            self._ended.discard(name)
            self._ringing.discard(name)
            self._back = True
        if self._ringing or (self._back and now >= self._tell_from):
            self._wake.set()

    async def run(self) -> NoReturn:
        """Acts on what `look` has noted, until it is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._end_ringing()
                if self._active():  # else later: `look` wakes again until it is done
                    await self._tell_states()
            except (Refused, Unavailable) as reason:
                log.warning("trunk.not_mended", reason=str(reason), meanwhile=NOT_MENDED)
                await asyncio.sleep(RETRY_SECONDS)

    async def _end_ringing(self) -> None:
        """Hangs up the trunks' channels to lost nodes that were never answered. Raises Refused or Unavailable; it is
        tried again then."""
        lost = set(self._ringing)
        if not lost:
            return
        for channel in await channels(self._link):
            if channel.endpoint in lost and not channel.up:
                await self._hang_up(channel.name)
                log.info("trunk.ring_ended", node=channel.endpoint, channel=channel.name, reason="that node is lost")
        self._ringing -= lost

    async def _hang_up(self, channel: str) -> None:
        """Hangs a channel up; does nothing where it is gone. Raises Refused or Unavailable."""
        try:
            await self._link.action("Hangup", {"Channel": channel, "Cause": CONGESTION}, timeout=TIMEOUT_SECONDS)
        except Refused as refused:
            if not is_gone(refused):
                raise

    async def _tell_states(self) -> None:
        """Has all device states published, where a node is back and the last time is long enough ago.

        Raises Refused or Unavailable; it is tried again then.
        """
        now = self._clock()
        if self._back and now >= self._tell_from:
            self._tell_from = now + TELL_AGAIN_SECONDS
            await self._link.command(f"module reload {PUBLISHER}", timeout=TIMEOUT_SECONDS)
            self._back = False
            log.info("trunk.states_told", reason="another node is back: all device states are published again")
