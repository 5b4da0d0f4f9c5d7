-- Verbs over HTTP: the same functions as for everybody, with the source that the one who asks really is.

-- An agent acts on the web for itself; whoever manages agents is an administrator to them; a phonebar's machine is the
-- phonebar (A4).
create or replace function agentbridge.api_source(who agentbridge.api_identity) returns text language sql immutable
return case when who.kind = 'agent' then 'web'
    when 'phonebar' = any (who.scopes) and not who.scopes && '{sessions,admin}' then 'phonebar' else 'admin' end;

-- Who asks, when it is the agent itself or may do `operation` for that agent.
create or replace function agentbridge.api_for(proof bytea, operation text, username text)
returns agentbridge.api_identity language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_actor(proof);
begin
    if (who.kind, who.name) = ('agent', username) then
        return who;
    end if;
    perform api_check(who, operation);
    perform api_must_manage(who, array[username]);
    return who;
end $$;

-- What became of a verb, as its own transaction sees it: {changed, pending, applied_at, error}. So the answer needs no
-- second statement. A change that Asterisk must know has a hint, and is pending until a daemon has read that. Volatile, or
-- else it would look with the snapshot of before the verb.
create or replace function agentbridge.api_outcome(username text, changed boolean) returns jsonb language plpgsql volatile
security definer set search_path = agentbridge, pg_temp
as $$
begin
    if exists (select from changes c where c.xid = pg_current_xact_id_if_assigned()) then
        return jsonb_build_object('changed', changed, 'pending', true, 'applied_at', null, 'error', null);
    end if;
    return applied_to(username) || jsonb_build_object('changed', changed);
end $$;

create or replace function agentbridge.api_login(proof bytea, username text, telephone text default null,
    steal boolean default false) returns jsonb language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_for(proof, 'agents.session', username);
    changed boolean := login(username, telephone, api_source(who), steal);
begin
    if changed then
        perform api_note(who, 'agents.login', username, jsonb_build_object('telephone', telephone, 'steal', steal));
    end if;
    return api_outcome(username, changed);
end $$;

create or replace function agentbridge.api_logout(proof bytea, username text) returns jsonb language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_for(proof, 'agents.session', username);
    changed boolean := logout(username, api_source(who));
begin
    if changed then
        perform api_note(who, 'agents.logout', username);
    end if;
    -- the browser's phone asks for a new secret at the next shift; the old one is of no use to whoever may have it
    if who.kind = 'agent' then
        update agents a set sip_secret = new_secret()
        where changed and a.username = api_logout.username and a.typology = 'webrtc';
    end if;
    return api_outcome(username, changed);
end $$;

create or replace function agentbridge.api_pause(proof bytea, username text, reason text default null,
    queue text default null) returns jsonb language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_for(proof, 'agents.pause', username);
begin
    return api_outcome(username, pause(username, reason, queue, api_source(who)));
end $$;

create or replace function agentbridge.api_unpause(proof bytea, username text, queue text default null)
returns jsonb language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_for(proof, 'agents.pause', username);
begin
    return api_outcome(username, unpause(username, queue, api_source(who)));
end $$;

-- What became of the last change of an agent: {pending, applied_at, error}.
create or replace function agentbridge.api_applied(proof bytea, username text) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_for(proof, 'agents.session', username);
begin
    return applied_to(username);
end $$;

-- ------------------------------------------------------------------------------------------ the agent itself

-- Everything that its client shows of itself.
create or replace function agentbridge.api_me(proof bytea) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'me');
    me agents;
begin
    select * into me from agents a where a.username = who.name;
    return jsonb_build_object('username', me.username, 'full_name', me.full_name, 'alias', me.alias,
        'internal', me.internal, 'typology', me.typology, 'hot_desk', me.hot_desk, 'has_avatar', me.avatar is not null,
        'client_log', me.client_log, 'client_log_level', me.client_log_level, 'record_calls', me.record_calls,
        'record_made_calls', me.record_made_calls,
        'manual_recording', me.manual_recording, 'may_call', me.may_call, 'may_spy', me.may_spy,
        'forward_allowed', me.forward_allowed, 'forward_to', me.forward_to,
        'modules', coalesce((select jsonb_agg(m.module order by m.module) from agent_modules m
            where m.agent_id = me.id), '[]'),
        'queues', coalesce((select jsonb_agg(jsonb_build_object('name', q.address, 'channel', q.channel, 'penalty', m.penalty,
                'paused', coalesce(s.paused, false) or p.agent_id is not null,
                'pause_reason', case when s.paused then s.pause_reason else p.reason end) order by q.address)
            from effective_members m join queues q on q.id = m.queue_id
                left join sessions s on s.agent_id = me.id
                left join queue_pauses p on p.agent_id = me.id and p.queue_id = q.id
            where m.agent_id = me.id), '[]'),
        'status', (select to_jsonb(s) - '{username,internal}'::text[] from agent_status s where s.username = me.username));
end $$;

-- The profile of the agent's client: P or W by its typology, and what both have. Its version is its ETag.
create or replace function agentbridge.api_profile(proof bytea, username text) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_actor(proof);
    a agents;
    folder text := (select screen_recording_path from settings);
    shown jsonb;
begin
    if (who.kind, who.name) <> ('agent', username) then
        who := api_allow(proof, 'agents.profile.read');
    end if;
    select * into a from agents x where x.username = api_profile.username
        and (who.kind = 'agent' or x.id in (select api_agents_of(who, false)));
    if not found then
        perform refuse('AB003', format('username: there is no agent %s', shown(username)));
    end if;
    shown := jsonb_build_object('typology', a.typology,
        'may_see_settings', a.may_see_settings, 'may_change_settings', a.may_change_settings,
        'auto_answer', a.auto_answer, 'auto_answer_delay', a.auto_answer_delay, 'manual_recording', a.manual_recording,
        'dtmf_tones', a.dtmf_tones, 'dnd_in_pause', a.dnd_in_pause, 'sip_expires', a.sip_expires,
        'client_log', a.client_log, 'client_log_level', a.client_log_level,
        'internal_messenger', a.internal_messenger, 'prefix_required', a.prefix_required,
        'prefixes', case when a.prefix_required then (select coalesce(jsonb_agg(to_jsonb(p) order by p.prefix), '[]')
            from prefixes p) else '[]' end, 'recall_me', a.recall_me,
        'may_call', a.may_call, 'download_attachments', a.download_attachments,
        'download_interactions', a.download_interactions, 'download_recordings', a.download_recordings);
    if a.typology = 'phonebar' then
        shown := shown || jsonb_build_object('ring_in_use', a.ring_in_use, 'unanswered_badge', a.unanswered_badge,
            'jaws', a.jaws, 'screen_recording', a.screen_recording,
            -- P9: the global path comes before the agent's own, and both before the default, where the client puts
            -- the day. What no folder's name may hold becomes an underscore.
            'screen_recording_path', coalesce(nullif(folder, ''), nullif(a.screen_recording_path, ''),
                format('Video/%s_%s/<year>/<month>/<day>/', a.id,
                    regexp_replace(a.full_name, '[][:cntrl:]/\\:*?"<>|[]', '_', 'g'))),
            'remote_control', a.remote_control, 'remote_control_port', a.remote_control_port, 'sip_port', a.sip_port,
            'forward_allowed', a.forward_allowed, 'forward_to', a.forward_to);
    elsif a.typology = 'webrtc' then
        shown := shown || jsonb_build_object('wss_port', a.wss_port, 'ignore_pause_preview', a.ignore_pause_preview);
    end if;
    return jsonb_build_object('etag', api_etag(shown), 'profile', shown);
end $$;

-- A new SIP secret for the agent's own browser, told once. The daemon then brings its digest to Asterisk. `page` has the
-- phone from now on, and the others of this agent are told; with `again` it must have had it before: a page that lost its
-- phone unnoticed does not take it back by itself.
create or replace function agentbridge.api_sip_session(proof bytea, secret text, page text default '',
    again boolean default false) returns jsonb language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'me');
    me agents;
begin
    select * into me from agents a where a.username = who.name for no key update;
    if me.typology <> 'webrtc' then
        perform refuse('AB004', format('typology: %s is %s; a browser''s SIP session is for webrtc', who.name,
            me.typology));
    elsif again and exists (select from phone_pages p where p.agent_id = me.id and p.page <> api_sip_session.page) then
        perform refuse('AB006', 'page: another page or browser has the phone now; take it over with a new shift');
    end if;
    insert into phone_pages as p (agent_id, page) values (me.id, api_sip_session.page)
    on conflict (agent_id) do update set page = excluded.page, since = clock_timestamp() where p.page <> excluded.page;
    if not again then
        perform pg_notify('agentbridge_events', json_build_object('event', 'phone.displaced', 'agent', me.username,
            'page', page)::text);
    end if;
    update agents a set sip_secret = secret where a.id = me.id;
    return jsonb_build_object('internal', me.internal, 'name', coalesce(nullif(me.alias, ''), me.full_name),
        'expires', me.sip_expires);
end $$;

-- Telephones that a hot-desk agent may pick, each with why not.
create or replace function agentbridge.api_my_telephones(proof bytea) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'me');
begin
    return jsonb_build_object('items', coalesce((select jsonb_agg(jsonb_build_object('name', s.name, 'description', s.description,
            'available', s.available, 'mine', coalesce(s.agent = who.name, false),
            'reason', case when s.available or s.agent = who.name then null when s.agent is not null then 'taken'
                else 'not registered' end) order by s.name)
        from telephone_status s), '[]'));
end $$;

-- What belongs to the agent itself: part is queues, teams, modules or channels, as in its record.
create or replace function agentbridge.api_my_part(proof bytea, part text) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'me');
begin
    if part not in ('queues', 'teams', 'modules', 'channels') then
        perform refuse('AB001', format('part: there is no %s', shown(part)));
    end if;
    return (select api_agent(a)->part from agents a where a.username = who.name);
end $$;

-- The agent's calls of today that are over, the newest first; `missed` of one that it did not answer, unless a colleague
-- took it while it rang.
create or replace function agentbridge.api_my_calls(proof bytea, lim integer) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'me');
begin
    return (select coalesce(jsonb_agg(jsonb_build_object('id', c.channel, 'linkedid', c.linkedid,
            'direction', c.direction, 'queue', c.queue, 'number', c.number, 'name', c.name, 'rang_at', c.rang_at,
            'answered_at', c.answered_at, 'ended_at', c.ended_at,
            'missed', c.direction = 'in' and c.answered_at is null and not c.answered_elsewhere)
            order by c.ended_at desc, c.channel), '[]')
        from (select e.* from ended_calls e join agents a on a.id = e.agent_id
            where a.username = who.name and e.ended_at >= date_trunc('day', now())
            order by e.ended_at desc, e.channel limit lim) c);
end $$;

-- Colleagues to call and to transfer to: those of the agent's queues.
create or replace function agentbridge.api_colleagues(proof bytea, q text) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'me');
    pattern text := '%' || replace(replace(replace(coalesce(q, ''), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
    return jsonb_build_object('items', coalesce((select jsonb_agg(c.one) from (
        select jsonb_build_object('username', a.username, 'name', coalesce(nullif(a.alias, ''), a.full_name),
            'internal', a.internal, 'logged_in', s.agent_id is not null, 'paused', coalesce(s.paused, false),
            'state', case when s.agent_id is null then 'offline' else coalesce((
                -- of two nodes the one that has most to do with a call
                select case when l.stale then 'unknown' else l.state end from live_agent_states l
                where l.internal = a.internal order by l.stale, array_position(
                    '{talking,held,ringing,wrapup,ready,paused,unreachable,offline}', l.state::text) limit 1),
                case when s.paused then 'paused' else 'ready' end) end) as one
        from agents a left join sessions s on s.agent_id = a.id
        where not a.deactivated and a.username <> who.name
            and (pattern = '%%' or a.full_name ilike pattern or a.alias ilike pattern or a.internal ilike pattern
                or a.username ilike pattern)
        order by s.agent_id is null, a.full_name, a.username limit 200) c), '[]'));
end $$;

-- What may be set by the agent: its forwarding number, where allowed (P13).
create or replace function agentbridge.api_set_forward(proof bytea, number text) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'me');
begin
    if not (select a.forward_allowed from agents a where a.username = who.name) then
        perform refuse('AB004', format('forward_to: %s may not forward its calls; an administrator may allow it', who.name));
    end if;
    update agents a set forward_to = number where a.username = who.name and a.forward_to <> number;
    return found;
end $$;

-- Whether direct calls ring while the agent is on pause (P6, W7), where it may change its settings (P1, W3).
create or replace function agentbridge.api_set_do_not_disturb(proof bytea, "on" boolean) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'me');
begin
    if not (select a.may_change_settings from agents a where a.username = who.name) then
        perform refuse('AB004', format('may_change_settings: %s may not change its settings; an administrator may allow it',
            who.name));
    end if;
    update agents a set dnd_in_pause = "on" where a.username = who.name and a.dnd_in_pause <> "on";
    return found;
end $$;

-- Which log the client's lines go to, and from which level on; null while it is switched off (A18).
create or replace function agentbridge.api_client_log(proof bytea) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'me');
begin
    return (select jsonb_build_object('role', 'agent', 'username', a.username, 'level', a.client_log_level)
        from agents a where a.username = who.name and a.client_log);
end $$;

create or replace function agentbridge.api_avatar(proof bytea, username text) returns table (content bytea, type text)
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_actor(proof);
begin
    if (who.kind, who.name) <> ('agent', username) then
        who := api_allow(proof, 'agents.avatar.read');
    end if;
    return query select a.avatar, a.avatar_type from agents a where a.username = api_avatar.username
        and a.avatar is not null and (who.kind = 'agent' or a.id in (select api_agents_of(who, false)));
end $$;

create or replace function agentbridge.api_set_avatar(proof bytea, username text, content bytea, type text) returns void
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_for(proof, 'agents.avatar', username);
begin
    update agents a set avatar = content, avatar_type = type where a.username = api_set_avatar.username;
    perform api_note(who, 'agents.avatar', username);
end $$;

-- ------------------------------------------------------------------------------------------ other channels

create or replace function agentbridge.api_interaction(proof bytea, username text, channel text, interaction text,
    claim boolean, follow_up boolean default false) returns jsonb language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'interactions.write');
begin
    if claim then
        return (select to_jsonb(c) from claim_interaction(username, channel, interaction, follow_up) c);
    end if;
    return jsonb_build_object('changed', release_interaction(username, channel, interaction));
end $$;

-- ------------------------------------------------------------------------------------------ requests about running calls

-- Asks for something of an agent's running call; returns the id of the request. verb: recording_start, recording_stop,
-- recording_pause, recording_resume, dial, hangup, answer.
create or replace function agentbridge.api_request(proof bytea, verb text, username text, number text default null)
returns bigint language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_for(proof, case when verb in ('dial', 'hangup', 'answer') then 'agents.' || verb
        else 'agents.recording' end, username);
    -- who may was looked at here; as itself an agent has the rules of an agent
    actor text := case when who.kind = 'agent' then who.name else '' end;
    asked bigint;
begin
    case verb
        when 'recording_start' then asked := recording_start(username, actor);
        when 'recording_stop' then asked := recording_stop(username, actor);
        when 'recording_pause' then asked := recording_pause(username, actor);
        when 'recording_resume' then asked := recording_resume(username, actor);
        when 'dial' then asked := dial(username, number, actor);
        when 'hangup' then asked := hangup(username, actor);
        when 'answer' then asked := answer(username, actor);
        else perform refuse('AB001', format('verb: there is no %s', shown(verb)));
    end case;
    perform api_note(who, 'requests.' || verb, username, jsonb_build_object('request', asked));
    return asked;
end $$;

-- A supervisor listens with the device of an agent: its own, or for a user that of an agent it manages.
create or replace function agentbridge.api_spy(proof bytea, agent text, mode text, listener text default null)
returns bigint language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'agents.spy');
    device text := case when who.kind = 'agent' then who.name else listener end;
    asked bigint;
begin
    if not exists (select from agents a where a.username = agent and a.id in (select api_agents_of(who, false))) then
        perform refuse('AB003', format('username: there is no agent %s that %s may listen to', shown(agent), who.name));
    elsif device is null then
        perform refuse('AB001', 'listener: name the agent whose device is to ring');
    elsif who.kind <> 'agent' and not exists (select from agents a where a.username = device
            and a.id in (select api_agents_of(who, false))) then
        perform refuse('AB003', format('listener: there is no agent %s of the queues of %s', shown(device), who.name));
    end if;
    asked := spy(device, agent, mode, '');
    perform api_note(who, 'agents.spy', agent, jsonb_build_object('request', asked, 'mode', mode, 'listener', device));
    return asked;
end $$;

-- What became of a request, for who asked it, an administrator, and the agent whose call it is.
create or replace function agentbridge.api_request_result(proof bytea, request bigint) returns jsonb
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_actor(proof);
    found_result jsonb := request_result(request);
begin
    if found_result is null or not (who.roles && '{admin,machine}' or found_result->>'username' = who.name
            or exists (select from audit x where x.actor = api_name(who) and (x.detail->>'request')::bigint = request
                and x.at > clock_timestamp() - interval '1 day')) then
        perform refuse('AB003', format('id: there is no request %s', request));
    end if;
    return jsonb_build_object('id', request) || (found_result - '{arguments,actor,id}'::text[]);
end $$;
