-- What became of a change: results of the daemons, and the views that tell them.

-- The keys of all changes, one by one. A function, so that the planner is told how few they are: it takes
-- unnest() for so many rows that it would compile the query for a second to save milliseconds.
create or replace function agentbridge.touched() returns table (key text, xid xid8, at timestamptz)
language plpgsql stable rows 100 security definer set search_path = agentbridge, pg_temp
as $$
begin
    return query select unnest(c.keys), c.xid, c.at from changes c;
end $$;

-- The nodes whose results count: not one that is retired or lost, nor one whose daemon was never there. Likewise a
-- function: a table of one or two rows is never analysed by itself and is taken for a thousand.
create or replace function agentbridge.known_nodes() returns table (node text) language plpgsql stable
rows 2 security definer set search_path = agentbridge, pg_temp
as $$
begin
    return query select n.node from nodes n
        where n.retired_at is null and n.lost_at is null and n.seen_at is not null;
end $$;

-- What is wanted and what is there, for each agent. A change is pending on a node while the node's last
-- result for the key is of an older snapshot; of several nodes the worst counts. One flat join, so that the
-- same view is quick for one agent and hashes for all.
create or replace view agentbridge.agent_status as
with everything as materialized (
    select xid, at from agentbridge.changes where keys @> '{*}'
),
-- one row. A database that is older than Asterisk may say of an agent what was true once.
disobeyed as materialized (
    select string_agg(format('%s does not obey this database: %s; if it is the right one, confirm it with '
        '`agentbridge plan --confirm`', o.node, o.reason), '; ' order by o.node) as why
    from agentbridge.older_databases o where o.confirmed_at is null
),
results as (
    select a.id, a.username, a.internal, a.created_at,
        s.agent_id, s.paused, s.pause_reason, s.started_at, t.name as telephone,
        max(greatest(c.at, e.at, r.wanted_at)) as wanted_at,
        max(r.applied_at) as applied_at,
        bool_or(r.applied_at is null or c.at is not null or e.at is not null) as pending,
        string_agg(distinct r.error, '; ') as error,
        string_agg(distinct r.waits_for, '; ') as waits_for
    from agentbridge.agents a
    left join agentbridge.sessions s on s.agent_id = a.id
    left join agentbridge.telephones t on t.id = s.telephone_id
    cross join lateral (select a.internal as key union all select t.name where t.name is not null) k
    left join agentbridge.known_nodes() n on true
    left join agentbridge.applied r on r.node = n.node and r.key = k.key
    left join agentbridge.touched() c
        on c.key = k.key and (r.snapshot is null or not pg_visible_in_snapshot(c.xid, r.snapshot))
    left join lateral (
        select max(e.at) as at from everything e
        where r.snapshot is null or not pg_visible_in_snapshot(e.xid, r.snapshot)
    ) e on true
    group by a.id, a.username, a.internal, a.created_at, s.agent_id, s.paused, s.pause_reason, s.started_at, t.name
)
select username, internal,
    agent_id is not null as logged_in,
    coalesce(paused, false) as paused,
    case when paused then pause_reason end as pause_reason,
    telephone,
    coalesce(wanted_at, greatest(created_at, started_at)) as wanted_at,
    case when not pending and why is null then applied_at end as applied_at,
    nullif(concat_ws('; ', why, error), '') as error,
    pending,
    array(select q.address from agentbridge.queue_pauses p join agentbridge.queues q on q.id = p.queue_id
          where p.agent_id = results.id order by q.address) as paused_queues,
    case when pending then waits_for end as waits_for
from results cross join disobeyed;
comment on view agentbridge.agent_status is
    'applied_at is null while a change is not yet in Asterisk; error says why it could not be made, waits_for what it waits for';

-- {pending, applied_at, error} of one agent, as agent_status says: for those who wait, of whom each looks at every
-- notification. Only changes that the results may not know are read, by their index; a shift that begins has thousands.
create or replace function agentbridge.applied_to(username text) returns jsonb language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
declare
    these text[];
    node_name text;
    this_key text;
    found_one applied;
    is_pending boolean := not exists (select from known_nodes());
    newest timestamptz;
    errors text[] := '{}';
begin
    select array_remove(array[a.internal, t.name], null) into these
    from agents a left join sessions s on s.agent_id = a.id left join telephones t on t.id = s.telephone_id
    where a.username = applied_to.username;
    if not found then
        return null;
    end if;
    for node_name in select n.node from known_nodes() n loop
        foreach this_key in array these loop
            select * into found_one from applied a where a.node = node_name and a.key = this_key;
            is_pending := is_pending or not found or found_one.applied_at is null or exists (
                select from changes c where c.xid >= pg_snapshot_xmin(found_one.snapshot)
                    and (c.keys @> array[this_key] or c.keys @> '{*}')
                    and not pg_visible_in_snapshot(c.xid, found_one.snapshot));
            newest := greatest(newest, found_one.applied_at);
            errors := errors || found_one.error;
        end loop;
    end loop;
    return jsonb_build_object('pending', is_pending, 'applied_at', case when not is_pending then newest end,
        'error', (select string_agg(distinct e, '; ') from unnest(errors) e));
end $$;

-- Telephones, who sits there, and which are free.
create or replace view agentbridge.telephone_status as
select t.name, t.description, coalesce(t.registered, false) as registered, a.username as agent,
    t.registered is true and a.id is null as available
from agentbridge.telephones t
left join agentbridge.sessions s on s.telephone_id = t.id
left join agentbridge.agents a on a.id = s.agent_id;

-- Results of one pass of a node. A result that says nothing new is not written again: what is written has another
-- error, is a success after something pending, or is about a change that the last result did not know.
create or replace function agentbridge.record_applied(this_node text, seen pg_snapshot, these text[], errors text[],
    waits text[]) returns void language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    oldest xid8;
    few text[] := case when cardinality(these) <= 100 then these || '*'::text end;
begin
    -- What a crash of PostgreSQL takes of it, the comparison after it records again. The next change does not wait for
    -- this one's way to the disk.
    set local synchronous_commit = off;
    insert into nodes (node) select this_node where not exists (select from nodes where node = this_node)
    on conflict do nothing;
    select min(pg_snapshot_xmin(a.snapshot)::text::numeric)::text::xid8 into oldest
    from applied a where a.node = this_node and a.key = any (these);
    insert into applied as a (node, key, snapshot, wanted_at, applied_at, error, waits_for)
    with results as (
        select r.key, r.error, r.waits_for, b.key is null or (b.error, b.waits_for) is distinct from (r.error, r.waits_for)
            or (r.error is null and r.waits_for is null and b.applied_at is null) as is_new, b.snapshot
        from unnest(these, errors, waits) as r (key, error, waits_for)
        left join applied b on b.node = this_node and b.key = r.key
    ),
    touched as (
        select k as key, c.xid, c.at from changes c cross join unnest(c.keys) k
        where c.xid >= coalesce(oldest, '0') and pg_visible_in_snapshot(c.xid, seen)
            -- comparing arrays is quick for a few keys, and worse than the hash for thousands
            and (few is null or c.keys && few)
    ),
    newer as (
        select r.key, max(t.at) as at from results r join touched t on t.key = r.key
        where r.snapshot is null or not pg_visible_in_snapshot(t.xid, r.snapshot) group by r.key
    ),
    everything as (
        select r.key, max(t.at) as at from results r join touched t on t.key = '*'
        where r.snapshot is null or not pg_visible_in_snapshot(t.xid, r.snapshot) group by r.key
    )
    select this_node, r.key, seen, coalesce(greatest(n.at, e.at), clock_timestamp()),
        case when r.error is null and r.waits_for is null then clock_timestamp() end, r.error, r.waits_for
    from results r left join newer n using (key) left join everything e using (key)
    where r.is_new or n.key is not null or e.key is not null
    on conflict (node, key) do update set snapshot = excluded.snapshot, wanted_at = excluded.wanted_at,
        applied_at = excluded.applied_at, error = excluded.error, waits_for = excluded.waits_for;
    if found then
        -- to whoever waits for a change. A pass is many keys, so this is rare beside what it tells of.
        notify agentbridge_applied;
    end if;
end $$;

-- Deletes changes that every node alive has read, and that are old enough for nobody to ask for them. The newest one
-- stays: by it a daemon knows this database again. A result that had not yet seen a change that goes says from now on
-- that it is pending: else a change would be told as applied because Asterisk was away for longer than hints are kept.
create or replace function agentbridge.prune_changes(keep interval default '10 minutes') returns bigint language sql
security definer set search_path = agentbridge, pg_temp
as $$
    with pruned as (
        delete from changes c where c.at < clock_timestamp() - keep
            and c.seq < (select max(seq) from changes)
            and not exists (
                select from nodes n where n.seen_at > clock_timestamp() - interval '1 hour'
                    and (n.snapshot is null or not pg_visible_in_snapshot(c.xid, n.snapshot)))
        returning c.keys, c.xid, c.at
    ),
    touched as (
        select k as key, p.xid, p.at from pruned p cross join unnest(p.keys) k where k <> '*'
        union all
        select a.key, p.xid, p.at
        from pruned p cross join (select distinct key from applied) a where p.keys @> '{*}'
    ),
    unfinished as (
        update applied a set applied_at = null, wanted_at = greatest(a.wanted_at, t.at)
        from (select key, array_agg(xid) as xids, max(at) as at from touched group by key) t
        where t.key = a.key
            and exists (select from unnest(t.xids) x where not pg_visible_in_snapshot(x, a.snapshot))
    )
    select count(*) from pruned
$$;
