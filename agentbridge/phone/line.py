"""One call to our Stasis application: what the caller hears, and the digits that come back."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from agentbridge.settings import Phone, PromptName

PROMPT_SECONDS = 15.0
"""for one prompt, should its end never be told"""
GRACE_SECONDS = 3.0
"""on top of each step's limit, before the dialplan takes the call back from a daemon that hangs"""
DIGITS_KEPT = 64
_TONE_MS = re.compile(r"/(\d+)")


class Channels(Protocol):
    """What a conversation asks of ARI. Methods raise Refused for a call that is gone, Unavailable without Asterisk."""

    async def play(self, channel: str, playback: str, media: str) -> None: ...

    async def stop(self, playback: str) -> None: ...

    async def keep(self, channel: str, seconds: float) -> None:
        """So long may the call stay with us from now on."""
        ...

    async def go_on(self, channel: str) -> None: ...

    async def hang_up(self, channel: str) -> None: ...

    async def has_sound(self, name: str) -> bool: ...


MediaOf = Callable[[PromptName], Awaitable[str]]
"""prompt → what is played for it on this Asterisk"""


class Line:
    """One call in the Stasis application: `say` plays a prompt, `ask` collects digits.

    Each renews how long the call may stay: if the daemon hangs, the dialplan takes the call back within seconds.
    """

    def __init__(self, channel: str, channels: Channels, media_of: MediaOf, settings: Phone) -> None:
        self.channel = channel
        self._channels = channels
        self._media_of = media_of
        self._settings = settings
        self._digits: asyncio.Queue[str] = asyncio.Queue(DIGITS_KEPT)
        self._numbers = itertools.count(1)
        self._finished: dict[str, asyncio.Event] = {}
        self._playing: set[str] = set()

    # ------------------------------------------------------------ events

    def digit(self, digit: str) -> None:
        if not self._digits.full():  # nobody types so much
            self._digits.put_nowait(digit)

    def playback_finished(self, playback: str) -> None:
        """Notes that a prompt has been played."""
        self._playing.discard(playback)
        if playback in self._finished:
            self._finished[playback].set()

    # ------------------------------------------------------------ what is said and asked

    async def say(self, prompt: PromptName) -> None:
        """Plays a prompt and returns when it has been played to its end. Raises Refused when the call is gone, or
        Unavailable."""
        await self._channels.keep(self.channel, PROMPT_SECONDS + GRACE_SECONDS)
        media = await self._media_of(prompt)
        playback = await self._play(media)
        try:
            async with asyncio.timeout(_seconds(media)):
                await self._finished[playback].wait()
        except TimeoutError:  # a tone has no end of its own
            await self._stop(playback)
        finally:
            del self._finished[playback]

    async def ask(self, prompt: PromptName, longest: int) -> str:
        """Plays a prompt and returns the digits typed: until `#`, a pause, or `longest` digits; '' when none came in
        time.

        `*` begins anew. Digits typed before the prompt count: who knows the way need not listen. Raises Refused when
        the call is gone, or Unavailable.
        """
        limit = self._settings.input_seconds
        await self._channels.keep(self.channel, limit + GRACE_SECONDS)
        playback = await self._play(await self._media_of(prompt))
        typed: list[str] = []
        try:
            async with asyncio.timeout(limit):
                await self._collect(typed, longest, playback)
        except TimeoutError:
            await self._stop(playback)
        finally:
            del self._finished[playback]
        return "".join(typed)

    async def hush(self) -> None:
        """Stops the prompts that are being played: Asterisk does nothing else with the call until they end."""
        for playback in list(self._playing):
            await self._channels.stop(playback)
            self._playing.discard(playback)

    def forget_digits(self) -> None:
        """Drops digits that were typed ahead, so that they don't answer a question that is asked again."""
        while not self._digits.empty():
            self._digits.get_nowait()

    async def wait_for(self, seconds: float) -> None:
        """Extends how long the call may stay, so that the dialplan does not take it back while the daemon works."""
        await self._channels.keep(self.channel, seconds + GRACE_SECONDS)

    async def _collect(self, typed: list[str], longest: int, playback: str) -> None:
        """Adds typed digits to `typed` until `#`, `longest` digits or a pause; `*` begins anew. The first digit ends
        the prompt."""
        digit = await self._digits.get()
        await self._stop(playback)
        while digit != "#":
            if digit == "*":
                typed.clear()
            elif digit.isdigit():
                typed.append(digit)
            if len(typed) == longest:
                return
            try:
                async with asyncio.timeout(self._settings.digit_seconds):
                    digit = await self._digits.get()
            except TimeoutError:
                return

    async def _play(self, media: str) -> str:
        """Starts playing and returns the playback's id. Raises Refused when the call is gone, or Unavailable."""
        playback = f"agentbridge-{self.channel}-{next(self._numbers)}"
        self._finished[playback] = asyncio.Event()
        try:
            await self._channels.play(self.channel, playback, media)
        except BaseException:
            del self._finished[playback]
            raise
        self._playing.add(playback)
        return playback

    async def _stop(self, playback: str) -> None:
        await self._channels.stop(playback)
        self._playing.discard(playback)


def _seconds(media: str) -> float:
    """Returns how long to wait for the end of what is played; of tones, which never end, the length of one
    repetition."""
    if not media.startswith("tone:"):
        return PROMPT_SECONDS
    lengths = [int(length) for length in _TONE_MS.findall(media)]
    return min(PROMPT_SECONDS, sum(lengths) / 1000) if lengths else 1.0


class Prompts:
    """Chooses what is played for each prompt: the first of its configured sounds that this Asterisk has."""

    def __init__(self, channels: Channels, settings: Phone) -> None:
        self._channels = channels
        self._settings = settings
        self._chosen: dict[PromptName, str] = {}

    def forget(self) -> None:
        """Drops what was chosen: this may be another Asterisk, or the same one with other sounds."""
        self._chosen.clear()

    async def media_of(self, prompt: PromptName) -> str:
        """Returns the media URI that is played for a prompt; asks Asterisk once for each until `forget`. Raises
        Unavailable."""
        if prompt not in self._chosen:
            self._chosen[prompt] = await self._choose(self._settings.media(prompt))
        return self._chosen[prompt]

    async def _choose(self, media: list[str]) -> str:
        """Returns the first of these media URIs that Asterisk has a sound for, else the last one."""
        for one in media:
            if not one.startswith("sound:") or await self._channels.has_sound(one.removeprefix("sound:")):
                return one
        return media[-1]
