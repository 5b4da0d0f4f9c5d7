-- A change that is older than what `changes` holds and has not reached Asterisk yet, which may be away for hours, was
-- told to be there. Now its result says that it is pending, once the change itself goes.

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

-- As in 0005, but a success is also new where the last result says that something is pending.
create or replace function agentbridge.record_applied(this_node text, seen pg_snapshot, these text[], errors text[])
returns void language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    oldest xid8;
    few text[] := case when cardinality(these) <= 100 then these || '*'::text end;
begin
    insert into nodes (node) select this_node where not exists (select from nodes where node = this_node)
    on conflict do nothing;
    select min(pg_snapshot_xmin(a.snapshot)::text::numeric)::text::xid8 into oldest
    from applied a where a.node = this_node and a.key = any (these);
    insert into applied as a (node, key, snapshot, wanted_at, applied_at, error)
    with results as (
        select r.key, r.error, b.key is null or b.error is distinct from r.error
            or (r.error is null and b.applied_at is null) as is_new, b.snapshot
        from unnest(these, errors) as r (key, error)
        left join applied b on b.node = this_node and b.key = r.key
    ),
    touched as (
        select k as key, c.xid, c.at from changes c cross join unnest(c.keys) k
        where (oldest is null or c.xid >= oldest) and pg_visible_in_snapshot(c.xid, seen)
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
        case when r.error is null then clock_timestamp() end, r.error
    from results r left join newer n using (key) left join everything e using (key)
    where r.is_new or n.key is not null or e.key is not null
    on conflict (node, key) do update set snapshot = excluded.snapshot, wanted_at = excluded.wanted_at,
        applied_at = excluded.applied_at, error = excluded.error;
end $$;
