-- What is looked at over HTTP: nodes, plan, audit, recordings.

-- What a node holds back until it is confirmed, null for nothing; `code` names exactly this.
create or replace function agentbridge.api_held(node text) returns jsonb language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select jsonb_build_object('removals', count(*), 'total', max(h.owned), 'since', min(h.since),
        'code', held_code(api_held.node), 'keys', (array_agg(h.key order by h.key))[1:100])
    from held h where h.node = api_held.node and h.confirmed_at is null having count(*) > 0
$$;

create or replace function agentbridge.api_nodes(proof bytea) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'nodes.list');
begin
    return jsonb_build_object('items', coalesce((select jsonb_agg(jsonb_build_object('node', n.node,
            'version', n.version, 'started_at', n.started_at, 'seen_at', n.seen_at,
            'alive', n.seen_at > clock_timestamp() - interval '15 seconds', 'asterisk_up', n.asterisk_up,
            'lag_seconds', n.lag_seconds, 'pending', n.pending, 'failed', n.failed,
            'refused', api_held(n.node),
            'older', (select o.reason from older_databases o where o.node = n.node and o.confirmed_at is null))
            order by n.node) from nodes n), '[]'));
end $$;

-- What is not yet in Asterisk, and why; and what was refused until it is confirmed.
create or replace function agentbridge.api_plan(proof bytea) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'plan.read');
begin
    return jsonb_build_object(
        'pending', coalesce((select jsonb_agg(s.username order by s.username) from agent_status s
            where s.pending and s.error is null), '[]'),
        'failed', coalesce((select jsonb_agg(jsonb_build_object('node', a.node, 'key', a.key, 'error', a.error)
            order by a.node, a.key) from applied a where a.error is not null), '[]'),
        'refused', coalesce((select jsonb_agg(jsonb_build_object('node', n.node) || api_held(n.node) order by n.node)
            from nodes n where api_held(n.node) is not null), '[]'));
end $$;

create or replace function agentbridge.api_confirm(proof bytea, node text, code text default null)
returns integer language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'plan.confirm');
begin
    perform api_note(who, 'plan.confirm', coalesce(node, '*'));
    return confirm_removals(node, code);
end $$;

-- A page of the audit, the newest first; `before` is the id where the last page ended.
create or replace function agentbridge.api_audit(proof bytea, q text, lim integer, before bigint) returns jsonb
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'audit.list');
begin
    return (
        with page as (
            select * from audit a where (before is null or a.id < before)
                and (coalesce(q, '') = '' or a.object = q or a.actor = q or a.action = q or a.actor like '%:' || q)
            order by a.id desc limit lim + 1
        ), numbered as (select p.*, row_number() over (order by p.id desc) as n from page p)
        select jsonb_build_object('items', coalesce(jsonb_agg(to_jsonb(x) - 'n' order by x.n) filter (where x.n <= lim), '[]'),
            'next', (select api_cursor(to_jsonb(y.id)) from numbered y where y.n = lim and exists (select from numbered z where z.n > lim)))
        from numbered x);
end $$;

-- Whose recordings somebody may hear: an administrator all; a user and a supervising agent with the download permission
-- those of agents in its queues; an agent with it its own.
create or replace function agentbridge.api_may_hear(who agentbridge.api_identity, recording agentbridge.recordings)
returns boolean language sql stable security definer set search_path = agentbridge, pg_temp
as $$
    select who.roles && '{admin,machine}'
        or (who.kind = 'agent' and exists (select from agents a where a.username = who.name and a.download_recordings
            and (a.id = recording.agent_id or recording.agent_id in (select api_agents_of(who, false)))))
        or (who.kind = 'user' and exists (select from users u where u.username = who.name and u.download_recordings)
            and recording.agent_id in (select api_agents_of(who, false)))
$$;

create or replace function agentbridge.api_recordings(proof bytea, q text, agent text, linkedid text, since timestamptz,
    until timestamptz, lim integer, before bigint) returns jsonb
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'recordings.list');
begin
    return (
        with page as (
            select r.* from recordings r
            where (before is null or r.id < before)
                and (coalesce(q, '') = '' or r.username ilike q || '%' or r.internal = q or r.linkedid = q)
                and (agent is null or r.username = agent or r.internal = agent)
                and (api_recordings.linkedid is null or r.linkedid = api_recordings.linkedid)
                and (since is null or r.started_at >= since) and (until is null or r.started_at < until)
                and api_may_hear(who, r)
            order by r.id desc limit lim + 1
        ), numbered as (select p.*, row_number() over (order by p.id desc) as n from page p)
        select jsonb_build_object('items', coalesce(jsonb_agg(jsonb_build_object('id', x.id, 'node', x.node,
                'username', x.username, 'internal', x.internal, 'linkedid', x.linkedid, 'part', x.part,
                'format', x.format, 'started_at', x.started_at, 'ended_at', x.ended_at, 'bytes', x.bytes)
                order by x.n) filter (where x.n <= lim), '[]'),
            'next', (select api_cursor(to_jsonb(y.id)) from numbered y where y.n = lim and exists (select from numbered z where z.n > lim)))
        from numbered x);
end $$;

-- Where a recording is, for whoever may hear it. Fetching one is in the audit.
create or replace function agentbridge.api_recording_file(proof bytea, recording bigint, noted boolean)
returns table (node text, file text, format text, ended_at timestamptz) language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'recordings.audio');
begin
    return query select r.node, r.file, r.format, r.ended_at from recordings r
        where r.id = recording and api_may_hear(who, r);
    if not found then
        perform refuse('AB003', format('id: there is no recording %s', recording));
    end if;
    if noted then
        perform api_note(who, 'recordings.audio', recording::text);
    end if;
end $$;

create or replace function agentbridge.api_delete_recording(proof bytea, recording bigint)
returns text language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'recordings.delete');
    gone text;
begin
    delete from recordings r where r.id = recording and r.ended_at is not null returning r.file into gone;
    if gone is null then
        perform refuse('AB003', format('id: there is no recording %s that has ended', recording));
    end if;
    perform api_note(who, 'recordings.delete', recording::text, jsonb_build_object('file', gone));
    return gone;
end $$;
