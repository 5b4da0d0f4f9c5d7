"""An agent whose telephone is lost does not ring, and is then dealt with as configured; flapping is no storm."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import pytest_asyncio

from lab.phones import Phone
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre
from tests.acceptance.desk import (
    SECRET,
    desk_agent,
    seat,
    sit_down,
    switched_on,
    telephones,
    until_registered,
)

LOST_AFTER = 2.0
SETTLE = 1.0
FLAPPING, FLAPS = 5.0, 50
Opened = Callable[..., AbstractAsyncContextManager[tuple[Centre, Phone]]]


@pytest_asyncio.fixture
async def opened(postgres: Postgres) -> AsyncIterator[Opened]:
    """A centre with these settings of `[hot_desk]`, ana on desk-1, and her telephone."""

    @asynccontextmanager
    async def open_one(**settings: object) -> AsyncIterator[tuple[Centre, Phone]]:
        hot_desk = {"settle_seconds": SETTLE, "lost_after_seconds": LOST_AFTER, **settings}
        async with Centre(postgres, sections={"hot_desk": hot_desk}) as centre:
            await telephones(centre, "desk-1")
            (phone,) = await switched_on(centre, "desk-1")
            await desk_agent(centre, "ana", "sales", "support")
            await sit_down(centre, "ana", "desk-1")
            await centre.until_member("sales", "desk-1", paused=False)
            await centre.settled()
            yield centre, phone

    yield open_one


async def until_paused(centre: Centre, wanted: bool, within: float = 10.0) -> None:
    async def so() -> bool:
        return bool((await centre.status("ana"))["paused"]) is wanted

    await until(so, within=within, what=f"ana being paused={wanted}")


async def test_a_lost_telephone_pauses_its_agent_with_that_reason_and_the_agent_goes_on_when_it_is_back(
    opened: Opened,
) -> None:
    async with opened() as (centre, phone):
        await phone.unregister()
        await until_registered(centre, ["desk-1"], False)
        assert not (await centre.status("ana"))["paused"]
        await until_paused(centre, True)
        assert (await centre.status("ana"))["pause_reason"] == "telephone lost"
        await centre.until_member("sales", "desk-1", paused=True, reason="telephone lost")
        await centre.until_member("support", "desk-1", paused=True, reason="telephone lost")
        lost = await centre.bridge.logged("telephone.lost", agent="ana", telephone="desk-1")
        assert lost["done"] == "pause"

        await phone.register()
        await until_paused(centre, False)
        await centre.until_member("sales", "desk-1", paused=False)
        assert await seat(centre, "ana") == "desk-1"


async def test_an_agent_without_its_telephone_does_not_ring_even_before_the_pause(opened: Opened) -> None:
    async with opened(lost_after_seconds=60) as (centre, phone):
        await desk_agent(centre, "ben", "sales")
        await telephones(centre, "desk-2")
        (other,) = await switched_on(centre, "desk-2")
        await phone.unregister()
        await until_registered(centre, ["desk-1"], False)
        await sit_down(centre, "ben", "desk-2")
        await centre.until_member("sales", "desk-2")
        customer = await centre.caller()
        call = await customer.call("sales", 5)
        await other.rings(5)
        await call.hangup()
        assert phone.invites == []
        assert not (await centre.status("ana"))["paused"]


async def test_a_lost_telephone_logs_its_agent_out_where_that_is_wanted(opened: Opened) -> None:
    async with opened(lost_action="logout") as (centre, phone):
        await phone.unregister()

        async def out() -> bool:
            return not (await centre.status("ana"))["logged_in"] and await centre.members() == {}

        await until(out, within=10, what="ana being logged out")
        assert (await centre.bridge.logged("telephone.lost", agent="ana"))["done"] == "logout"


@pytest.mark.parametrize("back", ["nothing", "unpause"])
async def test_an_agent_on_pause_for_another_reason_stays_so(opened: Opened, back: str) -> None:
    async with opened(back_action=back, lost_after_seconds=0) as (centre, phone):
        await centre.pause("ana", "lunch")
        await phone.unregister()
        await until_registered(centre, ["desk-1"], False)
        await phone.register()
        await until_registered(centre, ["desk-1"], True)
        status = await centre.status("ana")
        assert (status["paused"], status["pause_reason"]) == (True, "lunch")


async def test_an_agent_stays_on_pause_when_coming_back_shall_change_nothing(opened: Opened) -> None:
    async with opened(back_action="nothing") as (centre, phone):
        await phone.unregister()
        await until_paused(centre, True)
        await phone.register()
        await until_registered(centre, ["desk-1"], True)
        # what the daemon does about desk-1 comes before what it writes of another
        await telephones(centre, "desk-2")
        await switched_on(centre, "desk-2")
        status = await centre.status("ana")
        assert (status["paused"], status["pause_reason"]) == (True, "telephone lost")


async def test_a_flapping_telephone_costs_a_write_a_second_and_never_a_pause(opened: Opened) -> None:
    async with opened(lost_after_seconds=5) as (centre, phone):
        changes = await centre.db.fetchval("SELECT count(*) FROM agentbridge.changes")
        before = len(centre.bridge.lines())
        flaps, began = 0, time.monotonic()
        while flaps < FLAPS or time.monotonic() < began + FLAPPING:
            await phone.unregister()
            await phone.register()
            flaps += 1
        await until_registered(centre, ["desk-1"], True)
        events = centre.bridge.events(since=before)
        written = [line for line in events if line["event"] in ("telephone.registered", "telephone.unregistered")]
        assert len(written) <= (time.monotonic() - began) / SETTLE + 2
        assert [line for line in events if line["event"].startswith("member.")] == []
        assert await centre.db.fetchval("SELECT count(*) FROM agentbridge.changes") == changes
        assert not (await centre.status("ana"))["paused"]


async def test_while_asterisk_is_away_nothing_is_known_and_nobody_is_paused_for_it(opened: Opened) -> None:
    async with opened(lost_after_seconds=0.5) as (centre, phone):
        await centre.asterisk.stop()
        await until_registered(centre, ["desk-1"], None)
        await centre.asterisk.start()
        await until_registered(centre, ["desk-1"], True, within=20)
        assert not (await centre.status("ana"))["paused"]
        assert centre.bridge.events("telephone.lost") == []
        assert phone.registered


async def test_a_registration_that_came_while_the_daemon_was_dead_is_found(opened: Opened) -> None:
    async with opened() as (centre, phone):
        await telephones(centre, "desk-2", "desk-3")
        (gone,) = await switched_on(centre, "desk-3")
        await centre.bridge.kill()
        await centre.farm.register({"desk-2": SECRET})
        await gone.unregister()
        await centre.bridge.start()
        await until_registered(centre, ["desk-1", "desk-2"], True)
        await until_registered(centre, ["desk-3"], False)
        assert phone.registered
