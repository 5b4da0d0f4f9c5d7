-- How a value is refused. SQLSTATE class AB; the message names the field, the rule and the value.
-- These helpers run with the rights of the trigger or verb that calls them; nobody else may call them.

-- Ends the statement with this SQLSTATE and message.
create or replace function agentbridge.refuse(code text, message text) returns void language plpgsql
as $$ begin raise exception using errcode = code, message = message; end $$;

-- A value as a message may show it: cut after 60 characters.
create or replace function agentbridge.shown(value text) returns text language sql immutable
return case when length(value) > 60 then left(value, 60) || '…' else coalesce(value, 'null') end;

create or replace function agentbridge.shown(vals text[]) returns text language sql immutable
return coalesce(nullif(array_to_string(vals, ',', 'null'), ''), 'nothing');

-- Asterisk's files, its AMI and its logs are lines: no value may hold a control character or a line end.
create or replace function agentbridge.check_text(field text, value text, longest integer) returns void language plpgsql
as $$
begin
    if value ~ '[\x01-\x1f\x7f-\x9f\u2028\u2029]' then
        perform agentbridge.refuse('AB001', format('%s: control characters and line ends are not allowed', field));
    elsif length(value) > longest then
        perform agentbridge.refuse('AB001',
            format('%s: at most %s characters (got %s)', field, longest, length(value)));
    end if;
end $$;

create or replace function agentbridge.check_one_of(field text, value text, allowed text[]) returns void
language plpgsql
as $$
begin
    if value is null or value <> all (allowed) then
        perform agentbridge.refuse('AB001', format('%s: must be one of %s (got %s)', field,
            array_to_string(allowed, ', '), agentbridge.shown(value)));
    end if;
end $$;

create or replace function agentbridge.check_list(field text, vals text[], allowed text[]) returns void language plpgsql
as $$
begin
    if coalesce(cardinality(vals), 0) = 0 then
        perform agentbridge.refuse('AB001', format('%s: name at least one of %s', field,
            array_to_string(allowed, ', ')));
    elsif not vals <@ allowed or array_position(vals, null) is not null then
        perform agentbridge.refuse('AB001', format('%s: only %s are allowed (got %s)', field,
            array_to_string(allowed, ', '), agentbridge.shown(vals)));
    elsif cardinality(vals) > 1 and cardinality(vals) <> (select count(distinct v) from unnest(vals) v) then
        perform agentbridge.refuse('AB001', format('%s: a value is named twice (got %s)', field,
            agentbridge.shown(vals)));
    end if;
end $$;

create or replace function agentbridge.check_number(field text, value bigint, lowest bigint, highest bigint)
returns void language plpgsql
as $$
begin
    if value not between lowest and highest then
        perform agentbridge.refuse('AB001',
            format('%s: must be %s to %s (got %s)', field, lowest, highest, value));
    end if;
end $$;

-- call_group and pickup_group: chan_pjsip knows the groups 0 to 63.
create or replace function agentbridge.check_groups(field text, value text) returns void language plpgsql
as $$
declare part text[];
begin
    if value = '' then
        return;
    end if;
    if value ~ '^[0-9]{1,2}(-[0-9]{1,2})?(,[0-9]{1,2}(-[0-9]{1,2})?)*$' then
        for part in select regexp_split_to_array(p, '-') from unnest(string_to_array(value, ',')) p loop
            if part[1]::int > 63 or coalesce(part[2], part[1])::int not between part[1]::int and 63 then
                value := null;
            end if;
        end loop;
    else
        value := null;
    end if;
    if value is null then
        perform agentbridge.refuse('AB001',
            format('%s: must be numbers 0 to 63 and ranges of them, as in 1,3-5', field));
    end if;
end $$;

create or replace function agentbridge.check_host(value text) returns void language plpgsql
as $$
begin
    if value = 'dynamic' then
        return;
    end if;
    -- a host address alone: no mask, no name that would have to be looked up
    if value !~ '^[0-9A-Fa-f.:]+$' or value::inet in ('0.0.0.0', '::') then
        raise invalid_text_representation;
    elsif value::inet <<= '::ffff:0:0/96' then
        -- Asterisk answers 'no route' to each call to one
        perform agentbridge.refuse('AB001', format(
            'host: an IPv4 address is written plainly, not within IPv6 (got %s)', agentbridge.shown(value)));
    end if;
exception when invalid_text_representation then
    perform agentbridge.refuse('AB001',
        format('host: must be dynamic or one IP address (got %s)', agentbridge.shown(value)));
end $$;

create or replace function agentbridge.check_reason(value text) returns void language plpgsql
as $$
begin
    perform agentbridge.check_text('pause_reason', value, 80);
    -- app_queue keeps members as one string split at these three
    if value ~ '[;,|]' then
        perform agentbridge.refuse('AB001',
            format('pause_reason: must not contain ; , or | (got %s)', agentbridge.shown(value)));
    end if;
end $$;

create or replace function agentbridge.check_secret(value text) returns void language plpgsql
as $$
begin
    if value !~ '^[\x21-\x7e]{8,128}$' then
        perform agentbridge.refuse('AB001', 'sip_secret: must be 8 to 128 printable ASCII characters, no space');
    end if;
end $$;

-- 32 characters of a uuid's hex twice over: 244 random bits from the server's strong generator
create or replace function agentbridge.new_secret() returns text language sql volatile
return translate(encode(sha256((gen_random_uuid()::text || gen_random_uuid()::text)::bytea), 'base64'), '+/=', '-_');

-- Without this a missing value is PostgreSQL's own error, whose detail is the whole row with its secrets.
create or replace function agentbridge.refuse_null() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare field text;
begin
    select a.attname into field from pg_attribute a
    where a.attrelid = tg_relid and a.attnotnull and a.attnum > 0
        and to_jsonb(new) -> a.attname = 'null'::jsonb
    order by a.attnum limit 1;
    if found then
        perform refuse('AB001', format('%s: must not be null; leave it out for the default', field));
    end if;
    return new;
end $$;

-- On every table that people write. The columns are asked of the table: after a migration all files are applied anew.
do $$
declare name text;
begin
    foreach name in array '{agents,telephones,settings,users,user_queues,queue_members,queue_pauses,team_members,
            team_queues,agent_channels}'::text[]
    loop
        execute format('create or replace trigger e_nulls before insert or update on agentbridge.%I for each row '
            'when (num_nulls(%s) > 0) execute function agentbridge.refuse_null()', name, (
            select string_agg('new.' || quote_ident(attname), ', ') from pg_attribute
            where attrelid = ('agentbridge.' || name)::regclass and attnotnull and attnum > 0 and not attisdropped));
    end loop;
end $$;
