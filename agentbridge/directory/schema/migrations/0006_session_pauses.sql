-- Changes of which only the pause of a session concerns Asterisk, so that a daemon can ask for that alone.
alter table agentbridge.changes add only_pause boolean not null default false;
drop function if exists agentbridge.note(text[]);
