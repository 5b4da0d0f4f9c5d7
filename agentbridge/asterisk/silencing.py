"""What must stop ringing after a write of ours or a registration that ended, and what that hang-up causes."""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

import structlog

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.calls.live import agent_on
from agentbridge.asterisk.calls.ringing import Ringing
from agentbridge.asterisk.drivers.members import Members
from agentbridge.asterisk.listener import AsteriskListener
from agentbridge.asterisk.observed.observation import Observation, endpoint_of
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId, Member, MemberAction, PauseMember, QueueName, RemoveMember

log = structlog.get_logger()

ON_PAUSE = "app_queue took our hanging up for a missed call: on pause in this queue until that can be undone"


class Silencing:
    """Hangs up calls that may not ring at a device any more, after a pause, a log-out or a lost registration (C4, C7).

    `run` hangs up, and undoes the autopauses that app_queue makes of these hang-ups.
    """

    def __init__(self, actions: AmiLink, members: Members, seen: Observation, listener: AsteriskListener) -> None:
        self._ringing = Ringing(actions, time.monotonic)
        self._members, self._seen, self._listener = members, seen, listener
        self._own_pauses: asyncio.Queue[Member] = asyncio.Queue()
        """members as they were before app_queue paused them after a hang-up of ours; a few for each"""

    async def run(self) -> None:
        """Ends ringing and takes pauses back until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ringing.run(), name="ringing")
            tasks.create_task(self._take_back_pauses(), name="pauses-of-our-own")

    def device_gone(self, device: EndpointId) -> None:
        """Ends what rings at a device that has no registration any more."""
        self._ringing.silence(device, everything=True)

    def after_member_step(self, action: MemberAction) -> None:
        """Hangs up what rings for a member that this step took out of a queue or put on pause."""
        match action:
            case RemoveMember(member):
                if device := endpoint_of(member.interface):
                    self._ringing.silence(device, queue=member.queue)
            case PauseMember(queue, interface, paused=True):
                if device := endpoint_of(interface):
                    self._ringing.silence(device, queue=queue, direct=self._is_disturbed_by(queue, device))
            case _:
                pass

    def _is_disturbed_by(self, queue: QueueName, device: EndpointId) -> bool:
        """Whether a pause in this queue keeps direct calls from the device too, as the dialplan decides it (P6, W7)."""
        agent = agent_on(device, self._seen.policy)
        telling = self._seen.policy(f"agent/{agent}/queues").split("&")
        return queue in telling and not self._seen.policy(f"agent/{agent}/nodnd")

    def after_policy_step(self, path: str, was: str, now: str) -> None:
        """Hangs up what rings at a device that no longer takes an agent's calls, or for an agent who is on pause now.

        was, now: the value at the path before and after the step.
        """
        match path.split("/"):
            case ["agent", _, "device"] if was:
                self._ringing.silence(EndpointId(was), everything=True)
            case ["telephone", device, "agent"] if was:
                self._ringing.silence(EndpointId(device), everything=True)
            case ["agent", agent, "paused"] if now and not self._seen.policy(f"agent/{agent}/nodnd"):
                self._ringing.silence(EndpointId(self._seen.policy(f"agent/{agent}/device")), direct=True)
            case _:
                pass

    async def _take_back_pauses(self) -> NoReturn:
        """Undoes the autopauses that our own hang-ups caused: the agent did not fail to answer."""
        while True:
            was = await self._own_pauses.get()
            try:
                await self._members.apply(PauseMember(was.queue, was.interface, was.paused, was.reason))
            except (Refused, Unavailable) as reason:
                fields = {"queue": was.queue, "interface": was.interface, "reason": str(reason)}
                log.warning("autopause.not_undone", **fields, meanwhile=ON_PAUSE)
                if (key := endpoint_of(was.interface)) is not None:
                    self._listener.pause_of_ours(key)

    def is_own_pause(self, device: EndpointId, queue: QueueName) -> bool:
        """Whether our own hang-up caused this autopause; if so, it is undone soon."""
        was = self._seen.members_of(device).get(queue)
        if was is None or not self._ringing.silenced(device):
            return False
        self._own_pauses.put_nowait(was)
        return True
