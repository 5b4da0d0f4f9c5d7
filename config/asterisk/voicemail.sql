-- The voicemail boxes of agents, as app_voicemail reads them. agentbridge writes the rows through Asterisk.
create table if not exists voicemail (
    uniqueid integer primary key,
    context text not null default 'agentbridge',
    -- the agent's row id: a box stays with its agent, whatever number it has
    mailbox text not null,
    -- the agent's number: by this the daemon finds its rows
    internal text not null unique,
    password text not null,
    fullname text not null default ''
);
