-- What the HTTP API keeps: who is logged in to it, tokens of machines, pause reasons to choose from, and the audit.

-- A person's session. Only the hash of the token is kept: who reads the table can't act as somebody.
create table agentbridge.web_sessions (
    id bigint generated always as identity primary key,
    proof bytea not null unique,                        -- sha256 of the token
    kind text not null check (kind in ('user', 'agent')),
    username text not null,
    created_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    idle interval not null,
    expires_at timestamptz not null,
    address text not null default ''
);
create index web_sessions_person on agentbridge.web_sessions (kind, username);

-- Which page of which browser has the agent's phone: the last one that asked for a SIP session.
create table agentbridge.phone_pages (
    agent_id bigint primary key references agentbridge.agents on delete cascade,
    page text not null,
    since timestamptz not null default clock_timestamp()
);

create table agentbridge.api_tokens (
    id text primary key check (id ~ '^[a-z0-9]{8}$'),
    proof bytea not null unique,                        -- sha256 of the secret
    name text not null,
    scopes text[] not null,
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);

-- Who changed what, spied, listened to or fetched a recording. Append only.
create table agentbridge.audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null,                                -- user:boss, agent:ana, token:3f9a0c1b
    action text not null,                               -- as in agents.update
    object text not null default '',
    detail jsonb not null default '{}'
);
create index audit_at on agentbridge.audit (at);
create index audit_object on agentbridge.audit (object, at);

create table agentbridge.pause_reasons (
    name text primary key,
    position integer not null default 0,
    constraint "name: must be 1 to 80 characters without ; , and |"
        check (length(name) between 1 and 80 and name !~ '[;,|[:cntrl:]]')
);
insert into agentbridge.pause_reasons (name, position) values
    ('break', 1), ('lunch', 2), ('meeting', 3), ('training', 4), ('back office', 5);

-- A supervisor's permission to replay recordings (A19 has the agents' own).
alter table agentbridge.users add column download_recordings boolean not null default false;

-- Which change of the profile a client has; counted at each change of the row.
create type agentbridge.api_identity as (
    kind text,              -- user, agent, token
    name text,
    roles text[],           -- of admin, user, supervisor, agent, machine
    scopes text[],          -- of a token
    session bigint          -- web_sessions.id
);
