"""The directory itself misbehaves: triggers off, commits out of order, emptied, rows that no code expects."""

import asyncio
import random

import asyncpg
import pytest
import pytest_asyncio

from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre
from tests.faults.stand import Stand
from tests.faults.test_fault_postgres import superuser

WRITERS = 16


async def test_triggers_disabled(postgres: Postgres, seed: int) -> None:
    """No hint and no notification: the full comparison at intervals is the net below them."""
    async with Stand(postgres, seed=seed, sections={"resync": {"seconds": 2.0}}) as stand:
        newest = "SELECT max(seq) FROM agentbridge.changes"
        before = await stand.db.fetchval(newest)
        await superuser(stand, "ALTER TABLE agentbridge.sessions DISABLE TRIGGER USER")
        await stand.pause("dua", "nobody was told")
        assert await stand.db.fetchval(newest) == before, "somebody was told"
        await stand.until_member("support", stand.internal["dua"], paused=True, reason="nobody was told", within=6)
        await superuser(stand, "ALTER TABLE agentbridge.sessions ENABLE TRIGGER USER")
        await stand.unpause("dua")
        await stand.healed()


async def test_commits_out_of_order_under_sixteen_writers(stand: Stand, seed: int) -> None:
    """A transaction that began first commits last; each agent's last word counts."""
    names = [f"writer{number}" for number in range(WRITERS)]
    for name in names:
        await stand.agent(name, "billing")
    await stand.login(*names)
    await stand.settled()
    dice = random.Random(seed)
    async with asyncio.TaskGroup() as writers:
        for name in names:
            writers.create_task(_write(stand, name, random.Random(dice.random())))
    for name in names:
        status = await stand.status(name)
        await stand.until_member("billing", status["internal"], paused=True, reason="round 19", within=5)
    await stand.healed()


async def _write(stand: Stand, name: str, dice: random.Random) -> None:
    connection = await asyncpg.connect(stand.dsn)
    try:
        for number in range(20):
            async with connection.transaction():
                await connection.fetchval(
                    "SELECT agentbridge.pause($1, $2, source => 'admin')", name, f"round {number}"
                )
                # with the change made, and not yet to be seen by anybody
                # and once in a while for longer than the daemon waits before it looks (poll_seconds)
                seconds = 1.5 if dice.random() < 0.1 else dice.random() * 0.03
                await connection.fetchval("SELECT pg_sleep($1)", seconds)
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def careful(postgres: Postgres, seed: int):  # type: ignore[no-untyped-def]
    """Every removal of more than a third is refused, in a centre as small as this one, too."""
    async with Stand(postgres, seed=seed, sections={"limits": {"removals_at_least": 1}}) as stand:
        yield stand


KEPT = ("agents", "queues", "queue_members", "sessions")


async def test_truncate(careful: Stand) -> None:
    """Agents and queues are gone from the directory: Asterisk keeps them, and calls go on. A backup heals."""
    before = await careful.members()
    await superuser(careful, *(f"CREATE TABLE public.kept_{name} AS SELECT * FROM agentbridge.{name}" for name in KEPT))
    await careful.db.execute("TRUNCATE agentbridge.agents, agentbridge.queues CASCADE")
    await careful.bridge.logged("removals.refused", within=10)
    await careful.lasts(3)
    assert await careful.members() == before
    await careful.hears()
    await superuser(
        careful,
        "SET session_replication_role = replica",
        *(f"INSERT INTO agentbridge.{name} OVERRIDING SYSTEM VALUE SELECT * FROM public.kept_{name}" for name in KEPT),
        "SELECT agentbridge.note('{*}')",
    )
    await careful.healed()
    assert await careful.members() == before


async def test_the_row_of_the_settings_is_gone(stand: Stand) -> None:
    before = await stand.members()
    await superuser(
        stand,
        "CREATE TABLE public.kept AS SELECT * FROM agentbridge.settings",
        "SET session_replication_role = replica",
        "DELETE FROM agentbridge.settings",
        "SELECT agentbridge.note('{*}')",
    )
    await stand.bridge.logged("resync.postponed", within=10)
    await stand.pause("dua", "without settings")
    await stand.lasts(2)
    await stand.unpause("dua")
    await stand.hears()
    await superuser(
        stand, "SET session_replication_role = replica", "INSERT INTO agentbridge.settings SELECT * FROM public.kept"
    )
    await stand.healed()
    assert await stand.members() == before


NONSENSE = {
    "codecs": "codecs = '{warp}'",
    "no codec": "codecs = '{}'",
    "transport": "transport = '{}'",
    "nat": "nat = '{sideways}'",
    "type": "sip_type = 'foe'",
    "host": "host = 'nowhere at all'",
    "groups": "call_group = '99-1,x'",
    "lines": "full_name = E'Fay\\r\\nAction: Command\\r\\nCommand: core stop now'",
    "caller id": "caller_id = E'\"><script>;,|'",
    "recording": "record_calls = 'mp3'",
    "number": "internal = '../x y'",
    "expires": "sip_expires = -1",
    "forward": "forward_allowed = true, forward_to = E'1\\n2'",
    "delay": "auto_answer = true, auto_answer_delay = -5",
    "secret": "sip_secret = ''",
    "long": "alias = repeat('x', 5000)",
}
HARMLESS = {"transport", "nat", "lines", "caller id", "delay", "long"}
"""what Asterisk gets in a form that does no harm; all others are reported, with their agent's name"""
NO_RULES = """
DO $$ DECLARE rule record; BEGIN
    FOR rule IN SELECT conname, conrelid::regclass AS place FROM pg_constraint
        WHERE connamespace = 'agentbridge'::regnamespace AND contype = 'c'
    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.place, rule.conname); END LOOP;
END $$
"""
ELSEWHERE = {
    "a negative penalty": (
        "UPDATE agentbridge.queue_members m SET penalty = -3 FROM agentbridge.agents a"
        " WHERE a.id = m.agent_id AND a.username = 'fay'"
    ),
    "lines in a reason": (
        "UPDATE agentbridge.sessions s SET paused = true,"
        " pause_reason = E'x\\r\\nAction: Command\\r\\nCommand: core stop now'"
        " FROM agentbridge.agents a WHERE a.id = s.agent_id AND a.username = 'fay'"
    ),
    "a paused session without a reason": (
        "UPDATE agentbridge.sessions s SET paused = true, pause_reason = ''"
        " FROM agentbridge.agents a WHERE a.id = s.agent_id AND a.username = 'fay'"
    ),
    "lines in the name of a queue": (
        "UPDATE agentbridge.queues SET name = E'billing\\r\\nAction: Logoff' WHERE name = 'billing'"
    ),
    "a queue without a name": "UPDATE agentbridge.queues SET name = '' WHERE name = 'billing'",
    "a queue that Asterisk does not have": "UPDATE agentbridge.queues SET name = 'nowhere' WHERE name = 'billing'",
    "a session of nobody": (
        "INSERT INTO agentbridge.sessions SELECT (jsonb_populate_record(s, '{\"agent_id\": 999999}')).*"
        " FROM agentbridge.sessions s LIMIT 1"
    ),
    "a member of no queue": "INSERT INTO agentbridge.queue_members (agent_id, queue_id) SELECT id, 999999"
    " FROM agentbridge.agents WHERE username = 'fay'",
}
"""in the tables around: fay may be without a place in the queue, and nobody else"""
PLACES = ("queues", "queue_members", "sessions")


async def test_rows_that_no_code_expects(stand: Stand) -> None:
    """Each kind of nonsense in turn, and then all at once: it costs its own agent, who is reported, and no other."""
    fay = await stand.agent("fay", "billing")
    await stand.login("fay")
    await stand.settled()
    await superuser(stand, NO_RULES, "CREATE TABLE public.kept AS SELECT * FROM agentbridge.agents")
    said = {}
    for name, assignment in [*NONSENSE.items(), ("all", ", ".join(list(NONSENSE.values())[2:]))]:
        await without_rules(stand, f"UPDATE agentbridge.agents SET {assignment} WHERE username = 'fay'")
        await stand.pause("dua", name)
        await stand.until_member("support", stand.internal["dua"], paused=True, reason=name)
        await stand.settled()
        said[name] = (await stand.status("fay"))["error"] or "applied"
        await without_rules(stand, "DELETE FROM agentbridge.agents WHERE username = 'fay'")
        await without_rules(stand, "INSERT INTO agentbridge.agents SELECT * FROM public.kept WHERE username = 'fay'")
        await Centre.healed(stand, "fay")
        assert stand.bridge.running
    print(*(f"    {name}: {error}" for name, error in said.items()), sep="\n")
    assert {name for name, error in said.items() if error == "applied"} == HARMLESS
    await stand.unpause("dua")
    await stand.healed()
    assert await stand.member("billing", fay)


async def test_rows_that_no_code_expects_in_the_tables_around(stand: Stand) -> None:
    fay = await stand.agent("fay", "billing")
    await stand.login("fay")
    await stand.settled()
    await superuser(
        stand, NO_RULES, *(f"CREATE TABLE public.kept_{name} AS SELECT * FROM agentbridge.{name}" for name in PLACES)
    )
    for name, statement in ELSEWHERE.items():
        await without_rules(stand, statement)
        await stand.pause("dua", name)
        await stand.until_member("support", stand.internal["dua"], paused=True, reason=name)
        await stand.lasts(1)
        status = await stand.status("fay")
        print(f"    {name}: {status['error'] or 'applied'}; {await stand.member('billing', fay)}")
        assert await stand.member("support", stand.internal["ben"])
        await stand.unpause("dua")
        await stand.until_member("support", stand.internal["dua"], paused=False)
        await superuser(
            stand,
            "SET session_replication_role = replica",
            *(f"DELETE FROM agentbridge.{table}" for table in reversed(PLACES)),
            *(
                f"INSERT INTO agentbridge.{table} OVERRIDING SYSTEM VALUE SELECT * FROM public.kept_{table}"
                for table in PLACES
            ),
            "SELECT agentbridge.note('{*}')",
        )
        await stand.healed()
        assert await stand.member("billing", fay)


async def without_rules(stand: Stand, statement: str) -> None:
    await superuser(stand, "SET session_replication_role = replica", statement, "SELECT agentbridge.note('{*}')")


@pytest.mark.parametrize("table", ["agents", "sessions", "queue_members", "queues"])
async def test_a_table_that_is_locked(stand: Stand, table: str) -> None:
    """Somebody's transaction holds it: waiting for it must not stop what others need for long."""
    connection = await asyncpg.connect(stand.dsn)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE agentbridge.{table} IN ACCESS EXCLUSIVE MODE")
            await stand.lasts(5)
            await stand.hears()
    finally:
        await connection.close()

    async def known() -> bool:
        return await stand.nothing_differs()

    await until(known, within=10, what="no difference after the lock")
    await stand.healed()
