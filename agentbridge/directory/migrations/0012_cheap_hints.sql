-- Hints for less of the writer's time once more. What changes is noted row by row and only where a column says what
-- Asterisk must know; no table but the changed one is looked at, unless an agent sits at a telephone. Thousands of
-- changes in one transaction are noted as a change of everything.
--
-- None of these functions sets a search path, which costs as much as the rest of a hint. Since they run with their
-- owner's rights, all that they name is named in full, operators and types too.

-- The number beside the session, so that a pause is noted without a look at the agents; the reference keeps it true.
alter table agentbridge.agents add constraint agents_id_internal unique (id, internal);
alter table agentbridge.sessions disable trigger b_rules, disable trigger hint_update;
alter table agentbridge.sessions add internal text;
update agentbridge.sessions s set internal = a.internal from agentbridge.agents a where a.id = s.agent_id;
alter table agentbridge.sessions
    alter internal set not null,
    drop constraint sessions_agent_id_fkey,
    add constraint "internal: is the agent's, change it there" foreign key (agent_id, internal)
        references agentbridge.agents (id, internal) on update cascade on delete cascade;
alter table agentbridge.sessions enable trigger b_rules, enable trigger hint_update;
comment on column agentbridge.sessions.internal is 'the agent''s, and kept so; need not be given';

-- As in 0004, but for the number.
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
    new.internal := agent.internal;
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

-- Whether a change need not be noted, since this transaction has noted that everything changes. For each of its changed
-- rows to ask; after 1,000 of them it does so. Counting costs half as much as a hint: so it is for rows of a statement
-- that has taken some time, as those that change thousands have before their first hint.
create function agentbridge.noted_with_all() returns boolean language plpgsql security definer
as $$
declare
    counted pg_catalog.text := pg_catalog.current_setting('agentbridge.rows_noted', true);
    noted integer := 1;
    kept pg_catalog.text;
begin
    if counted operator(pg_catalog.~) '^[0-9]{1,4}$' then   -- else the caller has written something there
        noted := counted;
        noted := noted operator(pg_catalog.+) 1;
    end if;
    if noted operator(pg_catalog.>) 1001 then
        return true;
    end if;
    kept := pg_catalog.set_config('agentbridge.rows_noted', noted::pg_catalog.text, true);
    if noted operator(pg_catalog.<) 1001 then
        return false;
    end if;
    insert into agentbridge.changes (keys) values ('{*}');
    return true;
end $$;

create or replace function agentbridge.hint_agents() returns trigger language plpgsql security definer
as $$
declare told boolean;
begin
    if tg_op operator(pg_catalog.=) 'DELETE' then
        insert into agentbridge.changes (keys)
        select array(select internal from old_rows) where exists (select from old_rows);
    else
        insert into agentbridge.changes (keys)
        select array(select internal from new_rows) where exists (select from new_rows);
    end if;
    if found then
        told := pg_catalog.pg_notify('agentbridge', '') is null;    -- unlike PERFORM this is no query
    end if;
    return null;
end $$;

create function agentbridge.hint_changed_agent() returns trigger language plpgsql security definer
as $$
declare told boolean;
begin
    if pg_catalog.clock_timestamp() operator(pg_catalog.-) pg_catalog.statement_timestamp()
            operator(pg_catalog.>) '20 ms' then
        if agentbridge.noted_with_all() then
            return null;
        end if;
    end if;
    insert into agentbridge.changes (keys) values (array[new.internal]);
    if new.hot_desk then
        -- The telephone where one sits speaks with the agent's name. Who is no such agent any longer has lost the
        -- session, which has its own hint.
        insert into agentbridge.changes (keys)
        select array[t.name] from agentbridge.sessions s
        join agentbridge.telephones t on t.id operator(pg_catalog.=) s.telephone_id
        where s.agent_id operator(pg_catalog.=) new.id;
    end if;
    told := pg_catalog.pg_notify('agentbridge', '') is null;
    return null;
end $$;
drop trigger hint_update on agentbridge.agents;
create trigger hint_update after update of username, full_name, alias, internal, typology, hot_desk, deactivated,
    locked_at, transport, host, nat, sip_type, codecs, caller_id, context, call_group, pickup_group, sip_secret,
    sip_port, sip_expires, voicemail, voicemail_pin, mask_sensitive, chanspy, record_calls, auto_answer,
    auto_answer_delay, ring_in_use, manual_recording, dnd_in_pause, forward_allowed, forward_to, prefix_required,
    may_call, may_spy
    on agentbridge.agents for each row execute function agentbridge.hint_changed_agent();

-- A number that was left must be looked at too; whoever changes it is told of above.
create function agentbridge.hint_left_number() returns trigger language plpgsql security definer
as $$
begin
    insert into agentbridge.changes (keys) values (array[old.internal]);
    return null;
end $$;
create trigger hint_left after update of internal on agentbridge.agents
    for each row execute function agentbridge.hint_left_number();

drop trigger hint_insert on agentbridge.sessions;
drop trigger hint_update on agentbridge.sessions;
drop trigger hint_delete on agentbridge.sessions;
drop function agentbridge.hint_sessions();

-- One that begins, ends or moves: the number and the telephone before and after.
create function agentbridge.hint_session() returns trigger language plpgsql security definer
as $$
declare told boolean;
begin
    insert into agentbridge.changes (keys) values (pg_catalog.array_remove(array[old.internal, new.internal], null));
    if old.telephone_id is not null or new.telephone_id is not null then
        insert into agentbridge.changes (keys)
        select array[t.name] from agentbridge.telephones t
        where t.id operator(pg_catalog.=) old.telephone_id or t.id operator(pg_catalog.=) new.telephone_id;
    end if;
    told := pg_catalog.pg_notify('agentbridge', '') is null;
    return null;
end $$;
create trigger hint_row after insert or delete or update of agent_id, telephone_id on agentbridge.sessions
    for each row execute function agentbridge.hint_session();

create function agentbridge.hint_pause() returns trigger language plpgsql security definer
as $$
declare told boolean;
begin
    if pg_catalog.clock_timestamp() operator(pg_catalog.-) pg_catalog.statement_timestamp()
            operator(pg_catalog.>) '20 ms' then
        if agentbridge.noted_with_all() then
            return null;
        end if;
    end if;
    insert into agentbridge.changes (keys) values (array[new.internal]);
    if new.telephone_id is not null then
        insert into agentbridge.changes (keys)
        select array[t.name] from agentbridge.telephones t where t.id operator(pg_catalog.=) new.telephone_id;
    end if;
    told := pg_catalog.pg_notify('agentbridge', '') is null;
    return null;
end $$;
create trigger hint_update after update of paused, pause_reason on agentbridge.sessions
    for each row execute function agentbridge.hint_pause();

-- The pause of one queue. Where the session has ended with it, that has its own hint.
drop trigger hint_insert on agentbridge.queue_pauses;
drop trigger hint_update on agentbridge.queue_pauses;
drop trigger hint_delete on agentbridge.queue_pauses;

create function agentbridge.hint_queue_pause() returns trigger language plpgsql security definer
as $$
declare told boolean;
begin
    insert into agentbridge.changes (keys)
    select pg_catalog.array_remove(array[s.internal, (
        select t.name from agentbridge.telephones t where t.id operator(pg_catalog.=) s.telephone_id)], null)
    from agentbridge.sessions s
    where s.agent_id operator(pg_catalog.=) new.agent_id or s.agent_id operator(pg_catalog.=) old.agent_id;
    told := pg_catalog.pg_notify('agentbridge', '') is null;
    return null;
end $$;
create trigger hint_row after insert or update or delete on agentbridge.queue_pauses
    for each row execute function agentbridge.hint_queue_pause();

-- As in 0004, but a wrong password alone, of which Asterisk need not know, does not write what it must know.
create or replace function agentbridge.password_failed(username text) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    locked boolean;
    too_many boolean;
begin
    update agents a set failed_logins = failed_logins + 1
    from settings where a.username = password_failed.username
    returning locked_at is not null, lock_after > 0 and failed_logins >= lock_after into locked, too_many;
    if too_many and not locked then
        update agents a set locked_at = clock_timestamp() where a.username = password_failed.username;
        return true;
    end if;
    return coalesce(locked, false);
end $$;

-- A trigger's function is nothing to call, nor to hang on a table of one's own: some run with their owner's rights.
do $$
declare this regprocedure;
begin
    for this in
        select p.oid from pg_proc p join pg_namespace s on s.oid = p.pronamespace
        where s.nspname = 'agentbridge' and (p.prorettype = 'trigger'::regtype or p.proname = 'noted_with_all')
    loop
        execute format('revoke execute on function %s from public', this);
    end loop;
end $$;
