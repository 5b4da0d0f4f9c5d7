"""All that follows the calls: recordings, their resuming, listening, lamps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.lamps import Lamps
from agentbridge.asterisk.calls.live import Asks, Policy
from agentbridge.asterisk.calls.recordings import Ledger, Recordings
from agentbridge.asterisk.calls.resuming import Resumer
from agentbridge.asterisk.calls.spying import Audit, Spying
from agentbridge.model import EndpointId


class CallLedger(Ledger, Audit, Protocol):
    """What calls leave in the directory."""


class CallWatch:
    """Told of everything by plain functions; works in `run`. `resume_after` is in seconds."""

    def __init__(
        self,
        link: Asks,
        ledger: CallLedger,
        policy: Policy,
        *,
        agents: Callable[[], Iterable[EndpointId]],
        depth: Callable[[], Awaitable[int]],
        resume_after: float,
    ) -> None:
        self.recordings = Recordings(link, ledger, now=_now, clock=time.monotonic)
        self.resumer = Resumer(link, after_seconds=resume_after, now=time.time, clock=time.monotonic)
        self.spying = Spying(link, ledger, policy, now=_now)
        self.lamps = Lamps(link, policy, agents, depth)

    def on_event(self, event: Message) -> None:
        self.recordings.on_event(event)
        self.resumer.on_event(event)
        self.spying.on_event(event)
        self.lamps.on_event(event)

    def on_policy(self, path: str, value: str) -> None:
        """A policy was written to Asterisk; '' when it was removed."""
        self.spying.on_policy(path, value)
        self.lamps.on_policy(path, value)

    def look_again(self) -> None:
        """After a start or a reconnect, and at intervals."""
        self.recordings.look_again()
        self.resumer.look_again()
        self.spying.look_again()
        self.lamps.look_again()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as parts:
            for part in (self.recordings, self.resumer, self.spying, self.lamps):
                parts.create_task(part.run(), name=type(part).__name__.lower())


def _now() -> datetime:
    return datetime.now(UTC)
