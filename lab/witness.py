"""A judge of what calls there are and were: Asterisk's own words, read without a line of the product."""

import asyncio
import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from lab.asterisk import Asterisk
from lab.manager import Manager, Message, channels

_UP = "Up"


class Witness:
    """Notes the calls that Asterisk's own events tell, inside `async with Witness(asterisk) as witness`, without
    agentbridge's code.

    `answered` are the channels of phones that Asterisk called and connected: of several that answer the same ringing
    call at once, the one that got it.
    """

    def __init__(self, asterisk: Asterisk) -> None:
        self._asterisk = asterisk
        self._manager = Manager(asterisk, events="call", on_event=self._note)
        self.answered: dict[str, str] = {}
        """Uniqueid → Linkedid"""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._manager.__aenter__()
        self._task = asyncio.create_task(self._read(), name="witness")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._manager.__aexit__(kind, error, trace)

    async def _read(self) -> None:
        while True:
            self._note(await self._manager.read())

    def _note(self, event: Message) -> None:
        """Takes an event: notes a channel that comes into a bridge."""
        if event.get("Event") != "BridgeEnter":
            return
        # of a call to a phone the linkedid is another channel's; a phone's own call begins one
        if event["Channel"].startswith("PJSIP/") and event["Uniqueid"] != event["Linkedid"]:
            self.answered[event["Uniqueid"]] = event["Linkedid"]

    async def calls(self, numbers: Iterable[str]) -> set[tuple[str, str, bool]]:
        """Asks for the channels of these endpoints now; returns Uniqueid, endpoint and whether each is up."""
        wanted = set(numbers)
        found = (
            (one["Uniqueid"], one["Channel"].removeprefix("PJSIP/").rpartition("-")[0], one["ChannelStateDesc"] == _UP)
            for one in await channels(self._asterisk)
        )
        return {one for one in found if one[1] in wanted}
