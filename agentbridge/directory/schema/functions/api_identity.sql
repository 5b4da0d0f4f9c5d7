-- Who asks over HTTP. Each function of the API takes `proof`, the hash of a session's or a machine's token, and finds out
-- here who that is: the API's role can do nothing in the name of somebody who is not logged in.

-- AB011 when the session is over, or was never there.
create or replace function agentbridge.api_actor(proof bytea) returns agentbridge.api_identity language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity;
begin
    select * into who from (
        select 'user', u.username,
            case when u.role = 'admin' then '{admin}'::text[]
                else array_remove(array[case when u.agents_permission then 'user' end,
                    case when u.may_spy then 'supervisor' end], null) end,
            null::text[], s.id
        from web_sessions s join users u on u.username = s.username
        where s.kind = 'user' and s.proof = api_actor.proof
            and s.expires_at > clock_timestamp() and s.seen_at + s.idle > clock_timestamp()
        union all
        select 'agent', a.username,
            array_remove(array['agent', case when a.may_spy then 'supervisor' end], null), null, s.id
        from web_sessions s join agents a on a.username = s.username
        where s.kind = 'agent' and s.proof = api_actor.proof and not a.deactivated and a.locked_at is null
            and s.expires_at > clock_timestamp() and s.seen_at + s.idle > clock_timestamp()
        union all
        select 'token', t.id, '{machine}', t.scopes, null
        from api_tokens t where t.proof = api_actor.proof and t.expires_at > clock_timestamp()
    ) people;
    if not found then
        perform refuse('AB011', 'session: it is over, or there is none; log in');
    end if;
    return who;
end $$;

-- The same, and notes that the session or token is in use; at most one write a minute.
create or replace function agentbridge.api_session(proof bytea) returns jsonb language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_actor(proof);
begin
    update web_sessions s set seen_at = clock_timestamp()
    where s.id = who.session and s.seen_at < clock_timestamp() - least(interval '1 minute', s.idle / 4);
    update api_tokens t set used_at = clock_timestamp()
    where who.kind = 'token' and t.id = who.name and coalesce(t.used_at < clock_timestamp() - interval '1 minute', true);
    return jsonb_build_object('kind', who.kind, 'name', who.name, 'roles', who.roles, 'scopes', who.scopes,
        'session', who.session);
end $$;

-- Which role and which scope may do what. The API decides by its own table first; a test compares the two. In PL/pgSQL,
-- which keeps the plan: each request asks.
create or replace function agentbridge.api_allowed(operation text) returns text[] language plpgsql immutable
set search_path = agentbridge, pg_temp
as $$
begin
    return case
        when operation in ('session.read', 'session.delete') then '{admin,user,supervisor,agent,machine,anybody}'
        when operation in ('agents.list', 'agents.read', 'agents.avatar.read', 'agents.profile.read')
            then '{admin,user,supervisor,scope:read}'
        when operation in ('agents.create', 'agents.update', 'agents.delete', 'agents.import', 'agents.password',
            'agents.lock', 'agents.queues', 'agents.teams', 'agents.modules', 'agents.channels', 'agents.avatar')
            then '{admin,user,scope:agents}'
        when operation = 'agents.export' then '{admin,user,scope:read}'
        when operation in ('agents.session', 'agents.pause') then '{admin,user,scope:sessions,scope:phonebar}'
        when operation in ('agents.recording', 'agents.dial', 'agents.hangup', 'agents.answer') then '{admin,user,scope:calls}'
        when operation = 'agents.spy' then '{admin,supervisor}'
        when operation in ('queues.list', 'queues.read') then '{admin,user,supervisor,scope:read}'
        when operation in ('teams.list', 'teams.read', 'telephones.list', 'telephones.read', 'prefixes.read')
            then '{admin,user,scope:read}'
        when operation in ('queues.write', 'teams.write', 'telephones.write', 'prefixes.write') then '{admin,scope:admin}'
        when operation in ('users.list', 'users.read', 'users.write', 'tokens.list', 'tokens.write', 'settings.write',
            'pause-reasons.write', 'audit.list', 'plan.confirm', 'recordings.delete', 'agents.secret')
            then '{admin}'
        when operation in ('settings.read', 'nodes.list', 'plan.read') then '{admin,scope:read}'
        when operation in ('pause-reasons.list', 'prefixes.list') then '{admin,user,supervisor,agent,scope:read}'
        when operation in ('recordings.list', 'recordings.audio')
            then '{admin,user,supervisor,agent,scope:recordings}'
        when operation = 'interactions.write' then '{admin,scope:interactions}'
        when operation = 'events' then '{admin,user,supervisor,agent,scope:events}'
        when operation = 'me' then '{agent}'
    end::text[];
end $$;

-- Refused with AB004 unless somebody may do it.
create or replace function agentbridge.api_check(who agentbridge.api_identity, operation text) returns void
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare allowed text[] := api_allowed(operation);
begin
    if 'anybody' = any (allowed) or who.roles && allowed
            or exists (select from unnest(who.scopes) s where 'scope:' || s = any (allowed) or s = 'admin'
                and allowed && '{admin}' and operation not in ('users.write', 'tokens.write', 'tokens.list')) then
        return;
    end if;
    perform refuse('AB004', format('operation: %s may not do %s', who.name, operation));
end $$;

-- Who asks, when that is somebody who may; else AB011 or AB004.
create or replace function agentbridge.api_allow(proof bytea, operation text) returns agentbridge.api_identity
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_actor(proof);
begin
    perform api_check(who, operation);
    return who;
end $$;

create or replace function agentbridge.api_name(who agentbridge.api_identity) returns text language sql immutable
return who.kind || ':' || who.name;

-- One line of the audit, by whoever asks.
create or replace function agentbridge.api_note(who agentbridge.api_identity, action text, object text,
    detail jsonb default '{}') returns void language sql
security definer set search_path = agentbridge, pg_temp
as $$
    insert into audit (actor, action, object, detail) values (api_name(who), action, object, detail)
$$;

-- ------------------------------------------------------------------------------------------ logging in

-- What the password is checked against, and whether the person may log in at all. Both kinds of people in one look: a
-- user and an agent may have the same name, then `kind` says who is meant.
create or replace function agentbridge.api_login_of(username text, kind text default null)
returns table (person text, password_hash text, usable boolean) language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select * from (
        select 'user', u.password_hash, true from users u where u.username = api_login_of.username
        union all
        select 'agent', a.password_hash, not a.deactivated and a.locked_at is null
        from agents a where a.username = api_login_of.username
    ) people (person, password_hash, usable)
    where kind is null or person = kind order by person = 'user' desc limit 1
$$;

-- A wrong password counts towards the lock (A10), but not for an agent who is at work: else anybody who knows the name
-- could log a whole shift off.
create or replace function agentbridge.api_password_failed(username text) returns void language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    if exists (select from agents a where a.username = api_password_failed.username
            and not exists (select from sessions s where s.agent_id = a.id)) then
        perform password_failed(username);
    end if;
end $$;

create or replace function agentbridge.api_open_session(person text, username text, proof bytea, idle interval,
    absolute interval, address text) returns jsonb language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    if person = 'agent' then
        perform password_ok(username);
    end if;
    delete from web_sessions s where s.expires_at < clock_timestamp() or s.seen_at + s.idle < clock_timestamp();
    -- a bound for each person: the oldest session ends
    delete from web_sessions s where s.id in (
        select o.id from web_sessions o where (o.kind, o.username) = (person, api_open_session.username)
        order by o.id desc offset 19);
    insert into web_sessions (proof, kind, username, idle, expires_at, address)
    values (proof, person, username, idle, clock_timestamp() + absolute, left(address, 64));
    perform api_note(api_actor(proof), 'session.create', username);
    return api_session(proof);
end $$;

create or replace function agentbridge.api_close_session(proof bytea) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    delete from web_sessions s where s.proof = api_close_session.proof;
    return found;
end $$;

-- Sessions end with what they rest on: told at the commit, so that open streams close.
create or replace function agentbridge.tell_session_end() returns trigger language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    perform pg_notify('agentbridge_sessions', old.id::text);
    return null;
end $$;
create or replace trigger tell after delete on agentbridge.web_sessions
    for each row execute function agentbridge.tell_session_end();

create or replace function agentbridge.end_web_sessions() returns trigger language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    delete from web_sessions s where (s.kind, s.username) = (tg_argv[0], old.username);
    return null;
end $$;
create or replace trigger web_sessions_end after delete on agentbridge.agents
    for each row execute function agentbridge.end_web_sessions('agent');
create or replace trigger web_sessions_end_by_change
    after update of username, password_hash, deactivated, locked_at on agentbridge.agents for each row
    when (old.username <> new.username or old.password_hash is distinct from new.password_hash
        or (new.deactivated and not old.deactivated) or (new.locked_at is not null and old.locked_at is null))
    execute function agentbridge.end_web_sessions('agent');
create or replace trigger web_sessions_end after delete on agentbridge.users
    for each row execute function agentbridge.end_web_sessions('user');
create or replace trigger web_sessions_end_by_change
    after update of username, password_hash on agentbridge.users for each row
    when (old.username <> new.username or old.password_hash is distinct from new.password_hash)
    execute function agentbridge.end_web_sessions('user');

-- Whether anybody can log in as administrator yet.
create or replace function agentbridge.api_has_administrator() returns boolean language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select exists (select from users where role = 'admin' and password_hash is not null)
$$;

-- ------------------------------------------------------------------------------------------ machines

create or replace function agentbridge.api_create_token(proof bytea, id text, token_proof bytea, name text, scopes text[],
    expires_at timestamptz) returns jsonb language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'tokens.write');
    unknown text;
begin
    select string_agg(s, ', ') into unknown from unnest(scopes) s
    where s <> all ('{read,agents,sessions,phonebar,calls,recordings,interactions,events,admin}');
    if unknown is not null or cardinality(scopes) = 0 then
        perform refuse('AB001', format('scopes: must be of read, agents, sessions, phonebar, calls, recordings, '
            'interactions, events, admin (got %s)', shown(scopes)));
    elsif expires_at <= now() or expires_at > now() + interval '10 years' then
        perform refuse('AB001', 'expires_at: must be in the future, within ten years');
    end if;
    insert into api_tokens (id, proof, name, scopes, created_by, expires_at)
    values (id, token_proof, name, scopes, who.name, expires_at);
    perform api_note(who, 'tokens.create', id, jsonb_build_object('name', name, 'scopes', scopes));
    return (select to_jsonb(t) - 'proof' from api_tokens t where t.id = api_create_token.id);
end $$;
