-- The rules of a telephone's row, and the one name space that telephones share with internal numbers.
-- Their SIP line is judged by check_line() of rules_agents.sql.

-- The name is an endpoint in Asterisk.
create or replace function agentbridge.check_telephone() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
begin
    if new.name !~ '^[A-Za-z0-9_-]{1,40}$' or new.name is null then
        perform refuse('AB001', format(
            'name: a telephone''s name must be 1 to 40 letters, digits, _ and - (got %s)',
            shown(new.name)));
    end if;
    if exists (select from telephones t where t.name = new.name and t.id <> new.id) then
        perform refuse('AB002', format('name: a telephone %s exists already', new.name));
    end if;
    perform check_text('description', new.description, 200);
    new.sip_secret := coalesce(new.sip_secret, new_secret());
    return new;
end $$;

create or replace trigger b_identity before insert or update of name, description on agentbridge.telephones
    for each row execute function agentbridge.check_telephone();

-- The one name space of internal numbers and telephones. ON CONFLICT waits for a concurrent writer,
-- so the second of two gets a clear refusal and not a race.
create or replace function agentbridge.claim_endpoint_id() returns trigger language plpgsql security definer
set search_path = agentbridge, pg_temp
as $$
declare
    field text := tg_argv[0];
    wanted text;
begin
    if field = 'internal' then
        wanted := new.internal;
        delete from endpoint_ids where tg_op = 'UPDATE' and agent_id = new.id;
        insert into endpoint_ids (id, agent_id) values (wanted, new.id) on conflict (id) do nothing;
    else
        wanted := new.name;
        delete from endpoint_ids where tg_op = 'UPDATE' and telephone_id = new.id;
        insert into endpoint_ids (id, telephone_id) values (lower(wanted collate "C"), new.id)
        on conflict (id) do nothing;
    end if;
    if not found then
        perform refuse('AB002', format(
            '%s: %s is already the number of an agent or the name of a telephone; choose another', field, wanted));
    end if;
    return null;
end $$;

create or replace trigger claim_id after insert on agentbridge.agents
    for each row execute function agentbridge.claim_endpoint_id('internal');
create or replace trigger move_id after update of internal on agentbridge.agents
    for each row when (old.internal <> new.internal) execute function agentbridge.claim_endpoint_id('internal');
create or replace trigger claim_id after insert on agentbridge.telephones
    for each row execute function agentbridge.claim_endpoint_id('name');
create or replace trigger move_id after update of name on agentbridge.telephones
    for each row when (old.name <> new.name) execute function agentbridge.claim_endpoint_id('name');
