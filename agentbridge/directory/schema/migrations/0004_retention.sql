-- How long what grows is kept. 0 days: for ever.
alter table agentbridge.settings
    add keep_recordings_days integer not null default 0,    -- rows; the files are the administrator's to delete
    add keep_audit_days integer not null default 730,       -- who listened to whom, and who changed what by HTTP
    add keep_counts_days integer not null default 730,      -- of each queue and day
    add keep_calls_days integer not null default 30,        -- what was whose call, with the customer's number
    add keep_interactions_days integer not null default 30, -- who managed what
    add keep_traces_days integer not null default 30,       -- requests, taken telephones, links for passwords, results
    add constraint "keep_…_days must be 0 (for ever) to 36500" check (
        least(keep_recordings_days, keep_audit_days, keep_counts_days, keep_calls_days,
            keep_interactions_days, keep_traces_days) >= 0
        and greatest(keep_recordings_days, keep_audit_days, keep_counts_days, keep_calls_days,
            keep_interactions_days, keep_traces_days) <= 36500);

create index interactions_claimed on agentbridge.interactions (claimed_at);
create index takeovers_at on agentbridge.takeovers (at);
create index password_resets_expires on agentbridge.password_resets (expires_at);
