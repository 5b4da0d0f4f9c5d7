"""The steps for sessions of which nothing has changed but whether they are on pause. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from agentbridge.model import (
    ABSENT,
    DeletePolicy,
    EndpointId,
    PutPolicy,
    QueueName,
    SessionPause,
    Step,
)
from agentbridge.plan.difference import Observed, Plan, in_place, rank, shown_member


def plan_pauses(pauses: Mapping[EndpointId, SessionPause], observed: Observed, queues: Collection[QueueName]) -> Plan:
    """Returns the steps that bring these pauses to keys which were as the directory says before them.

    pauses: each as app_queue can have it. queues: those of the directory. Members of other queues are the
    administrator's and stay as they are.
    """
    steps = (step for key, pause in pauses.items() for step in _steps(key, pause, observed, queues))
    return Plan(steps=tuple(sorted(steps, key=rank)))


def _steps(key: EndpointId, pause: SessionPause, observed: Observed, queues: Collection[QueueName]) -> Iterator[Step]:
    for queue, member in observed.members_of(key).items():
        if queue in queues:
            wanted = replace(member, paused=pause.paused, reason=pause.reason)
            yield from (Step(key, action, was=shown_member(member)) for action in in_place(wanted, member))
    if (entry := _pause_entry(key, observed)) and bool(was := observed.policy(entry)) != pause.paused:
        yield Step(key, PutPolicy(entry, "1") if pause.paused else DeletePolicy(entry), was=was or ABSENT)


def _pause_entry(internal: EndpointId, observed: Observed) -> str:
    """Returns the path of the AstDB entry that says whether the agent is on pause; '' where there is none, as for a
    telephone or for an agent in queues, of whom the dialplan asks app_queue."""
    in_queues = observed.policy(f"agent/{internal}/queues")
    return f"agent/{internal}/paused" if observed.policy(f"agent/{internal}/id") and not in_queues else ""
