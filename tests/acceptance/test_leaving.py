"""Leaving always works: whoever was taken out by a statement is out, however many there are; what vanished is held."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest
import pytest_asyncio

from lab.postgres import Postgres
from lab.processes import LabError, until
from tests.acceptance.centre import Centre

MANY = 21
QUEUES = {name: {} for name in ("sales", "support", "billing", *(f"q{number}" for number in range(MANY)))}
AGENTS = [f"agent{number}" for number in range(26)]
FEW = "agentbridge.agents WHERE id < (SELECT max(id) FROM agentbridge.agents)"


@pytest_asyncio.fixture(scope="module")
async def large(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres, queues=QUEUES, numbers=range(1000, 1200), audio=False) as centre:
        yield centre


@pytest_asyncio.fixture
async def floor(large: Centre) -> AsyncIterator[Centre]:
    """26 agents work in three queues each: 78 members."""
    for name in AGENTS:
        await large.agent(name, "sales", "support", "billing")
    await large.login(*AGENTS)
    await large.settled(within=30)
    assert len(await large.members()) == 3 * len(AGENTS)
    yield large
    await large.emptied(within=30)
    assert large.bridge.events("removals.refused") == [], "nothing of this is to be asked about"


async def until_working(centre: Centre, numbers: Iterable[str]) -> None:
    """Until those and nobody else are members."""
    interfaces = {f"PJSIP/{number}" for number in numbers}

    async def so() -> bool:
        return {interface for _, interface in await centre.members()} == interfaces

    await until(so, within=15, what=f"{len(interfaces)} agents being the members")
    if await centre.db.fetchval("SELECT count(*) FROM agentbridge.agents"):
        await centre.settled()
    assert await centre.db.fetchval("SELECT count(*) FROM agentbridge.agent_status WHERE error IS NOT NULL") == 0


async def left(centre: Centre, statement: str) -> list[str]:
    """The numbers of who works after it, by the directory."""
    await centre.db.execute(statement)
    rows = await centre.db.fetch(
        "SELECT a.internal FROM agentbridge.agents a JOIN agentbridge.sessions s ON s.agent_id = a.id"
        " WHERE EXISTS (SELECT FROM agentbridge.effective_members e WHERE e.agent_id = a.id)"
    )
    return [row["internal"] for row in rows]


LEAVING = {
    "log out": f"SELECT agentbridge.logout(username, 'admin') FROM {FEW}",
    "everybody logs out": "SELECT agentbridge.logout(username, 'admin') FROM agentbridge.agents",
    "delete the sessions": "DELETE FROM agentbridge.sessions",
    "lock": f"UPDATE agentbridge.agents SET locked_at = now() WHERE id IN (SELECT id FROM {FEW})",
    "deactivate": f"UPDATE agentbridge.agents SET deactivated = true WHERE id IN (SELECT id FROM {FEW})",
    "delete": f"DELETE FROM agentbridge.agents WHERE id IN (SELECT id FROM {FEW})",
    "no queue": "DELETE FROM agentbridge.queue_members",
}


@pytest.mark.parametrize("statement", LEAVING.values(), ids=LEAVING.keys())
async def test_whoever_leaves_is_out(floor: Centre, statement: str) -> None:
    await until_working(floor, await left(floor, statement))


async def test_whoever_left_while_the_daemon_was_away_is_out(floor: Centre) -> None:
    await floor.bridge.stop()
    working = await left(floor, f"SELECT agentbridge.logout(username, 'admin') FROM {FEW}")
    await floor.bridge.start()
    await until_working(floor, working)


async def test_who_leaves_twenty_queues_and_who_leaves_one(floor: Centre) -> None:
    await floor.db.execute("SELECT agentbridge.logout(username, 'admin') FROM agentbridge.agents")
    await floor.agent("ana", *(f"q{number}" for number in range(MANY)))
    ben = await floor.agent("ben", "sales")
    await floor.login("ana", "ben")
    await floor.settled()
    await floor.logout("ana")
    await until_working(floor, [ben])
    await floor.logout("ben")
    await until_working(floor, [])


async def test_new_numbers_for_all_and_their_pauses(floor: Centre) -> None:
    await floor.db.execute("UPDATE agentbridge.agents SET internal = (internal::int + 100)::text")
    await floor.db.execute("SELECT agentbridge.pause(username, 'move', source => 'admin') FROM agentbridge.agents")
    await floor.settled(within=30)
    numbers = [row["internal"] for row in await floor.db.fetch("SELECT internal FROM agentbridge.agents")]
    await until_working(floor, numbers)
    assert {seen.paused for seen in (await floor.members()).values()} == {True}


async def test_a_queue_that_is_renamed_with_all_its_members(floor: Centre) -> None:
    await floor.db.execute("DELETE FROM agentbridge.queues WHERE name = 'q1'")
    await floor.db.execute("UPDATE agentbridge.queues SET name = 'q1' WHERE name = 'sales'")
    try:
        await floor.settled(within=30)

        async def moved() -> bool:
            there = await floor.members()
            return sum(queue == "q1" for queue, _ in there) == 26 and not any(queue == "sales" for queue, _ in there)

        await until(moved, within=15, what="all members of sales being in q1")
    finally:
        await floor.db.execute("UPDATE agentbridge.queues SET name = 'sales' WHERE name = 'q1'")
        await floor.db.execute("INSERT INTO agentbridge.queues (name) VALUES ('q1')")


async def test_other_queues_for_all_by_one_update(floor: Centre) -> None:
    await floor.db.execute(
        "UPDATE agentbridge.queue_members SET queue_id = (SELECT id FROM agentbridge.queues WHERE name = 'q2')"
        " WHERE queue_id = (SELECT id FROM agentbridge.queues WHERE name = 'sales')"
    )

    async def moved() -> bool:
        there = await floor.members("sales", "q2")
        return len(there) == 26 and all(queue == "q2" for queue, _ in there)

    await until(moved, within=15, what="all members of sales being in q2")


async def test_agents_that_the_command_deletes(floor: Centre) -> None:
    await floor.bridge.cli("agent", "delete", *AGENTS, "--yes")
    await until_working(floor, [])


# ---------------------------------------------------------------- what has vanished


async def set_aside(centre: Centre, *tables: str) -> None:
    for table in tables:
        await centre.db.execute(f"DROP TABLE IF EXISTS public.kept_{table}")
        await centre.db.execute(f"CREATE TABLE public.kept_{table} AS SELECT * FROM agentbridge.{table}")


async def bring_back(centre: Centre, *tables: str) -> None:
    for table in tables:
        await centre.db.execute(f"INSERT INTO agentbridge.{table} SELECT * FROM public.kept_{table}")


async def truncate_sessions(centre: Centre) -> Callable[[], Awaitable[None]]:
    await set_aside(centre, "sessions")
    await centre.db.execute("TRUNCATE agentbridge.sessions CASCADE")
    return lambda: bring_back(centre, "sessions")


async def hide_most_agents(centre: Centre) -> Callable[[], Awaitable[None]]:
    """The daemon's own role sees a tenth of the table."""
    agents = "ALTER TABLE agentbridge.agents"
    await centre.db.execute(f"{agents} ENABLE ROW LEVEL SECURITY; {agents} FORCE ROW LEVEL SECURITY")
    await centre.db.execute(
        "CREATE POLICY part ON agentbridge.agents USING (id % 10 = 0 OR current_setting('test.sees_all', true) = 'yes')"
    )
    await centre.db.execute("SET test.sees_all = 'yes'")
    await centre.db.execute("SELECT agentbridge.note('{*}')")

    async def show_again() -> None:
        await centre.db.execute(f"{agents} DISABLE ROW LEVEL SECURITY; {agents} NO FORCE ROW LEVEL SECURITY")
        await centre.db.execute("DROP POLICY part ON agentbridge.agents")
        await centre.db.execute("SELECT agentbridge.note('{*}')")

    return show_again


async def drop_memberships(centre: Centre) -> Callable[[], Awaitable[None]]:
    """With the triggers off, as a restore does."""
    members = "ALTER TABLE agentbridge.queue_members"
    await set_aside(centre, "queue_members")
    await centre.db.execute(f"{members} DISABLE TRIGGER USER")
    await centre.db.execute("DELETE FROM agentbridge.queue_members")
    await centre.db.execute(f"{members} ENABLE TRIGGER USER")
    await centre.db.execute("SELECT agentbridge.note('{*}')")
    return lambda: bring_back(centre, "queue_members")


@pytest.mark.parametrize("vanish", [truncate_sessions, hide_most_agents, drop_memberships])
async def test_what_vanished_is_held_and_told_and_the_refusal_ends_by_itself(
    postgres: Postgres, vanish: Callable[[Centre], Awaitable[Callable[[], Awaitable[None]]]]
) -> None:
    async with Centre(postgres, numbers=range(1000, 1100), audio=False) as centre:
        for name in AGENTS:
            await centre.agent(name, "sales", "support")
        await centre.login(*AGENTS)
        await centre.settled(within=30)
        before = await centre.members()
        restore = await vanish(centre)
        held = await centre.bridge.logged("removals.refused", within=15)
        assert held["removals"] >= 23
        assert await centre.members() == before
        # told at the agent, by `status` and by --wait
        errors = "SELECT DISTINCT error FROM agentbridge.agent_status WHERE error IS NOT NULL"

        async def told() -> bool:
            return ["plan --confirm" in row["error"] for row in await centre.db.fetch(errors)] == [True]

        await until(told, within=15, what="the same words at each agent")
        with pytest.raises(LabError, match="failed with 1") as status:
            await centre.bridge.cli("status", within=60)
        assert "refused to remove" in str(status.value)
        if vanish is truncate_sessions:  # hidden agents are not found; whose memberships vanished may always log out
            with pytest.raises(LabError, match="gone from the directory"):
                await centre.bridge.cli("agent", "logout", "agent1", "--wait", "--timeout", "1", within=60)
        await restore()
        await centre.login("agent1")

        async def converged() -> bool:
            try:
                await centre.bridge.cli("status", within=60)
            except LabError:
                return False
            return True

        await until(converged, within=90, what="status ending with 0")
        assert {interface for _, interface in before} == {interface for _, interface in await centre.members()}
        assert await centre.db.fetchval("SELECT count(*) FROM agentbridge.held") == 0
