-- A10, A15: passwords, and the lock after too many wrong ones. The hashes are made and compared outside.

-- A10, A15: whoever writes the hash, the time is kept, and a link that was mailed before is void
create or replace function agentbridge.password_written() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.password_hash is distinct from old.password_hash then
        new.password_changed_at := clock_timestamp();
    end if;
    return new;
end $$;

create or replace trigger d_password before insert or update of password_hash on agentbridge.agents
    for each row when (new.password_hash is not null) execute function agentbridge.password_written();

create or replace function agentbridge.void_resets() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    update password_resets set used_at = clock_timestamp() where agent_id = new.id and used_at is null;
    return null;
end $$;

create or replace trigger void_resets after update of password_hash on agentbridge.agents
    for each row when (new.password_hash is distinct from old.password_hash) execute function agentbridge.void_resets();

-- Counts a wrong password; true when the agent is locked now. An unknown name is no error: a guesser learns nothing.
-- The lock is a statement of its own, so that a wrong password alone writes no column that Asterisk must know.
create or replace function agentbridge.password_failed(username text) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    locked boolean;
    too_many boolean;
begin
    update agents a set failed_logins = failed_logins + 1
    from settings where a.username = password_failed.username
    returning locked_at is not null, lock_after > 0 and failed_logins >= lock_after into locked, too_many;
    if too_many and not locked then
        update agents a set locked_at = clock_timestamp() where a.username = password_failed.username;
        return true;
    end if;
    return coalesce(locked, false);
end $$;

-- The count starts anew. Who is locked stays so.
create or replace function agentbridge.password_ok(username text) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    update agents a set failed_logins = 0 where a.username = password_ok.username and failed_logins <> 0
        and locked_at is null;
    return found;
end $$;

-- By an administrator.
create or replace function agentbridge.unlock(username text) returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_for(username, 'admin');
begin
    update agents a set failed_logins = 0, locked_at = null
    where a.id = agent.id and (failed_logins <> 0 or locked_at is not null);
    return found;
end $$;
