-- Forgotten passwords over HTTP. Only hashes of tokens come here.

create or replace function agentbridge.api_security_suite() returns boolean language sql stable
security definer set search_path = agentbridge, pg_temp
as $$ select security_suite from settings $$;

-- The agents of an address, whatever its case: the mail goes to the address that the directory has.
create or replace function agentbridge.api_agents_of_email(address text)
returns table (id bigint, username text, email text) language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select a.id, a.username, a.email from agents a
    where a.email <> '' and lower(a.email collate "C") = lower(address collate "C") and not a.deactivated order by a.username limit 20
$$;

create or replace function agentbridge.api_add_reset(agent bigint, digest bytea) returns void language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
begin
    delete from password_resets r where r.expires_at < clock_timestamp() - interval '1 day';
    insert into password_resets (token_hash, agent_id, expires_at)
    values (digest, agent, clock_timestamp() + interval '1 hour');
end $$;

-- Sets the password; the username, or null when the link was used already or is too old. The other links end with it.
create or replace function agentbridge.api_use_reset(digest bytea, hash text) returns text language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    this bigint;
    name text;
begin
    update password_resets r set used_at = clock_timestamp()
    where r.token_hash = digest and r.used_at is null and r.expires_at > clock_timestamp()
    returning r.agent_id into this;
    if this is null then
        return null;
    end if;
    update password_resets r set used_at = clock_timestamp() where r.agent_id = this and r.used_at is null;
    update agents a set password_hash = hash where a.id = this returning a.username into name;
    insert into audit (actor, action, object) values ('agent:' || name, 'agents.reset', name);
    return name;
end $$;
