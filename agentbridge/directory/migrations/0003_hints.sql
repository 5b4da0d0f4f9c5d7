-- Which keys to look at again: internal numbers and telephone names whose rows changed in a column that
-- Asterisk must know of. Statement level and with a constant payload: NOTIFY takes a lock until commit,
-- and the server drops what is the same within a transaction.
-- The writers' roles need no right to the change table, so these functions run with their owner's.

create function agentbridge.note(touched text[]) returns void language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    -- a key that is named twice is no harm: whoever reads them takes each once
    touched := array_remove(touched, null);
    if cardinality(touched) > 0 then
        insert into changes (keys) values (touched);
        perform pg_notify('agentbridge', '');
    end if;
end $$;

-- an agent's number, and the telephone that it is bound to
create function agentbridge.keys_of(ids bigint[]) returns text[] language plpgsql stable security definer
set search_path = agentbridge, pg_temp
as $$
begin
    return (select array_agg(a.internal) from agents a where a.id = any (ids)) || (
        select array_agg(t.name) from sessions s join telephones t on t.id = s.telephone_id
        where s.agent_id = any (ids) and s.telephone_id is not null);
end $$;

create function agentbridge.hint_everything() returns trigger language plpgsql
as $$ begin perform agentbridge.note('{*}'); return null; end $$;

create function agentbridge.hint_agents() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare
    ids bigint[];
    numbers text[];
begin
    if tg_op = 'INSERT' then
        perform note((select array_agg(internal) from new_rows));
        return null;
    elsif tg_op = 'DELETE' then
        perform note((select array_agg(internal) from old_rows));
        return null;
    end if;
    if (select count(*) from (select from new_rows limit 101) sample) > 100 then
        -- Comparing thousands of rows costs the writer more than a look at what did not change costs us;
        -- and the plan of the join below is made once, for few rows.
        select array_agg(internal) into numbers from new_rows;
        select numbers || array_agg(internal), array_agg(id) filter (where hot_desk) into numbers, ids from old_rows;
    else
        -- a number that was left must be looked at too
        select array_agg(n.internal) || array_agg(o.internal), array_agg(n.id) filter (where n.hot_desk or o.hot_desk)
        into numbers, ids
        from new_rows n join old_rows o on o.id = n.id
        where (
            n.username, n.full_name, n.alias, n.internal, n.typology, n.voicemail,
            n.voicemail_pin, n.deactivated, n.locked_at is null, n.hot_desk, n.mask_sensitive,
            n.transport, n.host, n.nat, n.sip_type, n.codecs, n.caller_id, n.context,
            n.call_group, n.pickup_group, n.chanspy, n.record_calls, n.sip_secret,
            n.sip_expires, n.auto_answer, n.auto_answer_delay, n.ring_in_use,
            n.manual_recording, n.dnd_in_pause, n.forward_allowed, n.forward_to,
            n.prefix_required, n.may_call, n.may_spy
        ) is distinct from (
            o.username, o.full_name, o.alias, o.internal, o.typology, o.voicemail,
            o.voicemail_pin, o.deactivated, o.locked_at is null, o.hot_desk, o.mask_sensitive,
            o.transport, o.host, o.nat, o.sip_type, o.codecs, o.caller_id, o.context,
            o.call_group, o.pickup_group, o.chanspy, o.record_calls, o.sip_secret,
            o.sip_expires, o.auto_answer, o.auto_answer_delay, o.ring_in_use,
            o.manual_recording, o.dnd_in_pause, o.forward_allowed, o.forward_to,
            o.prefix_required, o.may_call, o.may_spy
        );
    end if;
    if ids is not null then
        numbers := numbers || (select array_agg(t.name) from sessions s join telephones t on t.id = s.telephone_id
            where s.agent_id = any (ids));
    end if;
    perform note(numbers);
    return null;
end $$;
create trigger hint_insert after insert on agentbridge.agents referencing new table as new_rows
    for each statement execute function agentbridge.hint_agents();
create trigger hint_update after update on agentbridge.agents referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_agents();
create trigger hint_delete after delete on agentbridge.agents referencing old table as old_rows
    for each statement execute function agentbridge.hint_agents();

create function agentbridge.hint_telephones() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        perform note((select array_agg(name) from new_rows));
    elsif tg_op = 'DELETE' then
        perform note((select array_agg(name) from old_rows));
    else
        -- not `registered`: that comes from Asterisk
        perform note((select array_agg(distinct name) from (
            (select id, name, transport, host, nat, sip_type, codecs, caller_id, context, call_group,
                pickup_group, sip_secret, sip_expires from new_rows
            except select id, name, transport, host, nat, sip_type, codecs, caller_id, context, call_group,
                pickup_group, sip_secret, sip_expires from old_rows)
            union all
            (select id, name, transport, host, nat, sip_type, codecs, caller_id, context, call_group,
                pickup_group, sip_secret, sip_expires from old_rows
            except select id, name, transport, host, nat, sip_type, codecs, caller_id, context, call_group,
                pickup_group, sip_secret, sip_expires from new_rows)
        ) changed));
    end if;
    return null;
end $$;
create trigger hint_insert after insert on agentbridge.telephones referencing new table as new_rows
    for each statement execute function agentbridge.hint_telephones();
create trigger hint_update after update on agentbridge.telephones
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_telephones();
create trigger hint_delete after delete on agentbridge.telephones referencing old table as old_rows
    for each statement execute function agentbridge.hint_telephones();

create function agentbridge.hint_sessions() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare
    ids bigint[];
    phones bigint[];
begin
    if tg_op = 'INSERT' then
        select array_agg(agent_id), array_agg(telephone_id) into ids, phones from new_rows;
    elsif tg_op = 'DELETE' then
        select array_agg(agent_id), array_agg(telephone_id) into ids, phones from old_rows;
    else
        select array_agg(distinct agent_id), array_agg(distinct telephone_id) into ids, phones from (
            (select agent_id, telephone_id, paused, pause_reason from new_rows
            except select agent_id, telephone_id, paused, pause_reason from old_rows)
            union all
            (select agent_id, telephone_id, paused, pause_reason from old_rows
            except select agent_id, telephone_id, paused, pause_reason from new_rows)
        ) changed;
    end if;
    if ids is not null then
        perform note((select array_agg(key) from (
            select internal as key from agents where id = any (ids)
            union select name from telephones where id = any (phones)) k));
    end if;
    return null;
end $$;
create trigger hint_insert after insert on agentbridge.sessions referencing new table as new_rows
    for each statement execute function agentbridge.hint_sessions();
create trigger hint_update after update on agentbridge.sessions
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_sessions();
create trigger hint_delete after delete on agentbridge.sessions referencing old table as old_rows
    for each statement execute function agentbridge.hint_sessions();

-- rows that have an agent_id: direct memberships, memberships of teams, pauses of one queue
create function agentbridge.hint_agent_rows() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare ids bigint[];
begin
    if tg_op <> 'DELETE' then
        select array_agg(agent_id) into ids from new_rows;
    end if;
    if tg_op <> 'INSERT' then
        ids := ids || (select array_agg(agent_id) from old_rows);
    end if;
    if ids is not null then
        perform note(keys_of(ids));
    end if;
    return null;
end $$;
create trigger hint_insert after insert on agentbridge.queue_members referencing new table as new_rows
    for each statement execute function agentbridge.hint_agent_rows();
create trigger hint_update after update on agentbridge.queue_members
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_agent_rows();
create trigger hint_delete after delete on agentbridge.queue_members referencing old table as old_rows
    for each statement execute function agentbridge.hint_agent_rows();
create trigger hint_insert after insert on agentbridge.team_members referencing new table as new_rows
    for each statement execute function agentbridge.hint_agent_rows();
create trigger hint_update after update on agentbridge.team_members
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_agent_rows();
create trigger hint_delete after delete on agentbridge.team_members referencing old table as old_rows
    for each statement execute function agentbridge.hint_agent_rows();
create trigger hint_insert after insert on agentbridge.queue_pauses referencing new table as new_rows
    for each statement execute function agentbridge.hint_agent_rows();
create trigger hint_update after update on agentbridge.queue_pauses
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_agent_rows();
create trigger hint_delete after delete on agentbridge.queue_pauses referencing old table as old_rows
    for each statement execute function agentbridge.hint_agent_rows();

create function agentbridge.hint_team_queues() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare ids bigint[];
begin
    if tg_op <> 'DELETE' then
        select array_agg(team_id) into ids from new_rows;
    end if;
    if tg_op <> 'INSERT' then
        ids := ids || (select array_agg(team_id) from old_rows);
    end if;
    if ids is not null then
        perform note(keys_of((select array_agg(distinct agent_id) from team_members where team_id = any (ids))));
    end if;
    return null;
end $$;
create trigger hint_insert after insert on agentbridge.team_queues referencing new table as new_rows
    for each statement execute function agentbridge.hint_team_queues();
create trigger hint_update after update on agentbridge.team_queues
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_team_queues();
create trigger hint_delete after delete on agentbridge.team_queues referencing old table as old_rows
    for each statement execute function agentbridge.hint_team_queues();

-- A new queue has no members yet, and a deleted one takes its members' rows with it, each with its own hint.
-- What is listed as ours changes with both, so the daemon must look at all: the key `*`.
create function agentbridge.hint_queues() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if exists (select name, channel from new_rows except select name, channel from old_rows) then
        perform note('{*}');
    end if;
    return null;
end $$;
create trigger hint_insert after insert on agentbridge.queues
    for each statement execute function agentbridge.hint_everything();
create trigger hint_delete after delete on agentbridge.queues
    for each statement execute function agentbridge.hint_everything();
create trigger hint_update after update on agentbridge.queues
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_queues();

create function agentbridge.hint_settings() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.mask_characters <> old.mask_characters or new.internal_from <> old.internal_from
            or new.internal_to <> old.internal_to then
        perform note('{*}');
    end if;
    return null;
end $$;
create trigger hint_update after update on agentbridge.settings
    for each row execute function agentbridge.hint_settings();

do $$
declare name text;
begin
    foreach name in array '{agents,telephones,sessions,queue_members,queue_pauses,queues,teams,team_members,team_queues}'::text[]
    loop
        execute format('create trigger hint_truncate after truncate on agentbridge.%I
            for each statement execute function agentbridge.hint_everything()', name);
    end loop;
end $$;

-- A queue that left the directory was ours a moment ago: its members must still be taken out of Asterisk.
create function agentbridge.retire_queue() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    insert into retired_queues (name) values (old.name)
    on conflict (name) do update set retired_at = now();
    return null;
end $$;
create trigger retire after delete on agentbridge.queues
    for each row execute function agentbridge.retire_queue();
create trigger retire_old_name after update of name, channel on agentbridge.queues
    for each row when (old.name <> new.name or (old.channel = 'voice' and new.channel <> 'voice'))
    execute function agentbridge.retire_queue();
