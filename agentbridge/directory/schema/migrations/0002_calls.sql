-- Recordings, what goes on in calls now, and requests about running calls.

-- A call has each part of an agent once, whatever its format and day.
alter table agentbridge.recordings
    add joined_linkedid text not null default '',           -- of the call that it was joined to by a transfer
    add constraint "a call has each part of an agent once" unique (node, linkedid, internal, part);
create index recordings_joined on agentbridge.recordings (joined_linkedid) where joined_linkedid <> '';
drop index agentbridge.recordings_unfinished;
create index recordings_unfinished on agentbridge.recordings (node, file) where ended_at is null;

-- What the daemon of a node says about the recordings there.
alter table agentbridge.nodes
    add recordings_listed_at timestamptz,                   -- the whole folder was compared with the rows
    add recordings_unmeasured integer not null default 0,   -- ended, and their files can't be looked at
    add recordings_silent integer not null default 0,       -- running, and Asterisk writes nothing
    add recordings_closed jsonb not null default '{}';      -- folder → why it can't be looked at

-- What goes on now. Unlogged, but for calls: after a crash of the database the daemons write all of it anew. A call that
-- ends while no daemon looks is in the history by its row here alone, which has to outlive that crash.
-- Each batch of changes has one version; whoever reads asks for what is newer than what it has seen. A row that is gone
-- stays for a minute with gone_at, so that readers hear of it.
create sequence agentbridge.live_versions;
create unlogged table agentbridge.live_nodes (
    node text primary key,
    epoch bigint not null,                                  -- another one: what was read before is void
    floor bigint not null,                                  -- older readers have missed that a row is gone
    written_at timestamptz not null                         -- silent_after() ago: nobody knows
);
create unlogged table agentbridge.live_agents (
    node text not null,
    internal text not null,
    username text not null default '',
    state text not null check (state in
        ('offline', 'unreachable', 'ready', 'ringing', 'talking', 'held', 'wrapup', 'paused')),
    since timestamptz not null,                             -- in this state
    pauses jsonb not null default '{}',                     -- queue → reason
    device text not null default '',                        -- endpoint that takes the calls; '': logged out
    contact boolean not null default false,                 -- the device is registered
    calls integer not null default 0,
    gone_at timestamptz,
    version bigint not null,
    primary key (node, internal)
);
create index live_agents_version on agentbridge.live_agents (version);
create table agentbridge.live_calls (
    node text not null,
    channel text not null,                                  -- Uniqueid of the agent's channel
    linkedid text not null,                                 -- the call
    internal text not null,
    username text not null default '',
    direction text not null check (direction in ('in', 'out')),
    queue text not null default '',
    number text not null default '',                        -- the other party's
    name text not null default '',
    rang_at timestamptz not null,
    answered_at timestamptz,
    answered_elsewhere boolean not null default false,      -- somebody else took it while it rang here
    held_at timestamptz,                                    -- null: not on hold
    recording text not null default 'none' check (recording in ('none', 'running', 'paused', 'failed')),
    parts smallint[] not null default '{}',                 -- which of the two files are being written
    spied_by text[] not null default '{}',                  -- internal numbers
    gone_at timestamptz,
    version bigint not null,
    primary key (node, channel)
);
create index live_calls_version on agentbridge.live_calls (version);
-- Calls that are over, as they were last shown: what a telephone shows as its list of calls.
create table agentbridge.ended_calls (
    node text not null,
    channel text not null,                                  -- Uniqueid of the agent's channel
    linkedid text not null,
    agent_id bigint references agentbridge.agents on delete set null,
    internal text not null,
    direction text not null,
    queue text not null,
    number text not null,
    name text not null,
    rang_at timestamptz not null,
    answered_at timestamptz,                                -- null: not answered here
    answered_elsewhere boolean not null default false,      -- else an incoming call without an answer was missed
    ended_at timestamptz not null,
    primary key (node, channel)
);
create index ended_calls_agent on agentbridge.ended_calls (agent_id, ended_at);
create index ended_calls_at on agentbridge.ended_calls (ended_at);
create unlogged table agentbridge.live_queues (
    node text not null,
    queue text not null,
    waiting integer not null default 0,
    longest_since timestamptz,                              -- of the caller that waits longest
    ready integer not null default 0,                       -- members
    paused integer not null default 0,
    talking integer not null default 0,
    day date not null,                                      -- of the counts
    answered integer not null default 0,
    abandoned integer not null default 0,
    in_level integer not null default 0,                    -- answered within level_seconds
    level_seconds integer not null default 0,               -- 0: the queue has no service level
    gone_at timestamptz,
    version bigint not null,
    primary key (node, queue)
);
create index live_queues_version on agentbridge.live_queues (version);
-- The counts of a day outlive the daemon and a crash of the database.
create table agentbridge.queue_days (
    node text not null,
    queue text not null,
    day date not null,
    answered integer not null default 0,
    abandoned integer not null default 0,
    in_level integer not null default 0,
    primary key (node, queue, day)
);
create index queue_days_day on agentbridge.queue_days (day);

-- What somebody wants of a running call. The daemon that has the call takes the request, once at most.
create table agentbridge.requests (
    id bigint generated always as identity primary key,
    asked_at timestamptz not null default clock_timestamp(),
    deadline timestamptz not null,
    actor text not null default '',                         -- '': an application that asks for itself
    verb text not null,
    username text not null,                                 -- whose call
    internal text not null,
    arguments jsonb not null default '{}',
    state text not null default 'asked' check (state in ('asked', 'taken', 'done', 'refused')),
    node text,                                              -- that took it
    taken_at timestamptz,
    finished_at timestamptz,
    result jsonb,                                           -- of one that is done
    reason text not null default '',                        -- of one that was refused
    declined jsonb not null default '{}'                    -- node → why it is not the one to do it
);
create index requests_asked on agentbridge.requests (id) where state = 'asked';
create index requests_agent on agentbridge.requests (username, asked_at);
create index requests_at on agentbridge.requests (asked_at);
