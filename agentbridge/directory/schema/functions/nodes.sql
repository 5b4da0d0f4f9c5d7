-- Many Asterisk nodes: which of them live, who serves a queue, and where a device is registered. All times are of this
-- database's clock. Where there is one node it serves everything, and nothing here changes what it is told.

-- Between two heartbeats of a node that is up, on a machine that is busy: six of them.
create or replace function agentbridge.longest_gap() returns interval language sql immutable
set search_path = agentbridge, pg_temp
as $$ select interval '6 seconds' $$;

-- Without a heartbeat until a node is taken for lost that nobody reaches by SIP either: three of them. No more: its agents
-- are offered calls until then, which are refused.
create or replace function agentbridge.silence_of_lost() returns interval language sql immutable
set search_path = agentbridge, pg_temp
as $$ select interval '3 seconds' $$;

-- ------------------------------------------------------------------------------------------ what an administrator says

create or replace function agentbridge.check_node() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.sip_host is distinct from old.sip_host and new.sip_host !~ '^([A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45})$'
            and new.sip_host <> '' then
        perform refuse('AB001', format('sip_host: must be an IP address or a host name (got %s)', shown(new.sip_host)));
    end if;
    return new;
end $$;
create or replace trigger b_rules before insert or update of sip_host on agentbridge.nodes
    for each row execute function agentbridge.check_node();

create or replace function agentbridge.must_be_node(name text) returns void language plpgsql
set search_path = agentbridge, pg_temp
as $$
begin
    if not exists (select from nodes n where n.node = name and n.retired_at is null) then
        perform refuse('AB003', format('node: there is no node %s; see `agentbridge node list`', shown(name)));
    end if;
end $$;

-- Makes a node known to the others, or changes what they know of it; brings back one that was retired. The name is that
-- of its daemon's configuration.
create or replace function agentbridge.node_add(name text, sip_host text, sip_port integer default 5060,
    serves_queues boolean default true, actor text default '') returns void language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    -- it becomes the name of an endpoint, an AOR and a publication in pjsip.conf
    if name is null or name !~ '^[A-Za-z0-9_-]{1,40}$' then
        perform refuse('AB001', format('node: must be 1 to 40 letters, digits, _ and - (got %s)', shown(name)));
    elsif exists (select from endpoint_ids e where lower(e.id collate "C") = lower(name collate "C")) then
        perform refuse('AB002', format('node: %s is an agent''s number or a telephone''s name already, and the trunk to '
            'the node would have the same name in Asterisk', name));
    elsif coalesce(sip_host, '') = '' then
        perform refuse('AB001', 'sip_host: say where the other nodes reach it by SIP');
    end if;
    perform check_number('sip_port', sip_port, 1, 65535);
    insert into nodes as n (node, seen_at, sip_host, sip_port, serves_queues)
    values (name, null, node_add.sip_host, node_add.sip_port, node_add.serves_queues)
    on conflict (node) do update set sip_host = excluded.sip_host, sip_port = excluded.sip_port,
        serves_queues = excluded.serves_queues, retired_at = null;
    insert into audit (actor, action, object, detail) values (node_add.actor, 'nodes.add', name,
        jsonb_build_object('sip_host', node_add.sip_host, 'sip_port', node_add.sip_port,
            'serves_queues', node_add.serves_queues));
end $$;

-- Takes a node out of service: other nodes serve its queues from their next heartbeat on, and nobody waits for its results.
create or replace function agentbridge.node_retire(name text, actor text default '') returns void language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    perform must_be_node(name);
    if exists (select from queues q where q.serving_node = node_retire.name) and not exists (select from nodes n
            where n.node <> node_retire.name and n.serves_queues and n.retired_at is null and n.lost_at is null
                and n.up_at > clock_timestamp() - longest_gap()) then
        perform refuse('AB001', format('node: %s serves queues, and no other node is up that could', name));
    end if;
    update nodes n set retired_at = clock_timestamp() where n.node = name;
    update queues q set home_node = null where q.home_node = node_retire.name;
    insert into audit (actor, action, object) values (node_retire.actor, 'nodes.retire', name);
end $$;

-- Moves queues to a node: those that belong there, or those that are named, which belong there from now on. Returns how
-- many moved. Whoever waits in them is stranded on the node that had them: so this is a command and nothing that happens.
create or replace function agentbridge.node_home(name text, queues text[] default null, actor text default '')
returns integer language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    stranger text;
    moved integer;
begin
    perform must_be_node(name);
    select n into stranger from unnest(node_home.queues) n where not exists (select from queues q where q.address = n) limit 1;
    if stranger is not null then
        perform refuse('AB003', format('queue: there is no queue %s', shown(stranger)));
    elsif not exists (select from nodes n where n.node = name and n.serves_queues and n.lost_at is null
            and n.up_at > clock_timestamp() - longest_gap()) then
        perform refuse('AB001', format('node: %s is not up, or does not serve queues', name));
    end if;
    update queues q set home_node = node_home.name
    where q.address = any (node_home.queues) and q.home_node is distinct from node_home.name;
    update queues q set serving_node = node_home.name, serving_since = clock_timestamp()
    where q.home_node = node_home.name and q.serving_node is distinct from node_home.name
        and (node_home.queues is null or q.address = any (node_home.queues));
    get diagnostics moved = row_count;
    insert into audit (actor, action, object, detail) values (node_home.actor, 'nodes.home', name,
        jsonb_build_object('queues', node_home.queues, 'moved', moved));
    return moved;
end $$;

-- ------------------------------------------------------------------------------------------ heartbeats and leases

-- A daemon's word that it lives. `gone`: the nodes that its Asterisk can't reach by SIP. Returns the other nodes and, where
-- there are any, which queues they serve: queue → node; and the phones that this node is to take over, see orphans().
-- Heartbeats with an Asterisk that is up, none of them more than six seconds after the last, are steady: after an outage
-- of the database every node begins anew, and so nobody takes another one for lost that was only waiting too.
create or replace function agentbridge.heartbeat(this_node text, started_at timestamptz, snapshot pg_snapshot,
    asterisk_up boolean, lag_seconds double precision, pending integer, failed integer, version text, lacks text[],
    taken text[], gone text[], out others text[], out elsewhere jsonb, out adopts jsonb) language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
#variable_conflict use_variable
declare now_ timestamptz := clock_timestamp();
begin
    insert into nodes as n (node, started_at, seen_at, snapshot, asterisk_up, lag_seconds, pending, failed, version,
        lacks, taken, unreachable, up_at, steady_since)
    values (this_node, started_at, now_, snapshot, asterisk_up, lag_seconds, pending, failed, version, lacks, taken,
        gone, case when asterisk_up then now_ end, case when asterisk_up then now_ end)
    on conflict (node) do update set started_at = excluded.started_at, seen_at = excluded.seen_at,
        snapshot = excluded.snapshot, asterisk_up = excluded.asterisk_up, lag_seconds = excluded.lag_seconds,
        pending = excluded.pending, failed = excluded.failed, version = excluded.version, lacks = excluded.lacks,
        taken = excluded.taken, unreachable = excluded.unreachable,
        up_at = coalesce(excluded.up_at, n.up_at),
        steady_since = case when not asterisk_up then null
            when n.steady_since is null or n.up_at < now_ - longest_gap() then now_ else n.steady_since end,
        lost_at = case when asterisk_up then null else n.lost_at end;
    perform note_lost_nodes(this_node);
    perform share_queues(this_node);
    others := array(select n.node from nodes n where n.node <> this_node and n.retired_at is null order by n.node);
    if others <> '{}' then
        elsewhere := (select jsonb_object_agg(q.name, q.serving_node) from queues q
            where q.channel = 'voice' and q.serving_node <> this_node);
        adopts := orphans(this_node);
    end if;
end $$;

-- Marks nodes that are gone: no heartbeat with an Asterisk that is up for three seconds, and no node that is steady and
-- reaches it by SIP. Of a node that was never added with its SIP address the heartbeats of the whole lease decide, and only
-- for one that was not added either: as when a node got another name.
create or replace function agentbridge.note_lost_nodes(this_node text) returns void language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    with witnesses as (
        select w.node, w.unreachable from nodes w
        where w.retired_at is null and w.up_at > clock_timestamp() - longest_gap()
            and w.steady_since < clock_timestamp() - longest_gap()
    )
    update nodes n set lost_at = clock_timestamp()
    where n.node <> this_node and n.lost_at is null and n.retired_at is null
        and n.up_at < clock_timestamp() - silence_of_lost()
        and case when n.sip_host <> ''
            then exists (select from witnesses w where w.node <> n.node)
                and not exists (select from witnesses w where w.node <> n.node and n.node <> all (w.unreachable))
            else n.up_at < clock_timestamp() - make_interval(secs => (select queue_failover_seconds from settings))
                and exists (select from nodes t where t.node = this_node and t.sip_host = '') end;
end $$;

-- Gives queues that nobody serves to nodes that live: those of a retired node, or of one that does not serve queues any
-- more, at once; those of a lost node after the lease (queue_failover_seconds since its last heartbeat), and only to nodes
-- whose own heartbeats were unbroken for all of it and whose Asterisk can't reach it either. A queue goes where it belongs,
-- else to the node with the fewest members. Two that do this at one moment each skip what the other has in hand.
create or replace function agentbridge.share_queues(this_node text) returns void language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    now_ timestamptz := clock_timestamp();
    lease interval := make_interval(secs => (select queue_failover_seconds from settings));
    one record;
    ids bigint[] := '{}';
    takers text[] := '{}';
    taker text;
    loads jsonb;
begin
    if not exists (select from queues q where q.serving_node is null)
            and not exists (select from nodes n where (n.lost_at is not null or n.retired_at is not null
                or not n.serves_queues) and exists (select from queues q where q.serving_node = n.node)) then
        return;
    end if;
    select jsonb_object_agg(n.node, (select count(*) from queues q join effective_members m on m.queue_id = q.id
        where q.serving_node = n.node)) into loads
    from nodes n where n.serves_queues and n.retired_at is null and n.lost_at is null and n.up_at > now_ - longest_gap();
    for one in
        select q.id, q.home_node, s.node as last_node, s.sip_host <> '' as has_address,
            coalesce(s.retired_at is null and s.serves_queues, false) as is_lost,
            (select count(*) from effective_members m where m.queue_id = q.id) as members
        from queues q left join nodes s on s.node = q.serving_node
        where s.node is null or s.retired_at is not null or not s.serves_queues
            or (s.lost_at is not null and s.up_at < now_ - lease)
        order by members desc, q.id
        for update of q skip locked
    loop
        select n.node into taker from nodes n
        where loads ? n.node
            and (not one.is_lost
                or (n.steady_since < now_ - lease and (not one.has_address or one.last_node = any (n.unreachable))))
        order by n.node = one.home_node desc nulls last, (loads ->> n.node)::bigint, n.node limit 1;
        continue when taker is null;
        ids := ids || one.id;
        takers := takers || taker;
        loads := jsonb_set(loads, array[taker], to_jsonb((loads ->> taker)::bigint + one.members + 1));
    end loop;
    update queues q set serving_node = t.taker, serving_since = now_, home_node = coalesce(q.home_node, t.taker)
    from unnest(ids, takers) t (id, taker) where q.id = t.id;
end $$;

-- A new queue is served from its first moment, by the node with the fewest members.
create or replace function agentbridge.place_queue() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.serving_node is null then
        select n.node into new.serving_node from nodes n
        where n.serves_queues and n.retired_at is null and n.lost_at is null and n.up_at is not null
        order by n.node = new.home_node desc nulls last,
            (select count(*) from queues q join effective_members m on m.queue_id = q.id where q.serving_node = n.node),
            (select count(*) from queues q where q.serving_node = n.node), n.node
        limit 1;
        new.home_node := coalesce(new.home_node, new.serving_node);
        new.serving_since := case when new.serving_node is not null then clock_timestamp() end;
    end if;
    return new;
end $$;
create or replace trigger c_place before insert on agentbridge.queues
    for each row execute function agentbridge.place_queue();

-- ------------------------------------------------------------------------------------------ where devices are

-- Those of the devices that are the directory's and register; one with a fixed address is with every node.
create or replace function agentbridge.dynamic_devices(these text[]) returns table (device text, sip_expires integer)
language sql stable security definer set search_path = agentbridge, pg_temp
as $$
    select a.internal, a.sip_expires from agents a where a.internal = any (these) and a.host = 'dynamic'
    union all
    select t.name, t.sip_expires from telephones t where t.name = any (these) and t.host = 'dynamic'
$$;

-- Devices that have just registered with this node: the newest registration wins. Returns where they are now.
create or replace function agentbridge.devices_registered(this_node text, these text[], contacts text[], paths text[],
    ends timestamptz[]) returns table (device text, node text, since double precision) language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
#variable_conflict use_column
begin
    insert into device_locations as l (device, node, contact, path, expires)
    select r.device, this_node, r.contact, r.path, r.expires
    from unnest(these, contacts, paths, ends) r (device, contact, path, expires)
    join dynamic_devices(these) d using (device) order by r.device  -- so that two nodes never wait for each other's rows
    on conflict (device) do update set node = excluded.node, contact = excluded.contact, path = excluded.path,
        expires = excluded.expires,
        since = case when l.node = excluded.node then l.since else clock_timestamp() end;
    return query select l.device, l.node, extract(epoch from l.since)::float8 from device_locations l
        where l.device = any (these);
end $$;

-- Devices that are not registered with this node any more.
create or replace function agentbridge.devices_gone(this_node text, these text[]) returns void language sql
security definer set search_path = agentbridge, pg_temp
as $$
    with those as (
        select l.device from device_locations l where l.node = this_node and l.device = any (these)
        order by l.device for update)
    delete from device_locations l using those t where l.device = t.device and l.node = this_node
$$;

-- All devices that are registered with this node. One that another node has as well stays there, unless the registration
-- here ends later, which then is the newer one, or that node is lost or retired. Of one that is known by its event alone the
-- end is taken to be as late as it may be. Returns where each of them is now.
create or replace function agentbridge.devices_of_node(this_node text, these text[], contacts text[], paths text[],
    ends timestamptz[]) returns table (device text, node text, since double precision) language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
#variable_conflict use_column
begin
    perform devices_gone(this_node, array(
        select l.device from device_locations l where l.node = this_node and l.device <> all (these)));
    insert into device_locations as l (device, node, contact, path, expires)
    select r.device, this_node, r.contact, r.path, r.expires
    from unnest(these, contacts, paths, ends) r (device, contact, path, expires)
    join dynamic_devices(these) d using (device) order by r.device
    on conflict (device) do update set node = excluded.node, contact = excluded.contact, path = excluded.path,
        expires = excluded.expires, since = case when l.node = excluded.node then l.since else clock_timestamp() end
    where (l.node = excluded.node and (l.contact, l.path, l.expires) is distinct from
            (excluded.contact, excluded.path, excluded.expires))
        or (l.node <> excluded.node and (excluded.expires > coalesce(l.expires, l.since + make_interval(
                secs => (select d.sip_expires from dynamic_devices(array[l.device]) d))) or exists (select from nodes n
            where n.node = l.node and (n.lost_at is not null or n.retired_at is not null))));
    return query select l.device, l.node, extract(epoch from l.since)::float8 from device_locations l
        where l.device = any (these);
end $$;

-- Phones of lost nodes that are reached through a SIP proxy, and that this node is to take over: device → contact. Each
-- has one taker among the nodes that are up, by its name. A phone that renews its registration is not read each time: the
-- registration counts as made when its node was last heard of, and so it ends as late as it may. It is the taker's when its
-- daemon tells so (devices_registered), and is named again until then.
create or replace function agentbridge.orphans(this_node text) returns jsonb language plpgsql stable security definer
set search_path = agentbridge, pg_temp
as $$
declare takers text[];
begin
    if not exists (select from nodes n where n.lost_at is not null and n.retired_at is null) then
        return null;
    end if;
    takers := array(select n.node from nodes n
        where n.lost_at is null and n.retired_at is null and n.up_at > clock_timestamp() - longest_gap() order by n.node);
    return (
        select jsonb_object_agg(o.device, jsonb_build_object('uri', o.contact, 'path', o.path,
            'ends', extract(epoch from o.ends)::bigint))
        from (
            select l.device, l.contact, l.path, n.up_at + make_interval(secs => d.sip_expires) as ends
            from device_locations l
            join nodes n on n.node = l.node and n.lost_at is not null and n.retired_at is null
            join dynamic_devices(array(select x.device from device_locations x where x.path <> '')) d
                on d.device = l.device
            where l.path <> '' and n.up_at + make_interval(secs => d.sip_expires) > clock_timestamp() + interval '5 seconds'
                and takers[1 + mod(hashtext(l.device)::bigint + 2147483648, cardinality(takers))] = this_node
            order by l.device limit 1000
        ) o);
end $$;

-- ------------------------------------------------------------------------------------------ hints

-- These devices, and the agents who sit there: what their calls need to know of the place.
create or replace function agentbridge.note_devices(devices text[]) returns void language plpgsql
as $$
begin
    perform agentbridge.note(devices || array(
        select a.internal from agentbridge.telephones t join agentbridge.sessions s on s.telephone_id = t.id
        join agentbridge.agents a on a.id = s.agent_id where t.name = any (devices)));
end $$;

create or replace function agentbridge.hint_locations() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        perform note_devices(array(select device from new_rows));
    elsif tg_op = 'DELETE' then
        perform note_devices(array(select device from old_rows));
    else
        perform note_devices(array(
            select n.device from new_rows n join old_rows o using (device) where n.node <> o.node));
    end if;
    return null;
end $$;
create or replace trigger hint_insert after insert on agentbridge.device_locations referencing new table as new_rows
    for each statement execute function agentbridge.hint_locations();
create or replace trigger hint_update after update on agentbridge.device_locations
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_locations();
create or replace trigger hint_delete after delete on agentbridge.device_locations referencing old table as old_rows
    for each statement execute function agentbridge.hint_locations();

-- A node is lost, comes back or is retired: the devices that it has.
create or replace function agentbridge.hint_node() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform note_devices(array(select l.device from device_locations l where l.node = new.node));
    return null;
end $$;
create or replace trigger hint_lost after update on agentbridge.nodes for each row
    when ((old.lost_at is null) <> (new.lost_at is null) or (old.retired_at is null) <> (new.retired_at is null))
    execute function agentbridge.hint_node();

-- Another node serves a queue: its members. The first node of a centre has them already.
create or replace function agentbridge.hint_served() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare ids bigint[];
begin
    if not exists (select from new_rows n join old_rows o using (id) where n.serving_node is distinct from o.serving_node)
            or not exists (select from nodes n having count(*) filter (where n.retired_at is null) > 1) then
        return null;
    end if;
    ids := array(
        select distinct m.agent_id from new_rows n join old_rows o using (id)
        join effective_members m on m.queue_id = n.id join sessions s on s.agent_id = m.agent_id
        where n.serving_node is distinct from o.serving_node);
    perform note(numbers_of(ids) || names_of(telephones_of(ids)));
    return null;
end $$;
create or replace trigger hint_served after update on agentbridge.queues
    referencing old table as old_rows new table as new_rows
    for each statement execute function agentbridge.hint_served();

-- There are several nodes now, or only one is left: what a call needs to know is more, or less.
create or replace function agentbridge.hint_several() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare nodes_now bigint := (select count(*) from nodes n where n.retired_at is null);
begin
    if (tg_op <> 'DELETE' and nodes_now = 2) or (tg_op <> 'INSERT' and nodes_now = 1) then
        perform note('{*}');
    end if;
    return null;
end $$;
create or replace trigger hint_insert after insert on agentbridge.nodes
    for each row execute function agentbridge.hint_several();
create or replace trigger hint_delete after delete on agentbridge.nodes
    for each statement execute function agentbridge.hint_several();
create or replace trigger hint_retired after update of retired_at on agentbridge.nodes
    for each row when ((old.retired_at is null) <> (new.retired_at is null))
    execute function agentbridge.hint_several();
