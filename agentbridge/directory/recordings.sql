-- What the daemon writes of calls. Each block is one statement.

-- name: start_recordings
-- A file that is recorded into again goes on; who comes first has its start. What is returned got no row: the call has
-- that part of this agent's already, in another file.
with wanted as materialized (
    select distinct on (n.internal, n.linkedid, n.part) n.*
    from unnest($2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
        as n (internal, linkedid, part, file, format, channel, started_at)
    order by n.internal, n.linkedid, n.part, n.started_at
),
kept as (
    insert into agentbridge.recordings as r (node, agent_id, username, internal, linkedid, part, file, format, channel,
        started_at)
    select $1, a.id, a.username, n.internal, n.linkedid, n.part, n.file, n.format, n.channel, n.started_at
    from wanted n left join agentbridge.agents a on a.internal = n.internal
    on conflict (node, linkedid, internal, part) do update
        set channel = excluded.channel, ended_at = null, bytes = null
        where r.file = excluded.file and (r.ended_at is not null or r.channel = '')
)
select n.file from unnest($2::text[], $3::text[], $4::smallint[], $5::text[]) as n (internal, linkedid, part, file)
where exists (select from agentbridge.recordings r where r.node = $1 and r.linkedid = n.linkedid
        and r.internal = n.internal and r.part = n.part and r.file <> n.file)
    or not exists (select from wanted w where w.file = n.file)

-- name: finish_recordings
update agentbridge.recordings r set ended_at = greatest(f.ended_at, r.started_at), bytes = f.bytes,
    joined_linkedid = case when f.joined = '' then r.joined_linkedid else f.joined end
from unnest($2::text[], $3::timestamptz[], $4::bigint[], $5::text[]) as f (file, ended_at, bytes, joined)
where r.node = $1 and r.file = f.file and r.ended_at is null

-- name: unknown_recordings
select n.file from unnest($2::text[]) as n (file)
where not exists (select from agentbridge.recordings r where r.node = $1 and r.file = n.file)
    and not agentbridge.recording_expired(n.file)

-- name: unfinished_recordings
select file, channel from agentbridge.recordings where node = $1 and ended_at is null and file > $2
order by file limit $3

-- name: recordings_listed_at
select recordings_listed_at from agentbridge.nodes where node = $1

-- name: note_recordings_listed
update agentbridge.nodes set recordings_listed_at = $2 where node = $1

-- name: note_recording_trouble
update agentbridge.nodes set recordings_unmeasured = $2, recordings_silent = $3, recordings_closed = $4::jsonb
where node = $1

-- name: note_spying
insert into agentbridge.spy_audit as s (node, channel, at, spyer, target, agent_id, username, mode, allowed, reason,
    started_at, ended_at, ending)
select $1, n.channel, n.at, n.spyer, n.target, a.id, a.username, n.mode, n.allowed, n.reason, n.started_at,
    n.ended_at, n.ending
from unnest($2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::text[],
        $9::timestamptz[], $10::timestamptz[], $11::text[])
    as n (channel, at, spyer, target, mode, allowed, reason, started_at, ended_at, ending)
left join agentbridge.agents a on a.internal = n.target
on conflict (node, channel, at) do update set started_at = excluded.started_at, ended_at = excluded.ended_at,
    ending = excluded.ending, allowed = excluded.allowed, reason = excluded.reason

-- name: unended_spying
select channel, at, spyer, target, mode, allowed, reason, started_at, ended_at, ending
from agentbridge.spy_audit where node = $1 and started_at is not null and ended_at is null

-- name: list_recordings
select r.username, r.internal, r.linkedid, r.joined_linkedid, r.part, r.format, r.started_at, r.ended_at, r.bytes, r.file,
    r.node
from agentbridge.recordings r left join agentbridge.agents a on a.id = r.agent_id
where ($1 = '' or a.username = $1 or r.internal = $1 or (r.agent_id is null and r.username = $1))
    and ($4::text is null or agentbridge.may_manage($4, coalesce(a.username, r.username))
        or (agentbridge.may_listen($4, coalesce(a.username, r.username))
            and exists (select from agentbridge.users u where u.username = $4 and u.download_recordings)))
order by r.started_at desc, r.id desc limit $2 offset $3

-- name: agent_of
select username, internal from agentbridge.agents where username = $1 or internal = $1
order by (username = $1) desc limit 1
