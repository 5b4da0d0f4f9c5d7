-- What goes on right now, as the API reads it for all its viewers together; what each of them sees is decided by its queues
-- before anything is sent.

-- Who looks: its queues, whether it sees all, and how many characters of a caller it does not see (null: sees all).
create or replace function agentbridge.api_viewer(proof bytea) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'events');
    its_id bigint;
    its_mask integer;
begin
    if who.kind = 'agent' then
        select a.id, case when a.mask_sensitive then s.mask_characters end into its_id, its_mask
        from agents a, settings s where a.username = who.name;
    end if;
    return jsonb_build_object('kind', who.kind, 'name', who.name, 'roles', who.roles, 'session', who.session,
        'all', who.roles && '{admin,machine}',
        'queues', case when who.roles && '{user,supervisor}'
            then array(select q.address from queues q where q.id in (select api_queues_of(who))) else '{}' end,
        -- of these an agent sees how many wait, and not who works there
        'own_queues', array(select q.address from effective_members m join queues q on q.id = m.queue_id
            where m.agent_id = its_id),
        'mask', its_mask);
end $$;

-- The keys of what was committed since a snapshot, and the snapshot now. '*' is all; so is null: what a reader may have
-- missed is read anew.
create or replace function agentbridge.api_changes(after pg_snapshot, out seen pg_snapshot, out keys text[])
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
begin
    seen := pg_current_snapshot();
    select array_agg(distinct k) into keys from changes c cross join unnest(c.keys) k
    where c.xid >= pg_snapshot_xmin(after) and not pg_visible_in_snapshot(c.xid, after);
end $$;

-- Agents for the wallboard: those of the keys (internal numbers, telephones), or all. This and the three below are called
-- at each change, and in PL/pgSQL, which keeps their plans: to plan them takes longer than to read what is new.
create or replace function agentbridge.api_agents_live(keys text[] default null)
returns table (key text, queues text[], data jsonb) language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare these bigint[];
begin
    if keys is null then
        these := array(select a.id from agents a);
    else
        these := array(select a.id from agents a where a.internal = any (keys) union select s.agent_id
            from telephones t join sessions s on s.telephone_id = t.id where t.name = any (keys));
    end if;
    return query select a.username,
        array(select q.address from effective_members m join queues q on q.id = m.queue_id where m.agent_id = a.id
            order by q.address),
        jsonb_build_object('username', a.username, 'name', coalesce(nullif(a.alias, ''), nullif(a.full_name, ''), a.username),
            'internal', a.internal, 'typology', a.typology, 'may_spy', a.may_spy, 'logged_in', s.agent_id is not null,
            'paused', coalesce(s.paused, false), 'pause_reason', case when s.paused then s.pause_reason end,
            'queue_pauses', coalesce((select jsonb_object_agg(q.address, p.reason) from queue_pauses p
                join queues q on q.id = p.queue_id where p.agent_id = a.id), '{}'),
            'telephone', t.name,
            'state', case when s.agent_id is null then 'offline' when s.paused then 'paused' else 'ready' end,
            'since', coalesce(case when s.paused then s.paused_at end, s.started_at))
    from agents a left join sessions s on s.agent_id = a.id left join telephones t on t.id = s.telephone_id
    where a.id = any (these);
end $$;

-- The queues of the directory; what goes on in them comes from the daemons.
create or replace function agentbridge.api_queues_live() returns table (key text, data jsonb) language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select q.address, jsonb_build_object('name', q.address, 'channel', q.channel) from queues q
$$;

-- The nodes whose word is over.
create or replace function agentbridge.nodes_gone() returns table (node text) language plpgsql stable rows 1
security definer set search_path = agentbridge, pg_temp
as $$
begin
    return query select n.node from nodes n where n.lost_at is not null or n.retired_at is not null;
end $$;

-- How far the daemons are, of nodes that are neither lost nor retired: another epoch, another node, or a floor above what
-- was read, means to read everything.
create or replace function agentbridge.api_live_nodes() returns table (node text, epoch bigint, floor bigint, stale boolean)
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
begin
    return query select n.node, n.epoch, n.floor, n.stale from live_shown_nodes n;
end $$;

-- What the daemons wrote since a version: the columns of live_agents, live_calls and live_queues as JSON.
create or replace function agentbridge.api_live_news(after bigint)
returns table (kind text, node text, key text, version bigint, gone boolean, data jsonb) language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
begin
    return query select 'agent', l.node, l.internal, l.version, l.gone_at is not null, to_jsonb(l) - '{version,gone_at}'::text[]
    from live_agents l where l.version > after and l.node not in (select g.node from nodes_gone() g)
    union all
    select 'call', l.node, l.channel, l.version, l.gone_at is not null, to_jsonb(l) - '{version,gone_at}'::text[]
    from live_calls l where l.version > after and l.node not in (select g.node from nodes_gone() g)
    union all
    select 'queue', l.node, l.queue, l.version, l.gone_at is not null, to_jsonb(l) - '{version,gone_at}'::text[]
    from live_queues l where l.version > after and l.node not in (select g.node from nodes_gone() g);
end $$;

create or replace function agentbridge.api_telephones_live() returns table (key text, data jsonb) language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select s.name, to_jsonb(s) from telephone_status s
$$;

create or replace function agentbridge.api_nodes_live() returns table (key text, data jsonb) language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select n.node, jsonb_build_object('node', n.node, 'version', n.version, 'asterisk_up', n.asterisk_up,
        'pending', n.pending, 'failed', n.failed,
        'alive', coalesce(n.seen_at > clock_timestamp() - silent_after(), false),
        'state', s.state, 'trouble', s.trouble)
    from nodes n join node_status s using (node) where n.retired_at is null
$$;

-- Who may see what has changed: open streams look at themselves again, and nobody is remembered.
create or replace function agentbridge.tell_rights_changed() returns trigger language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    perform pg_notify('agentbridge_sessions', '*');
    return null;
end $$;
create or replace trigger rights_changed after insert or update or delete on agentbridge.user_queues
    for each statement execute function agentbridge.tell_rights_changed();
create or replace trigger rights_changed
    after update of role, agents_permission, may_spy, download_recordings on agentbridge.users
    for each statement execute function agentbridge.tell_rights_changed();
create or replace trigger rights_changed after update of may_spy, mask_sensitive on agentbridge.agents
    for each row when (old.may_spy <> new.may_spy or old.mask_sensitive <> new.mask_sensitive)
    execute function agentbridge.tell_rights_changed();

-- An agent is told at once when its client's log is switched (A18).
create or replace function agentbridge.tell_client_log() returns trigger language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    perform pg_notify('agentbridge_events', json_build_object('event', 'client_log.switched', 'agent', new.username,
        'on', new.client_log, 'level', new.client_log_level)::text);
    return null;
end $$;
create or replace trigger tell_client_log after update of client_log, client_log_level on agentbridge.agents
    for each row when (old.client_log <> new.client_log or old.client_log_level <> new.client_log_level)
    execute function agentbridge.tell_client_log();
create or replace trigger rights_changed after update of scopes, expires_at or delete on agentbridge.api_tokens
    for each statement execute function agentbridge.tell_rights_changed();
