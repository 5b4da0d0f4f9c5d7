-- What the daemon asks of the directory. Each block is one statement and so one snapshot.

-- name: subjects
-- The memberships only of agents that are logged in, since nobody else is a member, and of queues that this node serves.
-- $2: the snapshot up to which hints of changes have come; $3: this node.
with hints as materialized (
    select c.keys from agentbridge.changes c
    where c.xid >= pg_snapshot_xmin($2::text::pg_snapshot)
        and not pg_visible_in_snapshot(c.xid, $2::text::pg_snapshot)
),
centre as materialized (
    select exists (select from agentbridge.nodes n where n.node <> $3::text and n.retired_at is null) as among_several
),
people as (
    select w.key, t.id as telephone_id, coalesce(own.id, bound.agent_id) as agent_id
    from unnest($1::text[]) w (key)
    left join agentbridge.telephones t on t.name = w.key
    left join agentbridge.sessions bound on bound.telephone_id = t.id
    left join agentbridge.agents own on own.internal = w.key
)
select
    pg_current_snapshot()::text as snapshot,
    case when row_number() over () = 1 then (   -- once is enough
        select array(select name from agentbridge.queues where channel = 'voice')
    ) end as our_queues,
    case when row_number() over () = 1 then (
        select array(
            select r.name from agentbridge.retired_queues r
            where r.retired_at > now() - interval '7 days' and $3::text <> all (r.handed_over_by)
                and not exists (
                    select from agentbridge.queues q
                    where q.channel = 'voice' and lower(q.name collate "C") = lower(r.name collate "C")))
    ) end as retired_queues,
    -- a change that this statement sees, and that is newer than the last hint
    (select coalesce(bool_or(h.keys && array[p.key, '*']), false) from hints h) as changed,
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
    (select among_several from centre) as among_several,
    case when place.node <> $3::text then place.node end as node,
    case when here.node <> $3::text then extract(epoch from here.since)::float8 end as moved_at
from people p
left join agentbridge.telephones t on t.id = p.telephone_id
left join agentbridge.agents a on a.id = p.agent_id
left join agentbridge.sessions s on s.agent_id = p.agent_id
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
        and (q.serving_node = $3::text or q.serving_node is null and not (select among_several from centre))
        -- nobody rings a device of a node that is gone
        and reached.lost_at is null and reached.retired_at is null
) m on s.agent_id is not null

-- name: all_keys
select internal as key from agentbridge.agents union all select name from agentbridge.telephones

-- name: number_range
select internal_from, internal_to from agentbridge.settings

-- name: last_snapshot
-- How far the changes were read by the daemon that was this node's before.
select coalesce((select snapshot from agentbridge.nodes where node = $1), pg_current_snapshot())::text

-- name: changes_since
-- Commits are not in the order of their xids: asked for is what the last snapshot could not see yet.
select pg_current_snapshot()::text as snapshot,
    extract(epoch from clock_timestamp() - min(c.at))::float8 as oldest_seconds,
    array_agg(distinct k) filter (where k is not null) as keys,
    max(c.seq) as newest, (array_agg((extract(epoch from c.at) * 1000000)::bigint order by c.seq desc))[1] as newest_at
from agentbridge.changes c cross join unnest(c.keys) k
where c.xid >= pg_snapshot_xmin($1::text::pg_snapshot)
    and not pg_visible_in_snapshot(c.xid, $1::text::pg_snapshot)

-- name: news
with news as materialized (
    {changes_since}
)
select s.*, n.*     -- both have the same snapshot
from news n left join (
    {subjects}
) s on true

-- name: lineage
-- the timeline is the first part of a WAL file's name; the control file says it only after a checkpoint
select (select system_identifier from pg_control_system())::text as cluster,
    ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer as timeline,
    coalesce(n.seq, 0) as change, coalesce((extract(epoch from n.at) * 1000000)::bigint, 0) as microseconds
from (values (1)) one left join lateral (select seq, at from agentbridge.changes order by seq desc limit 1) n on true

-- name: has_change
select exists (select from agentbridge.changes where seq = $1 and (extract(epoch from at) * 1000000)::bigint = $2)

-- name: has_other_history
-- Whether its changes up to that number are not those that were read. A backup that was restored counts on from where it
-- was, so that a number comes once more, at a later time; a minute is for transactions side by side, and for clocks.
select exists (
    select from agentbridge.changes
    where seq = $1 and (extract(epoch from at) * 1000000)::bigint <> $2
        or seq < $1 and at > to_timestamp($2 / 1000000.0) + interval '1 minute')

-- name: at_home
select exists (
    select from agentbridge.home where cluster = (select system_identifier::text from pg_control_system()))

-- name: moved_in
select agentbridge.moved_in()

-- name: database_older
select agentbridge.database_older($1, $2)

-- name: record_applied
select agentbridge.record_applied($1, $2::text::pg_snapshot, $3::text[], $4::text[], $5::text[])

-- name: adopt_pause
select agentbridge.adopt_pause($1, $2, $3)

-- name: fates
select number, fate from agentbridge.fates($1::text[], $2::text[], $3::bigint[], $4::text[])

-- name: hand_over
select agentbridge.hand_over($1, $2::text[])

-- name: hold
select agentbridge.hold($1, $2::text[], $3)

-- name: prune_changes
select agentbridge.prune_changes()

-- name: prune_taken_away
select agentbridge.prune_taken_away()

-- name: prune_old
select agentbridge.prune_old()

-- name: heartbeat
select others, elsewhere from agentbridge.heartbeat($1, $2, $3::text::pg_snapshot, $4, $5, $6, $7, $8, $9::text[], $10::text[], $11::text[])

-- name: devices_registered
select device, node, since from agentbridge.devices_registered($1, $2::text[], $3::text[])

-- name: devices_gone
select agentbridge.devices_gone($1, $2::text[])

-- name: devices_of_node
select device, node, since
from agentbridge.devices_of_node($1, $2::text[], $3::text[], $4::text[], $5::timestamptz[])

-- name: telephones_registered
select agentbridge.telephones_registered($1, $2::text[], $3::boolean[])

-- name: telephones_of_node
select agentbridge.telephones_of_node($1, $2::text[])

-- name: telephones_unknown
select agentbridge.telephones_unknown($1)

-- name: settle_lost_telephones
select username, internal, telephone, done
from agentbridge.settle_lost_telephones(make_interval(secs => $1::float8), $2, $3)

-- name: settle_lost_browsers
select username, internal, done from agentbridge.settle_lost_browsers(make_interval(secs => $1::float8), $2, $3)

-- name: takeovers_untold
update agentbridge.takeovers set told_at = clock_timestamp() where told_at is null
returning agent, telephone, taken_by

-- name: agent_of_device
select username, internal, own from agentbridge.agent_of_device($1)

-- name: telephone_named
select name from agentbridge.telephones where name = $1

-- name: pin_of
select username, pin_hash from agentbridge.agents where internal = $1

-- name: login_by_phone
select agentbridge.login($1, $2, 'phone')

-- name: logout_by_phone
select agentbridge.logout($1, 'phone')

-- name: pause_by_phone
select agentbridge.pause($1, $2, null, 'phone')

-- name: unpause_by_phone
select agentbridge.unpause($1, null, 'phone')

-- name: forward_by_phone
select agentbridge.forward($1, $2, 'phone')

-- name: recording_start_by_phone
select agentbridge.recording_start($1, $1, $2)

-- name: recording_pause_by_phone
select agentbridge.recording_pause($1, $1, $2)

-- name: recording_resume_by_phone
select agentbridge.recording_resume($1, $1, $2)

-- name: request_result
select agentbridge.request_result($1)

-- name: in_asterisk
select username, applied_at is not null as applied, error, pending
from agentbridge.agent_status where username = any ($1::text[])

-- name: security_suite
select security_suite from agentbridge.settings

-- name: set_password
update agentbridge.agents set password_hash = $2, failed_logins = 0
where username = $1 returning true

-- name: password_of
select password_hash from agentbridge.agents where username = $1

-- name: may_log_in
select not deactivated and locked_at is null from agentbridge.agents where username = $1

-- name: password_failed
select agentbridge.password_failed($1)

-- name: password_ok
select agentbridge.password_ok($1)

-- name: agents_of_email
select id, username, email from agentbridge.agents
where lower(email collate "C") = lower($1 collate "C") and email <> '' and not deactivated order by id limit 10

-- name: add_reset
insert into agentbridge.password_resets (agent_id, token_hash, expires_at)
values ($1, $2, clock_timestamp() + make_interval(hours => $3))

-- name: use_reset
-- one statement: of two that come with a token at once, the second finds it used. The agent is locked first: the
-- new password makes the agent's other tokens void.
with agent as materialized (
    select a.id from agentbridge.agents a join agentbridge.password_resets r on r.agent_id = a.id
    where r.token_hash = $1 for no key update of a
),
used as (
    update agentbridge.password_resets r set used_at = clock_timestamp() from agent
    where r.agent_id = agent.id and r.token_hash = $1 and r.used_at is null and r.expires_at > clock_timestamp()
    returning r.agent_id
)
update agentbridge.agents a set password_hash = $2
from used where a.id = used.agent_id returning a.username
