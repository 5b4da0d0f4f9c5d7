"""Ends what still rings at a device that is not to ring any more (C4, C7).

Neither a pause nor a removal takes back a call that app_queue offers already: the phone rings on to the queue's
timeout, and who answers has the customer. A leg that is hung up makes app_queue offer the call to the next one at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NoReturn

import structlog

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live import (
    TIMEOUT_SECONDS,
    UP,
    Asks,
    endpoint_of_channel,
    hang_up,
    is_gone,
    variable,
)
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId, QueueName, queue_name

log = structlog.get_logger()

RINGS_ON = "the telephone may ring until the queue's timeout"

AFTERMATH_SECONDS = 3.0
"""how long after our hang-up a pause by app_queue counts as its consequence"""
QUEUE = "AGENTBRIDGE_NOTED_QUEUE"
"""the variable of a ringing leg, set before it is dialled: the queue that offers the call, empty for a direct call"""
ASKED_AT_ONCE = 20
"""devices whose channels are asked for together: an AMI line has at most 1,024 bytes"""
NAMED_WHOLE = 900
"""characters of channel names: Asterisk cuts off what is longer than 1,024"""
# what a leg that was dialled is said to run; the agent's own calls run the dialplan
_DIALLED = frozenset({"AppQueue", "AppDial", "AppDial2"})


@dataclass(slots=True)
class Wish:
    """Which ringing calls of a device are to be hung up: those of these queues, direct ones, or all."""

    queues: set[QueueName] = field(default_factory=set)
    direct: bool = False
    """those that no queue offers"""
    everything: bool = False

    def covers(self, queue: str) -> bool:
        return self.everything or (queue_name(queue) in self.queues if queue else self.direct)


class Ringing:
    """Hangs up calls that ring at a device and should not ring there any more (C4, C7); never one that was answered.

    `silence` notes it and returns at once; `run` asks each channel for its state and hangs up.
    """

    def __init__(self, link: Asks, clock: Callable[[], float]) -> None:
        self._link = link
        self._clock = clock
        self._wishes: dict[EndpointId, Wish] = {}
        self._silenced: dict[EndpointId, float] = {}
        """when a leg of the device was hung up by us"""
        self._wake = asyncio.Event()

    def silence(
        self, device: EndpointId, *, queue: QueueName | None = None, direct: bool = False, everything: bool = False
    ) -> None:
        """Notes that calls ringing at the device are to be hung up: those of this queue, direct ones, or all."""
        wish = self._wishes.setdefault(device, Wish())
        if queue is not None:
            wish.queues.add(queue)
        wish.direct |= direct
        wish.everything |= everything
        self._wake.set()

    def silenced(self, device: EndpointId) -> bool:
        """Whether a leg of it was hung up by us a moment ago, so that app_queue takes it for no answer."""
        return self._clock() - self._silenced.get(device, -AFTERMATH_SECONDS) < AFTERMATH_SECONDS

    async def run(self) -> NoReturn:
        """Hangs up the ringing calls that `silence` has noted, until it is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            now = self._clock()
            self._silenced = {d: at for d, at in self._silenced.items() if now - at < AFTERMATH_SECONDS}
            while self._wishes:
                some = dict(islice(self._wishes.items(), ASKED_AT_ONCE))
                for device in some:
                    del self._wishes[device]
                await self._end_all(some)

    async def _end_all(self, wishes: Mapping[EndpointId, Wish]) -> None:
        """Hangs up channels of these devices that ring as their wishes describe; logs where that can't be."""
        try:
            names = await variable(self._link, f"CHANNELS(^PJSIP/({'|'.join(wishes)})-[0-9a-f]+$)")
            if len(names) > NAMED_WHOLE and len(wishes) > 1:
                for device, wish in wishes.items():
                    await self._end_all({device: wish})
                return
        except (Refused, Unavailable) as reason:
            for device in wishes:
                _tell_not_ended(device, reason)
            return
        for name in names.split():
            device = endpoint_of_channel(name)
            try:
                await self._end(name, device, wishes[device])
            except (Refused, Unavailable) as reason:  # of this one: the others are ended
                _tell_not_ended(device, reason)

    async def _end(self, name: str, device: EndpointId, wish: Wish) -> None:
        """Hangs up a device's channel where it rings as `wish` describes. Raises Refused or Unavailable."""
        if await self._rings(name, wish):
            self._silenced[device] = self._clock()
            await hang_up(self._link, name)
            log.info("ring.ended", device=device, channel=name, reason="its agent is not to be rung any more")

    async def _rings(self, name: str, wish: Wish) -> bool:
        """Whether the channel rings for a queue or a direct call that the wish covers; False for one that is gone."""
        fields = {"Channel": name, "Variables": QUEUE}
        try:
            items = await self._link.action_list("Status", fields, timeout=TIMEOUT_SECONDS)
        except Refused as refused:
            if is_gone(refused):
                return False
            raise
        return any(
            item.get("ChannelStateDesc") != UP and item.get("Application") in _DIALLED and wish.covers(_queue_of(item))
            for item in items
            if item.event == "Status" and item.get("Channel") == name
        )


def _tell_not_ended(device: EndpointId, reason: Exception) -> None:
    """Logs what was not hung up. It is not tried again: a link that is back finds that it rang out."""
    log.warning("ring.not_ended", device=device, reason=str(reason), meanwhile=RINGS_ON)


def _queue_of(item: Message) -> str:
    """Returns the queue that a listed channel is called by, from its lines `Variable: NAME=value`; '' for a direct
    call."""
    return item.get("Variable").removeprefix(f"{QUEUE}=")
