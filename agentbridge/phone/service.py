"""The Stasis application `agentbridge`: each call to it is a conversation with limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId
from agentbridge.phone.dialogue import Desk, Dialogue, Verb
from agentbridge.phone.line import Channels, Line, Prompts
from agentbridge.settings import Phone

log = structlog.get_logger()

APP = "agentbridge"
TOLD = "the caller hears that it does not work now"
GIVE_BACK_SECONDS = 2.0
"""at a stop, for all calls together"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A call that has entered the Stasis application and waits for its conversation.

    `device` is the endpoint id that it comes from.
    """

    channel: str
    device: EndpointId
    verb: Verb | None
    """None for a word that is none: a mistake in the dialplan"""
    argument: str


class PhoneService:
    """The Stasis application: `run` holds a conversation with each call, `event`, `up` and `down` take what the
    websocket tells."""

    def __init__(self, desk: Desk, channels: Channels, settings: Phone) -> None:
        self._channels = channels
        self._settings = settings
        self._prompts = Prompts(channels, settings)
        self._dialogue = Dialogue(desk, settings)
        self._starts: asyncio.Queue[Start] = asyncio.Queue(settings.calls)
        self._lines: dict[str, Line] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, Line] = {}
        """calls that are ours, as far as we know"""

    # ------------------------------------------------------------ what Asterisk tells

    def up(self) -> None:
        self._prompts.forget()
        self._held.clear()

    def down(self) -> None:
        """Cancels all conversations, since Asterisk or the websocket is gone; the dialplan's time limit ends the
        calls."""
        for task in self._tasks.values():
            task.cancel()

    def event(self, event: Mapping[str, Any]) -> None:
        """Takes an ARI event: a call comes or goes, a digit was pressed, a prompt has been played; ignores others."""
        match event:
            case {"type": "StasisStart", "channel": {"id": str(channel), "name": str(name)}, "args": list(args)}:
                self._on_start(channel, name, [str(arg) for arg in args])
            case {"type": "ChannelDtmfReceived", "channel": {"id": str(channel)}, "digit": str(digit)}:
                if channel in self._lines:
                    self._lines[channel].digit(digit)
            case {"type": "PlaybackFinished", "playback": {"id": str(playback), "target_uri": str(target)}}:
                if line := self._lines.get(target.removeprefix("channel:")):
                    line.playback_finished(playback)
            case {"type": "StasisEnd" | "ChannelDestroyed", "channel": {"id": str(channel), "name": str(name)}}:
                self._on_end(channel, name)
            case _:
                pass

    def _on_end(self, channel: str, name: str) -> None:
        """Cancels the conversation of a call that has left the application."""
        if self._held.pop(channel, None) is not None:
            # hung up, or taken back by the dialplan's time limit: not by us, who forget a call before we end it
            reason = "hung up, or the dialplan's time was over, before the call was served"
            log.info("phone.call_unserved", telephone=device_of(name), reason=reason)
        if channel in self._tasks:
            self._tasks[channel].cancel()

    def _on_start(self, channel: str, name: str, args: list[str]) -> None:
        """Queues a call that has entered the application. Above the limit it is logged and left to the dialplan's time
        limit."""
        verb, argument = [*args, "", ""][:2]
        start = Start(channel=channel, device=device_of(name), verb=_verb(verb), argument=argument)
        if self._starts.full():  # the dialplan's time limit tells the caller
            reason = "more calls to feature codes at once than phone.calls: this caller hears that it does not work now"
            log.warning("phone.busy", telephone=start.device, calls=self._settings.calls, reason=reason)
            return
        # a line from now on, so that no digit is missed
        self._lines[channel] = Line(channel, self._channels, self._prompts.media_of, self._settings)
        self._held[channel] = self._lines[channel]
        self._starts.put_nowait(start)

    # ------------------------------------------------------------ the conversations

    async def run(self) -> None:
        """Holds the conversations until it is cancelled, then gives all calls back to the dialplan."""
        try:
            async with asyncio.TaskGroup() as calls:
                while True:
                    start = await self._starts.get()
                    task = calls.create_task(self._serve(start), name=f"phone-{start.channel}")
                    self._tasks[start.channel] = task
                    task.add_done_callback(partial(self._forget, start.channel))
        finally:
            await self._give_all_back()

    def _forget(self, channel: str, _task: asyncio.Task[None]) -> None:
        self._tasks.pop(channel, None)
        self._lines.pop(channel, None)

    async def _serve(self, start: Start) -> None:
        """Holds the conversation of one call within its time, then hangs up.

        A call that can't be served is given back to the dialplan, which tells the caller so.
        """
        line = self._lines[start.channel]
        try:
            if start.verb is None:
                raise Unavailable(
                    "Stasis: the dialplan asked for an unknown verb; is dialplan/agentbridge.conf of this version?"
                )
            if len(self._tasks) > self._settings.calls:
                raise Unavailable(f"more than phone.calls = {self._settings.calls} calls at once")
            async with asyncio.timeout(self._settings.call_seconds):
                await self._dialogue.hold(line, start.device, start.verb, start.argument)
            self._held.pop(start.channel, None)
            await self._channels.hang_up(start.channel)
        except (Unavailable, TimeoutError) as reason:
            why = str(reason) or "time is up"
            log.warning("phone.failed", telephone=start.device, verb=start.verb, reason=why, meanwhile=TOLD)
            await self._give_back(line)
        except Refused as gone:
            log.debug("phone.gone", telephone=start.device, verb=start.verb, reason=str(gone))

    async def _give_all_back(self) -> None:
        """Gives all calls back to the dialplan at a stop or a reload, so that nobody waits for its time limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GIVE_BACK_SECONDS), asyncio.TaskGroup() as calls:
                for line in list(self._held.values()):
                    calls.create_task(self._give_back(line))

    async def _give_back(self, line: Line) -> None:
        """Sends the call back into the dialplan, which tells the caller that this does not work now. A failure is only
        logged."""
        self._held.pop(line.channel, None)
        try:
            await line.hush()
            await self._channels.go_on(line.channel)
        except (Unavailable, Refused) as reason:
            log.debug("phone.not_given_back", channel=line.channel, reason=str(reason))


def _verb(word: str) -> Verb | None:
    """Returns the verb that the dialplan asks for; None for a word that is none."""
    try:
        return Verb(word)
    except ValueError:
        return None


def device_of(channel_name: str) -> EndpointId:
    """Returns the endpoint id in a channel's name, such as `desk-7` of `PJSIP/desk-7-0000001a`; '' for other
    technologies."""
    technology, _, rest = channel_name.partition("/")
    return EndpointId(rest.rpartition("-")[0] if technology == "PJSIP" else "")
