"""Listening to agents as the daemon watches it: it is taken back at once, opened at once, and always noted."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from lab.phones import Call, Phone, State
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre
from tests.acceptance.desk import switched_on, telephones

# what an administrator may have had in the dialplan for years: it asks for no permission
OLD_SPY = """
[from-sip](+)
exten => _*99X.,1,Answer()
 same => n,ChanSpy(PJSIP/${EXTEN:3},q)
"""
AUDIT = "SELECT * FROM agentbridge.spy_audit ORDER BY at, id"


@dataclass
class Floor:
    """Agent ana talks to a customer; boss is an agent who may listen."""

    centre: Centre
    ana: Phone
    boss: Phone
    customer: Phone
    internal: str

    async def listen(self, code: str = "*51") -> Call:
        return await self.boss.call(f"{code}{self.internal}", timeout=5)

    async def allow(self, allowed: bool) -> None:
        await self.centre.db.execute("UPDATE agentbridge.agents SET chanspy = $1 WHERE username = 'ana'", allowed)

    async def audit(self, count: int = 1, *, ended: int = 0, within: float = 5) -> list[asyncpg.Record]:
        """The rows, when there are so many and so many of them have their end."""

        async def there() -> bool:
            rows = await self.centre.db.fetch(AUDIT)
            return len(rows) >= count and len([row for row in rows if row["ended_at"]]) >= ended

        await until(there, within=within, what=f"{count} rows of spying, {ended} ended")
        return list(await self.centre.db.fetch(AUDIT))

    async def hears_the_customer(self, call: Call) -> None:
        assert self.customer.tone
        await call.hears(self.customer.tone, timeout=5)


async def floor(centre: Centre, *, chanspy: bool) -> Floor:
    internal = await centre.agent("ana", "sales", chanspy=chanspy)
    await centre.agent("boss", may_spy=True)
    await centre.login("ana", "boss")
    await centre.until_member("sales", internal)
    await centre.healed("boss")
    ana, boss = await centre.phone("ana"), await centre.phone("boss")
    customer = await centre.caller()
    await customer.call("sales", timeout=10)
    assert customer.tone
    await (await ana.rings(timeout=10)).hears(customer.tone, timeout=10)
    return Floor(centre, ana, boss, customer, internal)


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres, extra={"extensions.conf": OLD_SPY}) as centre:
        yield centre


@pytest_asyncio.fixture
async def centre(reused: Centre) -> Centre:
    return reused


async def test_a_spy_is_thrown_out_within_a_second_when_the_permission_is_taken_away(centre: Centre) -> None:
    here = await floor(centre, chanspy=True)
    call = await here.listen()
    await here.hears_the_customer(call)
    revoked_at = time.monotonic()
    await here.allow(False)
    await call.ended(timeout=5)
    assert time.monotonic() - revoked_at < 1
    assert here.ana.calls[-1].state is State.UP
    (row,) = await here.audit(ended=1)
    assert (row["username"], row["target"], row["mode"]) == ("ana", here.internal, "listen")
    assert (row["allowed"], row["ending"]) == (True, "revoked")
    assert row["at"] <= row["started_at"] < row["ended_at"]
    assert (await here.listen()).status == 403


@pytest.mark.parametrize("change", ["may_spy = false", "deactivated = true", "internal = '1049'"])
async def test_a_supervisor_who_may_no_longer_listen_is_thrown_out_within_a_second(centre: Centre, change: str) -> None:
    here = await floor(centre, chanspy=True)
    call = await here.listen()
    await here.hears_the_customer(call)
    revoked_at = time.monotonic()
    await centre.db.execute(f"UPDATE agentbridge.agents SET {change} WHERE username = 'boss'")
    await call.ended(timeout=5)
    assert time.monotonic() - revoked_at < 1
    assert here.ana.calls[-1].state is State.UP
    (row,) = await here.audit(ended=1)
    assert (row["spyer"], row["allowed"], row["ending"]) == (here.boss.user, True, "revoked")


async def test_a_supervisor_who_leaves_the_telephone_leaves_no_listening_one_behind(centre: Centre) -> None:
    here = await floor(centre, chanspy=True)
    await centre.agent("eva", may_spy=True, typology="external", hot_desk=True)
    await telephones(centre, "desk-7")
    (telephone,) = await switched_on(centre, "desk-7")
    await centre.db.fetchval("SELECT agentbridge.login('eva', 'desk-7', 'admin')")
    await centre.healed("eva")
    call = await telephone.call(f"*51{here.internal}", timeout=5)
    await here.hears_the_customer(call)
    await centre.logout("eva")
    await call.ended(timeout=1)
    (row,) = await here.audit(ended=1)
    assert row["ending"] == "revoked"


async def test_a_supervisor_who_still_may_listen_goes_on(centre: Centre) -> None:
    here = await floor(centre, chanspy=True)
    call = await here.listen()
    await here.hears_the_customer(call)
    await centre.agent("eva", may_spy=True)
    await centre.settled()
    await centre.db.execute("UPDATE agentbridge.agents SET may_spy = false WHERE username = 'eva'")
    await centre.settled()
    await here.hears_the_customer(call)
    assert call.state is State.UP


async def test_a_call_that_runs_can_be_listened_to_as_soon_as_it_is_allowed_and_no_longer_when_it_is_not(
    centre: Centre,
) -> None:
    here = await floor(centre, chanspy=False)
    assert (await here.listen()).status == 403
    await here.allow(True)

    async def opened() -> bool:
        return "agentbridge" in await spy_group(centre, here.internal)

    await until(opened, within=5, what="the running call being opened")
    await here.hears_the_customer(await here.listen())
    await here.allow(False)

    async def closed() -> bool:
        return "closed" in await spy_group(centre, here.internal)

    await until(closed, within=5, what="the running call being closed")
    rows = await here.audit(2, ended=1)
    assert [row["allowed"] for row in rows] == [False, True]
    assert rows[0]["reason"] == "agent"
    assert rows[0]["started_at"] is None


async def spy_group(centre: Centre, internal: str) -> str:
    """SPYGROUP on the agent's channel, as Asterisk shows it."""
    listed = (await centre.asterisk.cli("core show channels concise")).splitlines()
    (channel,) = [line.split("!")[0] for line in listed if line.startswith(f"PJSIP/{internal}-")]
    shown = await centre.asterisk.cli(f"core show channel {channel}")
    return next((line for line in shown.splitlines() if line.startswith("SPYGROUP=")), "")


async def test_every_try_is_in_the_log_and_in_the_audit_with_its_end(centre: Centre) -> None:
    here = await floor(centre, chanspy=True)
    call = await here.listen("*52")
    await here.hears_the_customer(call)
    await call.hangup()
    assert (await here.listen("*51999")).status == 403
    rows = await here.audit(2, ended=1)
    assert [(row["mode"], row["allowed"], row["ending"]) for row in rows] == [
        ("whisper", True, "hangup"),
        ("listen", False, ""),
    ]
    boss = here.boss.user
    started = await centre.bridge.logged("spy.started", agent=here.internal, spyer=boss, mode="whisper")
    assert started["node"] == "lab"
    await centre.bridge.logged("spy.ended", agent=here.internal, spyer=boss, ending="hangup")
    await centre.bridge.logged("spy.refused", spyer=boss)


async def test_an_old_extension_that_asks_nobody_is_cut_off(centre: Centre) -> None:
    here = await floor(centre, chanspy=False)
    started = time.monotonic()
    call = await here.listen("*99")
    assert call.status == 200
    await call.ended(timeout=5)
    assert time.monotonic() - started < 1.5
    (row,) = await here.audit(ended=1)
    assert (row["spyer"], row["target"], row["allowed"]) == (here.boss.user, here.internal, False)
    assert row["reason"] == "chanspy is off"


@pytest.mark.parametrize("change", ["chanspy = false", "may_spy = false"])
async def test_a_permission_taken_away_while_the_daemon_was_down_ends_the_spy_at_its_start(
    own_centre: Centre, change: str
) -> None:
    here = await floor(own_centre, chanspy=True)
    call = await here.listen()
    await here.hears_the_customer(call)
    await here.audit()
    await own_centre.bridge.kill()
    await own_centre.db.execute(f"UPDATE agentbridge.agents SET {change}")
    assert call.state is State.UP
    await own_centre.bridge.start()
    await call.ended(timeout=5)
    (row,) = await here.audit(ended=1)
    assert row["ending"] == "revoked"


async def test_a_spy_that_ends_while_the_daemon_is_down_gets_its_end(own_centre: Centre) -> None:
    here = await floor(own_centre, chanspy=True)
    call = await here.listen()
    await here.hears_the_customer(call)
    await here.audit()
    await own_centre.bridge.kill()
    await call.hangup()
    await own_centre.bridge.start()
    (row,) = await here.audit(ended=1)
    assert row["ending"] == "unseen"


async def test_the_audit_waits_for_a_database_that_is_away(fresh_postgres: Postgres) -> None:
    async with Centre(fresh_postgres) as centre:
        here = await floor(centre, chanspy=True)
        await fresh_postgres.stop("immediate")
        call = await here.listen()
        await here.hears_the_customer(call)
        await call.hangup()
        await fresh_postgres.start()
        centre.db = await asyncpg.connect(centre.dsn)
        try:
            (row,) = await here.audit(ended=1, within=30)
            assert row["ending"] == "hangup"
        finally:
            await centre.db.close()
