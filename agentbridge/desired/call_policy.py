"""What a call will ask of the AstDB for an endpoint id; dialplan/agentbridge.conf reads it. Pure."""

from __future__ import annotations

from agentbridge.desired.caller_id import caller_id, merged
from agentbridge.model import Agent, Fields, Recording, Subject

PAUSE_SOURCES = 3


def policy_of(subject: Subject) -> Fields:
    """Returns the AstDB entries by which the dialplan handles calls of this endpoint id, from path to value.

    Their existence also marks the endpoint id as managed by agentbridge.
    """
    paths: dict[str, str] = {}
    if subject.agent is not None:
        paths |= _agent_policy(subject.agent)
    if subject.telephone is not None:
        # the empty value keeps the telephone ours while nobody is bound to it
        paths[f"telephone/{subject.key}/agent"] = subject.carried.internal if subject.carried else ""
    return paths


def _agent_policy(agent: Agent) -> Fields:
    """Returns an agent's AstDB entries, each path beginning with `agent/<number>`; empty values are left out."""
    values = {
        "id": str(agent.id),
        "node": agent.node,
        "device": agent.device or "",
        "callerid": _desk_caller_id(agent),
        **_pause_sources(agent),
        **_options(agent),
    }
    return {f"agent/{agent.internal}/{name}": value for name, value in values.items() if value}


def _desk_caller_id(agent: Agent) -> str:
    """Returns the caller id (V6) that the dialplan sets for a hot-desk agent; '' for others, whose endpoint states
    it."""
    if not agent.hot_desk:
        return ""
    if agent.line.caller_id:
        return caller_id(agent.line.caller_id)
    return merged(agent.display_name, agent.internal)


def _pause_sources(agent: Agent) -> Fields:
    """Returns the AstDB entry by which the dialplan finds out whether the agent is on pause.

    It names up to three of the agent's queues, in which app_queue knows the pause: so a pause needs no write here.
    Three, in case Asterisk does not know one of them; queues with a pause of their own are no evidence. The entry says
    the pause itself for an agent in no queue, and where there are several nodes: the node that has the phone need not
    have the queue.
    """
    if agent.among_several or not agent.memberships:
        return {"paused": _flag(agent.session is not None and agent.session.paused)}
    telling = [m.queue for m in agent.memberships if not m.paused] or [m.queue for m in agent.memberships]
    return {"queues": "&".join(sorted(telling)[:PAUSE_SOURCES])}


def _options(agent: Agent) -> Fields:
    """Returns the AstDB entries for the agent's call options.

    Only what differs from the safe default has a value; an entry that is absent denies or does nothing.
    """
    options = agent.options
    return {
        "record": "" if options.record is Recording.INACTIVE else options.record.value,
        "recordmade": _format(options.record) if options.record_made else "",
        "chanspy": _flag(options.chanspy),
        # who is deactivated in the midst of listening is thrown out
        "spy": _flag(options.may_spy and agent.active),
        "mask": "" if options.mask is None else str(options.mask),
        "nodnd": _flag(not options.dnd_in_pause),
        "ringinuse": _flag(options.ring_in_use),
        "autoanswer": "" if options.auto_answer is None else str(options.auto_answer),
        "manual": _flag(options.manual_recording),
        "forward": options.forward_to,
        "voicemail": _flag(options.voicemail),
        # a dash where there is none to choose: no outside call, rather than one without
        "prefix": "" if options.prefixes is None else "&".join(options.prefixes) or "-",
        "nocalls": _flag(not options.may_call),
    }


def _format(chosen: Recording) -> str:
    """Returns the format in which calls are recorded where something says that they are."""
    return (Recording.WAV if chosen is Recording.INACTIVE else chosen).value


def _flag(value: bool) -> str:
    return "1" if value else ""
