-- Records over HTTP: lists, single records with their version, changes. One function for each verb, for all kinds; what
-- a kind is, is said in the views below. A record is JSON with `key`; `etag` changes with every field that can be set.

-- ------------------------------------------------------------------------------------------ whom one may see

-- The queues that somebody sees: an administrator and a machine all, users those enabled for them, a supervising agent
-- those it is in.
create or replace function agentbridge.api_queues_of(who agentbridge.api_identity) returns setof bigint language plpgsql stable
security definer set search_path = agentbridge, pg_temp
as $$
begin
    if who.roles && '{admin,machine}' then
        return query select q.id from queues q;
    elsif who.kind = 'user' then
        return query select e.queue_id from user_queues e where e.username = who.name;
    elsif who.kind = 'agent' and 'supervisor' = any (who.roles) then
        return query select m.queue_id from effective_members m
            where m.agent_id = (select a.id from agents a where a.username = who.name);
    end if;
end $$;

-- The agents that somebody may change.
create or replace function agentbridge.api_agents_of(who agentbridge.api_identity, manage boolean)
returns setof bigint language sql stable security definer set search_path = agentbridge, pg_temp
as $$
    select a.id from agents a where who.roles && '{admin,machine}'
    union
    select m.agent_id from effective_members m
    where (not manage or 'user' = any (who.roles)) and not who.roles && '{admin,machine}'
        and m.queue_id in (select api_queues_of(who))
$$;

create or replace function agentbridge.api_must_manage(who agentbridge.api_identity, usernames text[]) returns void
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare missing text;
begin
    select u into missing from unnest(usernames) u where not exists (select from agents a where a.username = u)
        and who.roles && '{admin,machine}' limit 1;
    if found then
        perform refuse('AB003', format('username: there is no agent %s', shown(missing)));
    end if;
    -- the same answer for an agent of others as for none at all
    if who.roles && '{admin,machine}' then
        return;  -- without a look at all agents, which would be what a verb costs
    end if;
    select u into missing from unnest(usernames) u
    where not exists (select from agents a where a.username = u and a.id in (select api_agents_of(who, true))) limit 1;
    if found then
        perform refuse('AB003', format('username: there is no agent %s that %s may manage', shown(missing), who.name));
    end if;
end $$;

-- ------------------------------------------------------------------------------------------ what a record shows

-- Everything that can be set, without secrets.
create or replace function agentbridge.api_agent_fields(a agentbridge.agents) returns jsonb language sql immutable
return to_jsonb(a) - '{id,password_hash,pin_hash,voicemail_pin,sip_secret,avatar,avatar_type,failed_logins,locked_at,
    password_changed_at,created_at}'::text[];

-- In PL/pgSQL, which keeps the plan: to plan agent_status takes longer than to read it for one agent.
create or replace function agentbridge.api_agent(a agentbridge.agents) returns jsonb language plpgsql stable
set search_path = agentbridge, pg_temp
as $$
begin
    return api_agent_fields(a) || jsonb_build_object(
        'created_at', a.created_at, 'locked', a.locked_at is not null,
        'password_changed_at', case when (select security_suite from settings) then a.password_changed_at end,
        'has_avatar', a.avatar is not null,
        'queues', coalesce((select jsonb_object_agg(q.address, m.penalty) from effective_members m
            join queues q on q.id = m.queue_id where m.agent_id = a.id), '{}'),
        'own_queues', coalesce((select jsonb_object_agg(q.address, m.penalty) from queue_members m
            join queues q on q.id = m.queue_id where m.agent_id = a.id), '{}'),
        'teams', coalesce((select jsonb_agg(t.name order by t.name) from team_members m join teams t on t.id = m.team_id
            where m.agent_id = a.id), '[]'),
        'modules', coalesce((select jsonb_agg(m.module order by m.module) from agent_modules m
            where m.agent_id = a.id), '[]'),
        'channels', coalesce((select jsonb_object_agg(c.channel, to_jsonb(c) - '{agent_id,channel}'::text[])
            from agent_channels c where c.agent_id = a.id), '{}'),
        'status', (select to_jsonb(s) - '{username,internal}'::text[] from agent_status s where s.username = a.username));
end $$;

create or replace function agentbridge.api_etag(fields jsonb) returns text language sql immutable
return '"' || left(md5(fields::text), 20) || '"';

-- ------------------------------------------------------------------------------------------ kinds

-- SQL of one kind: who may see which rows ($1 is who asks), what is shown in a list, what in a record, and the part that
-- can be set, from which the ETag comes. `joined` are tables that the summary needs: joined for a page they are read once,
-- and not once for each row. Only text of this file goes into a statement.
create or replace function agentbridge.api_kind(kind text, out source text, out key text, out summary text, out record text,
    out fields text, out searched text[], out sortable text[], out settable text[], out joined text) language plpgsql immutable
set search_path = agentbridge, pg_temp
as $$
begin
    joined := '';
    case kind
    when 'agents' then
        source := 'agents r where ($1.roles && ''{admin,machine}'' or r.id in (select api_agents_of($1, false)))';
        key := 'username'; record := 'api_agent(r)'; fields := 'api_agent_fields(r)';
        searched := '{username,full_name,internal,email,alias}';
        sortable := '{username,full_name,internal,email,alias,typology}';
        settable := '{username,full_name,alias,email,internal,typology,description,voicemail,deactivated,hot_desk,
            login_in_pause,mask_sensitive,transport,host,nat,sip_type,codecs,caller_id,context,call_group,pickup_group,
            chanspy,record_calls,record_made_calls,sip_expires,sip_port,auto_answer,auto_answer_delay,ring_in_use,manual_recording,
            dtmf_tones,dnd_in_pause,unanswered_badge,jaws,screen_recording,screen_recording_path,remote_control,
            remote_control_port,forward_allowed,forward_to,may_see_settings,may_change_settings,tls_certificate_path,
            tls_key_path,wss_port,ignore_pause_preview,client_log,client_log_level,internal_messenger,prefix_required,
            recall_me,may_call,may_spy,download_attachments,download_interactions,download_recordings}';
        -- in the statement and not a function, which would be begun anew for each of a thousand rows
        summary := $summary$jsonb_build_object('username', r.username, 'full_name', r.full_name, 'alias', r.alias,
            'email', r.email, 'internal', r.internal, 'typology', r.typology, 'description', r.description,
            'hot_desk', r.hot_desk, 'deactivated', r.deactivated, 'locked', r.locked_at is not null,
            'queues', coalesce((select jsonb_agg(q.address order by q.address) from effective_members m
                join queues q on q.id = m.queue_id where m.agent_id = r.id), '[]'),
            'teams', coalesce((select jsonb_agg(t.name order by t.name) from team_members m
                join teams t on t.id = m.team_id where m.agent_id = r.id), '[]'),
            'logged_in', s.agent_id is not null, 'paused', coalesce(s.paused, false),
            'pause_reason', case when s.paused then s.pause_reason end, 'telephone', phone.name)$summary$;
        joined := 'left join sessions s on s.agent_id = r.id left join telephones phone on phone.id = s.telephone_id';
    when 'queues' then
        source := 'queues r where r.id in (select api_queues_of($1))';
        key := 'address'; searched := '{name,description}'; sortable := '{address,name,channel,description}';
        settable := '{name,channel,description}';
        fields := 'jsonb_build_object(''name'', r.address, ''channel'', r.channel, ''description'', r.description)';
        summary := fields || ' || jsonb_build_object(''members'', (select count(*) from effective_members m '
            'where m.queue_id = r.id))';
        record := fields || ' || jsonb_build_object(''created_at'', r.created_at, ''members'', coalesce((select '
            'jsonb_object_agg(a.username, m.penalty) from effective_members m join agents a on a.id = m.agent_id '
            'where m.queue_id = r.id), ''{}''), ''teams'', coalesce((select jsonb_object_agg(t.name, q.penalty) '
            'from team_queues q join teams t on t.id = q.team_id where q.queue_id = r.id), ''{}''))';
    when 'teams' then
        source := 'teams r where $1.name is not null';
        key := 'name'; searched := '{name,description}'; sortable := '{name,description}';
        settable := '{name,description}';
        fields := 'jsonb_build_object(''name'', r.name, ''description'', r.description)';
        summary := fields || ' || jsonb_build_object(''members'', (select count(*) from team_members m '
            'where m.team_id = r.id), ''queues'', (select count(*) from team_queues q where q.team_id = r.id))';
        record := fields || ' || jsonb_build_object(''members'', coalesce((select jsonb_agg(a.username order by '
            'a.username) from team_members m join agents a on a.id = m.agent_id where m.team_id = r.id), ''[]''), '
            '''queues'', coalesce((select jsonb_object_agg(q.address, t.penalty) from team_queues t join queues q '
            'on q.id = t.queue_id where t.team_id = r.id), ''{}''))';
    when 'telephones' then
        source := 'telephones r where $1.name is not null';
        key := 'name'; searched := '{name,description}'; sortable := '{name,description}';
        settable := '{name,description,transport,host,nat,sip_type,codecs,caller_id,context,call_group,pickup_group,
            sip_expires}';
        fields := 'to_jsonb(r) - ''{id,sip_secret,registered,registered_at,registered_node,created_at}''::text[]';
        summary := 'jsonb_build_object(''name'', r.name, ''description'', r.description) || (select '
            'jsonb_build_object(''registered'', s.registered, ''agent'', s.agent, ''available'', s.available) '
            'from telephone_status s where s.name = r.name)';
        record := fields || ' || jsonb_build_object(''created_at'', r.created_at) || (select '
            'jsonb_build_object(''registered'', s.registered, ''agent'', s.agent, ''available'', s.available) '
            'from telephone_status s where s.name = r.name)';
    when 'users' then
        source := 'users r where $1.name is not null';
        key := 'username'; searched := '{username,role}'; sortable := '{username,role}';
        settable := '{username,role,agents_permission,may_spy,download_recordings}';
        fields := 'to_jsonb(r) - ''{password_hash}''::text[] || jsonb_build_object(''queues'', coalesce((select '
            'jsonb_agg(q.address order by q.address) from user_queues e join queues q on q.id = e.queue_id '
            'where e.username = r.username), ''[]''))';
        summary := fields; record := fields;
    when 'pause-reasons' then
        source := 'pause_reasons r where $1.name is not null';
        key := 'name'; searched := '{name}'; sortable := '{name,position}'; settable := '{name,position}';
        fields := 'to_jsonb(r)'; summary := fields; record := fields;
    when 'prefixes' then
        source := 'prefixes r where $1.name is not null';
        key := 'prefix'; searched := '{prefix,label}'; sortable := '{prefix,label}'; settable := '{prefix,label}';
        fields := 'to_jsonb(r)'; summary := fields; record := fields;
    when 'tokens' then
        source := 'api_tokens r where $1.name is not null';
        key := 'id'; searched := '{id,name}'; sortable := '{id,name,created_at}'; settable := '{}';
        fields := 'to_jsonb(r) - ''proof'''; summary := fields; record := fields;
    when 'settings' then
        source := 'settings r where $1.name is not null';
        key := 'only_row'; searched := '{}'; sortable := '{}';
        settable := array(select attname::text from pg_attribute where attrelid = 'agentbridge.settings'::regclass
            and attnum > 0 and not attisdropped and attname <> 'only_row');
        fields := 'to_jsonb(r) - ''only_row'''; summary := fields; record := fields;
    else
        perform refuse('AB003', format('kind: there is no %s', shown(kind)));
    end case;
end $$;

-- ------------------------------------------------------------------------------------------ reading

-- Where a page ended, in letters that go into an address.
create or replace function agentbridge.api_cursor(place jsonb) returns text language sql immutable
return translate(encode(convert_to(place::text, 'UTF8'), 'base64'), E'+/=\n', '-_');

-- One page: {items, next}. sort: a field, with - before it downwards; after: where the last page ended, as
-- {value, key} of the row there.
create or replace function agentbridge.api_list(proof bytea, kind text, q text default '', sort text default '',
    lim integer default 100, after jsonb default null, only_available boolean default false) returns jsonb
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, kind || '.list');
    k record;
    field text;
    field_type text;
    way text := case when sort like '-%' then 'desc' else 'asc' end;
    pattern text := '%' || replace(replace(replace(coalesce(q, ''), '\', '\\'), '%', '\%'), '_', '\_') || '%';
    found_page jsonb;
begin
    select * into k from api_kind(kind);
    field := coalesce(nullif(ltrim(sort, '-'), ''), k.key);
    if field <> all (k.sortable) then
        perform refuse('AB001', format('sort: must be one of %s, with - before it for downwards (got %s)',
            array_to_string(k.sortable, ', '), shown(sort)));
    end if;
    select format_type(atttypid, null) into field_type from pg_attribute
    where attrelid = (case kind when 'pause-reasons' then 'agentbridge.pause_reasons' when 'tokens' then
        'agentbridge.api_tokens' else 'agentbridge.' || kind end)::regclass and attname = field;
    execute format($query$
        with page as (
            select r.%1$I as value, r.%2$I as key from %3$s
                and ($2 = '%%%%' or %4$s)
                and ($3 is null or (r.%1$I, r.%2$I) %5$s (($3->>'value')::%6$s, $3->>'key'))
                and (not $5 or %7$s)
            order by 1 %8$s, 2 %8$s limit $4 + 1
        ),
        numbered as (
            select row_number() over (order by p.value %8$s, p.key %8$s) as n, p.value, p.key, %9$s as shown
            from page p join %10$s r on r.%2$I = p.key %11$s
        )
        select jsonb_build_object('items', coalesce(jsonb_agg(shown order by n) filter (where n <= $4), '[]'),
            'next', (select api_cursor(jsonb_build_object('value', value, 'key', key)) from numbered
                where n = $4 and exists (select from numbered m where m.n > $4)))
        from numbered$query$,
        field, k.key, k.source,
        (select string_agg(format('r.%I ilike $2', s), ' or ') from unnest(k.searched) s),
        case way when 'desc' then '<' else '>' end, field_type,
        case kind when 'telephones' then 'r.name in (select s.name from telephone_status s where s.available)'
            else 'true' end,
        way, k.summary, split_part(k.source, ' ', 1), k.joined)
    into found_page using who, pattern, after, lim, only_available;
    return found_page;
end $$;

-- One record: {etag, record}; AB003 where there is none that this person may see.
create or replace function agentbridge.api_read(proof bytea, kind text, key text) returns jsonb
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
begin
    return api_record(api_allow(proof, kind || '.read'), kind, key);
end $$;

create or replace function agentbridge.api_record(who agentbridge.api_identity, kind text, key text) returns jsonb
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare
    k record;
    found_one jsonb;
begin
    select * into k from api_kind(kind);
    execute format('select jsonb_build_object(''etag'', api_etag(%s), ''record'', %s) from %s and r.%I::text = $2',
        k.fields, k.record, k.source, k.key)
    into found_one using who, key;
    if found_one is null then
        perform refuse('AB003', format('%s: there is no %s %s', replace(k.key, 'address', 'name'), rtrim(kind, 's'), shown(key)));
    end if;
    return found_one;
end $$;

-- ------------------------------------------------------------------------------------------ changing

-- The fields of `given` that may be set, by this person.
create or replace function agentbridge.api_columns(who agentbridge.api_identity, kind text, given jsonb) returns text[]
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare
    known text[] := (select settable from api_kind(kind));
    stranger text;
begin
    select f into stranger from jsonb_object_keys(given) f where f <> all (known) limit 1;
    if found then
        perform refuse('AB001', format('%s: there is no such field that can be set', shown(stranger)));
    elsif kind = 'agents' and given ? 'may_spy' and not 'admin' = any (who.roles) then
        perform refuse('AB004', 'may_spy: only an administrator may set it');
    end if;
    return array(select jsonb_object_keys(given));
end $$;

create or replace function agentbridge.api_create(proof bytea, kind text, given jsonb, queues jsonb default '{}',
    teams text[] default '{}') returns jsonb
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, case when kind = 'agents' then 'agents.create' else kind || '.write' end);
    k record;
    columns text[] := api_columns(who, kind, given);
    new_key text;
    listed text := (select string_agg(quote_ident(c), ', ') from unnest(columns) c);
begin
    select * into k from api_kind(kind);
    if kind = 'agents' and not who.roles && '{admin,machine}' and queues = '{}' then
        -- an agent in no queue of the user's would be out of its reach at once
        perform refuse('AB004', format('queues: name at least one that is enabled for %s', who.name));
    end if;
    execute format('insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $1) returning %3$I',
        split_part(k.source, ' ', 1), listed, k.key)
    into new_key using given;
    if kind = 'agents' then
        perform api_set_queues(who, new_key, queues);
        if cardinality(teams) > 0 then
            perform api_set_teams(who, new_key, teams);
        end if;
    end if;
    perform api_note(who, kind || '.create', new_key, given);
    return api_record(who, kind, new_key);
end $$;

-- if_match: the ETag that the change is made from; AB012 when the record is another one by now.
create or replace function agentbridge.api_change(proof bytea, kind text, key text, given jsonb, if_match text)
returns jsonb language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, case when kind = 'agents' then 'agents.update' else kind || '.write' end);
    k record;
    columns text[] := api_columns(who, kind, given);
    here text;
    new_key text;
begin
    select * into k from api_kind(kind);
    if kind = 'agents' then
        perform api_must_manage(who, array[key]);
    end if;
    -- locked first, so that of two editors with the same version the second is told
    execute format('select api_etag(%s) from %s and r.%I::text = $2 for no key update', k.fields, k.source, k.key)
    into here using who, key;
    if here is null then
        perform refuse('AB003', format('%s: there is no %s %s', replace(k.key, 'address', 'name'), rtrim(kind, 's'), shown(key)));
    elsif if_match <> '*' and here <> if_match then
        perform refuse('AB012', format('If-Match: %s was changed meanwhile; look at it again', key));
    end if;
    if cardinality(columns) > 0 then
        execute format('update %1$s r set (%2$s) = (select %3$s from jsonb_populate_record(r, $1) n) where r.%4$I::text = $2'
            ' returning r.%4$I::text', split_part(k.source, ' ', 1),
            (select string_agg(quote_ident(c), ', ') from unnest(columns) c),
            (select string_agg('n.' || quote_ident(c), ', ') from unnest(columns) c), k.key)
        into new_key using given, key;
        perform api_note(who, kind || '.update', key, given);
    end if;
    return api_record(who, kind, coalesce(new_key, key));
end $$;

-- All or none of them.
create or replace function agentbridge.api_delete(proof bytea, kind text, keys text[], if_match text default '*')
returns integer language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, case when kind = 'agents' then 'agents.delete' else kind || '.write' end);
    k record;
    here text;
    gone text[];
    missing text;
begin
    select * into k from api_kind(kind);
    if kind = 'agents' then
        perform api_must_manage(who, keys);
    end if;
    if if_match <> '*' then
        execute format('select api_etag(%s) from %s and r.%I = $2 for update', k.fields, k.source, k.key)
        into here using who, keys[1];
        if here <> if_match then
            perform refuse('AB012', format('If-Match: %s was changed meanwhile; look at it again', keys[1]));
        end if;
    end if;
    execute format('with d as (delete from %1$s r where r.%2$I = any ($1) returning r.%2$I as key)'
        ' select array_agg(key) from d', split_part(k.source, ' ', 1), k.key) into gone using keys;
    select u into missing from unnest(keys) u where u <> all (coalesce(gone, '{}')) limit 1;
    if found then
        perform refuse('AB003', format('%s: there is no %s %s', replace(k.key, 'address', 'name'), rtrim(kind, 's'), shown(missing)));
    end if;
    perform api_note(who, kind || '.delete', g) from unnest(gone) g;
    return cardinality(gone);
end $$;

-- ------------------------------------------------------------------------------------------ what belongs to an agent

-- queues: name → penalty, exactly these directly; those that a team brings are not touched.
create or replace function agentbridge.api_set_queues(who agentbridge.api_identity, username text, queues jsonb)
returns void language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    this bigint := (select a.id from agents a where a.username = api_set_queues.username for no key update);
    stranger text;
    own bigint[] := array(select api_queues_of(who));
begin
    select n into stranger from jsonb_object_keys(queues) n
    where not exists (select from queues q where q.address = n and q.id = any (own)) limit 1;
    if found then
        perform refuse('AB003', format('queues: there is no queue %s that %s may fill', shown(stranger), who.name));
    end if;
    delete from queue_members m where m.agent_id = this and m.queue_id = any (own)
        and not exists (select from queues q where q.id = m.queue_id and queues ? q.address);
    insert into queue_members as m (agent_id, queue_id, penalty)
    select this, q.id, p.value::integer from jsonb_each_text(queues) p join queues q on q.address = p.key
    on conflict (agent_id, queue_id) do update set penalty = excluded.penalty where m.penalty <> excluded.penalty;
end $$;

create or replace function agentbridge.api_set_teams(who agentbridge.api_identity, username text, teams text[])
returns void language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    this bigint := (select a.id from agents a where a.username = api_set_teams.username for no key update);
    stranger text;
begin
    select n into stranger from unnest(teams) n where not exists (select from teams t where t.name = n) limit 1;
    if found then
        perform refuse('AB003', format('teams: there is no team %s', shown(stranger)));
    end if;
    -- a team brings its queues along: whoever may not fill those may not put anybody into the team
    if not who.roles && '{admin,machine}' and exists (
            select from team_queues q join teams t on t.id = q.team_id
            where (t.name = any (teams)) <> exists (select from team_members m where m.team_id = t.id and m.agent_id = this)
                and q.queue_id not in (select api_queues_of(who))) then
        perform refuse('AB004', format('teams: %s may not use this team, which has a queue that is not enabled for that user', who.name));
    end if;
    delete from team_members m using teams t where t.id = m.team_id and m.agent_id = this and t.name <> all (teams);
    insert into team_members (team_id, agent_id) select t.id, this from teams t where t.name = any (teams)
    on conflict do nothing;
end $$;

-- part: queues, teams, modules or channels; all of it at once, as `given` says.
create or replace function agentbridge.api_set_part(proof bytea, username text, part text, given jsonb) returns jsonb
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'agents.' || part);
    this bigint;
    stranger text;
begin
    perform api_must_manage(who, array[username]);
    select a.id into this from agents a where a.username = api_set_part.username for no key update;
    case part
    when 'queues' then
        perform api_set_queues(who, username, given);
    when 'teams' then
        perform api_set_teams(who, username, array(select jsonb_array_elements_text(given)));
    when 'modules' then
        select n into stranger from jsonb_array_elements_text(given) n
        where not exists (select from modules m where m.name = n) limit 1;
        if found then
            perform refuse('AB003', format('modules: there is no module %s', shown(stranger)));
        end if;
        delete from agent_modules m where m.agent_id = this and not given ? m.module;
        insert into agent_modules (agent_id, module) select this, n from jsonb_array_elements_text(given) n
        on conflict do nothing;
    when 'channels' then
        delete from agent_channels c where c.agent_id = this and not given ? c.channel;
        insert into agent_channels (agent_id, channel, capacity, auto_answer, auto_answer_delay)
        select this, e.key, coalesce((e.value->>'capacity')::integer, 0),
            coalesce((e.value->>'auto_answer')::boolean, false), coalesce((e.value->>'auto_answer_delay')::integer, 0)
        from jsonb_each(given) e
        on conflict (agent_id, channel) do update set capacity = excluded.capacity,
            auto_answer = excluded.auto_answer, auto_answer_delay = excluded.auto_answer_delay;
    else
        perform refuse('AB001', format('part: there is no %s', shown(part)));
    end case;
    perform api_note(who, 'agents.' || part, username, given);
    return api_record(who, 'agents', username)->'record'->part;
end $$;

create or replace function agentbridge.api_set_user_queues(proof bytea, username text, queues text[]) returns jsonb
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'users.write');
    stranger text;
begin
    if not exists (select from users u where u.username = api_set_user_queues.username) then
        perform refuse('AB003', format('username: there is no user %s', shown(username)));
    end if;
    select n into stranger from unnest(queues) n where not exists (select from queues q where q.address = n) limit 1;
    if found then
        perform refuse('AB003', format('queues: there is no queue %s', shown(stranger)));
    end if;
    delete from user_queues e using queues q
    where q.id = e.queue_id and e.username = api_set_user_queues.username and q.address <> all (queues);
    insert into user_queues (username, queue_id) select api_set_user_queues.username, q.id from queues q
    where q.address = any (queues) on conflict do nothing;
    perform api_note(who, 'users.queues', username, to_jsonb(queues));
    return to_jsonb(queues);
end $$;

-- Only the hash comes here. `old_hash` of a person's own change was checked before.
create or replace function agentbridge.api_set_password(proof bytea, kind text, username text, hash text) returns void
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_actor(proof);
begin
    if (who.kind, who.name) <> (kind, username) then
        perform api_allow(proof, case kind when 'agent' then 'agents.password' else 'users.write' end);
        if kind = 'agent' then
            perform api_must_manage(who, array[username]);
        end if;
    end if;
    perform api_note(who, kind || 's.password', username);
    if kind = 'agent' then
        update agents a set password_hash = hash where a.username = api_set_password.username;
    else
        update users u set password_hash = hash where u.username = api_set_password.username;
    end if;
    if not found then
        perform refuse('AB003', format('username: there is no %s %s', kind, shown(username)));
    end if;
end $$;

create or replace function agentbridge.api_set_lock(proof bytea, username text, locked boolean) returns boolean
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare who api_identity := api_allow(proof, 'agents.lock');
begin
    perform api_must_manage(who, array[username]);
    perform api_note(who, 'agents.lock', username, to_jsonb(locked));
    if not locked then
        return unlock(username);
    end if;
    update agents a set locked_at = clock_timestamp()
    where a.username = api_set_lock.username and a.locked_at is null;
    return found;
end $$;

-- queues: name → penalty, exactly these.
create or replace function agentbridge.api_set_team_queues(proof bytea, team text, queues jsonb) returns jsonb
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'teams.write');
    this bigint := (select t.id from teams t where t.name = team for no key update);
    stranger text;
begin
    if this is null then
        perform refuse('AB003', format('name: there is no team %s', shown(team)));
    end if;
    select n into stranger from jsonb_object_keys(queues) n where not exists (select from queues q where q.address = n) limit 1;
    if found then
        perform refuse('AB003', format('queues: there is no queue %s', shown(stranger)));
    end if;
    delete from team_queues t using queues q where q.id = t.queue_id and t.team_id = this and not queues ? q.address;
    insert into team_queues as t (team_id, queue_id, penalty)
    select this, q.id, p.value::integer from jsonb_each_text(queues) p join queues q on q.address = p.key
    on conflict (team_id, queue_id) do update set penalty = excluded.penalty where t.penalty <> excluded.penalty;
    perform api_note(who, 'teams.queues', team, queues);
    return queues;
end $$;

-- Ends the session of whoever sits there.
create or replace function agentbridge.api_free_telephone(proof bytea, telephone text) returns boolean
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'telephones.write');
    gone text;
begin
    if not exists (select from telephones t where t.name = telephone) then
        perform refuse('AB003', format('name: there is no telephone %s', shown(telephone)));
    end if;
    select a.username into gone from sessions s join telephones t on t.id = s.telephone_id
        join agents a on a.id = s.agent_id where t.name = telephone;
    if not found then
        return false;
    end if;
    perform api_note(who, 'telephones.free', telephone, jsonb_build_object('agent', gone));
    return logout(gone, 'admin');
end $$;

-- New agents of a file: all of them, or none with what is wrong with which. Each row holds the fields to set, `queues` (name
-- to penalty), `teams` and `line`. dry_run: only tries.
create or replace function agentbridge.api_import(proof bytea, given jsonb, dry_run boolean) returns jsonb
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'agents.import');
    one jsonb;
    made integer := 0;
    errors jsonb := '[]';
    why text;
begin
    begin
        for one in select r from jsonb_array_elements(given) r loop
            begin
                perform api_create(proof, 'agents', one - '{line,queues,teams}'::text[], coalesce(one->'queues', '{}'),
                    array(select jsonb_array_elements_text(coalesce(one->'teams', '[]'))));
                made := made + 1;
            exception when others then
                get stacked diagnostics why = message_text;
                errors := errors || jsonb_build_object('line', one->'line', 'detail', why);
                exit when jsonb_array_length(errors) >= 100;
            end;
        end loop;
        if dry_run or errors <> '[]' then
            raise exception using errcode = 'AB099', message = 'internal: takes back the agents of a dry run or of a file with errors, and is caught below';
        end if;
    exception when sqlstate 'AB099' then
        null;
    end;
    return jsonb_build_object('created', case when errors = '[]' then made else 0 end, 'errors', errors);
end $$;

-- The agents of a file: username by username, what may be shown of them and be read in again; with `usernames` these alone.
create or replace function agentbridge.api_export(proof bytea, q text, usernames text[] default null) returns setof jsonb
language plpgsql stable security definer set search_path = agentbridge, pg_temp
as $$
declare
    who api_identity := api_allow(proof, 'agents.export');
    pattern text := '%' || replace(replace(replace(coalesce(q, ''), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
    return query select api_agent_fields(a) || jsonb_build_object(
            'queues', coalesce((select jsonb_object_agg(n.address, m.penalty) from queue_members m
                join queues n on n.id = m.queue_id where m.agent_id = a.id), '{}'),
            'teams', coalesce((select jsonb_agg(t.name order by t.name) from team_members m
                join teams t on t.id = m.team_id where m.agent_id = a.id), '[]'))
        from agents a
        where a.id in (select api_agents_of(who, false)) and (usernames is null or a.username = any (usernames))
            and (pattern = '%%' or a.username ilike pattern or a.full_name ilike pattern or a.internal ilike pattern
                or a.email ilike pattern or a.alias ilike pattern)
        order by a.username;
end $$;
