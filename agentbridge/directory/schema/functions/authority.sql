-- A1: who may do what. An actor is a user of the directory. What each operation asks for is the table OPERATIONS of
-- directory/authority.py; here is what an actor is, and of whom.

-- Whether the agent is in a queue that is enabled for the user.
create or replace function agentbridge.has_in_a_queue(this_user text, agent text) returns boolean language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select exists (
        select from agents a
            join effective_members m on m.agent_id = a.id
            join user_queues q on q.queue_id = m.queue_id and q.username = this_user
        where a.username = agent)
$$;

-- An administrator everybody; a user with the agents permission those in a queue enabled for that user.
create or replace function agentbridge.may_manage(manager text, agent text) returns boolean language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select exists (
        select from users u where u.username = manager
            and (u.role = 'admin' or (u.agents_permission and has_in_a_queue(u.username, agent))))
$$;

-- An administrator to everybody; a user with may_spy to those in a queue enabled for that user. An agent with may_spy is
-- asked for where it acts as itself: shares_queue.
create or replace function agentbridge.may_listen(listener text, agent text) returns boolean language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select exists (
        select from users u where u.username = listener
            and (u.role = 'admin' or (u.may_spy and has_in_a_queue(u.username, agent))))
$$;

create or replace function agentbridge.shares_queue(one agentbridge.agents, other agentbridge.agents) returns boolean
language sql stable security definer set search_path = agentbridge, pg_temp
as $$
    select exists (select from effective_members a join effective_members b using (queue_id)
        where a.agent_id = one.id and b.agent_id = other.id)
$$;

-- Whether a queue is enabled for an actor, to whom then its agents belong; an administrator has all.
create or replace function agentbridge.has_queue(actor text, queue text) returns boolean language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select exists (
        select from users u where u.username = actor and (u.role = 'admin' or (u.agents_permission and exists (
            select from user_queues e join queues q on q.id = e.queue_id
            where e.username = u.username and lower(q.address collate "C") = lower(queue collate "C")))))
$$;

-- Refused unless the actor is what an operation asks for: `administrator`, `manager`, `supervisor`, or `viewer`, which is
-- one of these two. An administrator is all of them. A user that is not there is refused as such.
create or replace function agentbridge.check_role(actor text, needed text, operation text) returns void
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare who users;
begin
    perform check_one_of('needed', needed, '{administrator,manager,supervisor,viewer}');
    select * into who from users u where u.username = actor;
    if not found then
        perform refuse('AB003', format('user: there is no user %s', shown(actor)));
    end if;
    if who.role = 'admin' or needed in ('manager', 'viewer') and who.agents_permission
            or needed in ('supervisor', 'viewer') and who.may_spy then
        return;
    end if;
    perform refuse('AB004', format('user: %s is no %s, and only %s may do %s', actor, needed,
        case needed when 'administrator' then 'an administrator'
            when 'manager' then 'who has agents_permission'
            when 'supervisor' then 'who has may_spy'
            else 'who has agents_permission or may_spy' end, operation));
end $$;
