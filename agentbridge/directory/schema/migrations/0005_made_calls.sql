-- What holds for calls that agents make.

-- V11: they are recorded, in the format of record_calls, else wav.
alter table agentbridge.agents add record_made_calls boolean not null default false;

-- A19: what an agent with prefix_required chooses from, and dials before an outside number.
create table agentbridge.prefixes (
    prefix text primary key
        constraint "prefix: must be 1 to 8 digits, * and #" check (prefix ~ '^[0-9*#]{1,8}$'),
    label text not null default ''
        constraint "label: at most 80 characters, and no control characters" check (label !~ '[[:cntrl:]]'
            and length(label) <= 80)
);
