-- What goes on right now, as the API reads it for all its viewers together; what each of them sees is decided by its queues
-- before anything is sent.

-- Who looks: its queues, whether it sees all, and how many characters of a caller it does not see (null: sees all).
create or replace function agentbridge.api_viewer(proof bytea) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'events');
begin
    return jsonb_build_object('kind', who.kind, 'name', who.name, 'roles', who.roles, 'session', who.session,
        'all', who.roles && '{admin,machine}',
        'queues', case when who.roles && '{user,supervisor}'
            then array(select q.name from queues q where q.id in (select api_queues_of(who))) else '{}' end,
        'mask', (select s.mask_characters from settings s, agents a
            where who.kind = 'agent' and a.username = who.name and a.mask_sensitive));
end $$;

-- The keys that changed since a change; some are told twice, since numbers are given before the commit. '*' is all.
create or replace function agentbridge.api_changes(after bigint, out newest bigint, out keys text[])
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
begin
    select max(c.seq) into newest from changes c;
    select array_agg(distinct k) into keys from changes c cross join unnest(c.keys) k where c.seq > after - 200;
end $$;

-- Agents for the wallboard: those of the keys (internal numbers, telephones), or all.
create or replace function agentbridge.api_agents_live(keys text[] default null)
returns table (key text, queues text[], data jsonb) language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select a.username,
        array(select q.name from effective_members m join queues q on q.id = m.queue_id where m.agent_id = a.id
            order by q.name),
        jsonb_build_object('username', a.username, 'name', coalesce(nullif(a.alias, ''), nullif(a.full_name, ''), a.username),
            'internal', a.internal, 'typology', a.typology, 'logged_in', s.agent_id is not null,
            'paused', coalesce(s.paused, false), 'pause_reason', case when s.paused then s.pause_reason end,
            'paused_queues', array(select q.name from queue_pauses p join queues q on q.id = p.queue_id
                where p.agent_id = a.id order by q.name),
            'telephone', t.name,
            'state', case when s.agent_id is null then 'offline' when s.paused then 'paused' else 'ready' end,
            'since', coalesce(case when s.paused then s.paused_at end, s.started_at))
    from agents a left join sessions s on s.agent_id = a.id left join telephones t on t.id = s.telephone_id
    where keys is null or a.internal = any (keys) or t.name = any (keys)
$$;

create or replace function agentbridge.api_queues_live() returns table (key text, data jsonb) language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select q.name, jsonb_build_object('name', q.name, 'channel', q.channel)
    from queues q
$$;

create or replace function agentbridge.api_telephones_live() returns table (key text, data jsonb) language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select s.name, to_jsonb(s) from telephone_status s
$$;

create or replace function agentbridge.api_nodes_live() returns table (key text, data jsonb) language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select n.node, jsonb_build_object('node', n.node, 'version', n.version, 'asterisk_up', n.asterisk_up,
        'pending', n.pending, 'failed', n.failed, 'alive', n.seen_at > clock_timestamp() - interval '15 seconds')
    from nodes n
$$;

-- Whoever may see what changed: open streams look at themselves again.
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
