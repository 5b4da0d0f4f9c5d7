-- Missing values and taken names of the tables where PostgreSQL's own words were left: they name a constraint, and
-- neither the field nor the rule.

do $$
declare name text;
begin
    foreach name in array
        '{settings,users,user_queues,queue_members,queue_pauses,team_members,team_queues,agent_channels}'::text[]
    loop
        execute format('create trigger e_nulls before insert or update on agentbridge.%I for each row '
            'when (num_nulls(%s) > 0) execute function agentbridge.refuse_null()', name, (
            select string_agg('new.' || attname, ', ') from pg_attribute
            where attrelid = ('agentbridge.' || name)::regclass and attnotnull and attnum > 0));
    end loop;
end $$;

create or replace function agentbridge.check_user() returns trigger language plpgsql
as $$
begin
    if new.username !~ '^[A-Za-z0-9._]{1,80}$' then
        perform agentbridge.refuse('AB001', format(
            'username: must be 1 to 80 letters, digits, . and _ (got %s)', agentbridge.shown(new.username)));
    elsif new.username is distinct from old.username
            and exists (select from agentbridge.users u where u.username = new.username) then
        perform agentbridge.refuse('AB002', format('username: a user %s exists already', new.username));
    end if;
    perform agentbridge.check_one_of('role', new.role, '{admin,user}');
    return new;
end $$;
