-- What a daemon must not do without a confirmation: take away what has vanished here, or obey a database that is older than Asterisk.

-- Notes which endpoint ids this node holds, and that it holds no others; returns those that were confirmed in the last ten
-- minutes.
create or replace function agentbridge.hold(this_node text, these text[], owned integer) returns text[]
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
begin
    delete from held h where h.node = this_node and h.key <> all (these);
    if cardinality(these) = 0 then
        return '{}';
    end if;
    insert into nodes (node) values (this_node) on conflict do nothing;
    insert into held as h (node, key, owned) select this_node, k, hold.owned from unnest(these) k
    on conflict (node, key) do update set owned = hold.owned,
        confirmed_at = case when h.confirmed_at > clock_timestamp() - interval '10 minutes' then h.confirmed_at end
        where h.owned <> hold.owned or h.confirmed_at < clock_timestamp() - interval '10 minutes';
    return array(select h.key from held h where h.node = this_node and h.confirmed_at is not null);
end $$;

-- By which a person names what is held now on a node: another set has another code. Null where nothing is.
create or replace function agentbridge.held_code(node text) returns text language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select left(md5(string_agg(h.key, ' ' order by h.key collate "C")), 8) from held h
    where h.node = held_code.node and h.confirmed_at is null
$$;

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

-- Lets through, for ten minutes, what is held now and nothing else; returns how many endpoint ids and databases. With a
-- code only where that is still what is held. On a node that does not obey this database, being older, that alone is
-- confirmed: what is noted as held there is of another time.
create or replace function agentbridge.confirm_removals(node text default null, code text default null) returns integer
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    removals integer;
    databases integer;
begin
    if code is not null and not exists (select from nodes n
            where (confirm_removals.node is null or n.node = confirm_removals.node) and held_code(n.node) = code) then
        perform refuse('AB001', format('code: %s is not what is held now; `agentbridge status` shows the code of that', shown(code)));
    end if;
    delete from held h using older_databases o where o.node = h.node and o.confirmed_at is null;
    update older_databases o set confirmed_at = clock_timestamp()
    where confirmed_at is null and (confirm_removals.node is null or o.node = confirm_removals.node) and code is null;
    get diagnostics databases = row_count;
    update held h set confirmed_at = clock_timestamp()
    where confirmed_at is null and (confirm_removals.node is null or h.node = confirm_removals.node)
        and (code is null or h.node = any (array(select n.node from nodes n where held_code(n.node) = code)));
    get diagnostics removals = row_count;
    if removals > 0 then
        perform note('{*}');
    end if;
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
    delete from held;
    delete from taken_away;     -- it may be a backup: what is missing here was taken away nowhere
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
    on conflict (name) do update set retired_at = now(), handed_over_by = '{}';
    return null;
end $$;

-- Nobody of ours is left in these queues on this node: what is done with them there is the administrator's business.
create or replace function agentbridge.hand_over(this_node text, these text[]) returns void language sql
security definer set search_path = agentbridge, pg_temp
as $$
    update retired_queues r set handed_over_by = r.handed_over_by || this_node
    where lower(r.name collate "C") = any (these) and this_node <> all (r.handed_over_by)
$$;

create or replace trigger retire after delete on agentbridge.queues
    for each row when (old.channel = 'voice') execute function agentbridge.retire_queue();
create or replace trigger retire_old_name after update of name, channel on agentbridge.queues
    for each row when (old.channel = 'voice' and (old.name <> new.name or new.channel <> 'voice'))
    execute function agentbridge.retire_queue();
