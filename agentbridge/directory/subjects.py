"""What the directory says of some keys: the statement that reads it, and what its columns mean."""

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
    SessionPause,
    SipType,
    Subject,
    Telephone,
    Typology,
    queue_name,
)

# keys: an array of keys. node: this daemon's. changed: whether there is a change of p.key of which no hint has come.
_SUBJECTS = """
-- The memberships only of agents that are logged in, since nobody else is a member, and of queues that the node serves.
select
    pg_current_snapshot()::text as snapshot,
    -- in one of the rows is enough
    case when p.nr = 1 then array(select name from agentbridge.queues where channel = 'voice') end as our_queues,
    case when p.nr = 1 then array(
        select r.name from agentbridge.retired_queues r
        where r.retired_at > now() - interval '7 days' and {node} <> all (r.handed_over_by)
            and not exists (
                select from agentbridge.queues q
                where q.channel = 'voice' and lower(q.name collate "C") = lower(r.name collate "C"))
    ) end as retired_queues,
    {changed} as changed,
    p.key, t.name as telephone, t.transport as t_transport, t.host as t_host, t.nat as t_nat,
    t.sip_type as t_sip_type, t.codecs as t_codecs, t.caller_id as t_caller_id, t.context as t_context,
    t.call_group as t_call_group, t.pickup_group as t_pickup_group, t.sip_secret as t_sip_secret,
    t.sip_expires as t_sip_expires,
    a.id, a.username, a.full_name, a.alias, a.internal, a.typology, a.hot_desk,
    a.deactivated, a.locked_at is not null as locked,
    a.transport, a.host, a.nat, a.sip_type, a.codecs, a.caller_id, a.context, a.call_group, a.pickup_group,
    a.sip_secret, a.sip_port, a.sip_expires,
    a.voicemail, a.voicemail_pin, a.mask_sensitive, a.chanspy, a.record_calls, a.record_made_calls, a.auto_answer,
    a.auto_answer_delay, a.ring_in_use, a.manual_recording, a.dnd_in_pause, a.forward_allowed, a.forward_to,
    a.prefix_required, a.may_call, a.may_spy,
    (select mask_characters from agentbridge.settings) as mask_characters,
    case when a.prefix_required then array(select prefix from agentbridge.prefixes order by 1) end as prefixes,
    s.agent_id is not null as logged_in, s.paused, s.pause_reason, st.name as session_telephone,
    m.queues, m.penalties, m.reasons,
    centre.among_several,
    case when place.node <> {node} then place.node end as node,
    case when here.node <> {node} then extract(epoch from here.since)::float8 end as moved_at
from unnest({keys}) with ordinality p (key, nr)
cross join (
    select exists (select from agentbridge.nodes n where n.node <> {node} and n.retired_at is null) as among_several
) centre
left join agentbridge.telephones t on t.name = p.key
left join agentbridge.sessions bound on bound.telephone_id = t.id
left join agentbridge.agents a
    on a.id = coalesce((select own.id from agentbridge.agents own where own.internal = p.key), bound.agent_id)
left join agentbridge.sessions s on s.agent_id = a.id
left join agentbridge.telephones st on st.id = s.telephone_id
-- where the key is registered, and where the device is that takes the agent's calls
left join agentbridge.device_locations here on here.device = p.key
left join agentbridge.device_locations place on place.device = case when a.hot_desk then st.name else a.internal end
left join agentbridge.nodes reached on reached.node = place.node
left join lateral (
    select array_agg(q.name) as queues, array_agg(e.penalty) as penalties,
        array_agg(r.reason) as reasons      -- null: not on pause in this queue
    from agentbridge.effective_members e
    join agentbridge.queues q on q.id = e.queue_id and q.channel = 'voice'
    left join agentbridge.queue_pauses r on r.agent_id = e.agent_id and r.queue_id = e.queue_id
    where e.agent_id = s.agent_id
        and (q.serving_node = {node} or q.serving_node is null and not centre.among_several)
        -- nobody rings a device of a node that is gone
        and reached.lost_at is null and reached.retired_at is null
) m on s.agent_id is not null"""

_UNHINTED = """array[p.key, '*'] && array(
        select unnest(c.keys) from agentbridge.changes c
        where c.xid >= (select pg_snapshot_xmin($2::text::pg_snapshot))
            and not pg_visible_in_snapshot(c.xid, (select $2::text::pg_snapshot))
    )"""

SUBJECTS = _SUBJECTS.format(keys="$1::text[]", changed=_UNHINTED, node="$3::text")
"""What the directory says of the keys $1, hints of which have come up to the snapshot $2: one statement, and so one
moment."""

_CHANGED = """
with news as materialized (
    -- Commits are not in the order of their xids: asked for is what the last snapshot could not see yet. In a subquery
    -- it is parsed once, and else for each row.
    select pg_current_snapshot()::text as snapshot,
        extract(epoch from clock_timestamp() - min(c.at))::float8 as oldest_seconds,
        array_agg(distinct k) filter (where k is not null) as keys,
        bool_and(c.only_pause) as only_pause,
        max(c.seq) as newest,
        (array_agg((extract(epoch from c.at) * 1000000)::bigint order by c.seq desc))[1] as newest_at
    from agentbridge.changes c cross join unnest(c.keys) k
    where c.xid >= (select pg_snapshot_xmin($1::text::pg_snapshot))
        and not pg_visible_in_snapshot(c.xid, (select $1::text::pg_snapshot))
)"""

_NEWS = """
{changed}
select s.*, n.*     -- both have the same snapshot
from news n left join (
    {subjects}
) s on true"""

NEWS = _NEWS.format(
    changed=_CHANGED,
    subjects=_SUBJECTS.format(
        keys="(select keys from news where cardinality(keys) <= 50)",
        changed="false",  # these changes are the hints themselves
        node="$2::text",
    ),
)
"""The changes since the snapshot $1 and, of a few keys, their SUBJECTS: one round trip from the hint to the plan."""

_PAUSES = """
{changed}
select n.*, k.key, s.paused, s.pause_reason
from news n
left join unnest(n.keys) k (key) on n.only_pause and cardinality(n.keys) <= 1000
left join agentbridge.agents a on a.internal = k.key
left join agentbridge.telephones t on t.name = k.key
left join agentbridge.sessions s on
    s.agent_id = coalesce(a.id, (select h.agent_id from agentbridge.sessions h where h.telephone_id = t.id))
    -- an agent with pauses of single queues is read whole
    and not exists (select from agentbridge.queue_pauses p where p.agent_id = s.agent_id)"""

PAUSES = _PAUSES.format(changed=_CHANGED)
"""The changes since the snapshot $1 and, where they are all pauses of sessions, these: much less than NEWS."""


class Row(Protocol):
    """A database record that gives its values by column name."""

    def __getitem__(self, column: str, /) -> Any: ...


def reading(rows: Sequence[Row]) -> Reading:
    """Builds a Reading from the rows of SUBJECTS, at least one."""
    whole = next(row for row in rows if row["our_queues"] is not None)
    retired = frozenset(queue_name(name) for name in whole["retired_queues"])
    return Reading(
        snapshot=whole["snapshot"],
        subjects={EndpointId(row["key"]): subject(row) for row in rows},
        queues=retired.union(queue_name(name) for name in whole["our_queues"]),
        retired=retired,
        changed=frozenset(EndpointId(row["key"]) for row in rows if row["changed"]),
    )


def pauses(rows: Sequence[Row]) -> dict[EndpointId, SessionPause]:
    """Returns the pauses in the rows of PAUSES; a key without one is to be read whole."""
    return {
        EndpointId(row["key"]): SessionPause(paused=row["paused"], reason=row["pause_reason"])
        for row in rows
        if row["paused"] is not None
    }


def subject(row: Row) -> Subject:
    """Builds a Subject from a row of SUBJECTS; a row that can't be understood becomes its `problem`."""
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
