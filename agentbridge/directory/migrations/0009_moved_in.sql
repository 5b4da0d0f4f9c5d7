-- Transaction numbers are a cluster's own. A directory that was dumped and restored elsewhere brings those of its
-- old home, which may be far ahead: new changes would count as seen and as applied.
create table agentbridge.home (
    cluster text not null      -- PostgreSQL's system identifier
);
create unique index home_is_one_row on agentbridge.home ((true));
insert into agentbridge.home select system_identifier::text from pg_control_system();

-- To be called before anything is read by transaction numbers; true when the directory came from elsewhere.
create function agentbridge.moved_in() returns boolean language plpgsql
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
