-- A1: who may manage whom.

-- An administrator everybody; a user with the agents permission those in a queue enabled for that user.
create or replace function agentbridge.may_manage(manager text, agent text) returns boolean language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select exists (
        select from users u where u.username = manager and (u.role = 'admin' or (u.agents_permission and exists (
            select from agents a
                join effective_members m on m.agent_id = a.id
                join user_queues q on q.queue_id = m.queue_id and q.username = u.username
            where a.username = agent))))
$$;
