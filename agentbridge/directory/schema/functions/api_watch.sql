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
            'alive', coalesce(n.seen_at > clock_timestamp() - silent_after(), false),
            'asterisk_up', n.asterisk_up, 'state', s.state, 'trouble', s.trouble, 'queues', s.queues,
            'members', s.members, 'devices', s.devices,
            'lag_seconds', n.lag_seconds, 'pending', n.pending, 'failed', n.failed,
            'refused', api_held(n.node),
            'older', (select o.reason from older_databases o where o.node = n.node and o.confirmed_at is null))
            order by n.node) from nodes n join node_status s using (node) where n.retired_at is null), '[]'));
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
            order by a.node, a.key) from applied a where a.error is not null
                and a.node in (select k.node from known_nodes() k)), '[]'),
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

-- A page as {items, next}, from the rows {value, id, shown} in their order, one more than the page has.
create or replace function agentbridge.api_page(rows_of_page jsonb, lim integer) returns jsonb language sql immutable
set search_path = agentbridge, pg_temp
as $$
    select jsonb_build_object('items', coalesce(jsonb_agg(r->'shown' order by n) filter (where n <= lim), '[]'),
        'next', case when count(*) > lim then api_cursor((jsonb_agg(r - 'shown') filter (where n = lim))->0) end)
    from jsonb_array_elements(coalesce(rows_of_page, '[]')) with ordinality e (r, n)
$$;

-- What a list of numbered rows is sorted by; sortable: field → type. AB001 where it is none of them.
create or replace function agentbridge.api_sorted_by(sort text, sortable jsonb, out field text, out type text, out way text,
    out beyond text) language plpgsql immutable set search_path = agentbridge, pg_temp
as $$
begin
    field := ltrim(sort, '-');
    way := case when sort like '-%' then 'desc' else 'asc' end;
    beyond := case when sort like '-%' then '<' else '>' end;
    type := sortable->>field;
    if type is null then
        perform refuse('AB001', format('sort: must be one of %s, with - before it for downwards (got %s)',
            (select string_agg(k, ', ' order by k) from jsonb_object_keys(sortable) k), shown(sort)));
    end if;
end $$;

-- A page of the audit; sort: '' for the newest first; after: {value, id} of the row where the last page ended.
create or replace function agentbridge.api_audit(proof bytea, q text, lim integer, after jsonb, sort text default '')
returns jsonb language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'audit.list');
    order_of record;
    found_rows jsonb;
begin
    select * into order_of from api_sorted_by(coalesce(nullif(sort, ''), '-id'),
        '{"id": "bigint", "at": "timestamptz", "actor": "text", "action": "text", "object": "text"}');
    execute format($query$
        select jsonb_agg(p order by p.value %2$s, p.id %2$s) from (
            select a.%1$I as value, a.id, to_jsonb(a) as shown from audit a
            where (coalesce($1, '') = '' or a.object = $1 or a.actor = $1 or a.action = $1 or a.actor like '%%:' || $1)
                and ($2 is null or (a.%1$I, a.id) %3$s (($2->>'value')::%4$s, ($2->>'id')::bigint))
            order by a.%1$I %2$s, a.id %2$s limit $3 + 1) p$query$, order_of.field, order_of.way, order_of.beyond, order_of.type)
    into found_rows using q, after, lim;
    return api_page(found_rows, lim);
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

-- sort: '' for the newest first; after: {value, id} of the row where the last page ended.
create or replace function agentbridge.api_recordings(proof bytea, q text, agent text, linkedid text, since timestamptz,
    until timestamptz, lim integer, after jsonb, sort text default '') returns jsonb
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'recordings.list');
    order_of record;
    found_rows jsonb;
begin
    select * into order_of from api_sorted_by(coalesce(nullif(sort, ''), '-id'), '{"id": "bigint", "started_at": "timestamptz",
        "username": "text", "internal": "text", "linkedid": "text", "bytes": "bigint"}');
    execute format($query$
        select jsonb_agg(p order by p.value %2$s, p.id %2$s) from (
            select %5$s as value, r.id, jsonb_build_object('id', r.id, 'node', r.node, 'username', r.username,
                'internal', r.internal, 'linkedid', r.linkedid, 'part', r.part, 'format', r.format,
                'started_at', r.started_at, 'ended_at', r.ended_at, 'bytes', r.bytes) as shown
            from recordings r
            where ($8 is null or (%5$s, r.id) %3$s (($8->>'value')::%4$s, ($8->>'id')::bigint))
                and (coalesce($2, '') = '' or r.username ilike $2 || '%%' or r.internal = $2 or r.linkedid = $2)
                and ($3 is null or r.username = $3 or r.internal = $3) and ($4 is null or r.linkedid = $4)
                and ($5 is null or r.started_at >= $5) and ($6 is null or r.started_at < $6)
                and api_may_hear($1, r)
            order by 1 %2$s, r.id %2$s limit $7 + 1) p$query$, order_of.field, order_of.way, order_of.beyond, order_of.type,
        -- these may be null, and still have their place
        case order_of.field when 'username' then 'coalesce(r.username, '''')' when 'bytes' then 'coalesce(r.bytes, -1)'
            else format('r.%I', order_of.field) end)
    into found_rows using who, q, agent, linkedid, since, until, lim, after;
    return api_page(found_rows, lim);
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
