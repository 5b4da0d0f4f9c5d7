-- The hints as in 0003, for less of the writer's time. What a change costs is mostly how many queries are started for
-- it, so each trigger finds its keys and writes them in one. Agents and sessions are no longer compared with what
-- they were: a hint about what Asterisk need not know costs the daemon a look, which finds nothing to write.
--
-- A plan is made once for a connection, from the first change that it sees. So what is looked up for a row is a
-- subquery on that row: the plan of a join made for one row can be bad for thousands, or the other way round. And no
-- jit: a plan made for thousands would be compiled again for each single row. Nor is there a variable in a query: for
-- an array of a few keys it would be planned anew each time.
--
-- `offset 0` keeps the keys from being found twice, once to write them and once to see that there are some.
-- pg_notify() in an expression, unlike PERFORM, is no query.

create or replace function agentbridge.note(touched text[]) returns void language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare told boolean;
begin
    -- a key that is named twice is no harm: whoever reads them takes each once
    touched := array_remove(touched, null);
    if touched <> '{}' then
        insert into changes (keys) values (touched);
        told := pg_notify('agentbridge', '') is null;
    end if;
end $$;

create or replace function agentbridge.hint_agents() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp set jit = off
as $$
declare told boolean;
begin
    if tg_op = 'INSERT' then
        insert into changes (keys) select array(select internal from new_rows) where exists (select from new_rows);
    elsif tg_op = 'DELETE' then
        insert into changes (keys) select array(select internal from old_rows) where exists (select from old_rows);
    else
        insert into changes (keys) select keys from (select array_remove(array(
            select internal from new_rows
            union all
            -- a number that was left must be looked at too
            select internal from old_rows
            union all
            -- who is no hot-desk agent any longer has lost the session, which has its own hint
            select (select t.name from sessions s join telephones t on t.id = s.telephone_id where s.agent_id = n.id)
            from new_rows n where n.hot_desk
        ), null) as keys offset 0) touched where keys <> '{}';
    end if;
    if found then
        told := pg_notify('agentbridge', '') is null;
    end if;
    return null;
end $$;

create or replace function agentbridge.hint_telephones() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp set jit = off
as $$
declare told boolean;
begin
    if tg_op = 'INSERT' then
        insert into changes (keys) select array(select name from new_rows) where exists (select from new_rows);
    elsif tg_op = 'DELETE' then
        insert into changes (keys) select array(select name from old_rows) where exists (select from old_rows);
    else
        -- Not `registered`, which the daemon itself writes. A row that is the same before and after is there twice.
        insert into changes (keys) select keys from (select array_remove(array(
            select name from (
                select id, name, transport, host, nat, sip_type, codecs, caller_id, context, call_group,
                    pickup_group, sip_secret, sip_expires from new_rows
                union all
                select id, name, transport, host, nat, sip_type, codecs, caller_id, context, call_group,
                    pickup_group, sip_secret, sip_expires from old_rows
            ) both_rows
            group by id, name, transport, host, nat, sip_type, codecs, caller_id, context, call_group,
                pickup_group, sip_secret, sip_expires
            having count(*) = 1
            union all
            -- who sits at one takes the calls under its name
            select (select a.internal from sessions s join agents a on a.id = s.agent_id where s.telephone_id = n.id)
            from new_rows n where (n.id, n.name) not in (select id, name from old_rows)
        ), null) as keys offset 0) touched where keys <> '{}';
    end if;
    if found then
        told := pg_notify('agentbridge', '') is null;
    end if;
    return null;
end $$;

create or replace function agentbridge.hint_sessions() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp set jit = off
as $$
declare told boolean;
begin
    if tg_op = 'INSERT' then
        insert into changes (keys) select keys from (select array_remove(array(
            select (select a.internal from agents a where a.id = n.agent_id) from new_rows n
            union all
            select (select t.name from telephones t where t.id = n.telephone_id)
            from new_rows n where n.telephone_id is not null
        ), null) as keys offset 0) touched where keys <> '{}';
    elsif tg_op = 'DELETE' then
        insert into changes (keys) select keys from (select array_remove(array(
            select (select a.internal from agents a where a.id = o.agent_id) from old_rows o
            union all
            select (select t.name from telephones t where t.id = o.telephone_id)
            from old_rows o where o.telephone_id is not null
        ), null) as keys offset 0) touched where keys <> '{}';
    else
        insert into changes (keys) select keys from (select array_remove(array(
            select (select a.internal from agents a where a.id = b.agent_id)
            from (select agent_id from new_rows union all select agent_id from old_rows) b
            union all
            select (select t.name from telephones t where t.id = b.telephone_id)
            from (select telephone_id from new_rows union all select telephone_id from old_rows) b
            where b.telephone_id is not null
        ), null) as keys offset 0) touched where keys <> '{}';
    end if;
    if found then
        told := pg_notify('agentbridge', '') is null;
    end if;
    return null;
end $$;

-- rows that have an agent_id: direct memberships, memberships of teams, pauses of one queue
create or replace function agentbridge.hint_agent_rows() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp set jit = off
as $$
declare told boolean;
begin
    -- each agent once, of however many queues
    if tg_op = 'INSERT' then
        insert into changes (keys) select keys from (select array_remove(array(
            select unnest(array[
                (select a.internal from agents a where a.id = r.agent_id),
                (select t.name from sessions s join telephones t on t.id = s.telephone_id
                 where s.agent_id = r.agent_id)])
            from (select distinct agent_id from new_rows) r
        ), null) as keys offset 0) touched where keys <> '{}';
    elsif tg_op = 'DELETE' then
        -- mostly of no row: unpause() and the end of an agent delete whatever there may be
        if not exists (select from old_rows) then
            return null;
        end if;
        insert into changes (keys) select keys from (select array_remove(array(
            select unnest(array[
                (select a.internal from agents a where a.id = r.agent_id),
                (select t.name from sessions s join telephones t on t.id = s.telephone_id
                 where s.agent_id = r.agent_id)])
            from (select distinct agent_id from old_rows) r
        ), null) as keys offset 0) touched where keys <> '{}';
    else
        insert into changes (keys) select keys from (select array_remove(array(
            select unnest(array[
                (select a.internal from agents a where a.id = r.agent_id),
                (select t.name from sessions s join telephones t on t.id = s.telephone_id
                 where s.agent_id = r.agent_id)])
            from (select agent_id from new_rows union select agent_id from old_rows) r
        ), null) as keys offset 0) touched where keys <> '{}';
    end if;
    if found then
        told := pg_notify('agentbridge', '') is null;
    end if;
    return null;
end $$;
