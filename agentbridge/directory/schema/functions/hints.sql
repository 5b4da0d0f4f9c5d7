-- Hints: which keys (internal numbers and telephone names) to look at again, never what has changed. Each is a row of
-- `changes` and a notification, of which a transaction sends one for each payload however many it asks for. The payload
-- is empty, or 'pause' where all that changed is whether an agent is on pause: the most frequent change, and of which
-- little has to be read.
--
-- An agent or a telephone is noted only when a column is set that Asterisk must know, row by row. What comes in
-- thousands, such as new agents, memberships and a shift that goes on pause, is noted once for each statement.
--
-- A key is looked up with a lock (for key share): if another transaction is giving the agent a new number or the
-- telephone a new name, this one waits and notes the new one. Without it each would note what the other has left. For a
-- session, which changes most often, it is the other way round: a new number or name writes the session too.

-- These four run with the rights and the search path of the trigger that calls them. Left to itself, PostgreSQL would plan
-- what looks up some ids anew at each call, which takes far longer than finding one.
create or replace function agentbridge.note(touched text[], only_pause boolean default false) returns void
language plpgsql
as $$
begin
    -- a key that is named twice does no harm: whoever reads them takes each once
    touched := array_remove(touched, null);
    if cardinality(touched) > 0 then
        insert into agentbridge.changes (keys, only_pause) values (touched, note.only_pause);
        perform pg_notify('agentbridge', case when only_pause then 'pause' else '' end);
    end if;
end $$;

-- The internal numbers of these agents.
create or replace function agentbridge.numbers_of(ids bigint[]) returns text[] language plpgsql
set plan_cache_mode = force_generic_plan
as $$
begin
    return array(select a.internal from agentbridge.agents a where a.id = any (ids) for key share);
end $$;

-- The names of these telephones.
create or replace function agentbridge.names_of(ids bigint[]) returns text[] language plpgsql
set plan_cache_mode = force_generic_plan
as $$
begin
    return array(select t.name from agentbridge.telephones t where t.id = any (ids) for key share);
end $$;

-- The telephones where these agents sit.
create or replace function agentbridge.telephones_of(ids bigint[]) returns bigint[] language plpgsql
set plan_cache_mode = force_generic_plan
as $$
begin
    return array(
        select s.telephone_id from agentbridge.sessions s
        where s.agent_id = any (ids) and s.telephone_id is not null);
end $$;

-- The key `*`: look at everything.
create or replace function agentbridge.hint_everything() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform note('{*}');
    return null;
end $$;

-- Agents that are new or gone. A session that goes with its agent has its own hint.
create or replace function agentbridge.hint_agents() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        perform note(array(select internal from new_rows));
    else
        perform note(array(select internal from old_rows));
    end if;
    return null;
end $$;
create or replace trigger hint_insert after insert on agentbridge.agents referencing new table as new_rows
    for each statement execute function agentbridge.hint_agents();
create or replace trigger hint_delete after delete on agentbridge.agents referencing old table as old_rows
    for each statement execute function agentbridge.hint_agents();

-- An agent's number now and before, and the telephone where a hot-desk agent sits, which speaks with the agent's name.
create or replace function agentbridge.hint_agent() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.internal <> old.internal then
        update sessions set agent_id = agent_id where agent_id = new.id;    -- see hint_sessions
    end if;
    perform note(array[new.internal]
        || case when new.internal <> old.internal then old.internal end
        || case when new.hot_desk then names_of(telephones_of(array[new.id])) end);
    return null;
end $$;
-- A test compares these columns with those that the daemon reads.
create or replace trigger hint_update after update of username, full_name, alias, internal, typology, hot_desk,
    deactivated, locked_at, transport, host, nat, sip_type, codecs, caller_id, context, call_group, pickup_group,
    sip_secret, sip_port, sip_expires, voicemail, voicemail_pin, mask_sensitive, chanspy, record_calls, record_made_calls,
    auto_answer,
    auto_answer_delay, ring_in_use, manual_recording, dnd_in_pause, forward_allowed, forward_to, prefix_required,
    may_call, may_spy
    on agentbridge.agents for each row execute function agentbridge.hint_agent();

-- A prefix is new, gone or another one: it concerns the agents that must choose one.
create or replace function agentbridge.hint_prefixes() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform note(array(select a.internal from agents a where a.prefix_required));
    return null;
end $$;
create or replace trigger hint_change after insert or update of prefix or delete or truncate on agentbridge.prefixes
    for each statement execute function agentbridge.hint_prefixes();

-- Telephones that are new or gone.
create or replace function agentbridge.hint_telephones() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        perform note(array(select name from new_rows));
    else
        perform note(array(select name from old_rows));
    end if;
    return null;
end $$;
create or replace trigger hint_insert after insert on agentbridge.telephones referencing new table as new_rows
    for each statement execute function agentbridge.hint_telephones();
create or replace trigger hint_delete after delete on agentbridge.telephones referencing old table as old_rows
    for each statement execute function agentbridge.hint_telephones();

-- A telephone's name now and before; the number of who sits there, whose calls go to that name, comes with the session.
-- Not `registered`, which the daemon itself writes.
create or replace function agentbridge.hint_telephone() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.name <> old.name then
        update sessions set telephone_id = telephone_id where telephone_id = new.id;    -- see hint_sessions
    end if;
    perform note(array[old.name, new.name]);
    return null;
end $$;
create or replace trigger hint_update after update of name, transport, host, nat, sip_type, codecs, caller_id, context,
    call_group, pickup_group, sip_secret, sip_expires
    on agentbridge.telephones for each row execute function agentbridge.hint_telephone();

-- Sessions that begin, end, move or are paused: the numbers and the telephones as they are now. Whoever changes such a
-- number or name writes the session, and so comes before this transaction or after it: no lock is needed here.
create or replace function agentbridge.hint_sessions() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare
    these text[] := array(select (select a.internal from agents a where a.id = s.agent_id) from touched s)
        || array(select (select t.name from telephones t where t.id = s.telephone_id) from touched s
            where s.telephone_id is not null);
begin
    if tg_op <> 'UPDATE' then
        perform note(these);
    -- not where anything else can have been the reason for writing one of the sessions
    elsif exists (
        select from touched s where not exists (
            select from before b where b.agent_id = s.agent_id and b.telephone_id is not distinct from s.telephone_id
                and (b.paused, b.pause_reason) is distinct from (s.paused, s.pause_reason)))
    then
        perform note(these);
    else
        perform note(these, only_pause => true);
    end if;
    return null;
end $$;
create or replace trigger hint_insert after insert on agentbridge.sessions referencing new table as touched
    for each statement execute function agentbridge.hint_sessions();
create or replace trigger hint_update after update on agentbridge.sessions
    referencing old table as before new table as touched
    for each statement execute function agentbridge.hint_sessions();
create or replace trigger hint_delete after delete on agentbridge.sessions referencing old table as touched
    for each statement execute function agentbridge.hint_sessions();

-- Where a session was that moves.
create or replace function agentbridge.hint_moved() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform note(numbers_of(array[old.agent_id]) || names_of(array[old.telephone_id]));
    return null;
end $$;
create or replace trigger hint_moved after update of agent_id, telephone_id on agentbridge.sessions
    for each row when ((old.agent_id, old.telephone_id) is distinct from (new.agent_id, new.telephone_id))
    execute function agentbridge.hint_moved();

-- The pause of one queue. Of one that ends with its agent nothing is found, and the agent has its own hint.
create or replace function agentbridge.hint_queue_pause() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare ids bigint[] := array[old.agent_id, new.agent_id];
begin
    perform note(numbers_of(ids) || names_of(telephones_of(ids)));
    return null;
end $$;
create or replace trigger hint_row after insert or update or delete on agentbridge.queue_pauses
    for each row execute function agentbridge.hint_queue_pause();

-- Who is in which queue or team.
create or replace function agentbridge.hint_memberships() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare ids bigint[] := '{}';
begin
    if tg_op <> 'DELETE' then
        ids := array(select distinct agent_id from new_rows);
    end if;
    if tg_op <> 'INSERT' then
        ids := ids || array(select distinct agent_id from old_rows);
    end if;
    perform note(numbers_of(ids) || names_of(telephones_of(ids)));
    return null;
end $$;
create or replace trigger hint_insert after insert on agentbridge.queue_members referencing new table as new_rows
    for each statement execute function agentbridge.hint_memberships();
create or replace trigger hint_update after update on agentbridge.queue_members
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_memberships();
create or replace trigger hint_delete after delete on agentbridge.queue_members referencing old table as old_rows
    for each statement execute function agentbridge.hint_memberships();
create or replace trigger hint_insert after insert on agentbridge.team_members referencing new table as new_rows
    for each statement execute function agentbridge.hint_memberships();
create or replace trigger hint_update after update on agentbridge.team_members
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_memberships();
create or replace trigger hint_delete after delete on agentbridge.team_members referencing old table as old_rows
    for each statement execute function agentbridge.hint_memberships();

-- The queues of a team: all of its members.
create or replace function agentbridge.hint_team_queues() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare
    teams bigint[] := '{}';
    ids bigint[];
begin
    if tg_op <> 'DELETE' then
        teams := array(select distinct team_id from new_rows);
    end if;
    if tg_op <> 'INSERT' then
        teams := teams || array(select distinct team_id from old_rows);
    end if;
    ids := array(select distinct m.agent_id from team_members m where m.team_id = any (teams));
    perform note(numbers_of(ids) || names_of(telephones_of(ids)));
    return null;
end $$;
create or replace trigger hint_insert after insert on agentbridge.team_queues referencing new table as new_rows
    for each statement execute function agentbridge.hint_team_queues();
create or replace trigger hint_update after update on agentbridge.team_queues
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_team_queues();
create or replace trigger hint_delete after delete on agentbridge.team_queues referencing old table as old_rows
    for each statement execute function agentbridge.hint_team_queues();

-- A new queue has no members yet, and a deleted one takes its members' rows with it, each with its own hint. But what
-- is listed as ours changes with both, so everything must be looked at.
create or replace trigger hint_insert after insert on agentbridge.queues
    for each statement execute function agentbridge.hint_everything();
create or replace trigger hint_delete after delete on agentbridge.queues
    for each statement execute function agentbridge.hint_everything();
create or replace trigger hint_update after update of name, channel on agentbridge.queues
    for each row when ((old.name, old.channel) is distinct from (new.name, new.channel))
    execute function agentbridge.hint_everything();

create or replace trigger hint_update after update of mask_characters, internal_from, internal_to
    on agentbridge.settings
    for each row when ((old.mask_characters, old.internal_from, old.internal_to)
        is distinct from (new.mask_characters, new.internal_from, new.internal_to))
    execute function agentbridge.hint_everything();

do $$
declare name text;
begin
    foreach name in array
        '{agents,telephones,sessions,queue_members,queue_pauses,queues,teams,team_members,team_queues}'::text[]
    loop
        execute format('create or replace trigger hint_truncate after truncate on agentbridge.%I '
            'for each statement execute function agentbridge.hint_everything()', name);
    end loop;
end $$;

-- For whoever has read all of the directory and asks whether that would be the same again: another text after whatever
-- was written in the tables above, also where their triggers were disabled. Each row's xmin is the transaction that wrote
-- it: a new one makes the sum greater, and without a row there are fewer. Of nodes only what concerns others counts,
-- since each beats its heart there. 20 ms for 10,000 agents with 50,000 memberships.
create or replace function agentbridge.fingerprint() returns text language plpgsql stable security definer
set search_path = agentbridge, pg_temp
as $$
declare
    name text;
    found text;
    everything text := (select string_agg(n::text, ' ' order by node) from (
        select node, sip_host, sip_port, serves_queues, lost_at, retired_at from nodes) n);
begin
    foreach name in array '{agents,telephones,sessions,queue_members,queue_pauses,queues,retired_queues,teams,
        team_members,team_queues,prefixes,settings,device_locations}'::text[]
    loop
        execute format('select count(*) || $f$/$f$ || coalesce(sum(xmin::text::bigint), 0) from agentbridge.%I', name)
            into found;
        everything := concat_ws(' ', everything, found);
    end loop;
    return md5(everything);
end $$;
