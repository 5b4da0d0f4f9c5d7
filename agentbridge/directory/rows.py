"""The directory's rows as what the loop speaks of. A row that makes no sense is one key's problem alone."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Protocol

from agentbridge.model import (
    SIP_PORT,
    Agent,
    AgentId,
    CallOptions,
    EndpointId,
    Line,
    Membership,
    Reading,
    Recording,
    Session,
    SipType,
    Subject,
    Telephone,
    Typology,
    queue_name,
)


class Row(Protocol):
    """A database record that gives its values by column name."""

    def __getitem__(self, column: str, /) -> Any: ...


def reading(rows: Sequence[Row]) -> Reading:
    """Builds a Reading from the rows of the query `subjects`, at least one."""
    return Reading(
        snapshot=rows[0]["snapshot"],
        subjects={EndpointId(row["key"]): subject(row) for row in rows},
        queues=frozenset(queue_name(name) for name in [*rows[0]["our_queues"], *rows[0]["retired_queues"]]),
        retired=frozenset(queue_name(name) for name in rows[0]["retired_queues"]),
        changed=frozenset(EndpointId(row["key"]) for row in rows if row["changed"]),
    )


def subject(row: Row) -> Subject:
    """Builds a Subject from a row of the query `subjects`; a row that can't be understood becomes its `problem`."""
    key = EndpointId(row["key"])
    try:
        return _subject(key, row)
    except (ValueError, TypeError, KeyError) as error:
        return Subject(key=key, problem=f"the directory's row makes no sense: {error}")


def _subject(key: EndpointId, row: Row) -> Subject:
    """Builds a Subject from a row: its agent, its telephone, and the agent who is logged in there. Raises what a bad
    row causes."""
    agent = _agent(row) if row["id"] is not None else None
    telephone = _telephone(row) if row["telephone"] is not None else None
    return Subject(
        key=key,
        agent=agent if agent is not None and agent.internal == key else None,
        telephone=telephone,
        carried=agent if agent is not None and agent.device == key else None,
        moved_at=row["moved_at"],
    )


def _agent(row: Row) -> Agent:
    """Returns the agent of a row."""
    return Agent(
        id=AgentId(row["id"]),
        username=row["username"],
        internal=EndpointId(row["internal"]),
        # a name may hold what app_queue's persistent form can't: that is for the side that writes it
        display_name=row["alias"] or row["full_name"] or row["username"],
        typology=Typology(row["typology"]),
        line=_line(row, "", sip_port=row["sip_port"]),
        hot_desk=row["hot_desk"],
        active=not (row["deactivated"] or row["locked"]),
        session=_session(row) if row["logged_in"] else None,
        memberships=_memberships(row["queues"] or (), row["penalties"] or (), row["reasons"] or ()),
        node=row["node"] or "",
        among_several=row["among_several"],
        options=_options(row),
    )


def _options(row: Row) -> CallOptions:
    """Returns the call options in a row, without those that the directory does not allow the agent."""
    return CallOptions(
        record=Recording(row["record_calls"]),
        record_made=row["record_made_calls"],
        chanspy=row["chanspy"],
        may_spy=row["may_spy"],
        mask=row["mask_characters"] if row["mask_sensitive"] else None,
        dnd_in_pause=row["dnd_in_pause"],
        ring_in_use=row["ring_in_use"],
        auto_answer=row["auto_answer_delay"] if row["auto_answer"] else None,
        manual_recording=row["manual_recording"],
        forward_to=row["forward_to"] if row["forward_allowed"] else "",
        voicemail=row["voicemail"],
        voicemail_pin=row["voicemail_pin"] or "",
        prefixes=tuple(row["prefixes"]) if row["prefix_required"] else None,
        may_call=row["may_call"],
    )


def _session(row: Row) -> Session:
    """Returns the login session in a row whose agent is logged in."""
    telephone = row["session_telephone"]
    return Session(
        paused=row["paused"],
        reason=row["pause_reason"],
        telephone=None if telephone is None else EndpointId(telephone),
    )


def _memberships(
    queues: Sequence[str], penalties: Sequence[int], reasons: Sequence[str | None]
) -> tuple[Membership, ...]:
    """Returns the queue memberships in a row, in the order of their queues."""
    return tuple(
        Membership(queue=queue_name(queue), penalty=penalty, paused=reason is not None, reason=reason or "")
        for queue, penalty, reason in sorted(zip(queues, penalties, reasons, strict=True), key=itemgetter(0))
    )


def _telephone(row: Row) -> Telephone:
    return Telephone(name=EndpointId(row["telephone"]), line=_line(row, "t_"))


def _line(row: Row, prefix: str, *, sip_port: int = SIP_PORT) -> Line:
    """Returns the SIP line of a row. prefix: of the columns' names; the agent's own have none."""
    return Line(
        secret=row[prefix + "sip_secret"],
        transports=tuple(row[prefix + "transport"]),
        host=row[prefix + "host"],
        nat=tuple(row[prefix + "nat"]),
        sip_type=SipType(row[prefix + "sip_type"]),
        codecs=tuple(row[prefix + "codecs"]),
        caller_id=row[prefix + "caller_id"],
        context=row[prefix + "context"],
        call_group=row[prefix + "call_group"],
        pickup_group=row[prefix + "pickup_group"],
        sip_port=sip_port,
        sip_expires=row[prefix + "sip_expires"],
    )
