"""A directory in use that is brought to the newest schema."""

import asyncpg
import pytest

from agentbridge.directory import migrate
from lab.postgres import Postgres
from tests.integration.words import add_agent, add_queue, add_telephone, quiet, status


async def test_agents_at_work_stay_so_when_their_sessions_get_the_number(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = migrate.migrations()
    dsn = await postgres.create_database("older")
    sql = await asyncpg.connect(dsn)
    try:
        with monkeypatch.context() as older:
            older.setattr(migrate, "migrations", lambda: [step for step in all_of_them if step.version <= 11])
            await migrate.migrate(sql, quiet)
        await add_agent(sql, "anna", internal="1001")
        await add_agent(sql, "hot", internal="1002", hot_desk=True)
        await add_telephone(sql, "desk1")
        await add_queue(sql, "sales", "anna", "hot")
        await sql.execute("select agentbridge.login('anna'), agentbridge.pause('anna', 'lunch')")
        await sql.execute("select agentbridge.login('hot', 'desk1'), agentbridge.pause('hot', 'tea', 'sales')")

        async def state() -> list[tuple[object, ...]]:
            rows = [await status(sql, name) for name in ("anna", "hot")]
            return [(row["paused"], row["pause_reason"], row["telephone"], row["paused_queues"]) for row in rows]

        before = await state()
        await migrate.migrate(sql, quiet)
        assert await state() == before == [(True, "lunch", None, []), (False, None, "desk1", ["sales"])]
        await sql.execute("update agentbridge.agents set internal = '1009' where username = 'hot'")
        numbers = await sql.fetchval("select array_agg(internal order by internal) from agentbridge.sessions")
        assert numbers == ["1001", "1009"]
    finally:
        await sql.close()
        await postgres.drop_database("older")
