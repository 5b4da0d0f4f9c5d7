"""PostgreSQL is gone, hung, read-only, behind a pooler, or another one than before."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from agentbridge.directory.listening import listen_works
from lab.faults import Fault
from lab.postgres import Postgres, server_programs
from lab.processes import LabError, run, until
from tests.faults.servers import Pooler, Standby
from tests.faults.stand import Stand


async def kill(stand: Stand) -> None:
    await stand.postgres.kill()
    await stand.bridge.logged("database.lost", within=10)
    await stand.lasts(3)
    await stand.postgres.start()


async def hang(stand: Stand) -> None:
    stand.postgres.pause()
    await stand.bridge.logged("database.lost", within=15)
    await stand.lasts(30)
    stand.postgres.resume()


async def restart(stand: Stand) -> None:
    """As an administrator does, who tells the connections; and as the machine does, without a word."""
    await stand.postgres.restart("fast")
    for _ in range(3):
        await stand.postgres.restart("immediate")


async def half_open(stand: Stand) -> None:
    stand.pg.fault = Fault.HALF_OPEN
    await stand.bridge.logged("database.lost", within=15)
    stand.pg.fault = Fault.NONE


async def cut(stand: Stand) -> None:
    for _ in range(5):
        stand.pg.cut()
        await stand.lasts(0.3)


@pytest.mark.parametrize("fault", [kill, hang, restart, half_open, cut])
async def test_postgresql_gone(own: Stand, fault: Callable[[Stand], Awaitable[None]]) -> None:
    members = await own.members()
    task = asyncio.create_task(fault(own))
    while not task.done():
        await own.hears()
        assert await own.members() == members
    await task
    await own.reconnect()
    await own.healed()


async def test_postgresql_read_only(own: Stand) -> None:
    await superuser(own, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    members = await own.members()
    # what is changed in Asterisk is put right again, though the database can't note it; in a queue without callers
    await own.asterisk.cli(f"queue unpause member PJSIP/{own.internal['ben']} queue support")
    await own.until_member("support", own.internal["ben"], paused=True, reason="lunch")
    await own.lasts(5)
    assert await own.members() == members
    await superuser(own, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    await own.reconnect()
    await own.healed()


async def superuser(stand: Stand, *statements: str) -> None:
    connection = await asyncpg.connect(stand.postgres.dsn(stand.dsn.rsplit("/", 1)[1], "postgres"))
    try:
        await connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_postgresql_through_a_pooler_in_transaction_mode(own: Stand) -> None:
    """Every LISTEN is lost there: changes wait for the poll, and none is missed. Also by a daemon that starts."""
    async with Pooler(own.postgres) as pooler:
        own.pg.target = pooler.port
        lines = len(own.bridge.lines())
        own.pg.cut()
        await own.bridge.logged("database.connected", since=lines, within=15)
        assert not await listen_works(own.dsn.replace(f":{own.postgres.port}/", f":{pooler.port}/"), deadline=5)
        await own.healed()
        await own.bridge.kill()
        await own.bridge.start(within=30)
        await own.healed()


async def failed_over(stand: Stand, standby: Standby) -> None:
    await stand.postgres.kill()
    await standby.promote()
    await meant_is(stand, standby)
    stand.pg.cut()


async def meant_is(stand: Stand, server: Postgres) -> None:
    """The address leads there from now on, for who connects; applications are there already."""
    stand.pg.target = server.port
    stand.dsn = server.dsn(stand.dsn.rsplit("/", 1)[1])
    stand.eye.write_config({**stand.eye.sections, "database": {"dsn": stand.dsn}})
    await stand.reconnect()


async def test_failover_to_a_standby_that_has_everything(own: Stand) -> None:
    async with Standby(own.postgres) as standby:
        await own.pause("dua", "on the first one")
        await own.unpause("dua")
        await standby.caught_up()
        lines = len(own.bridge.lines())
        await failed_over(own, standby)
        await own.bridge.logged("database.connected", since=lines, within=20)
        assert own.bridge.events("database.older") == []
        await own.healed()


async def test_failover_to_a_standby_that_is_behind(own: Stand) -> None:
    """It lacks a pause: obeyed, it would take dua off it. It is not obeyed, also after it has gone on by itself
    and after a restart of the daemon, until somebody confirms it."""
    async with Standby(own.postgres) as standby:
        await standby.caught_up()
        standby.stream.fault = Fault.REFUSED
        await own.pause("dua", "only on the first one")
        await own.until_member("support", own.internal["dua"], paused=True, reason="only on the first one")
        await own.lasts(1.5)  # it is written down once a second
        before = await own.members()
        await failed_over(own, standby)
        await own.bridge.logged("database.older", within=20)
        await until_status_tells(own)
        for number in range(100):  # more transactions than it is behind
            await own.pause("ana", f"on the second one {number}")
        await own.unpause("ana")
        await own.lasts(5)
        assert await own.members() == before
        await own.bridge.kill()
        lines = len(own.bridge.lines())
        await own.bridge.start(within=30)
        await own.bridge.logged("database.older", since=lines, within=10)
        assert await own.members() == before
        await until_status_tells(own)
        await own.hears()
        await own.eye.cli("plan", "--confirm")
        await own.until_member("support", own.internal["dua"], paused=False)
        await own.healed()


@pytest.mark.parametrize("gone_on", [True, False])
async def test_an_old_primary_that_comes_back_after_a_failover(own: Stand, gone_on: bool) -> None:
    """The address leads to it by mistake. It is not obeyed, also when nothing was changed since the failover."""
    async with Standby(own.postgres) as standby:
        await own.settled()
        await standby.caught_up()
        lines = len(own.bridge.lines())
        await failed_over(own, standby)
        await own.bridge.logged("database.connected", since=lines, within=20)
        if gone_on:
            await own.pause("dua", "on the second one")
            await own.until_member("support", own.internal["dua"], paused=True, reason="on the second one")
        before = await own.members()
        await own.postgres.start()
        await meant_is(own, own.postgres)
        own.pg.cut()
        await own.bridge.logged("database.older", since=lines, within=20)
        await own.pause("dua", "on the old one")
        await own.lasts(5)
        assert await own.members() == before
        lines = len(own.bridge.lines())
        await meant_is(own, standby)  # nothing is cut: the daemon finds out by itself
        await own.bridge.logged("database.connected", since=lines, within=20)
        await own.healed()


async def test_a_failover_that_the_daemon_is_not_told_of(own: Stand) -> None:
    """The old primary lives on and answers the daemon's connections; everybody else is at the new one."""
    async with Standby(own.postgres) as standby:
        await own.settled()
        await standby.caught_up()
        await standby.promote()
        await meant_is(own, standby)
        lines = len(own.bridge.lines())
        await own.pause("dua", "on the new one")
        await own.until_member("support", own.internal["dua"], paused=True, reason="on the new one", within=20)
        lost = await own.bridge.logged("database.lost", since=lines)
        assert "leads to another server" in lost["reason"]
        assert own.bridge.events("database.older") == []
        await own.unpause("dua")
        await own.healed()


async def test_a_failover_to_who_is_behind_that_the_daemon_is_not_told_of(own: Stand) -> None:
    """What it read from the old primary, which lives on, stays in Asterisk until somebody confirms the new one."""
    async with Standby(own.postgres) as standby:
        await standby.caught_up()
        standby.stream.fault = Fault.REFUSED
        await own.pause("dua", "only on the first one")
        await own.until_member("support", own.internal["dua"], paused=True, reason="only on the first one")
        before = await own.members()
        await standby.promote()
        await meant_is(own, standby)
        await own.bridge.logged("database.older", within=20)
        await own.lasts(5)
        assert await own.members() == before
        await own.eye.cli("plan", "--confirm")
        await own.until_member("support", own.internal["dua"], paused=False)
        await own.healed()


async def test_a_standby_daemon_that_waits_at_the_old_primary_does_not_take_over_there(own: Stand) -> None:
    """The lock there is free as soon as the other daemon has gone to the new one."""
    second = own.faulty_daemon()
    async with Standby(own.postgres) as standby, second:
        await second.start(wait="standby.waiting")
        await own.settled()
        await standby.caught_up()
        await standby.promote()
        await meant_is(own, standby)
        lines = len(own.bridge.lines())
        await own.bridge.logged("database.connected", since=lines, within=20)
        waits = await second.logged("database.lost", within=20)
        assert "leads to another server" in waits["reason"]
        assert second.events("database.connected") == []
        await own.healed()
        await own.bridge.stop()
        await second.logged("database.connected", within=20)
        own.bridge = second
        await own.healed()


async def is_told_at_each_agent(stand: Stand) -> None:
    """And who waits for a change learns why it is not done."""
    rows = await stand.db.fetch("SELECT applied_at, error FROM agentbridge.agent_status")
    assert len(rows) == len(stand.internal)
    assert all(row["applied_at"] is None and "does not obey this database" in row["error"] for row in rows)
    with pytest.raises(LabError, match=r"does not obey this database: .*plan --confirm"):
        await stand.eye.cli("agent", "logout", "dua", "--wait", "--timeout", "1")


async def until_status_tells(stand: Stand) -> None:
    """`agentbridge status` says why, and that not all is well."""

    async def told() -> bool:
        with pytest.raises(LabError) as failed:
            await stand.eye.cli("status")
        return "failed with 1:" in str(failed.value) and "does not obey this database" in str(failed.value)

    await until(told, within=10, what="the status that tells of an older database")


async def test_a_directory_of_another_cluster_is_not_obeyed(own: Stand) -> None:
    """As when the address in the configuration is that of the test system."""
    before = await own.members()
    async with Postgres(fsync=False) as other:
        await other.create_directory(own.dsn.rsplit("/", 1)[1])
        right, own.pg.target = own.pg.target, other.port
        own.pg.cut()
        await own.bridge.logged("database.older", within=20)
        await own.lasts(5)
        assert await own.members() == before
        own.pg.target = right
        own.pg.cut()
        await own.healed()


BURN = """
CREATE TABLE public.burnt (n integer);
DO $$ BEGIN FOR n IN 1..5000 LOOP
    BEGIN INSERT INTO public.burnt VALUES (n); EXCEPTION WHEN division_by_zero THEN NULL; END;
END LOOP; END $$
"""
"""thousands of transaction numbers, which the next cluster doesn't reach soon"""


async def test_the_directory_moves_to_another_cluster(own: Stand) -> None:
    """By dump and restore, with everything in it: it is obeyed at once, and the next change is applied at once,
    though transactions count from the beginning again."""
    name = own.dsn.rsplit("/", 1)[1]
    await superuser(own, BURN)
    await own.pause("dua", "before the move")
    await own.unpause("dua")
    await own.settled()
    async with Postgres(fsync=False) as other:
        dsn = await other.create_database(name)
        dump = str(own.bridge.dir / "dump")
        await run(str(server_programs() / "pg_dump"), "--no-owner", "--schema=agentbridge", f"--file={dump}", own.dsn)
        await run(str(server_programs() / "psql"), "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump}", dsn)
        lines = len(own.bridge.lines())
        own.pg.target = other.port
        own.pg.cut()
        await own.bridge.logged("database.connected", since=lines, within=20)
        assert own.bridge.events("database.older") == []
        own.dsn = dsn
        own.eye.write_config({**own.eye.sections, "database": {"dsn": dsn}})
        await own.reconnect()
        await own.healed()
        own.asterisk.pause()
        await own.pause("dua", "while Asterisk hung")
        status = await own.status("dua")
        own.asterisk.resume()
        assert status["applied_at"] is None, "said to be applied, and Asterisk hung"
        await own.healed()


async def test_a_backup_of_this_morning_is_not_obeyed(own: Stand) -> None:
    """The changes as they were, counted on from there, as a restore into the same cluster leaves them. Not obeyed
    either when more was changed in it than it lacks, nor after a restart of the daemon, until somebody confirms it."""
    for _ in range(3):
        await own.pause("dua", "this noon")
        await own.until_member("support", own.internal["dua"], paused=True)
        await own.unpause("dua")
        await own.until_member("support", own.internal["dua"], paused=False)
    await own.lasts(1.5)  # it is written down once a second
    before, lines = await own.members(), len(own.bridge.lines())
    lacks = await own.db.fetchval("SELECT max(seq) - 2 FROM agentbridge.changes")
    await superuser(
        own, "DELETE FROM agentbridge.changes WHERE seq > 2; ALTER TABLE agentbridge.changes ALTER seq RESTART WITH 3"
    )
    own.pg.cut()
    await own.bridge.logged("database.older", since=lines, within=20)
    await until_status_tells(own)
    await is_told_at_each_agent(own)
    for number in range(lacks + 2):
        await own.pause("ana", f"in the backup {number}")
    await own.lasts(3)
    await own.bridge.kill()
    lines = len(own.bridge.lines())
    await own.bridge.start(within=30)
    await own.bridge.logged("database.older", since=lines, within=20)
    assert await own.members() == before
    await own.login("dua")
    await own.unpause("ana")
    await own.eye.cli("plan", "--confirm")
    await own.healed()
