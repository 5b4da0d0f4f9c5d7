-- What is older than the settings say is deleted by the daemons, a thousand rows of each table at a time: so no delete
-- holds up those who write.

-- The moment before which something is too old; null where it is kept for ever.
create or replace function agentbridge.too_old(days integer) returns timestamptz language sql stable
return case when days > 0 then clock_timestamp() - make_interval(days => days) end;

-- Whether a recording's file, by the day in its path, is older than recordings are kept: it gets no row any more,
-- although it may still be on the disk.
create or replace function agentbridge.recording_expired(file text) returns boolean language sql stable
security definer set search_path = agentbridge, pg_temp
as $$
    select coalesce(
        to_date(substring(file from 'agentbridge/([0-9]{4}/[0-9]{2}/[0-9]{2})/'), 'YYYY/MM/DD')
            < too_old(keep_recordings_days)::date, false)
    from settings
$$;

-- Returns whether there may be more to delete.
create or replace function agentbridge.prune_old() returns boolean language plpgsql
security definer set search_path = agentbridge, pg_temp
as $$
declare
    at_once constant integer := 1000;
    most integer := 0;
    n integer;
    recorded timestamptz;
    audited timestamptz;
    counted timestamptz;
    called timestamptz;
    claimed timestamptz;
    traced timestamptz;
begin
    select too_old(keep_recordings_days), too_old(keep_audit_days), too_old(keep_counts_days),
        too_old(keep_calls_days), too_old(keep_interactions_days), too_old(keep_traces_days)
    into recorded, audited, counted, called, claimed, traced from settings;

    delete from recordings r where r.id in (
        select o.id from recordings o where o.started_at < recorded and o.ended_at is not null
        order by o.started_at limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    delete from spy_audit s where s.id in (
        select o.id from spy_audit o where o.at < audited and (o.started_at is null or o.ended_at is not null)
        order by o.at limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    delete from audit a where a.id in (
        select o.id from audit o where o.at < audited order by o.at limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    delete from queue_days q where (q.node, q.queue, q.day) in (
        select o.node, o.queue, o.day from queue_days o where o.day < counted::date
        order by o.day limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    delete from ended_calls c where (c.node, c.channel) in (
        select o.node, o.channel from ended_calls o where o.ended_at < called
        order by o.ended_at limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    delete from interactions i where (i.channel, i.interaction, i.agent_id) in (
        select o.channel, o.interaction, o.agent_id from interactions o where o.claimed_at < claimed
        order by o.claimed_at limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);

    delete from requests r where r.id in (
        select o.id from requests o where o.asked_at < traced order by o.asked_at limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    delete from takeovers t where t.id in (
        select o.id from takeovers o where o.at < traced order by o.at limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    delete from password_resets p where p.token_hash in (
        select o.token_hash from password_resets o where o.expires_at < traced
        order by o.expires_at limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    delete from web_sessions w where w.id in (
        select o.id from web_sessions o where o.expires_at < clock_timestamp() limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    -- a queue that was renamed or deleted is looked for in Asterisk for a week
    delete from retired_queues q where q.name in (
        select o.name from retired_queues o
        where o.retired_at < traced and o.retired_at < clock_timestamp() - interval '7 days'
        limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    -- results about numbers and names that nobody has any more
    delete from applied a where (a.node, a.key) in (
        select o.node, o.key from applied o
        where coalesce(o.applied_at, o.wanted_at) < traced and o.error is null
            and not exists (select from endpoint_ids e where e.id = lower(o.key collate "C"))
        limit at_once for update skip locked);
    get diagnostics n = row_count;
    most := greatest(most, n);
    return most = at_once;
end $$;
