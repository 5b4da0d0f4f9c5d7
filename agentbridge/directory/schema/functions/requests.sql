-- What somebody wants of a running call. Each function returns at once the id of a request; request_result tells what
-- became of it. The daemon that has the call takes the request, executes it once at most, and answers within the deadline.
--
-- actor: whom it is for. Empty for an application that asks for itself and has looked who may; else an agent, who may ask
-- for its own calls, or a user who may manage the agent. Refused: AB001 for a value, AB003 for a name, AB004 for who may not.

create or replace function agentbridge.check_actor(actor text, agent agentbridge.agents) returns void
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
begin
    if actor = '' or actor = agent.username or may_manage(actor, agent.username) then
        return;
    end if;
    perform refuse('AB004', format('actor: %s may not act for %s; an administrator may, or a user for whom one of the '
        'agent''s queues is enabled', shown(actor), agent.username));
end $$;

create or replace function agentbridge.agent_named(field text, username text) returns agentbridge.agents
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents;
begin
    select * into agent from agents a where a.username = agent_named.username;
    if not found then
        perform refuse('AB003', format('%s: there is no agent %s', field, shown(username)));
    end if;
    return agent;
end $$;

-- A line of the audit about a request: that it was asked, and how it was answered.
create or replace function agentbridge.note_request(request bigint, action text) returns void
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
begin
    insert into audit (actor, action, object, detail)
    select case when r.actor = '' then 'application' when r.actor = r.username then 'agent:' || r.actor
            else 'user:' || r.actor end,
        note_request.action, r.username, jsonb_strip_nulls(jsonb_build_object('request', r.id, 'verb', r.verb,
            'arguments', nullif(r.arguments, '{}'), 'node', r.node, 'reason', nullif(r.reason, '')))
    from requests r where r.id = note_request.request;
end $$;

create or replace function agentbridge.ask(verb text, agent agentbridge.agents, arguments jsonb, actor text,
    seconds double precision) returns bigint language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare asked bigint;
begin
    if seconds is null or not seconds between 0.1 and 60 then
        perform refuse('AB001', format('seconds: must be 0.1 to 60 (got %s)', shown(seconds::text)));
    end if;
    insert into requests (verb, username, internal, arguments, actor, deadline)
    values (verb, agent.username, agent.internal, arguments, actor, clock_timestamp() + make_interval(secs => seconds))
    returning id into asked;
    perform note_request(asked, 'requests.' || verb);
    notify agentbridge_request;
    return asked;
end $$;

-- One more file for the running call: where the agent may record by hand, or its calls are recorded anyway (P4).
create or replace function agentbridge.recording_start(username text, actor text default '',
    seconds double precision default 5) returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_named('username', username);
begin
    perform check_actor(actor, agent);
    if not agent.manual_recording and agent.record_calls = 'inactive' and not agent.record_made_calls then
        perform refuse('AB004', format('manual_recording: %s may not record by hand; it is off, and nothing is recorded '
            'automatically; an administrator may switch it on', agent.username));
    end if;
    return ask('recording_start', agent, '{}', actor, seconds);
end $$;

-- What the rules record an agent does not stop by itself; what it has begun by hand it may.
create or replace function agentbridge.recording_stop(username text, actor text default '',
    seconds double precision default 5) returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_named('username', username);
begin
    perform check_actor(actor, agent);
    if actor = agent.username and (agent.record_calls <> 'inactive' or agent.record_made_calls) then
        perform refuse('AB004', format('record_calls: the calls of %s are recorded; the agent may pause a recording and '
            'not end it', agent.username));
    end if;
    return ask('recording_stop', agent, '{}', actor, seconds);
end $$;

create or replace function agentbridge.recording_pause(username text, actor text default '',
    seconds double precision default 5) returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_named('username', username);
begin
    perform check_actor(actor, agent);
    return ask('recording_pause', agent, '{}', actor, seconds);
end $$;

create or replace function agentbridge.recording_resume(username text, actor text default '',
    seconds double precision default 5) returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_named('username', username);
begin
    perform check_actor(actor, agent);
    return ask('recording_resume', agent, '{}', actor, seconds);
end $$;

-- Rings the supervisor's own device, which then dials the feature code; the dialplan decides once more (V9). An agent
-- and a user listen to those of their own queues, a user with the device of an agent of these.
create or replace function agentbridge.spy(supervisor text, agent text, mode text default 'listen', actor text default '',
    seconds double precision default 5) returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    listener agents := agent_named('supervisor', supervisor);
    target agents := agent_named('agent', agent);
begin
    perform check_one_of('mode', mode, '{listen,whisper,barge}');
    if actor not in ('', listener.username) and not may_listen(actor, listener.username) then
        perform refuse('AB004', format('actor: %s may not listen by the device of %s; an administrator may, or a user '
            'with may_spy for whom one of the agent''s queues is enabled', shown(actor), listener.username));
    -- in brackets, since this language takes the first THEN for its own
    elsif actor <> '' and not (case when actor = listener.username then shares_queue(listener, target)
            else may_listen(actor, target.username) end) then
        perform refuse('AB004', format('actor: %s may not listen to %s; only to agents of its own queues',
            shown(actor), target.username));
    elsif not listener.may_spy then
        perform refuse('AB004', format('may_spy: %s may not listen to calls; an administrator may allow it',
            listener.username));
    elsif not target.chanspy then
        perform refuse('AB004', format('chanspy: the calls of %s may not be listened to; an administrator may allow '
            'it', target.username));
    elsif listener.id = target.id then
        perform refuse('AB004', 'agent: nobody listens to its own call');
    end if;
    return ask('spy', listener, jsonb_build_object('target', target.internal, 'agent', target.username, 'mode', mode),
        actor, seconds);
end $$;

-- Rings the agent's device, then calls the number as if the agent had dialled it (P10).
create or replace function agentbridge.dial(username text, number text, actor text default '',
    seconds double precision default 5) returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_named('username', username);
begin
    perform check_actor(actor, agent);
    if number is null or number !~ '^[+]?[0-9*#]{1,32}$' then
        perform refuse('AB001', format('number: must be 1 to 32 digits, * and #, with a + before them or not (got %s)',
            shown(number)));
    elsif not agent.may_call then
        perform refuse('AB004', format('may_call: %s may not call; an administrator may allow it', agent.username));
    elsif agent.prefix_required and not exists (select from agents a where a.internal = number)
            and not exists (select from prefixes p where starts_with(number, p.prefix)) then
        perform refuse('AB001', format('number: must begin with one of the prefixes: %s', coalesce(
            (select string_agg(rtrim(format('%s %s', p.prefix, p.label)), ', ' order by p.prefix) from prefixes p),
            'there is none yet')));
    end if;
    return ask('dial', agent, jsonb_build_object('number', number), actor, seconds);
end $$;

-- Ends the agent's call: the one that is not on hold; one that rings is refused.
create or replace function agentbridge.hangup(username text, actor text default '', seconds double precision default 5)
returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_named('username', username);
begin
    perform check_actor(actor, agent);
    return ask('hangup', agent, '{}', actor, seconds);
end $$;

-- Makes the agent's ringing telephone answer by itself: one that knows the SIP event `talk`.
create or replace function agentbridge.answer(username text, actor text default '', seconds double precision default 5)
returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_named('username', username);
begin
    perform check_actor(actor, agent);
    if agent.typology = 'webrtc' then
        perform refuse('AB004', format('typology: %s is webrtc; a browser answers in its own page', agent.username));
    end if;
    return ask('answer', agent, '{}', actor, seconds);
end $$;

-- What became of it. state: asked, taken, done, refused, or `timed out` when nobody answered by the deadline; one that was
-- taken by then may have been done, and is never tried again. Null for an id that there is not, or not any more.
create or replace function agentbridge.request_result(id bigint) returns jsonb language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select jsonb_build_object('id', r.id, 'verb', r.verb, 'username', r.username, 'arguments', r.arguments,
        'actor', r.actor, 'state', case when r.state in ('asked', 'taken') and r.deadline < clock_timestamp()
            then 'timed out' else r.state end,
        'node', r.node, 'result', r.result, 'reason', r.reason, 'asked_at', r.asked_at, 'deadline', r.deadline,
        'finished_at', r.finished_at)
    from requests r where r.id = request_result.id
$$;

-- For the daemons: what a node may still take.
create or replace function agentbridge.open_requests(node text)
returns table (id bigint, verb text, internal text, arguments jsonb, seconds_left double precision)
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
begin
    return query select r.id, r.verb, r.internal, r.arguments,
            extract(epoch from r.deadline - clock_timestamp())::double precision
        from requests r
        where r.state = 'asked' and r.deadline > clock_timestamp() and not r.declined ? open_requests.node
        order by r.id limit 1000;
end $$;

-- True once at most, for one node.
create or replace function agentbridge.take_request(id bigint, node text) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    update requests r set state = 'taken', node = take_request.node, taken_at = clock_timestamp()
    where r.id = take_request.id and r.state = 'asked' and r.deadline > clock_timestamp();
    return found;
end $$;

-- An empty reason: it is done.
create or replace function agentbridge.finish_request(id bigint, node text, result jsonb, reason text) returns boolean
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
begin
    update requests r set state = case when finish_request.reason = '' then 'done' else 'refused' end,
        result = finish_request.result, reason = finish_request.reason, finished_at = clock_timestamp()
    where r.id = finish_request.id and r.state = 'taken' and r.node = finish_request.node;
    if not found then
        return false;
    end if;
    perform note_request(id, case when reason = '' then 'requests.done' else 'requests.refused' end);
    notify agentbridge_answer;
    return true;
end $$;

-- The node has no such call. When all living nodes have said so, it is refused with that reason.
create or replace function agentbridge.decline_request(id bigint, node text, reason text) returns void
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
begin
    update requests r set declined = r.declined || jsonb_build_object(decline_request.node, decline_request.reason)
    where r.id = decline_request.id and r.state = 'asked';
    update requests r set state = 'refused', node = decline_request.node, reason = decline_request.reason,
        finished_at = clock_timestamp()
    where r.id = decline_request.id and r.state = 'asked' and not exists (select from nodes n
        where n.seen_at > clock_timestamp() - silent_after() and not r.declined ? n.node);
    if found then
        perform note_request(id, 'requests.refused');
        notify agentbridge_answer;
    end if;
end $$;
