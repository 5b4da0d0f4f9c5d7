-- Who may use what: the owner everything, each of three roles what its section says, and nobody else anything. Applied
-- anew after each change of a function, since PostgreSQL lets everybody execute a new one. A section is left out where
-- the server has no such role. A test compares the outcome with the table in docs/directory.md, "Roles".
--
-- Triggers run with their owner's rights. So whoever is granted INSERT or UPDATE on columns of a table needs no more.

revoke all on schema agentbridge from public;
revoke all on all tables in schema agentbridge from public;
revoke all on all sequences in schema agentbridge from public;
revoke all on all functions in schema agentbridge from public;

-- role agentbridge_daemon
revoke all on all tables in schema agentbridge from agentbridge_daemon;
revoke all on all functions in schema agentbridge from agentbridge_daemon;
grant usage on schema agentbridge to agentbridge_daemon;
-- what should be. The hash of a password is never compared here; that of a PIN is, at a telephone.
do $$
begin
    execute format('grant select (%s) on agentbridge.agents to agentbridge_daemon', (
        select string_agg(quote_ident(attname), ', ') from pg_attribute
        where attrelid = 'agentbridge.agents'::regclass and attnum > 0 and not attisdropped
            and attname not in ('password_hash', 'avatar')));
end $$;
grant select on agentbridge.telephones, agentbridge.endpoint_ids, agentbridge.queues, agentbridge.retired_queues,
    agentbridge.queue_members, agentbridge.team_members, agentbridge.team_queues, agentbridge.effective_members,
    agentbridge.sessions, agentbridge.queue_pauses, agentbridge.settings, agentbridge.prefixes,
    agentbridge.device_locations to agentbridge_daemon;
-- what is to be looked at, and what came of it
grant select on agentbridge.migrations, agentbridge.schema_files, agentbridge.changes, agentbridge.home,
    agentbridge.taken_away, agentbridge.applied, agentbridge.older_databases, agentbridge.agent_status,
    agentbridge.telephone_status to agentbridge_daemon;
grant execute on function agentbridge.touched, agentbridge.known_nodes, agentbridge.fingerprint, agentbridge.moved_in,
    agentbridge.database_older, agentbridge.hold, agentbridge.hand_over, agentbridge.fates,
    agentbridge.record_applied, agentbridge.prune_changes, agentbridge.prune_taken_away, agentbridge.prune_old,
    agentbridge.recording_expired to agentbridge_daemon;
-- its own records
grant select, insert, update on agentbridge.nodes, agentbridge.recordings, agentbridge.spy_audit to agentbridge_daemon;
grant select on agentbridge.takeovers to agentbridge_daemon;
grant update (told_at) on agentbridge.takeovers to agentbridge_daemon;
-- what goes on in calls, and requests about them
grant execute on function agentbridge.live_write, agentbridge.live_keep, agentbridge.live_day,
    agentbridge.open_requests, agentbridge.take_request, agentbridge.finish_request, agentbridge.decline_request
    to agentbridge_daemon;
-- that it lives, who serves which queue, and which devices are here
grant execute on function agentbridge.heartbeat, agentbridge.devices_registered, agentbridge.devices_gone,
    agentbridge.devices_of_node to agentbridge_daemon;
-- what Asterisk and the telephones tell
grant execute on function agentbridge.adopt_pause, agentbridge.telephones_registered, agentbridge.telephones_of_node,
    agentbridge.telephones_unknown, agentbridge.settle_lost_telephones, agentbridge.settle_lost_browsers,
    agentbridge.agent_of_device to agentbridge_daemon;
-- what an agent does from a telephone
grant execute on function agentbridge.login, agentbridge.logout, agentbridge.pause, agentbridge.unpause,
    agentbridge.forward, agentbridge.password_failed, agentbridge.password_ok to agentbridge_daemon;
grant execute on function agentbridge.recording_start, agentbridge.recording_pause, agentbridge.recording_resume,
    agentbridge.request_result to agentbridge_daemon;

-- role agentbridge_app
revoke all on all tables in schema agentbridge from agentbridge_app;
revoke all on all functions in schema agentbridge from agentbridge_app;
grant usage on schema agentbridge to agentbridge_app;
grant execute on function agentbridge.login, agentbridge.logout, agentbridge.pause, agentbridge.unpause,
    agentbridge.forward,
    agentbridge.unlock, agentbridge.password_failed, agentbridge.password_ok, agentbridge.claim_interaction,
    agentbridge.release_interaction, agentbridge.may_manage, agentbridge.may_listen, agentbridge.has_queue,
    agentbridge.check_role
    to agentbridge_app;
-- what the views call
grant execute on function agentbridge.touched, agentbridge.known_nodes, agentbridge.silent_after to agentbridge_app;
grant execute on function agentbridge.recording_start, agentbridge.recording_stop, agentbridge.recording_pause,
    agentbridge.recording_resume, agentbridge.spy, agentbridge.dial, agentbridge.hangup, agentbridge.answer, agentbridge.request_result
    to agentbridge_app;
grant select on agentbridge.live_agent_states, agentbridge.live_running_calls, agentbridge.live_queue_states,
    agentbridge.ended_calls, agentbridge.node_status
    to agentbridge_app;
grant select on agentbridge.agent_status, agentbridge.telephone_status, agentbridge.effective_members
    to agentbridge_app;
-- the directory without its secrets
do $$
declare name text;
begin
    foreach name in array '{agents,telephones}'::text[] loop
        execute format('grant select (%s) on agentbridge.%I to agentbridge_app', (
            select string_agg(quote_ident(attname), ', ') from pg_attribute
            where attrelid = format('agentbridge.%I', name)::regclass and attnum > 0 and not attisdropped
                and attname not in ('sip_secret', 'voicemail_pin', 'pin_hash', 'password_hash')), name);
    end loop;
end $$;
grant select on agentbridge.queues, agentbridge.queue_members, agentbridge.teams, agentbridge.team_members,
    agentbridge.team_queues, agentbridge.sessions, agentbridge.queue_pauses, agentbridge.settings,
    agentbridge.modules, agentbridge.agent_modules, agentbridge.agent_channels, agentbridge.interactions,
    agentbridge.prefixes
    to agentbridge_app;

-- role agentbridge_api
revoke all on all tables in schema agentbridge from agentbridge_api;
revoke all on all functions in schema agentbridge from agentbridge_api;
grant usage on schema agentbridge to agentbridge_api;
-- what decides by the proof that it is given, in its first argument, whose request it is and whether that one may
do $$
declare this regprocedure;
begin
    for this in
        select p.oid from pg_proc p
        where p.pronamespace = 'agentbridge'::regnamespace and p.proname like 'api\_%' and p.proargnames[1] = 'proof'
    loop
        execute format('grant execute on function %s to agentbridge_api', this);
    end loop;
end $$;
-- before anybody has a proof
grant execute on function agentbridge.api_has_administrator, agentbridge.api_login_of, agentbridge.api_password_failed,
    agentbridge.api_open_session, agentbridge.api_security_suite, agentbridge.api_agents_of_email,
    agentbridge.api_add_reset, agentbridge.api_use_reset to agentbridge_api;
-- what goes on now, for all who look at it: who sees what is decided before it is sent
grant execute on function agentbridge.api_changes, agentbridge.api_agents_live, agentbridge.api_queues_live,
    agentbridge.api_telephones_live, agentbridge.api_nodes_live, agentbridge.api_live_nodes, agentbridge.api_live_news
    to agentbridge_api;
