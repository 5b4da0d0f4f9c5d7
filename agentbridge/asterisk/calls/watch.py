"""All that follows the calls: recordings, their resuming, listening, lamps, what goes on now, requests about it, and
the mark of a boot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.board import Board, LiveStore
from agentbridge.asterisk.calls.boot_mark import BootMark
from agentbridge.asterisk.calls.lamps import Lamps
from agentbridge.asterisk.calls.live import Asks, Policy
from agentbridge.asterisk.calls.message_lamps import MessageLamps
from agentbridge.asterisk.calls.recorder import Recorder
from agentbridge.asterisk.calls.recording_rows import Ledger
from agentbridge.asterisk.calls.recordings import Recordings
from agentbridge.asterisk.calls.requests import Desk, Requests, Rings
from agentbridge.asterisk.calls.resuming import Resumer
from agentbridge.asterisk.calls.spy_attempts import Audit
from agentbridge.asterisk.calls.spying import Spying
from agentbridge.asterisk.calls.wrapup import Wrapups
from agentbridge.model import EndpointId, Member, QueueName
from agentbridge.model.calls import recording_file
from agentbridge.model.live import RecordingState


class CallLedger(Ledger, Audit, Protocol):
    """What is written into the directory about recordings and listening."""


class Asterisk(Asks, Protocol):
    """What following the calls needs of the node."""

    @property
    def up(self) -> bool: ...

    @property
    def losses(self) -> int:
        """How often the connection was lost."""
        ...

    def policy(self, path: str) -> str: ...

    def agents(self) -> Iterable[EndpointId]:
        """The internal numbers of our agents that Asterisk has, by our AstDB family."""
        ...

    def members_of(self, key: EndpointId) -> Mapping[QueueName, Member]: ...

    def has_contact(self, device: EndpointId) -> bool:
        """Whether a device has a contact here, be it one that does not answer just now."""
        ...

    async def depth(self) -> int: ...


class CallWatch:
    """Runs everything that follows running calls: recordings, spying, lamps, live rows, and requests about calls.

    `on_event`, `on_policy` and `look_again` only take notes; `run` does the work. resume_after: seconds. active:
    whether this daemon acts for its node. settled: whether nothing waits to be written to Asterisk.
    """

    def __init__(
        self,
        node: Asterisk,
        ledger: CallLedger,
        live: LiveStore,
        desk: Desk,
        rings: Rings,
        *,
        active: Callable[[], bool],
        resume_after: float,
        settled: Callable[[], bool],
    ) -> None:
        policy: Policy = node.policy
        depth: Callable[[], Awaitable[int]] = node.depth
        self.recordings = Recordings(
            node, ledger, now=_now, clock=time.monotonic, on_found=lambda uniqueid: self.board.on_recording(uniqueid)
        )
        self.resumer = Resumer(node, after_seconds=resume_after, now=time.time, clock=time.monotonic)
        self.spying = Spying(node, ledger, policy, now=_now)
        self.lamps = Lamps(
            node, policy, node.agents, depth, lambda: node.losses, lambda device: self.board.on_device(device)
        )
        around = _Around(node, self)
        self.board = Board(
            node, live, policy, around, agents=node.agents, active=active, now=_now, clock=time.monotonic
        )
        recorder = Recorder(node, now=_now)
        self.requests = Requests(
            desk, node, rings, recorder, self.board, policy, around, active=active, up=lambda: node.up
        )
        self.message_lamps = MessageLamps(node, policy, node.agents, node.has_contact)
        self.boot_mark = BootMark(node, settled=settled, clock=time.monotonic)

    def on_event(self, event: Message) -> None:
        """Hands an event to each part that follows calls."""
        self.recordings.on_event(event)
        self.resumer.on_event(event)
        self.spying.on_event(event)
        self.lamps.on_event(event)
        self.board.on_event(event)
        self.message_lamps.on_event(event)

    def on_policy(self, path: str, value: str) -> None:
        """Tells each part of a policy entry that was written to Asterisk's AstDB; value is '' when it was removed."""
        self.spying.on_policy(path, value)
        self.lamps.on_policy(path, value)
        self.board.on_policy(path, value)
        self.message_lamps.on_policy(path, value)

    def look_again(self, *, spare_agents: bool = False) -> None:
        """Makes each part compare its picture with Asterisk anew: after a start, a reconnect, and at intervals.

        spare_agents: not those whose look is one at every agent.
        """
        self.recordings.look_again()
        self.resumer.look_again()
        self.spying.look_again()
        self.boot_mark.look_again()
        if not spare_agents:
            self.lamps.look_again()
            self.board.look_again()

    async def run(self) -> None:
        """Runs all parts until it is cancelled."""
        working = (self.recordings, self.resumer, self.spying, self.lamps, self.board, self.requests)
        async with asyncio.TaskGroup() as parts:
            for part in (*working, self.message_lamps, self.boot_mark):
                parts.create_task(part.run(), name=type(part).__name__.lower())


class _Around:
    """Gives the live rows what other parts know: device states, memberships, wrap-up times, recordings, listeners."""

    def __init__(self, node: Asterisk, watch: CallWatch) -> None:
        self._node, self._watch = node, watch
        self._wrapups = Wrapups()

    async def refresh(self) -> None:
        await self._wrapups.read(self._node)

    def device_state(self, device: EndpointId) -> str:
        return self._watch.lamps.device_state(device)

    def members_of(self, device: EndpointId) -> Mapping[QueueName, Member]:
        return self._node.members_of(device)

    def wrapup_seconds(self, queue: QueueName) -> float:
        return self._wrapups.seconds(queue)

    def recording_of(self, uniqueid: str, channel: str) -> tuple[RecordingState, tuple[int, ...]]:
        """Returns the recording state of the channel, and which of the call's two files are being written."""
        recordings = self._watch.recordings
        if recordings.is_silent(uniqueid):
            return RecordingState.FAILED, ()
        files = [file for path in recordings.paths_of(uniqueid) if (file := recording_file(path)) is not None]
        if not files:
            return RecordingState.NONE, ()
        paused = self._watch.resumer.is_paused(channel)
        return RecordingState.PAUSED if paused else RecordingState.RUNNING, tuple(sorted(file.part for file in files))

    def spies_of(self, agent: EndpointId) -> tuple[str, ...]:
        return self._watch.spying.spies_of(agent)


def _now() -> datetime:
    return datetime.now(UTC)
