-- The rules of queues, teams, memberships, users, channels and of the settings.

-- The name as app_queue and its configuration file take it. A name may serve several channels: the queue of voice is then
-- called by the name, and each other one name@channel. The only queue of a name is called by it, whatever its channel.
create or replace function agentbridge.check_queue() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    -- whoever reads a queue and writes it back
    new.name := case when right(new.name, length(new.channel) + 1) = '@' || new.channel
        then left(new.name, -length(new.channel) - 1) else new.name end;
    if new.name !~ '^[A-Za-z0-9_.-]{1,79}$' or new.name is null then
        perform refuse('AB001', format(
            'name: a queue''s name must be 1 to 79 letters, digits, _, . and - (got %s)',
            shown(new.name)));
    end if;
    if exists (select from queues q
            where lower(q.name collate "C") = lower(new.name collate "C") and q.channel = new.channel
                and q.id <> new.id) then
        perform refuse('AB002', format(
            'name: a queue %s exists already (Asterisk does not tell upper from lower case)', new.name));
    end if;
    perform check_one_of('channel', new.channel,
        '{voice,chat,email,sms,openchannel,fax,whatsapp}');
    -- two writers of one name at once would each find it alone
    perform pg_advisory_xact_lock(hashtext('agentbridge.queues ' || lower(new.name collate "C")));
    new.address := new.name || case when new.channel = 'voice' or not exists (select from queues q
        where lower(q.name collate "C") = lower(new.name collate "C") and q.id <> new.id) then ''
        else '@' || new.channel end;
    return new;
end $$;

create or replace trigger b_rules before insert or update on agentbridge.queues
    for each row execute function agentbridge.check_queue();

-- The queues of the same name in other channels are called anew.
create or replace function agentbridge.readdress_queues() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    update queues q set address = null      -- and the trigger before it knows
    where q.channel <> 'voice' and q.id is distinct from new.id
        and lower(q.name collate "C") in (lower(old.name collate "C"), lower(new.name collate "C"));
    return null;
end $$;

create or replace trigger readdress after insert or delete or update of name, channel on agentbridge.queues
    for each row execute function agentbridge.readdress_queues();

create or replace function agentbridge.check_team() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform check_text('name', new.name, 80);
    if coalesce(trim(new.name), '') = '' then
        perform refuse('AB001', 'name: a team needs a name');
    elsif exists (select from teams t where t.name = new.name and t.id <> new.id) then
        perform refuse('AB002', format('name: a team %s exists already', new.name));
    end if;
    return new;
end $$;

create or replace trigger b_rules before insert or update on agentbridge.teams
    for each row execute function agentbridge.check_team();

create or replace function agentbridge.check_penalty() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform check_number('penalty', new.penalty, 0, 1000000);
    return new;
end $$;

create or replace trigger b_rules before insert or update on agentbridge.queue_members
    for each row execute function agentbridge.check_penalty();
create or replace trigger b_rules before insert or update on agentbridge.team_queues
    for each row execute function agentbridge.check_penalty();

create or replace function agentbridge.check_user() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.username !~ '^[A-Za-z0-9._]{1,80}$' then
        perform refuse('AB001', format(
            'username: must be 1 to 80 letters, digits, . and _ (got %s)', shown(new.username)));
    elsif new.username is distinct from old.username
            and exists (select from users u where u.username = new.username) then
        perform refuse('AB002', format('username: a user %s exists already', new.username));
    end if;
    perform check_one_of('role', new.role, '{admin,user}');
    return new;
end $$;

create or replace trigger b_rules before insert or update on agentbridge.users
    for each row execute function agentbridge.check_user();

create or replace function agentbridge.check_channel() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform check_one_of('channel', new.channel, '{chat,email,sms,openchannel,fax,whatsapp}');
    perform check_number('capacity', new.capacity, 0, 1000);
    perform check_number('auto_answer_delay', new.auto_answer_delay, 0, 60);
    return new;
end $$;

create or replace trigger b_rules before insert or update on agentbridge.agent_channels
    for each row execute function agentbridge.check_channel();

create or replace function agentbridge.check_settings() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.internal_from < 1 then
        perform refuse('AB001', format('internal_from: must be at least 1 (got %s)', new.internal_from));
    elsif new.internal_to >= 10::numeric ^ 16 then
        perform refuse('AB001', format('internal_to: must have at most 16 digits (got %s)', new.internal_to));
    elsif new.internal_to < new.internal_from or new.internal_to - new.internal_from >= 100000 then
        perform refuse('AB001', format('internal_to: must not be below internal_from, and the range may hold at most '
            '100000 numbers (got %s to %s)', new.internal_from, new.internal_to));
    end if;
    return new;
end $$;

create or replace trigger b_rules before insert or update on agentbridge.settings
    for each row execute function agentbridge.check_settings();

create or replace function agentbridge.keep_settings() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    perform refuse('AB001', 'settings: the one row must stay; update it');
    return null;
end $$;

create or replace trigger keep before delete or truncate on agentbridge.settings
    for each statement execute function agentbridge.keep_settings();
