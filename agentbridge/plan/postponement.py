"""What must wait until an agent's call and wrap-up are over. Pure.

app_queue has no action that changes a member's name or interface: such a member is taken out and put in anew, and with
that app_queue forgets its last call, so that the wrap-up ends at once, and how many calls it took. So this waits while
the member rings, is in a call or in wrap-up. What stops a ring (a pause, a log-out) never waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agentbridge.model import (
    AddMember,
    DeleteObject,
    DeletePolicy,
    DesiredState,
    DropContact,
    EndpointId,
    Fate,
    Loss,
    MemberId,
    PutPolicy,
    QueueName,
    RemoveMember,
    Step,
)
from agentbridge.plan.difference import Observed, Plan, in_place, rank, shown_member
from agentbridge.plan.limit import Owned, user_path


def interrupted(
    planned: Plan, desired: Mapping[EndpointId, DesiredState], fates: Mapping[Loss, Fate], owned: Owned
) -> dict[MemberId, EndpointId]:
    """Returns the members that the plan removes although their agent stays in the queue, each with its key.

    The agent is to be a member again under another name, interface or endpoint. A member is not among them where
    another agent takes over the number or the telephone: the one who was there has left.
    """
    joins = {(s.key, s.action.member.queue) for s in planned.steps if isinstance(s.action, AddMember)}
    moved = {(loss.key, loss.queue) for loss, fate in fates.items() if fate is Fate.MOVED}
    places: dict[MemberId, EndpointId] = {}
    for step in planned.steps:
        if not isinstance(step.action, RemoveMember):
            continue
        member = step.action.member
        same_agent = owned.agent_of(step.key) == desired[step.key].agent
        if (step.key, member.queue) in moved or (same_agent and (step.key, member.queue) in joins):
            places[member.queue, member.interface] = step.key
    return places


def postponed(
    planned: Plan,
    engaged: Mapping[MemberId, str],
    places: Mapping[MemberId, EndpointId],
    desired: Mapping[EndpointId, DesiredState],
    observed: Observed,
) -> Plan:
    """Returns the plan without the steps that would interrupt the engaged members; their keys wait, each with the
    reason.

    engaged: members that ring, are in a call or in wrap-up, each with the words for it. Meanwhile the member that is
    there gets the pause and the penalty that the new one should have. Of a key whose agent works by another one now,
    the endpoint and the policy stay as well until the member has left.
    """
    if not engaged:
        return planned
    waiting: dict[EndpointId, str] = {}
    kept: set[tuple[EndpointId, QueueName]] = set()
    leaving: set[EndpointId] = set()
    steps: list[Step] = []
    for (queue, interface), words in engaged.items():
        key = places[queue, interface]
        waiting[key] = f"waits until the agent is free: {words} in {queue}"
        kept.add((key, queue))
        if wanted := desired[key].members.get(queue):
            found = observed.members_of(key)[queue]
            steps += (Step(key, action, was=shown_member(found)) for action in in_place(wanted, found))
        else:
            leaving.add(key)
    steps += (step for step in planned.steps if not _is_kept(step, kept, leaving))
    return replace(planned, steps=tuple(sorted(steps, key=rank)), waiting={**planned.waiting, **waiting})


def _is_kept(step: Step, kept: set[tuple[EndpointId, QueueName]], leaving: set[EndpointId]) -> bool:
    """Whether the step is one that waits: a membership of `kept`, or a removal of a key that is `leaving`."""
    match step.action:
        case RemoveMember(member) | AddMember(member):
            return (step.key, member.queue) in kept
        case DeleteObject() | DeletePolicy() | DropContact():
            return step.key in leaving
        case PutPolicy(path):
            return step.key in leaving and path == user_path(step.key)
        case _:
            return False
