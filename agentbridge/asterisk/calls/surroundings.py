"""What the picture of running calls needs of the other parts: device states, members, recordings, listeners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from agentbridge.model import EndpointId, Member, QueueName
from agentbridge.model.live import RecordingState


class Surroundings(Protocol):
    """What the live rows show that other parts know: device states, memberships, wrap-up, recordings, listeners."""

    def device_state(self, device: EndpointId) -> str:
        """The state as Asterisk names it; '' for a device that was never heard of."""
        ...

    def members_of(self, device: EndpointId) -> Mapping[QueueName, Member]:
        """The queue memberships of the device, as observed."""
        ...

    def wrapup_seconds(self, queue: QueueName) -> float:
        """The queue's wrap-up time; 0 for a queue that has none or is not known."""
        ...

    async def refresh(self) -> None:
        """Reads the wrap-up times anew. Raises Unavailable."""
        ...

    def recording_of(self, uniqueid: str, channel: str) -> tuple[RecordingState, tuple[int, ...]]:
        """Whether the channel is recorded, and which of the call's two files are being written."""
        ...

    def spies_of(self, agent: EndpointId) -> tuple[str, ...]:
        """The numbers that listen to the agent."""
        ...
