-- V10: one row for each file. The agent's name and number are copied, since recordings outlive agents.
create table agentbridge.recordings (
    id bigint generated always as identity primary key,
    node text not null,
    agent_id bigint references agentbridge.agents on delete set null,
    username text,
    internal text not null,
    linkedid text not null,                             -- the call
    part smallint not null,
    file text not null,                                 -- below Asterisk's spool
    format text not null,
    channel text not null default '',                   -- Uniqueid; '': not known
    started_at timestamptz not null,
    ended_at timestamptz,                               -- null: still recording
    bytes bigint,
    constraint "a call has two files for an agent at most" check (part in (1, 2)),
    constraint "file: recorded once on a node" unique (node, file)
);
create index recordings_agent on agentbridge.recordings (agent_id, started_at);
create index recordings_call on agentbridge.recordings (linkedid);
create index recordings_started on agentbridge.recordings (started_at);
create index recordings_unfinished on agentbridge.recordings (node) where ended_at is null;

-- V9: every try to listen to an agent, also those that were refused.
create table agentbridge.spy_audit (
    id bigint generated always as identity primary key,
    node text not null,
    channel text not null,                              -- Uniqueid of who tried
    at timestamptz not null,
    spyer text not null,
    target text not null,                               -- internal number
    agent_id bigint references agentbridge.agents on delete set null,
    username text,
    mode text not null,
    allowed boolean not null,
    reason text not null default '',                    -- why it was refused
    started_at timestamptz,
    ended_at timestamptz,
    ending text not null default '',
    constraint "a try is noted once" unique (node, channel, at)
);
create index spy_audit_agent on agentbridge.spy_audit (agent_id, at);
create index spy_audit_unended on agentbridge.spy_audit (node) where started_at is not null and ended_at is null;
create index spy_audit_at on agentbridge.spy_audit (at);
