-- The voicemail boxes of agents, as app_voicemail reads them. agentbridge writes the rows through Asterisk.
create table if not exists voicemail (
    uniqueid integer primary key,
    context text not null default 'agentbridge',
    mailbox text not null unique,
    password text not null,
    fullname text not null default ''
);
