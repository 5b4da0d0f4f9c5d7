"""The directory of several nodes: agents of all queues, and when every Asterisk has everything."""

import asyncpg

from lab.processes import until


async def make_agent(
    db: "asyncpg.Connection[asyncpg.Record]", username: str, *, hot_desk: bool = False, record_calls: str = "inactive"
) -> tuple[str, str]:
    """Makes an agent of all queues, logged in unless it needs a desk; returns its number and SIP secret."""
    row = await db.fetchrow(
        "insert into agentbridge.agents (username, typology, hot_desk, record_calls) values ($1, 'external', $2, $3)"
        " returning id, internal, sip_secret",
        username,
        hot_desk,
        record_calls,
    )
    assert row is not None
    members = "insert into agentbridge.queue_members (agent_id, queue_id) select $1, id from agentbridge.queues"
    await db.execute(members, row["id"])
    if not hot_desk:
        await db.execute("select agentbridge.login($1)", username)
    return row["internal"], row["sip_secret"]


async def settled(db: "asyncpg.Connection[asyncpg.Record]", within: float) -> None:
    """Until each node that lives has all of the directory. Raises LabError with what agent_status says."""

    async def all_there() -> bool:
        query = "select bool_and(applied_at is not null and error is null) from agentbridge.agent_status"
        return bool(await db.fetchval(query))

    try:
        await until(all_there, within=within, what="everything of the directory being in every Asterisk")
    except Exception as late:
        for row in await db.fetch("select * from agentbridge.agent_status"):
            late.add_note(str(dict(row)))
        raise
