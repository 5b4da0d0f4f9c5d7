-- What is wanted and what is there, for each agent. A change is pending on a node while the node's last
-- result for the key is of an older snapshot; of several nodes the worst counts.
create view agentbridge.agent_status as
with touched as materialized (
    select k as key, c.xid, c.at from agentbridge.changes c cross join unnest(c.keys) k
),
keys as (
    select a.id, a.internal as key from agentbridge.agents a
    union all
    select s.agent_id, t.name from agentbridge.sessions s join agentbridge.telephones t on t.id = s.telephone_id
),
results as (
    select k.id, k.key, n.node, r.wanted_at, r.applied_at, r.error, r.snapshot
    from keys k cross join agentbridge.nodes n
    left join agentbridge.applied r on r.node = n.node and r.key = k.key
),
newer as (
    select r.id, r.key, r.node, max(t.at) as at
    from results r join touched t on t.key = r.key
    where r.snapshot is null or not pg_visible_in_snapshot(t.xid, r.snapshot)
    group by r.id, r.key, r.node
),
everything as (
    select r.id, r.key, r.node, max(t.at) as at
    from results r join touched t on t.key = '*'
    where r.snapshot is not null and not pg_visible_in_snapshot(t.xid, r.snapshot)
    group by r.id, r.key, r.node
),
worst as (
    select r.id,
        max(greatest(n.at, e.at, r.wanted_at)) as wanted_at,
        max(r.applied_at) as applied_at,
        bool_or(r.applied_at is null or n.at is not null or e.at is not null) as pending,
        string_agg(distinct r.error, '; ') as error
    from results r left join newer n using (id, key, node) left join everything e using (id, key, node)
    group by r.id
)
select a.username, a.internal,
    s.agent_id is not null as logged_in,
    coalesce(s.paused, false) as paused,
    case when s.paused then s.pause_reason end as pause_reason,
    t.name as telephone,
    coalesce(w.wanted_at, greatest(a.created_at, s.started_at)) as wanted_at,
    case when not w.pending then w.applied_at end as applied_at,
    w.error,
    coalesce(w.pending, true) as pending,
    array(select q.name from agentbridge.queue_pauses p join agentbridge.queues q on q.id = p.queue_id
          where p.agent_id = a.id order by q.name) as paused_queues
from agentbridge.agents a
left join agentbridge.sessions s on s.agent_id = a.id
left join agentbridge.telephones t on t.id = s.telephone_id
left join worst w on w.id = a.id;
comment on view agentbridge.agent_status is
    'applied_at is null while a change is not yet in Asterisk; error says why it could not be made';

create view agentbridge.telephone_status as
select t.name, t.description, coalesce(t.registered, false) as registered, a.username as agent,
    t.registered is true and a.id is null as available
from agentbridge.telephones t
left join agentbridge.sessions s on s.telephone_id = t.id
left join agentbridge.agents a on a.id = s.agent_id;

-- Results of one pass of a node. A result that says nothing new is not written again.
create function agentbridge.record_applied(this_node text, seen pg_snapshot, these text[], errors text[])
returns void language sql security definer set search_path = agentbridge, pg_temp
as $$
    insert into nodes (node) values (this_node) on conflict do nothing;
    with results as (
        select r.key, r.error, (
            select max(c.at) from changes c
            where (r.key = any (c.keys) or '*' = any (c.keys)) and pg_visible_in_snapshot(c.xid, seen)) as at
        from unnest(these, errors) as r (key, error)
    )
    insert into applied as a (node, key, snapshot, wanted_at, applied_at, error)
    select this_node, key, seen, coalesce(at, clock_timestamp()), case when error is null then clock_timestamp() end,
        error from results
    on conflict (node, key) do update set
        snapshot = excluded.snapshot, applied_at = excluded.applied_at, error = excluded.error,
        wanted_at = greatest(a.wanted_at, (select max(c.at) from changes c
            where (excluded.key = any (c.keys) or '*' = any (c.keys)) and pg_visible_in_snapshot(c.xid, seen)))
    where a.error is distinct from excluded.error or exists (
        select from changes c where (a.key = any (c.keys) or '*' = any (c.keys))
            and not pg_visible_in_snapshot(c.xid, a.snapshot));
$$;

-- Changes that every node alive has read, and that are old enough for nobody to ask for them.
create function agentbridge.prune_changes(keep interval default '10 minutes') returns bigint language sql
security definer set search_path = agentbridge, pg_temp
as $$
    with pruned as (
        delete from changes c where c.at < clock_timestamp() - keep and not exists (
            select from nodes n where n.seen_at > clock_timestamp() - interval '1 hour'
                and (n.snapshot is null or not pg_visible_in_snapshot(c.xid, n.snapshot)))
        returning 1)
    select count(*) from pruned
$$;

-- Notes a plan that was refused for removing too much; true when an administrator has lately confirmed
-- a removal of at least this size.
create function agentbridge.refused(this_node text, these integer, owned integer) returns boolean
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
begin
    if exists (select from refusals r where r.node = this_node and r.removals >= these
            and r.confirmed_at > clock_timestamp() - interval '10 minutes') then
        return true;
    end if;
    insert into nodes (node) values (this_node) on conflict do nothing;
    insert into refusals as r (node, removals, total) values (this_node, these, owned)
    on conflict (node) do update set refused_at = now(), removals = these, total = owned, confirmed_at = null
    where (r.removals, r.total) is distinct from (these, owned) or r.confirmed_at is not null;
    return false;
end $$;
