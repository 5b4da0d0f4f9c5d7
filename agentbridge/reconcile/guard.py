"""The guard before the writer: what has vanished from the directory, and was not taken away, waits for a confirmation.

A pass sees only the keys that are due, and a directory that was emptied comes in many passes. So as soon as something
of a pass has vanished, everything that Asterisk has is judged: the limit is about all agents that are gone, whichever
pass meets them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import structlog

from agentbridge.model import AgentId, EndpointId, Fate, Loss
from agentbridge.plan.difference import Plan
from agentbridge.plan.limit import Limit, Refusal, all_that_could_be_lost, who, without
from agentbridge.reconcile.ports import Asterisk, Directory

log = structlog.get_logger()


VANISHED = (
    "agents and telephones gone from the directory without a statement that took them away: they stay in Asterisk"
)
CONFIRMED = "an administrator has confirmed that they go: they leave Asterisk now"
CURE = "agentbridge plan; if it is meant: agentbridge plan --confirm"


class RemovalGuard:
    """Holds back removals from Asterisk when too much has vanished from the directory without a statement having taken
    it away.

    `limited` takes such removals out of a plan; `look` judges everything again. limit: how many agents may vanish
    without a confirmation.
    """

    def __init__(self, directory: Directory, asterisk: Asterisk, limit: Limit) -> None:
        self._directory = directory
        self._asterisk = asterisk
        self._limit = limit
        self._held: frozenset[Loss] = frozenset()
        self._told: dict[EndpointId, AgentId] = {}
        """keys that have nothing held themselves, and tell it for the agent whose number they are now"""
        self._noted: set[EndpointId] | None = None
        """what the directory has noted as held; None after a start, when that is what another daemon held"""
        self.refusal: Refusal | None = None
        """what is held back now"""

    @property
    def has_to_look(self) -> bool:
        """Whether something is held, was confirmed, or may have been held by the daemon before this one."""
        return self._noted is None or bool(self._noted)

    async def limited(self, planned: Plan, fates: Mapping[Loss, Fate]) -> Plan:
        """Returns the plan without the removals that must wait; their keys get the reason as their problem. Raises
        Unavailable.

        fates: of everything that the plan takes away.
        """
        vanished = {loss for loss, fate in fates.items() if fate is Fate.VANISHED}
        if not vanished:
            return planned
        allowed = await self._judge(vanished)
        if self.refusal is None:
            return planned
        return without(planned, vanished - allowed, str(self.refusal), self._asterisk)

    async def look(self) -> set[EndpointId]:
        """Judges again all that Asterisk has; returns the keys that are not held back any more and are to be
        compared."""
        before = {loss.key for loss in self._held} | self._told.keys()
        await self._judge(set())
        agents = {loss.agent for loss in self._held}
        self._told = {key: agent for key, agent in self._told.items() if agent in agents}
        return before - {loss.key for loss in self._held} - self._told.keys()

    def told_at(self, agents: Mapping[EndpointId, AgentId]) -> dict[EndpointId, str]:
        """Returns those of these numbers whose agent has removals held back at another key, each with the reason.

        agents: the numbers that a pass compares, each with its agent. So the agent's present number shows the problem
        too.
        """
        held = {loss.agent for loss in self._held}
        itself = {loss.key for loss in self._held}
        told = {key: agent for key, agent in agents.items() if agent in held and key not in itself}
        self._told |= told
        return dict.fromkeys(told, str(self.refusal))

    def is_over(self, keys: Collection[EndpointId], problems: Collection[EndpointId]) -> bool:
        """Whether a pass found a held key in order again, so that everything must be judged anew.

        keys: those of the pass. problems: all keys that failed.
        """
        return any(loss.key in keys and loss.key not in problems for loss in self._held)

    async def _judge(self, more: set[Loss]) -> set[Loss]:
        """Decides which losses are held back and notes them; returns those that may go: confirmed, or within the limit.

        more: losses that have vanished, in case Asterisk's own list of what is ours lacks them. Raises Unavailable.
        """
        owned = len(self._asterisk.owned())
        fates = await self._directory.judge(list(all_that_could_be_lost(self._asterisk)))
        vanished = more | {loss for loss, fate in fates.items() if fate is Fate.VANISHED}
        if self._limit.allows(len({who(loss) for loss in vanished}), owned):
            await self._note(set(), owned)
            self._held, self.refusal = frozenset(), None
            return vanished
        confirmed = await self._note({loss.key for loss in vanished}, owned)
        self._held = frozenset(loss for loss in vanished if loss.key not in confirmed)
        self._tell(len({who(loss) for loss in vanished}), owned)
        return vanished - self._held

    async def _note(self, keys: set[EndpointId], owned: int) -> set[EndpointId]:
        """Notes in the directory that removals of these keys and no others are held; returns those an administrator
        confirmed.

        Nothing is written where none are held and none were. owned: how many agents and telephones Asterisk has.
        """
        if not keys and self._noted == set():
            return set()
        confirmed = await self._directory.hold(keys, owned)
        self._noted = keys
        return confirmed

    def _tell(self, vanished: int, owned: int) -> None:
        """Logs that removals are held or were confirmed, once for each change, and keeps the refusal."""
        held = len({who(loss) for loss in self._held})
        refusal = Refusal(held, owned) if held else None
        if refusal is None:
            log.warning("removals.confirmed", removals=vanished, owned=owned, reason=CONFIRMED)
        elif refusal != self.refusal:
            log.error("removals.refused", removals=held, owned=owned, reason=VANISHED, cure=CURE)
        self.refusal = refusal
