"""Keys that wait: for a call or a wrap-up to end, or for an agent to leave another key."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import structlog

from agentbridge.model import AgentId, EndpointId
from agentbridge.plan.difference import Plan
from agentbridge.reconcile.ports import Asterisk
from agentbridge.reconcile.work_queue import Cause

log = structlog.get_logger()


class WaitingKeys:
    """Which keys wait, and for what; and who is to be compared again when the wait is over."""

    def __init__(self, asterisk: Asterisk) -> None:
        self._asterisk = asterisk
        self._moving: dict[EndpointId, AgentId] = {}
        """keys that an agent leaves for another one as soon as a call there is over"""
        self._reasons: dict[EndpointId, str] = {}
        """what each key waits for, as the directory was told"""

    def moves(self, key: EndpointId, agent: AgentId) -> None:
        """Notes that the agent leaves this key for another one as soon as the call here is over."""
        self._moving[key] = agent

    def left_for(self, agents: Mapping[EndpointId, AgentId], batch: Mapping[EndpointId, Cause]) -> list[EndpointId]:
        """Returns the keys that agents leave for keys of the batch that have changed, so that a log-out does not wait
        for a call's end. They count as moving no longer.

        agents: whose number each key of the batch is.
        """
        if not self._moving:
            return []
        changed = {agent for key, agent in agents.items() if batch.get(key, Cause.RESYNC).is_wish}
        left = [key for key, agent in self._moving.items() if agent in changed and key not in batch]
        for key in left:
            del self._moving[key]
        return left

    def stop(self, done: Collection[EndpointId]) -> list[EndpointId]:
        """Notes that these keys wait no longer; returns those that waited for an agent to leave one of them."""
        awake: list[EndpointId] = []
        for key in done:
            self._reasons.pop(key, None)
            if (agent := self._moving.pop(key, None)) is not None:
                awake += [other for other in self._reasons if self._asterisk.agent_of(other) == agent]
        return awake

    def begin(self, planned: Plan) -> dict[EndpointId, str]:
        """Notes and logs what the plan's keys wait for; returns those that began to, or wait for something else now."""
        told = {key: reason for key, reason in planned.waiting.items() if reason and reason != self._reasons.get(key)}
        self._reasons |= told
        for key, reason in told.items():
            log.info("key.waits", agent=key, reason=reason)
        return told
