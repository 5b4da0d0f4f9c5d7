"""What should be in Asterisk for one endpoint id, from what the directory says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from agentbridge.desired.call_policy import policy_of
from agentbridge.desired.caller_id import member_text
from agentbridge.desired.pjsip import SipDefaults, objects, reserve_aor, transports
from agentbridge.desired.voicemail import mailbox
from agentbridge.model import (
    REMOTE_CONTEXT,
    Agent,
    DesiredState,
    EndpointId,
    Interface,
    Member,
    Membership,
    ObjectKind,
    QueueName,
    Session,
    SessionPause,
    SipType,
    Subject,
)


def interface_of(endpoint: EndpointId) -> Interface:
    return Interface(f"PJSIP/{endpoint}")


def remote_interface_of(agent: Agent) -> Interface:
    """Returns how a queue calls an agent whose device is registered with another node."""
    return Interface(f"Local/{agent.internal}@{REMOTE_CONTEXT}")


def desired(subject: Subject, sip: SipDefaults) -> DesiredState:
    """Returns what should be in Asterisk for `subject.key`; an empty state means that nothing of it should be.

    A row that can't be expressed becomes the `problem` of its key alone; nothing is raised.
    """
    try:
        return DesiredState(
            objects=objects(subject, sip),
            members=_members(subject.key, subject.carried),
            policy=policy_of(subject),
            mailbox=mailbox(subject.agent),
            transports=transports(subject),
            agent=subject.carried.id if subject.carried else None,
            moved_at=subject.moved_at,
            problem=subject.problem,
        )
    except ValueError as error:
        return DesiredState(problem=f"the directory's row makes no sense: {error}")


def desired_in_range(subject: Subject, sip: SipDefaults) -> DesiredState:
    """Returns the desired state of a number of the configured range: as `desired`, but its AOR stays without an agent
    too."""
    state = desired(subject, sip)
    return state if state or state.problem else reserve(sip)


@lru_cache(maxsize=4)
def reserve(sip: SipDefaults) -> DesiredState:
    """Returns the desired state of a number of the configured range that no agent has: its AOR alone, one state for all
    such numbers.

    A new AOR makes Asterisk walk all endpoints; one that is there before its endpoint costs nothing later.
    """
    return DesiredState(objects={ObjectKind.AOR: reserve_aor(sip)})


def _members(key: EndpointId, carried: Agent | None) -> Mapping[QueueName, Member]:
    """Returns the queue members of a device, by queue: the memberships of the agent who is logged in there."""
    if carried is None or carried.session is None or not carried.active or carried.line.sip_type is SipType.USER:
        return {}
    session = carried.session
    return {m.queue: _member(key, carried, session, m) for m in carried.memberships}


def session_pause(paused: bool, reason: str) -> SessionPause:
    """Returns a session's pause as app_queue can have it."""
    return SessionPause(paused=paused, reason=member_text(reason) if paused else "")


def _member(key: EndpointId, agent: Agent, session: Session, membership: Membership) -> Member:
    """Returns the member that stands for the agent in one queue, paused where the session or the membership is."""
    paused = session.paused or membership.paused
    reason = session.reason if session.paused else membership.reason
    return Member(
        queue=membership.queue,
        interface=remote_interface_of(agent) if agent.node else interface_of(key),
        # without a name app_queue takes the interface
        name=member_text(agent.display_name) or interface_of(key),
        penalty=membership.penalty,
        paused=paused,
        reason=member_text(reason) if paused else "",
        state_interface=interface_of(key),
        ring_in_use=agent.options.ring_in_use,
    )
