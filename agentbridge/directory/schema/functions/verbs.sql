-- Verbs: one transaction each, safe to repeat, true when something changed. They run with their owner's rights, so that
-- an application needs only EXECUTE, and with a pinned search_path.

-- Who is in which queue, directly or by a team; the direct penalty wins, else the lowest of the teams.
create or replace view agentbridge.effective_members as
    select agent_id, queue_id,
        coalesce(min(penalty) filter (where direct), min(penalty)) as penalty
    from (
        select agent_id, queue_id, penalty, true as direct from agentbridge.queue_members
        union all
        select m.agent_id, q.queue_id, q.penalty, false
        from agentbridge.team_members m join agentbridge.team_queues q using (team_id)
    ) memberships
    group by agent_id, queue_id;

-- The agent's row, locked: two verbs on one agent, or a verb and a deactivation, come one after the other.
create or replace function agentbridge.agent_for(username text, source text) returns agentbridge.agents language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents;
begin
    select * into agent from agents a where a.username = agent_for.username for no key update;
    if not found then
        perform refuse('AB003', format('username: there is no agent %s', shown(username)));
    end if;
    perform check_source(agent, source);
    return agent;
end $$;

-- The queue that is called so, which the agent must be in.
create or replace function agentbridge.queue_of(agent agentbridge.agents, queue text) returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare found_id bigint;
begin
    select q.id into found_id from queues q where lower(q.address collate "C") = lower(queue collate "C");
    if not found then
        perform refuse('AB003', format('queue: there is no queue %s', shown(queue)));
    end if;
    if not exists (select from effective_members m where m.agent_id = agent.id and m.queue_id = found_id) then
        perform refuse('AB003', format('queue: %s is not in queue %s', agent.username, queue));
    end if;
    return found_id;
end $$;

create or replace function agentbridge.check_logged_in(agent agentbridge.agents) returns void language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    if not exists (select from sessions s where s.agent_id = agent.id) then
        perform refuse('AB007', format('username: %s is not logged in; log in first', agent.username));
    end if;
end $$;

-- Starts the session, or moves it to another telephone. With `steal` an administrator takes a telephone that is taken.
create or replace function agentbridge.login(username text, telephone text default null, source text default 'web',
    steal boolean default false) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    agent agents := agent_for(username, source);
    phone bigint;
begin
    if telephone is not null then
        select id into phone from telephones t where t.name = telephone for no key update;
        if not found then
            perform refuse('AB003', format('telephone: there is no telephone %s', shown(telephone)));
        end if;
    end if;
    if exists (select from sessions s where s.agent_id = agent.id
            and (phone is null or s.telephone_id is not distinct from phone)) then
        return false;
    end if;
    if steal then
        if source <> 'admin' then
            perform refuse('AB004', 'steal: only an administrator may take a telephone from an agent');
        end if;
        with displaced as (
            delete from sessions s where s.telephone_id = phone and s.agent_id <> agent.id returning s.agent_id
        )
        insert into takeovers (agent, telephone, taken_by)
        select a.username, login.telephone, agent.username from displaced d join agents a on a.id = d.agent_id;
    end if;
    insert into sessions as s (agent_id, telephone_id, source) values (agent.id, phone, login.source)
    on conflict (agent_id) do update set telephone_id = excluded.telephone_id;
    return true;
end $$;

-- Ends the session and with it all pauses.
create or replace function agentbridge.logout(username text, source text default 'web') returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_for(username, source);
begin
    delete from sessions s where s.agent_id = agent.id;
    return found;
end $$;

-- In all queues, or in one.
create or replace function agentbridge.pause(username text, reason text default null, queue text default null,
    source text default 'web') returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    agent agents := agent_for(username, source);
    why text := coalesce(reason, '');
begin
    perform check_logged_in(agent);
    if queue is null then
        update sessions s set paused = true, pause_reason = why
        where s.agent_id = agent.id and (not s.paused or s.pause_reason <> why);
    else
        insert into queue_pauses as p (agent_id, queue_id, reason) values (agent.id, queue_of(agent, queue), why)
        on conflict (agent_id, queue_id) do update set reason = excluded.reason where p.reason <> excluded.reason;
    end if;
    return found;
end $$;

-- In all queues and in each single one; or in one.
create or replace function agentbridge.unpause(username text, queue text default null, source text default 'web')
returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    agent agents := agent_for(username, source);
    this_queue bigint;
    resumed boolean;
begin
    perform check_logged_in(agent);
    if queue is null then
        delete from queue_pauses p where p.agent_id = agent.id;
        resumed := found;
        update sessions s set paused = false where s.agent_id = agent.id and s.paused;
        return resumed or found;
    end if;
    this_queue := queue_of(agent, queue);
    if (select s.paused from sessions s where s.agent_id = agent.id) then
        perform refuse('AB010', format('queue: %s is on pause in all queues; unpause without naming a queue',
            agent.username));
    end if;
    delete from queue_pauses p where p.agent_id = agent.id and p.queue_id = this_queue;
    return found;
end $$;

-- P13: the agent's own forwarding of direct calls; an empty number ends it. Queue calls do not follow.
create or replace function agentbridge.forward(username text, number text default '', source text default 'web')
returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_for(username, source);
begin
    if not agent.forward_allowed and source <> 'admin' then
        perform refuse('AB004', format('forward_allowed: %s may not forward calls; an administrator may allow it',
            agent.username));
    end if;
    update agents a set forward_to = coalesce(number, '')
    where a.id = agent.id and a.forward_to <> coalesce(number, '');
    return found;
end $$;

-- What app_queue decided by itself (autopause after no answer) becomes a pause of that queue.
-- False when there is nothing to adopt it to: a session that ended meanwhile is no error.
create or replace function agentbridge.adopt_pause(endpoint text, queue text, reason text default 'Auto-Pause')
returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent bigint;
begin
    select s.agent_id into agent from sessions s
        join agents a on a.id = s.agent_id left join telephones t on t.id = s.telephone_id
    where coalesce(t.name, a.internal) = endpoint and not s.paused
    for key share of s;
    if not found then
        return false;
    end if;
    insert into queue_pauses (agent_id, queue_id, reason)
    select agent, q.id, left(translate(reason, ';,|', '   '), 80)
    from queues q join effective_members m on m.queue_id = q.id and m.agent_id = agent
    where lower(q.name collate "C") = lower(queue collate "C") and q.channel = 'voice'
    on conflict do nothing;
    return found;
end $$;
