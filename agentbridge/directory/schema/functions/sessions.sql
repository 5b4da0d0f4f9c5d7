-- What holds for a session, whoever writes it, and what ends one.

-- Where an action starts: an agent with a phonebar starts it there.
create or replace function agentbridge.check_source(agent agentbridge.agents, source text) returns void language plpgsql
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

create or replace function agentbridge.check_session() returns trigger language plpgsql security definer
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

create or replace trigger b_rules before insert or update on agentbridge.sessions
    for each row execute function agentbridge.check_session();

create or replace function agentbridge.check_queue_pause() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform check_reason(new.reason);
    return new;
end $$;

create or replace trigger b_rules before insert or update on agentbridge.queue_pauses
    for each row execute function agentbridge.check_queue_pause();

-- A10: what ends a session, in the same transaction
create or replace function agentbridge.end_session() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$ begin delete from sessions where agent_id = new.id; return null; end $$;

create or replace trigger end_session after update of deactivated, locked_at, hot_desk on agentbridge.agents
    for each row when ((new.deactivated and not old.deactivated)
        or (new.locked_at is not null and old.locked_at is null)
        or new.hot_desk <> old.hot_desk)    -- another way of logging in
    execute function agentbridge.end_session();
