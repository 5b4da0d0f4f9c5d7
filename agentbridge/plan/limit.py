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
    """What of Asterisk is ours, as far as the guard asks."""

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
    """Removals that are held back: of how many agents and telephones, and how many Asterisk has."""

    vanished: int
    owned: int

    def __str__(self) -> str:
        return (
            f"limits: {self.vanished} of {self.owned} agents and telephones are gone from the directory without having "
            "been taken away, and stay in Asterisk as they are; bring their rows back, or if that is meant, confirm it "
            "with `agentbridge plan --confirm`"
        )


def losses_of(planned: Plan, owned: Owned) -> list[Loss]:
    """What the plan takes away. Who leaves a queue to join it anew there loses nothing."""
    joins = {(s.key, s.action.member.queue) for s in planned.steps if isinstance(s.action, AddMember)}
    losses = (_loss(step, owned) for step in planned.steps)
    return [loss for loss in losses if loss is not None and (loss.key, loss.queue) not in joins]


def all_that_could_be_lost(owned: Owned) -> Iterator[Loss]:
    """What Asterisk has of ours now."""
    for key in owned.owned():
        state, agent = owned.state(key), owned.agent_of(key)
        if ObjectKind.ENDPOINT in state.objects:
            yield _endpoint(key, owned)
        if state.policy.get(device_path(key)) or state.policy.get(user_path(key)):
            yield Loss(key=key, kind=LossKind.LOGIN, agent=agent)
        if _is_device(key, owned):
            yield from (Loss(key=key, kind=LossKind.MEMBERSHIP, agent=agent, queue=queue) for queue in state.members)


def who(loss: Loss) -> AgentId | EndpointId:
    """By what a loss is counted: the agent, however much of it is lost, or the telephone."""
    return loss.key if loss.agent is None else loss.agent


def without(planned: Plan, vanished: Collection[Loss], reason: str, owned: Owned) -> Plan:
    """The plan without the removals that are these losses; their keys have `reason` for a problem.

    The rest stays, above all what stops a ring, such as a pause. Of a key that loses its endpoint nothing is done:
    the directory says nothing of it any more.
    """
    held = set(vanished)
    frozen = {loss.key for loss in held if loss.kind is LossKind.ENDPOINT}
    steps = tuple(step for step in planned.steps if step.key not in frozen and _loss(step, owned) not in held)
    problems = {**planned.problems, **{loss.key: reason for loss in held}}
    return replace(planned, steps=steps, problems=problems)


def _loss(step: Step, owned: Owned) -> Loss | None:
    """What a step takes away; None where nobody loses anything, such as an AOR in reserve."""
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
    """Whether an agent is logged in at this endpoint, as Asterisk knows it. Else its members are somebody else's doing,
    and taking them out repairs that."""
    policy = owned.state(key).policy
    return policy.get(device_path(key)) == key or bool(policy.get(user_path(key)))


def _endpoint(key: EndpointId, owned: Owned) -> Loss:
    """An agent's own endpoint goes with the agent; a telephone's with the telephone, whoever uses it."""
    is_telephone = user_path(key) in owned.state(key).policy
    return Loss(key=key, kind=LossKind.ENDPOINT, agent=None if is_telephone else owned.agent_of(key))


def user_path(telephone: EndpointId) -> str:
    """Where the call policy says which agent is logged in at this telephone."""
    return f"telephone/{telephone}/agent"
