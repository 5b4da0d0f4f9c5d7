-- Telephones: where each is registered, what becomes of an agent whose telephone is lost, and whom a call from a
-- telephone speaks for.

-- What one Asterisk says of these telephones; null is not known, as while it is away. Returns how many it changed.
create or replace function agentbridge.telephones_registered(this_node text, these text[], states boolean[])
returns integer language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare written integer;
begin
    -- ordered, so that two nodes never wait for each other's rows
    perform from telephones t join unnest(these) n on n = t.name order by t.id for no key update of t;
    update telephones t set registered = r.registered, registered_at = clock_timestamp(), registered_node = this_node
    from unnest(these, states) as r (name, registered)
    where t.name = r.name and (t.registered is distinct from r.registered
            or (r.registered and t.registered_node <> this_node))
        -- a telephone that is registered with another Asterisk is not lost because this one does not have it
        and (r.registered is true or t.registered_node in ('', this_node));
    get diagnostics written = row_count;
    return written;
end $$;

-- All that this node has, in one go: a telephone that is not named is not registered with it.
create or replace function agentbridge.telephones_of_node(this_node text, present text[])
returns integer language sql security definer set search_path = agentbridge, pg_temp
as $$
    select telephones_registered(this_node, array_agg(t.name), array_agg(t.name = any (present)))
    from telephones t
$$;

-- This node's Asterisk is away: nothing is known of the telephones that it had.
create or replace function agentbridge.telephones_unknown(this_node text)
returns integer language sql security definer set search_path = agentbridge, pg_temp
as $$
    select telephones_registered(this_node, array_agg(t.name), array_agg(null::boolean))
    from telephones t where t.registered_node in ('', this_node) and t.registered is not null
$$;

-- What becomes of agents whose device is lost, and of those whose device is back. An agent on pause for another reason
-- stays so; one whose pause has this reason goes on where that is wanted.
create or replace function agentbridge.settle_agents(lost bigint[], back bigint[], lost_action text, back_action text,
    reason text) returns table (agent_id bigint, done text)
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
#variable_conflict use_column
begin
    perform check_one_of('lost_action', lost_action, '{pause,logout,nothing}');
    perform check_one_of('back_action', back_action, '{unpause,nothing}');
    return query
    with ended as (
        delete from sessions s where s.agent_id = any (lost) and lost_action = 'logout'
        returning s.agent_id, 'logout' as done
    ),
    paused as (
        update sessions s set paused = true, pause_reason = reason
        where s.agent_id = any (lost) and not s.paused and lost_action = 'pause'
        returning s.agent_id, 'pause' as done
    ),
    resumed as (
        update sessions s set paused = false
        where s.agent_id = any (back) and s.paused and s.pause_reason = reason and back_action = 'unpause'
        returning s.agent_id, 'unpause' as done
    )
    select * from ended union all select * from paused union all select * from resumed;
end $$;

-- Looked at again and again, and never remembered: whoever starts late finds the same. This one and the next are not plain
-- SQL, which would be planned at each look and cost more than the look itself.
create or replace function agentbridge.settle_lost_telephones(lost_after interval, lost_action text, back_action text)
returns table (username text, internal text, telephone text, done text)
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with seats as materialized (
        select s.agent_id, t.name, not t.registered and t.registered_at <= clock_timestamp() - lost_after as lost,
            t.registered as back
        from sessions s join telephones t on t.id = s.telephone_id
    )
    select a.username, a.internal, seats.name, d.done
    from settle_agents((select array_agg(agent_id) from seats where lost),
            (select array_agg(agent_id) from seats where back), lost_action, back_action, 'telephone lost') d
        join seats using (agent_id) join agents a on a.id = d.agent_id;
end $$;

-- The same for agents whose phone is a browser, by what the daemons of all nodes tell now: lost is whom none of them can
-- reach; while one of them is silent, nothing is known. A call that is still up keeps its agent from being lost.
create or replace function agentbridge.settle_lost_browsers(lost_after interval, lost_action text, back_action text)
returns table (username text, internal text, done text)
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with at_work as materialized (  -- mostly few, or none: then nothing need be known of the others
        select s.agent_id, a.internal from sessions s join agents a on a.id = s.agent_id where a.typology = 'webrtc'
    ),
    browsers as materialized (
        select w.agent_id, bool_or(l.contact) as back, bool_and(l.state = 'unreachable'
            and l.since <= clock_timestamp() - lost_after) as lost
        from at_work w join live_agent_states l on l.internal = w.internal
        group by w.agent_id having not bool_or(l.stale)
    )
    select a.username, a.internal, d.done
    from settle_agents((select array_agg(agent_id) from browsers where lost),
            (select array_agg(agent_id) from browsers where back), lost_action, back_action, 'browser lost') d
        join agents a on a.id = d.agent_id;
end $$;

-- To the client of the agent who is out now, and to whoever else listens on agentbridge_events.
create or replace function agentbridge.tell_takeover() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform pg_notify('agentbridge_events', json_build_object('event', 'telephone.taken_over',
        'agent', new.agent, 'telephone', new.telephone, 'taken_by', new.taken_by)::text);
    return null;
end $$;

create or replace trigger tell after insert on agentbridge.takeovers
    for each row execute function agentbridge.tell_takeover();

-- The agent of a device: whose number it is, or who is bound to the telephone. No row for any other device.
create or replace function agentbridge.agent_of_device(device text)
returns table (username text, internal text, own boolean)
language sql stable security definer set search_path = agentbridge, pg_temp
as $$
    select a.username, a.internal, true from agents a where a.internal = device and not a.hot_desk
    union all
    select a.username, a.internal, false
    from telephones t join sessions s on s.telephone_id = t.id join agents a on a.id = s.agent_id
    where t.name = device
$$;
