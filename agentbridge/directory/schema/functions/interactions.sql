-- O1, O2: claims on chats, e-mails and other interactions, within each agent's capacity.

create or replace function agentbridge.check_interaction(channel text, interaction text) returns void language plpgsql
set search_path = agentbridge, pg_temp
as $$
begin
    perform check_one_of('channel', channel, '{chat,email,sms,openchannel,fax,whatsapp}');
    perform check_text('interaction', interaction, 200);
    if coalesce(interaction, '') = '' then
        perform refuse('AB001', 'interaction: name it; the same name makes a repeated claim the same one');
    end if;
end $$;

-- O1: an agent is available for a channel while it is logged in and in a queue of that channel.
create or replace function agentbridge.available_for(agent agentbridge.agents, channel text) returns boolean
language sql stable security definer set search_path = agentbridge, pg_temp
as $$
    select exists (select from sessions s where s.agent_id = agent.id)
        and exists (select from effective_members m join queues q on q.id = m.queue_id
            where m.agent_id = agent.id and q.channel = available_for.channel)
$$;

-- O1, O2. A claim that is repeated is granted again. A follow-up of what the agent has managed before, given back since
-- or not, is granted at the maximum too, if the agent is available; one of what it never managed counts as any claim.
create or replace function agentbridge.claim_interaction(username text, channel text, interaction text,
    follow_up boolean default false,
    out granted boolean, out auto_answer boolean, out auto_answer_delay integer, out in_hand integer,
    out capacity integer)
language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
#variable_conflict use_column
declare
    agent agents := agent_for(username, 'admin');
    holder bigint;
    managed boolean;
begin
    perform check_interaction(claim_interaction.channel, claim_interaction.interaction);
    if agent.deactivated or agent.locked_at is not null then
        perform refuse('AB005', format('username: %s is deactivated or locked', agent.username));
    end if;
    select c.capacity, c.auto_answer, c.auto_answer_delay
    into claim_interaction.capacity, claim_interaction.auto_answer, claim_interaction.auto_answer_delay
    from agent_channels c where c.agent_id = agent.id and c.channel = claim_interaction.channel;
    claim_interaction.capacity := coalesce(claim_interaction.capacity, 0);
    claim_interaction.auto_answer := coalesce(claim_interaction.auto_answer, false);
    claim_interaction.auto_answer_delay := coalesce(claim_interaction.auto_answer_delay, 0);
    -- the agent's row is locked, so no other claim of this agent is between the count and the insert
    select count(*) into in_hand from interactions i
    where i.agent_id = agent.id and i.channel = claim_interaction.channel and i.released_at is null;
    select i.agent_id into holder from interactions i where i.released_at is null
        and i.channel = claim_interaction.channel and i.interaction = claim_interaction.interaction;
    managed := exists (select from interactions i where i.agent_id = agent.id
        and i.channel = claim_interaction.channel and i.interaction = claim_interaction.interaction);
    granted := coalesce(holder = agent.id, false);
    if follow_up and managed then
        granted := coalesce(holder = agent.id, true) and available_for(agent, claim_interaction.channel);
    elsif holder is null then
        granted := claim_interaction.capacity = 0 or claim_interaction.in_hand < claim_interaction.capacity;
    end if;
    if granted and holder is null then
        begin
            insert into interactions as i (channel, interaction, agent_id)
            values (claim_interaction.channel, claim_interaction.interaction, agent.id)
            on conflict (channel, interaction, agent_id)
                do update set released_at = null, claimed_at = clock_timestamp();
            in_hand := claim_interaction.in_hand + 1;
        exception when unique_violation then
            granted := false;       -- another agent was faster
        end;
    end if;
end $$;

-- Gives the place back. That the agent has managed the interaction is remembered, for a follow-up.
create or replace function agentbridge.release_interaction(username text, channel text, interaction text)
returns boolean language plpgsql security definer set search_path = agentbridge, pg_temp
as $$
declare agent agents := agent_for(username, 'admin');
begin
    perform check_interaction(release_interaction.channel, release_interaction.interaction);
    update interactions i set released_at = clock_timestamp()
    where i.agent_id = agent.id and i.channel = release_interaction.channel
        and i.interaction = release_interaction.interaction and i.released_at is null;
    return found;
end $$;
