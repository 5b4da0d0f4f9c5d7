-- What the daemon asks of the directory. Each block is one statement and so one snapshot.

-- name: all_keys
-- One array, which is decoded in a tenth of the time of so many rows.
select array(select internal from agentbridge.agents union all select name from agentbridge.telephones)

-- name: number_range
select internal_from, internal_to from agentbridge.settings

-- name: fingerprint
select agentbridge.fingerprint()

-- name: last_snapshot
-- How far the changes were read by the daemon that was this node's before.
select coalesce((select snapshot from agentbridge.nodes where node = $1), pg_current_snapshot())::text

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
select others, elsewhere, adopts from agentbridge.heartbeat($1, $2, $3::text::pg_snapshot, $4, $5, $6, $7, $8, $9::text[], $10::text[], $11::text[])

-- name: devices_registered
select device, node, since from agentbridge.devices_registered($1, $2::text[], $3::text[], $4::text[], $5::timestamptz[])

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
