"""Busy lamps: `Custom:agent<internal>` shows the state of the device that takes the agent's calls.

A hint on the device itself is fixed at the subscription, and wrong after the next move of a hot-desk agent.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from typing import NoReturn

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live import Asks, Policy, agent_on, set_variable, variable
from agentbridge.asterisk.retrying import repeat
from agentbridge.model import EndpointId

RETRY_SECONDS = 1.0
AT_ONCE = 50
DEEP = 200
"""Each lamp that changes makes app_queue look at all its members: with so many tasks waiting the lamps wait"""
_LAMP = re.compile(r"Custom:agent([0-9]{1,16})")
_PHONE = re.compile(r"PJSIP/(.+)")
_AGENT_KEY = re.compile(r"agent/([0-9]{1,16})/(?:device|id)")
_TELEPHONE_KEY = re.compile(r"telephone/[^/]+/agent")


class Lamp(StrEnum):
    """The states of a busy lamp, by Asterisk's names for those of a custom device."""

    FREE = "NOT_INUSE"
    BUSY = "INUSE"
    RINGING = "RINGING"
    AWAY = "UNAVAILABLE"
    NOBODY = "UNKNOWN"
    """as Asterisk says of one that was never set; the dialplan takes a number in any other state for an agent's"""


_SHOWN = {
    "NOT_INUSE": Lamp.FREE,
    "INUSE": Lamp.BUSY,
    "BUSY": Lamp.BUSY,
    "ONHOLD": Lamp.BUSY,
    "RINGING": Lamp.RINGING,
    "RINGINUSE": Lamp.RINGING,
}


def lamp_of(state: str) -> Lamp:
    """Returns what a busy lamp shows for a device in this state; AWAY for a device that Asterisk does not know."""
    return _SHOWN.get(state, Lamp.AWAY)


class Lamps:
    """Keeps the busy lamps right: the custom device `Custom:agent<internal>` shows the state of the agent's present
    device.

    Only lamps that Asterisk shows differently are written. agents: the internal numbers that are ours. losses: how
    often the connection was lost. on_known: called with a device whose state was read and differs from the one known
    before.
    """

    def __init__(
        self,
        link: Asks,
        policy: Policy,
        agents: Callable[[], Iterable[EndpointId]],
        depth: Callable[[], Awaitable[int]],
        losses: Callable[[], int],
        on_known: Callable[[EndpointId], None] = lambda _: None,
    ) -> None:
        self._link, self._policy, self._agents, self._depth, self._losses = link, policy, agents, depth, losses
        self._on_known = on_known
        self._devices: dict[EndpointId, str] = {}
        self._lit: dict[EndpointId, str] = {}
        self._newer: set[str] | None = None
        """devices that have changed since the read began that is under way; None while none is"""
        self._dirty: set[EndpointId] = set()
        self._look = False
        self._read_at = -1
        """how many losses there were when all states were read the last time"""
        self._lights = 0
        """set since the last look at how much waits in Asterisk"""
        self._asking = asyncio.Lock()
        """one asks how much waits for all that are about to be set"""
        self._wake = asyncio.Event()

    def on_event(self, event: Message) -> None:
        if event.event == "DeviceStateChange":
            self._device_is(event.get("Device"), event.get("State"))

    def on_policy(self, path: str, value: str) -> None:
        """Marks the agents whose lamps are concerned by a policy entry that was written: an agent came, left, or
        changed its device."""
        if match := _AGENT_KEY.fullmatch(path):
            self._mark(EndpointId(match[1]))
        elif _TELEPHONE_KEY.fullmatch(path) and value:
            self._mark(EndpointId(value))

    def look_again(self) -> None:
        """Makes all device states be read anew, after a reconnect."""
        self._look = True
        self._wake.set()

    def device_state(self, device: EndpointId) -> str:
        """Returns a device's state by Asterisk's name; '' when it has not changed since Asterisk started."""
        return self._devices.get(device, "")

    def _mark(self, agent: EndpointId) -> None:
        self._dirty.add(agent)
        self._wake.set()

    def _device_is(self, device: str, state: str) -> None:
        """Takes the state of a lamp or of a telephone, and marks the agent whose lamp may now be wrong."""
        if self._newer is not None:
            self._newer.add(device)
        if lamp := _LAMP.fullmatch(device):
            agent = EndpointId(sys.intern(lamp[1]))
            if self._lit.get(agent) != state:  # somebody else switched it
                self._lit[agent] = sys.intern(state)
                self._mark(agent)
        elif phone := _PHONE.fullmatch(device):
            endpoint = EndpointId(sys.intern(phone[1]))
            self._devices[endpoint] = sys.intern(state)
            if agent_found := agent_on(endpoint, self._policy):
                self._mark(agent_found)

    async def run(self) -> NoReturn:
        await repeat(self._work, self._wake, name="lamps", retry_seconds=RETRY_SECONDS)

    async def _work(self) -> None:
        """Reads all states where that is due, then sets the lamps that are marked. Raises Unavailable or Refused."""
        if self._look:
            await self._read_all()
            self._look = False
        while self._dirty:
            # together: at a cold start all lamps are lit before the queues have members for app_queue to look at
            some = [self._dirty.pop() for _ in range(min(AT_ONCE, len(self._dirty)))]
            ended = await asyncio.gather(*map(self._light, some), return_exceptions=True)
            for failure in filter(None, ended):
                raise failure
        self._lights = 0

    async def _read_all(self) -> None:
        """Reads all device states and marks every agent; what events told meanwhile is newer."""
        devices: dict[EndpointId, str] = {}
        lit: dict[EndpointId, str] = {}

        def take(item: Message) -> None:
            name = item.get("Device")
            if lamp := _LAMP.fullmatch(name):
                lit[EndpointId(sys.intern(lamp[1]))] = sys.intern(item.get("State"))
            elif phone := _PHONE.fullmatch(name):
                devices[EndpointId(sys.intern(phone[1]))] = sys.intern(item.get("State"))

        self._newer = newer = set[str]()
        losses = self._losses()
        try:
            await self._link.action_list("DeviceStateList", timeout=60.0, on_item=take)
        finally:
            self._newer = None
        before = self._devices
        # Asterisk lists no device that was never in use since it started: each of these is asked for once, and tells
        # by an event when that is over
        away = {d: was for d, was in before.items() if was not in _SHOWN} if losses == self._read_at else {}
        self._read_at = losses
        self._devices = away | devices | {d: was for d, was in before.items() if f"PJSIP/{d}" in newer}
        for device in [device for device, state in self._devices.items() if before.get(device) != state]:
            self._on_known(device)
        self._lit = lit | {agent: was for agent, was in self._lit.items() if f"Custom:agent{agent}" in newer}
        # those that are lit and no longer ours go out
        self._dirty |= set(self._agents()) | self._lit.keys()

    async def _light(self, agent: EndpointId) -> None:
        """Sets an agent's lamp where it is wrong; the agent stays marked where that fails."""
        try:
            if self._lit.get(agent, "") != await self._wanted(agent):
                await self._room()
                wanted = await self._wanted(agent)  # which may have changed meanwhile
                await set_variable(self._link, f"DEVICE_STATE(Custom:agent{agent})", wanted)
                self._lit[agent] = wanted
        except BaseException:
            self._dirty.add(agent)
            raise

    async def _room(self) -> None:
        """Waits until one more lamp may be set: a few at once always may; many wait for Asterisk's task processors."""
        self._lights += 1
        async with self._asking:
            while self._lights > AT_ONCE:
                if await self._depth() <= DEEP:
                    self._lights = 0
                else:
                    await asyncio.sleep(RETRY_SECONDS)

    async def _wanted(self, agent: EndpointId) -> Lamp:
        """Returns what the agent's lamp should show."""
        device = EndpointId(self._policy(f"agent/{agent}/device"))
        if not self._policy(f"agent/{agent}/id"):
            return Lamp.NOBODY
        if not device:
            return Lamp.AWAY
        if device not in self._devices:  # its state has never changed since Asterisk started
            self._devices[device] = await variable(self._link, f"DEVICE_STATE(PJSIP/{device})")
            self._on_known(device)
        return lamp_of(self._devices[device])
