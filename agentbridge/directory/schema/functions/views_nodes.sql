-- How the nodes are, for whoever shows them.

-- One row a node. `state`: up; ill (its Asterisk or its daemon says nothing, and it is not known to be gone); lost; new
-- (its daemon was never there); retired.
create or replace view agentbridge.node_status as
select n.node,
    case when n.retired_at is not null then 'retired'
        when n.seen_at is null then 'new'
        when n.lost_at is not null then 'lost'
        when n.asterisk_up and n.seen_at > clock_timestamp() - agentbridge.silent_after() then 'up'
        else 'ill' end as state,
    concat_ws('; ',
        case when n.retired_at is null and n.seen_at < clock_timestamp() - agentbridge.silent_after()
            then format('no daemon since %s', date_trunc('second', n.seen_at)) end,
        case when n.retired_at is null and n.seen_at is not null and not n.asterisk_up then 'its Asterisk is away' end,
        'not reached by ' || blind.nodes) as trouble,
    n.sip_host, n.sip_port, n.serves_queues,
    (select count(*) from agentbridge.queues q where q.serving_node = n.node) as queues,
    (select count(*) from agentbridge.queues q where q.home_node = n.node and q.serving_node <> n.node) as queues_away,
    (select count(*) from agentbridge.queues q join agentbridge.effective_members m on m.queue_id = q.id
        where q.serving_node = n.node) as members,
    (select count(*) from agentbridge.device_locations l where l.node = n.node) as devices,
    n.version, n.seen_at, n.steady_since, n.lost_at, n.retired_at
from agentbridge.nodes n cross join lateral (
    select string_agg(o.node, ', ' order by o.node) as nodes from agentbridge.nodes o
    where n.node = any (o.unreachable) and o.retired_at is null
        and o.up_at > clock_timestamp() - agentbridge.silent_after()
) blind;
