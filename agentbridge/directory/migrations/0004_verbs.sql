-- Verbs: one transaction each, safe to repeat, true when something changed. They run with their owner's
-- rights, so that an application needs only EXECUTE, and with a pinned search_path.

create view agentbridge.effective_members as
    select agent_id, queue_id,
        coalesce(min(penalty) filter (where direct), min(penalty)) as penalty   -- the direct one wins
    from (
        select agent_id, queue_id, penalty, true as direct from agentbridge.queue_members
        union all
        select m.agent_id, q.queue_id, q.penalty, false
        from agentbridge.team_members m join agentbridge.team_queues q using (team_id)
    ) memberships
    group by agent_id, queue_id;

create function agentbridge.check_source(agent agentbridge.agents, source text) returns void language plpgsql
set search_path = agentbridge, pg_temp
as $$
begin
    perform check_one_of('source', source, '{web,phonebar,phone,admin}');
    if source = 'web' and agent.typology = 'phonebar' then
        perform refuse('AB004', format('source: %s works with a phonebar, so this starts there and not on the web',
            agent.username));
    elsif source = 'phonebar' and agent.typology <> 'phonebar' then
        perform refuse('AB004', format('source: %s is %s and has no phonebar; use the web',
            agent.username, agent.typology));
    end if;
end $$;

-- The agent's row, locked: two verbs on one agent, or a verb and a deactivation, come one after the other.
create function agentbridge.agent_for(username text, source text) returns agentbridge.agents language plpgsql
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

-- The rules of a session hold for whoever writes one.
create function agentbridge.check_session() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare
    agent agents;
    phone telephones;
    holder text;
begin
    perform check_reason(new.pause_reason);
    if not new.paused then
        new.pause_reason := '';
        new.paused_at := null;
    elsif tg_op = 'INSERT' or not old.paused then
        new.paused_at := clock_timestamp();
    end if;
    if tg_op = 'UPDATE' and new.agent_id = old.agent_id
            and new.telephone_id is not distinct from old.telephone_id then
        return new;
    end if;
    select * into agent from agents where id = new.agent_id for no key update;
    if not found then
        perform refuse('AB003', format('agent_id: there is no agent %s', new.agent_id));
    end if;
    if agent.deactivated then
        perform refuse('AB005', format('username: %s is deactivated; an administrator can activate the agent',
            agent.username));
    elsif agent.locked_at is not null then
        perform refuse('AB005', format('username: %s is locked; an administrator can unlock the agent',
            agent.username));
    end if;
    if tg_op = 'INSERT' then
        perform check_source(agent, new.source);
        if agent.login_in_pause and not new.paused then
            new.paused := true;
            new.pause_reason := 'login';
            new.paused_at := clock_timestamp();
        end if;
    end if;
    if not agent.hot_desk then
        if new.telephone_id is not null then
            perform refuse('AB009', format('telephone: %s has a device of its own; log in without a telephone, '
                'or switch hot_desk on', agent.username));
        end if;
        return new;
    end if;
    select * into phone from telephones where id = new.telephone_id for no key update;
    if not found then
        perform refuse('AB009', format('telephone: %s is a hot-desk agent and must name a telephone',
            agent.username));
    end if;
    select a.username into holder from sessions s join agents a on a.id = s.agent_id
    where s.telephone_id = phone.id and s.agent_id <> agent.id;
    if found then
        perform refuse('AB006', format('telephone: %s is taken by %s; choose another', phone.name, holder));
    end if;
    if phone.registered is not true then
        perform refuse('AB006', format('telephone: %s is not registered; switch it on or choose another',
            phone.name));
    end if;
    return new;
end $$;
create trigger b_rules before insert or update on agentbridge.sessions
    for each row execute function agentbridge.check_session();

create function agentbridge.check_queue_pause() returns trigger language plpgsql
as $$
begin
    perform agentbridge.check_reason(new.reason);
    return new;
end $$;
create trigger b_rules before insert or update on agentbridge.queue_pauses
    for each row execute function agentbridge.check_queue_pause();

create function agentbridge.login(username text, telephone text default null, source text default 'web',
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

create function agentbridge.logout(username text, source text default 'web') returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_for(username, source);
begin
    delete from sessions s where s.agent_id = agent.id;
    return found;
end $$;

create function agentbridge.queue_of(agent agentbridge.agents, queue text) returns bigint language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare found_id bigint;
begin
    select q.id into found_id from queues q where lower(q.name) = lower(queue);
    if not found then
        perform refuse('AB003', format('queue: there is no queue %s', shown(queue)));
    end if;
    if not exists (select from effective_members m where m.agent_id = agent.id and m.queue_id = found_id) then
        perform refuse('AB003', format('queue: %s is not in queue %s', agent.username, queue));
    end if;
    return found_id;
end $$;

create function agentbridge.check_logged_in(agent agentbridge.agents) returns void language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    if not exists (select from sessions s where s.agent_id = agent.id) then
        perform refuse('AB007', format('username: %s is not logged in; log in first', agent.username));
    end if;
end $$;

create function agentbridge.pause(username text, reason text default null, queue text default null,
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

create function agentbridge.unpause(username text, queue text default null, source text default 'web')
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

-- What app_queue decided by itself (autopause after no answer) becomes a pause of that queue.
-- False when there is nothing to adopt it to: a session that ended meanwhile is no error.
create function agentbridge.adopt_pause(endpoint text, queue text, reason text default 'Auto-Pause')
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
    where lower(q.name) = lower(queue)
    on conflict do nothing;
    return found;
end $$;

-- A10: what ends a session, in the same transaction
create function agentbridge.end_session() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$ begin delete from sessions where agent_id = new.id; return null; end $$;
create trigger end_session after update of deactivated, locked_at, hot_desk on agentbridge.agents
    for each row when ((new.deactivated and not old.deactivated)
        or (new.locked_at is not null and old.locked_at is null)
        or new.hot_desk <> old.hot_desk)    -- another way of logging in
    execute function agentbridge.end_session();

-- True when the agent is locked now. An unknown name is no error: a guesser learns nothing.
create function agentbridge.password_failed(username text) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare locked boolean;
begin
    update agents a set failed_logins = failed_logins + 1,
        locked_at = case when lock_after > 0 and failed_logins + 1 >= lock_after
            then coalesce(locked_at, clock_timestamp()) else locked_at end
    from settings where a.username = password_failed.username
    returning locked_at is not null into locked;
    return coalesce(locked, false);
end $$;

create function agentbridge.password_ok(username text) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    update agents a set failed_logins = 0 where a.username = password_ok.username and failed_logins <> 0
        and locked_at is null;
    return found;
end $$;

create function agentbridge.unlock(username text) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_for(username, 'admin');
begin
    update agents a set failed_logins = 0, locked_at = null
    where a.id = agent.id and (failed_logins <> 0 or locked_at is not null);
    return found;
end $$;

create function agentbridge.check_interaction(channel text, interaction text) returns void language plpgsql
set search_path = agentbridge, pg_temp
as $$
begin
    perform check_one_of('channel', channel, '{chat,email,sms,openchannel,fax,whatsapp}');
    perform check_text('interaction', interaction, 200);
    if coalesce(interaction, '') = '' then
        perform refuse('AB001', 'interaction: name it; the same name makes a repeated claim the same one');
    end if;
end $$;

-- O1, O2. A repeated claim is granted again; a follow-up of an interaction in hand always is, of another never.
create function agentbridge.claim_interaction(username text, channel text, interaction text,
    follow_up boolean default false,
    out granted boolean, out auto_answer boolean, out auto_answer_delay integer, out in_hand integer,
    out capacity integer)
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
#variable_conflict use_column
declare
    agent agents := agent_for(username, 'admin');
    holder bigint;
begin
    perform check_interaction(claim_interaction.channel, claim_interaction.interaction);
    if agent.deactivated or agent.locked_at is not null then
        perform refuse('AB005', format('username: %s is deactivated or locked', agent.username));
    end if;
    select c.capacity, c.auto_answer, c.auto_answer_delay
    into claim_interaction.capacity, claim_interaction.auto_answer, claim_interaction.auto_answer_delay
    from agent_channels c where c.agent_id = agent.id and c.channel = claim_interaction.channel;
    claim_interaction.capacity := coalesce(claim_interaction.capacity, 0);
    claim_interaction.auto_answer := coalesce(claim_interaction.auto_answer, false);
    claim_interaction.auto_answer_delay := coalesce(claim_interaction.auto_answer_delay, 0);
    -- the agent's row is locked, so no other claim of this agent is between the count and the insert
    select count(*) into in_hand from interactions i
    where i.agent_id = agent.id and i.channel = claim_interaction.channel;
    select i.agent_id into holder from interactions i
    where i.channel = claim_interaction.channel and i.interaction = claim_interaction.interaction;
    granted := coalesce(holder = agent.id, false);
    if holder is null and not follow_up
            and (claim_interaction.capacity = 0 or claim_interaction.in_hand < claim_interaction.capacity) then
        insert into interactions (channel, interaction, agent_id)
        values (claim_interaction.channel, claim_interaction.interaction, agent.id)
        on conflict do nothing;
        granted := found;
        in_hand := claim_interaction.in_hand + found::int;
    end if;
end $$;

create function agentbridge.release_interaction(username text, channel text, interaction text)
returns boolean language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_for(username, 'admin');
begin
    perform check_interaction(release_interaction.channel, release_interaction.interaction);
    delete from interactions i
    where i.agent_id = agent.id and i.channel = release_interaction.channel
        and i.interaction = release_interaction.interaction;
    return found;
end $$;

-- A1
create function agentbridge.may_manage(manager text, agent text) returns boolean language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select exists (
        select from users u where u.username = manager and (u.role = 'admin' or (u.agents_permission and exists (
            select from agents a
                join effective_members m on m.agent_id = a.id
                join user_queues q on q.queue_id = m.queue_id and q.username = u.username
            where a.username = agent))))
$$;

create function agentbridge.confirm_removals(node text default null) returns integer language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare confirmed integer;
begin
    update refusals r set confirmed_at = clock_timestamp()
    where confirmed_at is null and (confirm_removals.node is null or r.node = confirm_removals.node);
    get diagnostics confirmed = row_count;
    if confirmed > 0 then
        perform note('{*}');
    end if;
    return confirmed;
end $$;
