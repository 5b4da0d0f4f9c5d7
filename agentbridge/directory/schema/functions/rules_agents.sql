-- The rules of an agent's row. Before triggers run in the order of their names: a_ fills in what is missing, b_ looks
-- at single values, c_ at what must go together, d_ keeps times, e_ (rules_values.sql) refuses what is still missing.

-- A3: the lowest free number that no Asterisk has by its own files. The lock makes the creators queue up, until each
-- has committed.
create or replace function agentbridge.next_internal() returns text language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare
    bounds record;
    candidate bigint;
    tried integer := 0;
    taken text[];
begin
    perform pg_advisory_xact_lock(hashtextextended('agentbridge.internal', 0));
    select internal_from, internal_to into bounds from settings;
    select coalesce(array_agg(n.number), '{}') into taken from nodes, unnest(nodes.taken) n (number);
    -- where this transaction has got to: many agents in one transaction don't each search from the start
    candidate := greatest(bounds.internal_from,
        coalesce(nullif(current_setting('agentbridge.last_internal', true), '')::bigint + 1, bounds.internal_from));
    while exists (select from agents where internal = candidate::text)
        or exists (select from endpoint_ids where id = candidate::text) or candidate::text = any (taken) loop
        candidate := candidate + 1;
        tried := tried + 1;
        if tried = 32 then
            -- thousands in a row: one look at all is a tenth of as many single ones. Among as many numbers as are
            -- taken, and one more, at least one is free.
            select min(n) into candidate
            from generate_series(candidate, candidate + (select count(*) from agents)
                + (select count(*) from endpoint_ids) + cardinality(taken)) n
            where not n::text = any (taken) and not exists (select from agents where internal = n::text)
                and not exists (select from endpoint_ids where id = n::text);
        end if;
    end loop;
    if candidate > bounds.internal_to then
        perform refuse('AB008', format('internal: the range %s to %s is full; widen it in agentbridge.settings',
            bounds.internal_from, bounds.internal_to));
    end if;
    perform set_config('agentbridge.last_internal', candidate::text, true);
    return candidate::text;
end $$;

-- A3, A6: what is left out gets the value that suits the typology.
create or replace function agentbridge.fill_agent() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    new.typology := coalesce(new.typology, 'phonebar');
    new.transport := coalesce(new.transport, case new.typology when 'webrtc' then '{wss}' else '{udp}' end::text[]);
    new.codecs := coalesce(new.codecs,
        case new.typology when 'webrtc' then '{opus,ulaw,alaw}' else '{ulaw,alaw}' end::text[]);
    new.sip_secret := coalesce(new.sip_secret, new_secret());
    if new.internal is null or new.internal = '' then
        new.internal := next_internal();
    end if;
    return new;
end $$;

create or replace trigger a_fill before insert on agentbridge.agents
    for each row execute function agentbridge.fill_agent();

-- A2, A3: the name and the number, which must be nobody else's
create or replace function agentbridge.check_names() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare other text;
begin
    if new.username is distinct from old.username then
        if new.username !~ '^[A-Za-z0-9._]{1,80}$' or new.username is null then
            perform refuse('AB001', format(
                'username: must be 1 to 80 letters, digits, . and _ (got %s)', shown(new.username)));
        end if;
        select a.username into other from agents a where a.username = new.username and a.id <> new.id;
        if found then
            perform refuse('AB002', format('username: %s is already taken; choose another', other));
        end if;
    end if;
    if new.internal is distinct from old.internal then
        if new.internal !~ '^[0-9]{1,16}$' then
            perform refuse('AB001', format(
                'internal: must be 1 to 16 digits (got %s)', shown(new.internal)));
        end if;
        select a.username into other from agents a where a.internal = new.internal and a.id <> new.id;
        if found then
            perform refuse('AB002', format(
                'internal: %s is already taken by agent %s; choose another or leave it out', new.internal, other));
        end if;
    end if;
    return new;
end $$;

create or replace trigger b_names before insert or update of username, internal
    on agentbridge.agents for each row execute function agentbridge.check_names();

-- A2, A15: the person
create or replace function agentbridge.check_person() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    new.full_name := coalesce(new.full_name, '');
    new.alias := coalesce(new.alias, '');
    new.email := coalesce(new.email, '');
    new.description := coalesce(new.description, '');
    if new.full_name is distinct from old.full_name then
        perform check_text('full_name', new.full_name, 200);
        -- A2: letters of ASCII alone
        if (select strict_full_name from settings) and new.full_name !~ '^[A-Za-z0-9\\_ -]*$' then
            perform refuse('AB001', format(
                'full_name: only A-Z, a-z, digits, \, _, - and spaces, as the strict filter is on (got %s)',
                shown(new.full_name)));
        end if;
    end if;
    if new.alias is distinct from old.alias then
        perform check_text('alias', new.alias, 80);
    end if;
    if new.email is distinct from old.email and new.email <> '' then
        perform check_text('email', new.email, 254);
        if new.email !~ '^[^@\s<>,;]+@[^@\s<>,;]+$' then
            perform refuse('AB001', format(
                'email: must be one address, as in anna@example.com (got %s)', shown(new.email)));
        end if;
    end if;
    if length(new.description) > 2000 then
        perform refuse('AB001', 'description: at most 2000 characters');
    elsif new.password_hash !~ '^\$argon2id\$' then
        perform refuse('AB001', 'password_hash: must be an argon2id hash, never the password');
    elsif new.pin_hash !~ '^\$argon2id\$' then
        perform refuse('AB001', 'pin_hash: must be an argon2id hash, never the PIN');
    elsif new.voicemail_pin !~ '^[0-9]{4,10}$' then
        perform refuse('AB001', 'voicemail_pin: must be 4 to 10 digits');
    elsif new.voicemail_pin is not null and not new.voicemail then
        -- app_voicemail compares the PIN as it is, so a box needs it in clear; nobody else does
        if not old.voicemail or old.voicemail is null then
            perform refuse('AB001', 'voicemail_pin: without voicemail there is none; set voicemail along with it');
        end if;
        new.voicemail_pin := null;
    end if;
    return new;
end $$;

create or replace trigger b_person before insert or update of full_name, alias, email, description, password_hash,
    pin_hash, voicemail, voicemail_pin
    on agentbridge.agents for each row execute function agentbridge.check_person();

-- What agents and telephones have in common: V1-V8, of any row that has these columns. Only what is new is
-- checked: on an insert the old row is all null.
create or replace function agentbridge.check_line() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.transport is distinct from old.transport then
        perform check_list('transport', new.transport, '{udp,tcp,ws,wss}');
        -- all media of an endpoint is a browser's, or none is
        if new.transport && '{ws,wss}' and new.transport && '{udp,tcp}' then
            perform refuse('AB001', format(
                'transport: udp and tcp can''t be combined with ws and wss (got %s)', shown(new.transport)));
        end if;
    end if;
    if new.codecs is distinct from old.codecs then
        perform check_list('codecs', new.codecs, '{ulaw,alaw,gsm,g722,g729,opus}');
    end if;
    if new.nat is distinct from old.nat then
        perform check_list('nat', new.nat, '{yes,no,force_rport,comedia,never,route}');
        if cardinality(new.nat) > 1 and not new.nat <@ '{force_rport,comedia}' then
            perform refuse('AB001', format(
                'nat: only force_rport and comedia can be combined (got %s)', shown(new.nat)));
        end if;
    end if;
    if new.sip_type is distinct from old.sip_type then
        perform check_one_of('sip_type', new.sip_type, '{friend,user,peer}');
    end if;
    if new.host is distinct from old.host and new.host <> 'dynamic' then
        perform check_host(new.host);
    end if;
    if new.caller_id is distinct from old.caller_id and new.caller_id !~ '^[+]?[0-9*#]{0,32}$' then
        perform check_text('caller_id', new.caller_id, 120);
        if new.caller_id !~ '^("[^"<>\\]*"|[^"<>\\;,|]*) ?<\+?[0-9*#]{1,32}>$' then
            perform refuse('AB001', format(
                'caller_id: must be a number or Name <number> (got %s)', shown(new.caller_id)));
        end if;
    end if;
    if new.context is distinct from old.context and new.context !~ '^[A-Za-z0-9_-]{1,79}$' then
        perform refuse('AB001', format(
            'context: must be 1 to 79 letters, digits, _ and - (got %s)', shown(new.context)));
    end if;
    if new.call_group is distinct from old.call_group then
        perform check_groups('call_group', new.call_group);
    end if;
    if new.pickup_group is distinct from old.pickup_group then
        perform check_groups('pickup_group', new.pickup_group);
    end if;
    if new.sip_expires not between 60 and 86400 then
        perform check_number('sip_expires', new.sip_expires, 60, 86400);
    end if;
    if new.sip_secret is distinct from old.sip_secret then
        perform check_secret(new.sip_secret);
    end if;
    return new;
end $$;

create or replace trigger b_line before insert or update of transport, host, nat, sip_type, codecs, caller_id, context,
    call_group, pickup_group, sip_secret, sip_expires
    on agentbridge.agents for each row execute function agentbridge.check_line();

create or replace trigger b_line before insert or update of transport, host, nat, sip_type, codecs, caller_id, context,
    call_group, pickup_group, sip_secret, sip_expires
    on agentbridge.telephones for each row execute function agentbridge.check_line();

-- P, W, A18: what the agent's own client works with.
create or replace function agentbridge.check_client() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.record_calls is distinct from old.record_calls then
        perform check_one_of('record_calls', new.record_calls, '{inactive,wav,wav49,gsm}');
    end if;
    if new.screen_recording is distinct from old.screen_recording then
        perform check_one_of('screen_recording', new.screen_recording, '{none,agent,automatic}');
    end if;
    if new.client_log_level is distinct from old.client_log_level then
        perform check_one_of('client_log_level', new.client_log_level, '{error,warning,info,debug}');
    end if;
    if new.auto_answer_delay not between 0 and 60 then
        perform check_number('auto_answer_delay', new.auto_answer_delay, 0, 60);
    elsif new.sip_port not between 1 and 65535 then
        perform check_number('sip_port', new.sip_port, 1, 65535);
    elsif new.wss_port not between 1 and 65535 then
        perform check_number('wss_port', new.wss_port, 1, 65535);
    elsif new.remote_control_port not between 1 and 65535 then
        perform check_number('remote_control_port', new.remote_control_port, 1, 65535);
    end if;
    if new.screen_recording_path <> '' then
        perform check_text('screen_recording_path', new.screen_recording_path, 1024);
    end if;
    if new.tls_certificate_path <> '' or new.tls_key_path <> '' then
        perform check_text('tls_certificate_path', new.tls_certificate_path, 1024);
        perform check_text('tls_key_path', new.tls_key_path, 1024);
    end if;
    if new.forward_to <> '' and new.forward_to !~ '^\+?[0-9*#]{1,32}$' then
        perform refuse('AB001', format(
            'forward_to: must be a number of 1 to 32 digits (got %s)', shown(new.forward_to)));
    end if;
    if octet_length(new.avatar) > 8 * 1024 * 1024 then
        perform refuse('AB001', 'avatar: at most 8 MB');
    elsif (new.avatar is null) <> (new.avatar_type is null)
            or new.avatar_type not in ('image/png', 'image/jpeg') then
        perform refuse('AB001', 'avatar_type: must be image/png or image/jpeg, beside an avatar');
    elsif substring(new.avatar for 8) <> '\x89504e470d0a1a0a' and new.avatar_type = 'image/png'
            or substring(new.avatar for 3) <> '\xffd8ff' and new.avatar_type = 'image/jpeg' then
        perform refuse('AB001', format('avatar: its content is not %s', new.avatar_type));
    end if;
    return new;
end $$;

create or replace trigger b_client before insert or update of record_calls, screen_recording, client_log_level,
    auto_answer_delay, sip_port, wss_port, remote_control_port, screen_recording_path, tls_certificate_path,
    tls_key_path, forward_to, avatar, avatar_type
    on agentbridge.agents for each row execute function agentbridge.check_client();

-- V1, V5, A6: what a typology allows
create or replace function agentbridge.check_typology() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare problems text[] := '{}';
begin
    if new.typology is distinct from old.typology then
        perform check_one_of('typology', new.typology, '{phonebar,external,webrtc}');
    end if;
    -- all at once: whoever changes the typology is told everything that must go along
    if new.typology = 'webrtc' and new.transport <> '{wss}' then
        problems := problems || format('transport: a webrtc agent must use wss (got %s)', shown(new.transport));
    elsif new.typology = 'phonebar' and not new.transport <@ '{udp,tcp}' then
        problems := problems || format(
            'transport: a phonebar agent must use udp or tcp (got %s)', shown(new.transport));
    end if;
    if new.typology <> 'external' and 'g729' = any (new.codecs) then
        problems := problems || format(
            'codecs: a %s agent can''t use g729; take it out or make the agent external', new.typology);
    end if;
    if new.typology <> 'external' and new.hot_desk then
        problems := problems || format('hot_desk: only an external agent can hot desk (this one is %s)', new.typology);
    end if;
    if new.typology <> 'phonebar' then
        problems := problems || array(
            select format('%s: only a phonebar agent has this setting (this one is %s)', field, new.typology)
            from (values ('jaws', new.jaws), ('remote_control', new.remote_control),
                ('remote_control_port', new.remote_control_port <> 9888), ('unanswered_badge', new.unanswered_badge),
                ('forward_allowed', new.forward_allowed), ('forward_to', new.forward_to <> ''),
                ('ring_in_use', new.ring_in_use), ('screen_recording', new.screen_recording <> 'none'),
                ('screen_recording_path', new.screen_recording_path <> ''), ('sip_port', new.sip_port <> 5060)
            ) as settings (field, given) where given);
    end if;
    if new.typology <> 'webrtc' then
        problems := problems || array(
            select format('%s: only a webrtc agent has this setting (this one is %s)', field, new.typology)
            from (values ('ignore_pause_preview', new.ignore_pause_preview), ('wss_port', new.wss_port is not null),
                ('tls_certificate_path', new.tls_certificate_path <> ''), ('tls_key_path', new.tls_key_path <> '')
            ) as settings (field, given) where given);
    end if;
    if new.may_change_settings and not new.may_see_settings then
        problems := problems || 'may_change_settings: needs may_see_settings'::text;
    end if;
    if problems <> '{}' then
        perform refuse('AB001', array_to_string(problems, '; '));
    end if;
    return new;
end $$;

create or replace trigger c_typology before insert or update of typology, transport, codecs, hot_desk, jaws,
    remote_control, remote_control_port, unanswered_badge, forward_allowed, forward_to, ring_in_use, screen_recording,
    screen_recording_path, sip_port, ignore_pause_preview, wss_port, tls_certificate_path, tls_key_path,
    may_see_settings, may_change_settings
    on agentbridge.agents for each row execute function agentbridge.check_typology();

-- A19: all modules that exist are on for a new agent; one added later is off for the agents that exist
create or replace function agentbridge.modules_of_new_agents() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    insert into agent_modules (agent_id, module) select n.id, m.name from new_rows n cross join modules m;
    return null;
end $$;

create or replace trigger modules after insert on agentbridge.agents referencing new table as new_rows
    for each statement execute function agentbridge.modules_of_new_agents();
