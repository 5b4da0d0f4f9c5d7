-- Whether what is missing was taken away or has vanished.
--
-- Each row that a statement takes away leaves a note in `taken_away`, and takes the note along when it comes back: the
-- daemon then takes it out of Asterisk, however many there are. What is missing without a note has vanished: by TRUNCATE,
-- with triggers switched off, in an older backup, behind a policy that hides rows. Of that the daemon takes out no more
-- than its limit without a confirmation. The same holds for a DELETE that leaves not one agent: nobody means that.

-- A session that begins or ends, by whatever: a verb, a lock, a deactivation, the deletion of its agent or telephone.
create or replace function agentbridge.note_session() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        delete from taken_away t where t.what = 'session' and t.id = new.agent_id::text;
    else
        insert into taken_away (what, id) values ('session', old.agent_id) on conflict do nothing;
    end if;
    return null;
end $$;
create or replace trigger taken_away after insert or delete on agentbridge.sessions
    for each row execute function agentbridge.note_session();

create or replace function agentbridge.note_agents() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        delete from taken_away t using new_rows n where t.what = 'agent' and t.id = n.id::text;
    elsif exists (select from agents) then
        insert into taken_away (what, id) select 'agent', o.id from old_rows o on conflict do nothing;
    end if;
    return null;
end $$;
create or replace trigger taken_away_insert after insert on agentbridge.agents referencing new table as new_rows
    for each statement execute function agentbridge.note_agents();
create or replace trigger taken_away_delete after delete on agentbridge.agents referencing old table as old_rows
    for each statement execute function agentbridge.note_agents();

-- A telephone that is renamed is gone under its old name.
create or replace function agentbridge.note_telephone() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op <> 'INSERT' then
        insert into taken_away (what, id) values ('telephone', old.name) on conflict do nothing;
    end if;
    if tg_op <> 'DELETE' then
        delete from taken_away t where t.what = 'telephone' and t.id = new.name;
    end if;
    return null;
end $$;
create or replace trigger taken_away after insert or delete or update of name on agentbridge.telephones
    for each row execute function agentbridge.note_telephone();

-- Agents and queues, pair by pair, after some of them were taken apart or put together. An agent may still be in the
-- queue directly or by a team; what goes with its agent or its queue is told by these.
create or replace function agentbridge.note_memberships(agent_ids bigint[], queue_ids bigint[]) returns void
language plpgsql
as $$
begin
    insert into agentbridge.taken_away (what, id, queue_id)
    select distinct 'membership', p.agent_id::text, p.queue_id from unnest(agent_ids, queue_ids) p (agent_id, queue_id)
    where exists (select from agentbridge.agents a where a.id = p.agent_id)
        and exists (select from agentbridge.queues q where q.id = p.queue_id)
        and not exists (select from agentbridge.effective_members e
            where e.agent_id = p.agent_id and e.queue_id = p.queue_id)
    on conflict do nothing;
end $$;

create or replace function agentbridge.forget_memberships(agent_ids bigint[], queue_ids bigint[]) returns void
language plpgsql
as $$
begin
    delete from agentbridge.taken_away t using unnest(agent_ids, queue_ids) p (agent_id, queue_id)
    where t.what = 'membership' and t.id = p.agent_id::text and t.queue_id = p.queue_id;
end $$;

create or replace function agentbridge.note_queue_members() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op <> 'INSERT' then
        perform note_memberships(array_agg(agent_id), array_agg(queue_id)) from old_rows;
    end if;
    if tg_op <> 'DELETE' then
        perform forget_memberships(array_agg(agent_id), array_agg(queue_id)) from new_rows;
    end if;
    return null;
end $$;

create or replace function agentbridge.note_team_members() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op <> 'INSERT' then
        perform note_memberships(array_agg(o.agent_id), array_agg(q.queue_id))
        from old_rows o join team_queues q using (team_id);
    end if;
    if tg_op <> 'DELETE' then
        perform forget_memberships(array_agg(n.agent_id), array_agg(q.queue_id))
        from new_rows n join team_queues q using (team_id);
    end if;
    return null;
end $$;

create or replace function agentbridge.note_team_queues() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op <> 'INSERT' then
        perform note_memberships(array_agg(m.agent_id), array_agg(o.queue_id))
        from old_rows o join team_members m using (team_id);
    end if;
    if tg_op <> 'DELETE' then
        perform forget_memberships(array_agg(m.agent_id), array_agg(n.queue_id))
        from new_rows n join team_members m using (team_id);
    end if;
    return null;
end $$;

do $$
declare name text;
begin
    foreach name in array '{queue_members,team_members,team_queues}'::text[] loop
        execute format('create or replace trigger taken_away_insert after insert on agentbridge.%1$I '
            'referencing new table as new_rows for each statement execute function agentbridge.note_%1$s()', name);
        execute format('create or replace trigger taken_away_update after update on agentbridge.%1$I '
            'referencing old table as old_rows new table as new_rows '
            'for each statement execute function agentbridge.note_%1$s()', name);
        execute format('create or replace trigger taken_away_delete after delete on agentbridge.%1$I '
            'referencing old table as old_rows for each statement execute function agentbridge.note_%1$s()', name);
    end loop;
end $$;

-- A team takes its members and its queues along: neither of the two would find the other any more. Its members leave
-- first here, while the queues are there.
create or replace function agentbridge.note_team() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    delete from team_members m where m.team_id = old.id;
    return old;
end $$;
create or replace trigger taken_away before delete on agentbridge.teams
    for each row execute function agentbridge.note_team();

-- What became of these losses, by their place in the arrays, from 1: `vanished`, or `moved` where the agent has the place
-- in the queue by another endpoint now. The others were taken away and are not returned.
-- kinds: endpoint, login or membership, of an endpoint id in Asterisk. agents: the row id of the agent that it serves
-- there, null for a telephone's own endpoint. queues: of memberships, in lower case, else empty. With the caller's rights:
-- a row that a policy hides from the daemon must be missing here too.
create or replace function agentbridge.fates(keys text[], kinds text[], agents bigint[], queues text[])
returns table (number bigint, fate text) language plpgsql stable set search_path = agentbridge, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with judged as (
        select l.number, case
            when l.agent_id is null then case
                when exists (select from telephones o where o.name = l.key) then null
                when exists (select from taken_away n where n.what = 'telephone' and n.id = l.key) then null
                else 'vanished' end
            when a.id is null then case
                when exists (select from taken_away n where n.what = 'agent' and n.id = l.agent_id::text) then null
                else 'vanished' end
            -- a row that is there says itself why it wants no endpoint, or no calls
            when l.kind = 'endpoint' or a.deactivated or a.locked_at is not null then null
            when s.agent_id is null then case
                when exists (select from taken_away n where n.what = 'session' and n.id = l.agent_id::text) then null
                else 'vanished' end
            -- logged in; or the queue itself is not the directory's any more
            when l.kind = 'login' or q.id is null then null
            when coalesce(t.name, a.internal) <> l.key then case when e.agent_id is not null then 'moved' end
            when e.agent_id is not null then null
            when exists (select from taken_away n
                where n.what = 'membership' and n.id = l.agent_id::text and n.queue_id = q.id) then null
            else 'vanished'
        end as fate
        from unnest(fates.keys, fates.kinds, fates.agents, fates.queues)
            with ordinality as l (key, kind, agent_id, queue, number)
        left join agents a on a.id = l.agent_id
        left join sessions s on s.agent_id = l.agent_id
        left join telephones t on t.id = s.telephone_id
        left join queues q on l.queue <> '' and lower(q.name collate "C") = l.queue and q.channel = 'voice'
        left join lateral (
            select m.agent_id from effective_members m where m.agent_id = a.id and m.queue_id = q.id) e on true
    )
    select j.number, j.fate from judged j where j.fate is not null;
end $$;

-- Deletes notes that nobody will ask for, a thousand at a time; returns how many. The note of a session stays as long as
-- its agent, who may have been logged out for months.
create or replace function agentbridge.prune_taken_away(keep interval default '30 days') returns bigint language sql
security definer set search_path = agentbridge, pg_temp
as $$
    with pruned as (
        delete from taken_away t where (t.what, t.id, t.queue_id) in (
            select o.what, o.id, o.queue_id from taken_away o
            where o.at < clock_timestamp() - keep
                and (o.what <> 'session' or not exists (select from agents a where a.id::text = o.id))
            order by o.at limit 1000)
        returning 1)
    select count(*) from pruned
$$;
