"""Without the database Asterisk stays as it is and calls go on; an empty one empties nothing."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from lab.phones import Call, Phone, State
from lab.postgres import Postgres
from lab.processes import LabError, until
from tests.acceptance.centre import Centre

QUICK = {"database": {"poll_seconds": 0.5, "probe_seconds": 1.0, "statement_seconds": 1.0}}


@pytest_asyncio.fixture
async def centre(fresh_postgres: Postgres) -> AsyncIterator[Centre]:
    """With a database of its own, to be stopped and hung."""
    async with Centre(fresh_postgres, wired=True, sections=QUICK) as centre:
        yield centre


async def a_call(centre: Centre) -> tuple[Call, Phone]:
    phone, caller = await centre.phone("ana"), await centre.caller()
    call = await caller.call("sales", timeout=5)
    incoming = await phone.rings(timeout=5)
    assert caller.tone
    await incoming.hears(caller.tone, timeout=5)
    return call, phone


async def stop(server: Postgres) -> None:
    await server.stop("fast")


async def hang(server: Postgres) -> None:
    server.pause()


async def kill(server: Postgres) -> None:
    await server.kill()


@pytest.mark.parametrize("fault", [stop, hang, kill])
async def test_without_the_database_nothing_changes_and_calls_go_on(
    centre: Centre, fresh_postgres: Postgres, fault: Callable[[Postgres], Awaitable[None]]
) -> None:
    ana, ben = await centre.agent("ana", "sales"), await centre.agent("ben", "support", login_in_pause=True)
    await centre.login("ana", "ben")
    await centre.settled()
    call, phone = await a_call(centre)
    assert phone.tone
    before, lines = await centre.members(), len(centre.bridge.lines())
    centre.wire.forget()
    await fault(fresh_postgres)
    await centre.bridge.logged("database.lost", since=lines, within=10)
    await call.hears(phone.tone, timeout=5)
    assert await centre.members() == before
    assert centre.wire.writes() == []
    assert call.state is State.UP
    fresh_postgres.resume()
    if not fresh_postgres.running:
        await fresh_postgres.start()
        await centre.reconnect()
    await centre.pause("ana", "after the fault")
    await centre.unpause("ben")
    await centre.until_member("sales", ana, paused=True, reason="after the fault", within=15)
    await centre.until_member("support", ben, paused=False)
    await call.hears(phone.tone, timeout=5)
    # the two that were asked for, and nothing else
    assert [sent.name for sent in centre.wire.writes()] == ["QueuePause", "QueuePause"]
    await call.hangup()


async def test_a_change_right_after_a_restart_of_the_database_comes_through(
    centre: Centre, fresh_postgres: Postgres
) -> None:
    ana = await centre.agent("ana", "sales")
    await centre.login("ana")
    await centre.settled()
    for number in range(3):
        await fresh_postgres.restart("immediate")
        await centre.reconnect()
        await centre.pause("ana", f"restart {number}")
        await centre.until_member("sales", ana, paused=True, reason=f"restart {number}", within=15)
    assert centre.bridge.running


@pytest.mark.parametrize(
    "emptying",
    ["DELETE FROM agentbridge.agents", "TRUNCATE agentbridge.agents CASCADE"],
    ids=["DELETE", "TRUNCATE"],
)
async def test_an_emptied_directory_takes_nobody_out_until_it_is_confirmed(centre: Centre, emptying: str) -> None:
    names = [f"agent{number}" for number in range(30)]
    for name in names:
        await centre.agent(name, "sales")
    await centre.login(*names)
    await centre.settled()
    before = await centre.members()
    assert len(before) == 30
    centre.wire.forget()
    await centre.db.execute(emptying)
    await centre.bridge.logged("removals.refused", removals=30)
    assert await centre.members() == before
    assert centre.wire.writes() == []
    with pytest.raises(LabError, match="failed with 3"):  # some differences
        await centre.bridge.cli("plan")
    await centre.bridge.cli("plan", "--confirm")
    await centre.until_members({})
    await centre.bridge.logged("removals.confirmed", removals=30)

    async def no_endpoint() -> bool:
        return "0 results" in await centre.asterisk.cli("database show ps_endpoints")

    await until(no_endpoint, within=10, what="the end of all agents' endpoints")


async def test_a_hung_asterisk_is_noticed_and_gets_what_changed_meanwhile(centre: Centre) -> None:
    ana = await centre.agent("ana", "sales")
    await centre.login("ana")
    await centre.settled()
    centre.asterisk.pause()
    await centre.pause("ana", "while it hung")
    centre.asterisk.resume()
    await centre.until_member("sales", ana, paused=True, reason="while it hung")
    await centre.healed("ana")


async def test_a_sigint_stops_it_as_well(centre: Centre) -> None:
    centre.bridge.send(signal.SIGINT)
    await centre.bridge.logged("daemon.stopped", within=10)
