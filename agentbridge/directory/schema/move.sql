-- Copies the rows of a database of before version 0.2, whose schema was renamed to agentbridge_old, into the new one.
-- Columns that the new tables have not got are left behind: the number beside a session. The rows obeyed the rules when
-- they were written, so triggers don't look at them again, and no hint comes from them; Asterisk need not know.

create temporary table moved (name text, copied bigint) on commit drop;

do $$
declare
    name text;
    columns text;
    copied bigint;
    identity text;
begin
    foreach name in array array[
        'settings', 'agents', 'telephones', 'endpoint_ids', 'queues', 'retired_queues', 'queue_members', 'teams',
        'team_members', 'team_queues', 'sessions', 'queue_pauses', 'users', 'user_queues', 'modules', 'agent_modules',
        'agent_channels', 'interactions', 'password_resets', 'changes', 'nodes', 'applied',
        'older_databases', 'home', 'takeovers', 'recordings', 'spy_audit']
    loop
        select string_agg(quote_ident(n.attname), ', ' order by n.attnum) into columns
        from pg_attribute n
        join pg_attribute o on o.attname = n.attname and not o.attisdropped
            and o.attrelid = format('agentbridge_old.%I', name)::regclass
        where n.attrelid = format('agentbridge.%I', name)::regclass and n.attnum > 0 and not n.attisdropped;
        execute format('alter table agentbridge.%I disable trigger user', name);
        execute format('delete from agentbridge.%I', name);    -- what the new schema starts with
        execute format('insert into agentbridge.%1$I (%2$s) overriding system value'
            ' select %2$s from agentbridge_old.%1$I', name, columns);
        get diagnostics copied = row_count;
        execute format('alter table agentbridge.%I enable trigger user', name);
        insert into moved values (name, copied);
        if name = 'queues' then
            update agentbridge.queues q set address = q.name;
        end if;
        -- numbers go on where they were
        for identity in select attname from pg_attribute
            where attrelid = format('agentbridge.%I', name)::regclass and attidentity <> ''
        loop
            execute format('select setval(pg_get_serial_sequence(%1$L, %2$L),'
                ' (select last_value from %3$s), (select is_called from %3$s))',
                'agentbridge.' || name, identity, pg_get_serial_sequence('agentbridge_old.' || name, identity));
        end loop;
    end loop;
end $$;
