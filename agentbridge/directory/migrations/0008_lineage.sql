-- A database that is older than the one that Asterisk was told from waits for a confirmation.
create table agentbridge.older_databases (
    node text primary key,
    noted_at timestamptz not null default now(),
    reason text not null,
    confirmed_at timestamptz
);
comment on table agentbridge.older_databases is
    'nodes whose daemon does not obey this database, since it lacks what Asterisk was told before';

-- Notes it; true when an administrator has lately confirmed that this database is the one to obey.
create function agentbridge.database_older(this_node text, why text) returns boolean
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
begin
    delete from older_databases o where o.node = this_node
        and o.confirmed_at > clock_timestamp() - interval '10 minutes';
    if found then
        return true;
    end if;
    insert into older_databases as o (node, reason) values (this_node, why)
    on conflict (node) do update set noted_at = now(), reason = why, confirmed_at = null
    where o.reason <> why or o.confirmed_at is not null;
    return false;
end $$;

create or replace function agentbridge.confirm_removals(node text default null) returns integer
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    removals integer;
    databases integer;
begin
    update refusals r set confirmed_at = clock_timestamp()
    where confirmed_at is null and (confirm_removals.node is null or r.node = confirm_removals.node);
    get diagnostics removals = row_count;
    if removals > 0 then
        perform note('{*}');
    end if;
    update older_databases o set confirmed_at = clock_timestamp()
    where confirmed_at is null and (confirm_removals.node is null or o.node = confirm_removals.node);
    get diagnostics databases = row_count;
    return removals + databases;
end $$;

-- As before, but the newest one stays: by it a daemon knows this database again.
create or replace function agentbridge.prune_changes(keep interval default '10 minutes') returns bigint language sql
security definer set search_path = agentbridge, pg_temp
as $$
    with pruned as (
        delete from changes c where c.at < clock_timestamp() - keep
            and c.seq < (select max(seq) from changes)
            and not exists (
                select from nodes n where n.seen_at > clock_timestamp() - interval '1 hour'
                    and (n.snapshot is null or not pg_visible_in_snapshot(c.xid, n.snapshot)))
        returning 1)
    select count(*) from pruned
$$;
