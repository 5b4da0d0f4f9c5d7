"""A paused recording goes on by itself: an agent who forgets it does not lose the rest of the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

import structlog

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live import Asks, channels, endpoint_of_channel, variable
from agentbridge.asterisk.calls.recorder import PAUSED, resume_channel
from agentbridge.asterisk.retrying import repeat

log = structlog.get_logger()

RETRY_SECONDS = 1.0


class Resumer:
    """Resumes recordings that have been paused for too long (V11), so that a forgotten pause does not lose the rest of
    a call.

    It does not matter who paused it: Asterisk's events tell. now: seconds since 1970. clock: seconds, monotonic.
    """

    def __init__(
        self, link: Asks, *, after_seconds: float, now: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self._link = link
        self._after = after_seconds
        self._now, self._clock = now, clock
        self._due: dict[str, float] = {}
        self._look = False
        self._wake = asyncio.Event()

    def on_event(self, event: Message) -> None:
        """Takes the event that a recording was paused or resumed, or that its channel has hung up."""
        channel = event.get("Channel")
        match event.event:
            case "MixMonitorMute" if event.get("State") == "1":
                self._note_paused(channel)
            case "MixMonitorMute":
                self._note_resumed(channel)
            case "Hangup":
                self._due.pop(channel, None)
            case _:
                pass

    def _note_paused(self, channel: str) -> None:
        """Notes that the channel's recording was paused, and when it is to be resumed."""
        # each of a call's recordings is told of
        if channel not in self._due:
            log.info("recording.paused", agent=endpoint_of_channel(channel), resumes_after_seconds=self._after)
        self._plan(channel, self._after)

    def _note_resumed(self, channel: str) -> None:
        """Forgets a recording that was resumed, by whomever."""
        due = self._due.pop(channel, None)
        if due is not None:
            by = "itself" if due <= self._clock() else "request"
            log.info("recording.resumed", agent=endpoint_of_channel(channel), by=by)

    def is_paused(self, channel: str) -> bool:
        """Whether the recordings of this channel, by its name, are silent now."""
        return channel in self._due

    def look_again(self) -> None:
        """Makes all channels be asked for paused recordings, after a reconnect."""
        self._look = True
        self._wake.set()

    async def run(self) -> NoReturn:
        """Resumes recordings that have been paused for too long, until it is cancelled."""
        await repeat(
            self._work, self._wake, name="resuming", retry_seconds=RETRY_SECONDS, idle_seconds=self._seconds_left
        )

    def _plan(self, channel: str, seconds: float) -> None:
        self._due[channel] = self._clock() + seconds
        self._wake.set()

    def _seconds_left(self) -> float | None:
        """Returns the seconds until the next recording is to go on; None where nothing is paused."""
        return max(0.0, min(self._due.values()) - self._clock()) if self._due else None

    async def _work(self) -> None:
        """Resumes the recordings that have been paused for long enough. Raises Unavailable."""
        if self._look:
            await self._find_paused()
            self._look = False
        for channel in [channel for channel, due in self._due.items() if due <= self._clock()]:
            if not await resume_channel(self._link, channel):
                self._due.pop(channel, None)  # it ended meanwhile; else the event of it takes it off

    async def _find_paused(self) -> None:
        """Asks every channel whether its recording is paused. Raises Unavailable."""
        found = [channel.name for channel in await channels(self._link)]
        for channel in self._due.keys() - set(found):
            del self._due[channel]
        for name in found:
            await self._ask(name)

    async def _ask(self, channel: str) -> None:
        """Asks since when a channel's recording is paused, and notes when it is to be resumed. Raises Unavailable."""
        since = await variable(self._link, PAUSED, channel)
        if since.isdigit() and channel not in self._due:
            left = int(since) + self._after - self._now()
            self._plan(channel, min(max(0.0, left), self._after))  # the clock may have been set back meanwhile
