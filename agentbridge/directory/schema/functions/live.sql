-- What goes on in calls now: written by the daemon of each node, read by whoever shows it.

-- One batch of a node's changes, at one version; returns it, null when nothing changed. Each of the three is an array of
-- objects with the columns' names, and `gone: true` for a row that is no more; a call that has ended is whole and has
-- `ended_at`. A row that says what is known already keeps
-- its version; an agent in the same state keeps its `since`.
--
-- Versions become visible in their order: of two nodes the second waits for the first one's commit, since a reader that
-- has seen the higher one would never ask for the lower. Each call is a transaction of its own, so that wait is short.
create or replace function agentbridge.live_write(node text, agents jsonb, calls jsonb, queues jsonb)
returns bigint language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    now_ timestamptz := clock_timestamp();
    this_version bigint;
    changed integer := 0;
    n integer;
begin
    perform pg_advisory_xact_lock(hashtext('agentbridge live'));
    if calls = '[]' then    -- of calls the history outlives a crash: Asterisk would not tell of them again
        set local synchronous_commit = off;
    end if;
    this_version := nextval('live_versions');
    insert into live_nodes as l (node, epoch, floor, written_at) values (live_write.node, this_version, this_version, now_)
    on conflict on constraint live_nodes_pkey do update set written_at = excluded.written_at;

    -- A batch is seldom of all three kinds, and a statement about no rows is not free. Who is gone is an array: by a
    -- subquery PostgreSQL would read the whole table, also where nobody is.
    if agents <> '[]' then
        insert into live_agents as l (node, internal, username, state, since, pauses, device, contact, calls, version)
        select live_write.node, r.internal, coalesce(a.username, ''), r.state, r.since, r.pauses, r.device, r.contact,
            r.calls, this_version
        from jsonb_to_recordset(agents) as r (internal text, state text, since timestamptz, pauses jsonb, device text,
                contact boolean, calls integer, gone boolean)
            left join agentbridge.agents a on a.internal = r.internal
        where r.gone is not true
        on conflict on constraint live_agents_pkey do update set username = excluded.username, state = excluded.state,
            since = case when l.state = excluded.state and l.gone_at is null then l.since else excluded.since end,
            pauses = excluded.pauses, device = excluded.device, contact = excluded.contact, calls = excluded.calls,
            gone_at = null, version = excluded.version
        where (l.username, l.state, l.pauses, l.device, l.contact, l.calls, l.gone_at) is distinct from
            (excluded.username, excluded.state, excluded.pauses, excluded.device, excluded.contact, excluded.calls, null);
        get diagnostics n = row_count;
        changed := changed + n;
        update live_agents l set gone_at = now_, version = this_version
        where l.node = live_write.node and l.gone_at is null and l.internal = any (array(
            select r.internal from jsonb_to_recordset(agents) as r (internal text, gone boolean) where r.gone));
        get diagnostics n = row_count;
        changed := changed + n;
    end if;

    if calls <> '[]' then
        insert into live_calls as l (node, channel, linkedid, internal, username, direction, queue, number, name, rang_at,
            answered_at, answered_elsewhere, held_at, recording, parts, spied_by, gone_at, version)
        select live_write.node, r.channel, r.linkedid, r.internal, coalesce(a.username, ''), r.direction, r.queue, r.number,
            r.name, r.rang_at, r.answered_at, coalesce(r.answered_elsewhere, false), r.held_at, r.recording, r.parts,
            r.spied_by, case when r.gone then now_ end, this_version
        from jsonb_to_recordset(calls) as r (channel text, linkedid text, internal text, direction text, queue text,
                number text, name text, rang_at timestamptz, answered_at timestamptz, answered_elsewhere boolean,
                held_at timestamptz, recording text, parts smallint[], spied_by text[], gone boolean)
            left join agentbridge.agents a on a.internal = r.internal
        where r.gone is not true or r.rang_at is not null
        on conflict on constraint live_calls_pkey do update set linkedid = excluded.linkedid, internal = excluded.internal,
            username = excluded.username, direction = excluded.direction, queue = excluded.queue, number = excluded.number,
            name = excluded.name, rang_at = least(l.rang_at, excluded.rang_at),
            answered_at = least(l.answered_at, excluded.answered_at), answered_elsewhere = excluded.answered_elsewhere,
            held_at = case when excluded.held_at is null then null else coalesce(l.held_at, excluded.held_at) end,
            recording = excluded.recording, parts = excluded.parts, spied_by = excluded.spied_by,
            gone_at = excluded.gone_at, version = excluded.version
        where (l.linkedid, l.internal, l.username, l.direction, l.queue, l.number, l.name, l.answered_at is null,
                l.held_at is null, l.recording, l.parts, l.spied_by, l.gone_at is null) is distinct from
            (excluded.linkedid, excluded.internal, excluded.username, excluded.direction, excluded.queue, excluded.number,
                excluded.name, excluded.answered_at is null, excluded.held_at is null, excluded.recording, excluded.parts,
                excluded.spied_by, excluded.gone_at is null);
        get diagnostics n = row_count;
        changed := changed + n;
        update live_calls l set gone_at = now_, version = this_version
        where l.node = live_write.node and l.gone_at is null and l.channel = any (array(
            select r.channel from jsonb_to_recordset(calls) as r (channel text, gone boolean) where r.gone));
        get diagnostics n = row_count;
        changed := changed + n;
        insert into ended_calls (node, channel, linkedid, agent_id, internal, direction, queue, number, name, rang_at,
            answered_at, answered_elsewhere, ended_at)
        select l.node, l.channel, l.linkedid, a.id, l.internal, l.direction, l.queue, l.number, l.name, l.rang_at,
            l.answered_at, l.answered_elsewhere, coalesce(r.ended_at, now_)
        from jsonb_to_recordset(calls) as r (channel text, ended_at timestamptz, gone boolean)
            join live_calls l on l.node = live_write.node and l.channel = r.channel
            left join agents a on a.internal = l.internal
        where r.gone
        on conflict do nothing;
    end if;

    if queues <> '[]' then
        insert into live_queues as l (node, queue, waiting, longest_since, ready, paused, talking, day, answered, abandoned,
            in_level, level_seconds, version)
        select live_write.node, r.queue, r.waiting, r.longest_since, r.ready, r.paused, r.talking, r.day, r.answered,
            r.abandoned, r.in_level, r.level_seconds, this_version
        from jsonb_to_recordset(queues) as r (queue text, waiting integer, longest_since timestamptz, ready integer,
            paused integer, talking integer, day date, answered integer, abandoned integer, in_level integer,
            level_seconds integer, gone boolean)
        where r.gone is not true
        on conflict on constraint live_queues_pkey do update set waiting = excluded.waiting,
            longest_since = excluded.longest_since, ready = excluded.ready, paused = excluded.paused,
            talking = excluded.talking, day = excluded.day, answered = excluded.answered, abandoned = excluded.abandoned,
            in_level = excluded.in_level, level_seconds = excluded.level_seconds, gone_at = null, version = excluded.version
        where (l.waiting, l.longest_since, l.ready, l.paused, l.talking, l.day, l.answered, l.abandoned, l.in_level,
                l.level_seconds, l.gone_at) is distinct from
            (excluded.waiting, excluded.longest_since, excluded.ready, excluded.paused, excluded.talking, excluded.day,
                excluded.answered, excluded.abandoned, excluded.in_level, excluded.level_seconds, null);
        get diagnostics n = row_count;
        changed := changed + n;
        insert into queue_days as d (node, queue, day, answered, abandoned, in_level)
        select live_write.node, r.queue, r.day, r.answered, r.abandoned, r.in_level
        from jsonb_to_recordset(queues) as r (queue text, day date, answered integer, abandoned integer, in_level integer,
            gone boolean)
        where r.gone is not true and (r.answered > 0 or r.abandoned > 0)
        on conflict on constraint queue_days_pkey do update set answered = excluded.answered, abandoned = excluded.abandoned,
            in_level = excluded.in_level
        where (d.answered, d.abandoned, d.in_level) is distinct from
            (excluded.answered, excluded.abandoned, excluded.in_level);
        update live_queues l set gone_at = now_, version = this_version
        where l.node = live_write.node and l.gone_at is null and l.queue = any (array(
            select r.queue from jsonb_to_recordset(queues) as r (queue text, gone boolean) where r.gone));
        get diagnostics n = row_count;
        changed := changed + n;
    end if;

    if changed = 0 then
        return null;
    end if;
    notify agentbridge_live;
    return this_version;
end $$;

-- After everything was written: what is not named here is gone, and what has been for a minute is forgotten. Returns the
-- version, null when nothing changed.
create or replace function agentbridge.live_keep(node text, agents text[], calls text[], queues text[])
returns bigint language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    now_ timestamptz := clock_timestamp();
    this_version bigint;
    changed integer := 0;
    n integer;
begin
    perform pg_advisory_xact_lock(hashtext('agentbridge live'));
    set local synchronous_commit = off;
    this_version := nextval('live_versions');
    update live_agents l set gone_at = now_, version = this_version
    where l.node = live_keep.node and l.gone_at is null and l.internal not in (select unnest(agents));
    get diagnostics n = row_count;
    changed := changed + n;
    update live_calls l set gone_at = now_, version = this_version
    where l.node = live_keep.node and l.gone_at is null and l.channel not in (select unnest(calls));
    get diagnostics n = row_count;
    changed := changed + n;
    -- these ended while no daemon looked: now is when it is known
    insert into ended_calls (node, channel, linkedid, agent_id, internal, direction, queue, number, name, rang_at,
        answered_at, answered_elsewhere, ended_at)
    select l.node, l.channel, l.linkedid, a.id, l.internal, l.direction, l.queue, l.number, l.name, l.rang_at,
        l.answered_at, l.answered_elsewhere, now_
    from live_calls l left join agents a on a.internal = l.internal
    where l.node = live_keep.node and l.version = this_version and l.gone_at is not null
    on conflict do nothing;
    if found then
        set local synchronous_commit = on;
    end if;
    update live_queues l set gone_at = now_, version = this_version
    where l.node = live_keep.node and l.gone_at is null and l.queue not in (select unnest(queues));
    get diagnostics n = row_count;
    changed := changed + n;
    perform live_forget(live_keep.node, now_ - interval '1 minute');
    if changed = 0 then
        return null;
    end if;
    notify agentbridge_live;
    return this_version;
end $$;

-- Rows that were gone before that moment; readers that are older than them must begin anew.
create or replace function agentbridge.live_forget(node text, before timestamptz) returns void language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare newest bigint;
begin
    with a as (delete from live_agents l where l.node = live_forget.node and l.gone_at < before returning l.version),
        c as (delete from live_calls l where l.node = live_forget.node and l.gone_at < before returning l.version),
        q as (delete from live_queues l where l.node = live_forget.node and l.gone_at < before returning l.version)
    select max(version) into newest from (select * from a union all select * from c union all select * from q) gone;
    update live_nodes l set floor = greatest(l.floor, newest) where l.node = live_forget.node and newest is not null;
end $$;

-- The counts of that day, for a daemon that starts in the middle of it.
create or replace function agentbridge.live_day(node text, day date)
returns table (queue text, answered integer, abandoned integer, in_level integer) language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
begin
    return query select d.queue, d.answered, d.abandoned, d.in_level from queue_days d
        where d.node = live_day.node and d.day = live_day.day;
end $$;

-- A daemon that has said nothing for so long counts as silent: what it said last may not be so any more.
create or replace function agentbridge.silent_after() returns interval language sql immutable
set search_path = agentbridge, pg_temp
as $$ select interval '15 seconds' $$;

-- The nodes whose rows are shown. A row of a node that is silent, or whose Asterisk is away, is stale, and says so. What a
-- node that is lost or retired said is over.
create or replace view agentbridge.live_shown_nodes as
select l.node, l.epoch, l.floor,
    l.written_at < clock_timestamp() - agentbridge.silent_after() or n.asterisk_up is false as stale
from agentbridge.live_nodes l left join agentbridge.nodes n on n.node = l.node
where n.lost_at is null and n.retired_at is null;
create or replace view agentbridge.live_agent_states as
select l.*, n.stale from agentbridge.live_agents l join agentbridge.live_shown_nodes n using (node) where l.gone_at is null;
create or replace view agentbridge.live_running_calls as
select l.*, n.stale from agentbridge.live_calls l join agentbridge.live_shown_nodes n using (node) where l.gone_at is null;
create or replace view agentbridge.live_queue_states as
select l.*, n.stale from agentbridge.live_queues l join agentbridge.live_shown_nodes n using (node) where l.gone_at is null;
