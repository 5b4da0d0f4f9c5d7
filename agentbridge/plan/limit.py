"""The guard against lost data: which removals of a plan nobody asked for, and how many may be done all the same. Pure.

What is taken away by a statement (a log-out, a lock, a deletion, a move, other queues) leaves a note in the directory
and is never counted. What is missing there without such a note (TRUNCATE, an older backup, hidden rows) is *vanished*:
more than the limit of that is held until the rows are back or somebody confirms it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from agentbridge.model import (
    AddMember,
    AgentId,
    DeleteObject,
    DeletePolicy,
    EndpointId,
    Loss,
    LossKind,
    ObjectKind,
    ObservedState,
    PutPolicy,
    RemoveMember,
    Step,
)
from agentbridge.plan.difference import Plan, device_path


class Owned(Protocol):
    """What the guard asks about the things in Asterisk that agentbridge manages."""

    def owned(self) -> Collection[EndpointId]:
        """Endpoint ids that our AstDB family lists."""
        ...

    def agent_of(self, key: EndpointId) -> AgentId | None:
        """The row id of the agent whose number this is, or who is logged in at this telephone, as our AstDB says."""
        ...

    def state(self, key: EndpointId) -> ObservedState: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many agents and telephones may vanish at once without a confirmation.

    share: of those that Asterisk has; at_least: that many always may go.
    """

    share: float = 0.3
    at_least: int = 20

    def allows(self, vanished: int, owned: int) -> bool:
        return vanished <= max(self.at_least, int(self.share * owned))


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why removals are held back: how many agents and telephones would vanish, of how many that Asterisk
    has."""

    vanished: int
    owned: int

    def __str__(self) -> str:
        """Returns the message for the administrator, with the command that confirms the removals."""
        return (
            f"limits: {self.vanished} of {self.owned} agents and telephones are gone from the directory without having "
            "been taken away, and stay in Asterisk as they are; bring their rows back, or if that is meant, confirm it "
            "with `agentbridge plan --confirm`"
        )


def losses_of(planned: Plan, owned: Owned) -> list[Loss]:
    """Returns what agents and telephones would lose by the plan. A member that leaves a queue and joins it anew loses
    nothing."""
    joins = {(s.key, s.action.member.queue) for s in planned.steps if isinstance(s.action, AddMember)}
    losses = (_loss(step, owned) for step in planned.steps)
    return [loss for loss in losses if loss is not None and (loss.key, loss.queue) not in joins]


def all_that_could_be_lost(owned: Owned) -> Iterator[Loss]:
    """Yields a loss for each endpoint, login and queue membership that agentbridge has in Asterisk now."""
    for key in owned.owned():
        state, agent = owned.state(key), owned.agent_of(key)
        if ObjectKind.ENDPOINT in state.objects:
            yield _endpoint(key, owned)
        if state.policy.get(device_path(key)) or state.policy.get(user_path(key)):
            yield Loss(key=key, kind=LossKind.LOGIN, agent=agent)
        if _is_device(key, owned):
            yield from (Loss(key=key, kind=LossKind.MEMBERSHIP, agent=agent, queue=queue) for queue in state.members)


def who(loss: Loss) -> AgentId | EndpointId:
    """Returns what a loss is counted by: its agent, so that several losses of one agent count once; else the
    telephone."""
    return loss.key if loss.agent is None else loss.agent


def without(planned: Plan, vanished: Collection[Loss], reason: str, owned: Owned) -> Plan:
    """Returns the plan without the removals that cause these losses; their keys get `reason` as their problem.

    Other steps stay, above all what stops a ring, such as a pause. Nothing is done for a key that would lose its
    endpoint: the directory says nothing of it any more.
    """
    held = set(vanished)
    frozen = {loss.key for loss in held if loss.kind is LossKind.ENDPOINT}
    steps = tuple(step for step in planned.steps if step.key not in frozen and _loss(step, owned) not in held)
    problems = {**planned.problems, **{loss.key: reason for loss in held}}
    return replace(planned, steps=steps, problems=problems)


def _loss(step: Step, owned: Owned) -> Loss | None:
    """Returns what an agent or a telephone loses by this step; None where it loses nothing."""
    key = step.key
    match step.action:
        case RemoveMember(member) if _is_device(key, owned):
            return Loss(key=key, kind=LossKind.MEMBERSHIP, agent=owned.agent_of(key), queue=member.queue)
        case DeleteObject(kind=ObjectKind.ENDPOINT):
            return _endpoint(key, owned)
        case DeletePolicy(path) if path == device_path(key):
            return Loss(key=key, kind=LossKind.LOGIN, agent=owned.agent_of(key))
        case DeletePolicy(path) | PutPolicy(path, "") if path == user_path(key) and step.was:
            return Loss(key=key, kind=LossKind.LOGIN, agent=owned.agent_of(key))
        case _:
            return None


def _is_device(key: EndpointId, owned: Owned) -> bool:
    """Whether an agent is logged in at this endpoint, according to our entries in Asterisk's AstDB.

    If not, somebody else has put its members into queues, and taking them out is no loss.
    """
    policy = owned.state(key).policy
    return policy.get(device_path(key)) == key or bool(policy.get(user_path(key)))


def _endpoint(key: EndpointId, owned: Owned) -> Loss:
    """Returns the loss of this key's endpoint: an agent's own counts for the agent, a telephone's for the telephone."""
    is_telephone = user_path(key) in owned.state(key).policy
    return Loss(key=key, kind=LossKind.ENDPOINT, agent=None if is_telephone else owned.agent_of(key))


def user_path(telephone: EndpointId) -> str:
    """Returns the AstDB path that says which agent is logged in at this telephone."""
    return f"telephone/{telephone}/agent"
