-- What a daemon must not do without a confirmation: remove too much, or obey a database that is older than Asterisk.

-- Notes a plan that was refused for removing too much; true when an administrator has lately confirmed
-- a removal of at least this size.
create or replace function agentbridge.refused(this_node text, these integer, owned integer) returns boolean
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

-- Notes it; true when an administrator has lately confirmed that this database is the one to obey.
create or replace function agentbridge.database_older(this_node text, why text) returns boolean
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

-- Lets through, for ten minutes, what was refused; returns how much that was.
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

-- To be called before anything is read by transaction numbers; true when the directory came from another cluster.
create or replace function agentbridge.moved_in() returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    here text := (select system_identifier::text from pg_control_system());
begin
    if exists (select from home where cluster = here) then
        return false;
    end if;
    lock table home in exclusive mode;   -- of several daemons the first does it
    if exists (select from home where cluster = here) then
        return false;
    end if;
    update changes set xid = pg_current_xact_id();
    update nodes set snapshot = null;
    delete from applied;
    delete from home;
    insert into home values (here);
    return true;
end $$;

-- A queue that left the directory was ours a moment ago: its members must still be taken out of Asterisk.
create or replace function agentbridge.retire_queue() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    insert into retired_queues (name) values (old.name)
    on conflict (name) do update set retired_at = now();
    return null;
end $$;

create or replace trigger retire after delete on agentbridge.queues
    for each row execute function agentbridge.retire_queue();
create or replace trigger retire_old_name after update of name, channel on agentbridge.queues
    for each row when (old.name <> new.name or (old.channel = 'voice' and new.channel <> 'voice'))
    execute function agentbridge.retire_queue();
