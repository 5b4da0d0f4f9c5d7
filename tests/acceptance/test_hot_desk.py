"""An external agent picks a free registered telephone, and everything about the agent works on it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from lab.phones import Call, Phone, Ring
from lab.postgres import Postgres
from lab.processes import LabError, until
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
from tests.acceptance.odd_phone import OddPhone, both_ways

ROW = [f"row-{number}" for number in range(10)]
# somebody outside who sees the caller
DIALPLAN = """
[lab-outside](+)
exten => 0100,1,Dial(PJSIP/row-9,10)
"""


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres, extra={"extensions.conf": DIALPLAN}) as centre:
        yield centre


@pytest_asyncio.fixture
async def office(reused: Centre) -> Centre:
    """Ten telephones, none of them switched on."""
    await telephones(reused, *ROW, caller_id='"Row" <300>')
    return reused


async def available(centre: Centre) -> list[str]:
    listed = json.loads(await centre.bridge.cli("telephone", "list", "--available", "--json"))
    return sorted(one["name"] for one in listed)


async def refused(centre: Centre, username: str, telephone: str) -> str:
    """What the command line says when it refuses."""
    try:
        await centre.bridge.cli("agent", "login", username, "--telephone", telephone, "--source", "web")
    except LabError as error:
        return str(error)
    raise AssertionError(f"{username} was let onto {telephone}")


async def rings_at(customer: Phone, dialled: str, phone: Phone) -> None:
    """A call to that number or queue is heard at that phone."""
    call = await customer.call(dialled, 8)
    assert phone.tone
    await call.hears(phone.tone, 5)
    await call.hangup()


async def answered_by(call: Call, phones: list[Phone]) -> str:
    """The telephone that is heard in the call."""

    async def heard() -> bool:
        return any(phone.tone in call.heard() for phone in phones)

    await until(heard, within=15, what="the caller hearing a telephone")
    (name,) = [phone.user for phone in phones if phone.tone in call.heard()]
    return name


async def test_a_telephone_is_available_while_it_is_registered_and_free(office: Centre) -> None:
    assert await available(office) == []
    first, _ = await switched_on(office, "row-0", "row-1")
    assert await available(office) == ["row-0", "row-1"]
    await desk_agent(office, "ana", "sales")
    await office.bridge.cli("agent", "login", "ana", "--telephone", "row-1", "--source", "web", "--wait")
    assert await available(office) == ["row-0"]
    assert await office.member("sales", "row-1") is not None
    await first.unregister()
    await until_registered(office, ["row-0"], False)
    assert await available(office) == []
    await office.bridge.cli("agent", "logout", "ana", "--source", "web", "--wait")
    assert await available(office) == ["row-1"]


async def test_a_telephone_that_is_deleted_and_created_anew_is_available_when_it_registers(office: Centre) -> None:
    await telephones(office, "again1")
    await switched_on(office, "again1")
    await office.db.execute("DELETE FROM agentbridge.telephones WHERE name = 'again1'")

    async def deleted() -> bool:
        return "again1" not in await office.asterisk.cli("database show")

    await until(deleted, within=10, what="the telephone having left Asterisk")
    await telephones(office, "again1")
    await switched_on(office, "again1")


async def test_a_telephone_is_pushed_with_its_codecs_and_calls_over_its_transport(office: Centre) -> None:
    await telephones(office, "tcp-1", transport=["tcp"], codecs=["alaw", "ulaw"], sip_secret="its-own-secret")
    shown = await office.asterisk.cli("pjsip show endpoint tcp-1")
    assert re.search(r"^ *allow +: \(alaw\|ulaw\)$", shown, re.MULTILINE)
    auth = await office.asterisk.cli("pjsip show auth tcp-1")
    assert "its-own-secret" not in auth
    phone = await OddPhone.of(office.farm, "tcp-1", "its-own-secret", transport="tcp")
    await phone.register()
    await until_registered(office, ["tcp-1"], True)
    number = await desk_agent(office, "ana")
    await sit_down(office, "ana", "tcp-1")
    await office.settled()
    await both_ways(await office.caller(), phone, number)


async def test_a_telephone_on_the_wrong_transport_is_turned_away_and_not_available(office: Centre) -> None:
    await telephones(office, "udp-1", transport=["udp"])
    wrong = await OddPhone.of(office.farm, "udp-1", SECRET, transport="tcp")
    await wrong.register()
    refused = await office.bridge.logged("contact.refused", agent="udp-1")
    assert refused["transport"] == "tcp"
    await until_registered(office, ["udp-1"], False, within=2)  # not only when it has settled
    assert await available(office) == []


async def test_a_login_is_refused_with_the_reason_and_changes_nothing(office: Centre) -> None:
    await switched_on(office, "row-0")
    await desk_agent(office, "ana", "sales")
    await desk_agent(office, "ben", "sales")
    await office.agent("fixed", "sales", typology="external")
    await office.agent("bar", "sales")
    assert "row-1 is not registered; switch it on" in await refused(office, "ana", "row-1")
    assert "there is no telephone row-77" in await refused(office, "ana", "row-77")
    assert "fixed has a device of its own" in await refused(office, "fixed", "row-0")
    assert "bar works with a phonebar, so this starts there" in await refused(office, "bar", "row-0")
    await sit_down(office, "ben", "row-0")
    assert "row-0 is taken by ben" in await refused(office, "ana", "row-0")
    await office.settled()
    assert {name for _, name in await office.members("sales")} == {"PJSIP/row-0"}
    assert await seat(office, "ben") == "row-0"


async def test_an_administrator_takes_a_telephone_over_and_the_former_agent_is_out(office: Centre) -> None:
    (phone,) = await switched_on(office, "row-0")
    await desk_agent(office, "ana", "sales", alias="Ana")
    ben = await desk_agent(office, "ben", "sales", "support", alias="Ben")
    await sit_down(office, "ana", "row-0")
    await office.until_member("sales", "row-0", name="Ana")
    await office.bridge.cli("agent", "login", "ben", "--telephone", "row-0", "--steal", "--wait")
    assert await seat(office, "ben") == "row-0"
    assert not (await office.status("ana"))["logged_in"]
    await office.until_member("sales", "row-0", name="Ben")
    await office.until_member("support", "row-0", name="Ben")
    told = await office.bridge.logged("telephone.taken_over", agent="ana", telephone="row-0")
    assert told["by"] == "ben"
    await rings_at(await office.caller(), ben, phone)


async def test_fifty_agents_race_for_five_telephones_and_asterisk_has_the_five_that_won(office: Centre) -> None:
    prizes = ROW[:5]
    await switched_on(office, *prizes)
    racers = [f"racer{number}" for number in range(50)]
    for racer in racers:
        await desk_agent(office, racer, "sales", alias=racer)

    async def race(number: int) -> str:
        connection = await asyncpg.connect(office.dsn)
        try:
            await connection.fetchval("SELECT agentbridge.login($1, $2)", racers[number], prizes[number % 5])
            return "won"
        except asyncpg.PostgresError as refusal:
            return str(refusal)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(race(number)) for number in range(50)]
    results = [run.result() for run in runs]
    assert results.count("won") == 5
    assert all("is taken by racer" in result for result in results if result != "won")
    rows = await office.db.fetch("SELECT username, telephone FROM agentbridge.agent_status WHERE logged_in")
    winners = {(f"PJSIP/{row['telephone']}", row["username"]) for row in rows}
    assert sorted(name for name, _ in winners) == [f"PJSIP/{prize}" for prize in prizes]

    async def agrees() -> bool:
        return {(interface, seen.name) for (_, interface), seen in (await office.members("sales")).items()} == winners

    await until(agrees, within=10, what="Asterisk having the five winners")


async def test_queue_and_direct_calls_ring_the_telephone_and_nobody_after_the_logout(office: Centre) -> None:
    phone, other = await switched_on(office, "row-0", "row-1")
    number = await desk_agent(office, "ana", "sales")
    await sit_down(office, "ana", "row-0")
    await office.until_member("sales", "row-0")
    await office.settled()
    customer = await office.caller()
    await rings_at(customer, "sales", phone)
    await rings_at(customer, number, phone)
    assert len(phone.invites) == 2
    await office.logout("ana")
    await office.settled()
    assert (await customer.call(number, 8)).status == 480
    phone.behaviour = Ring()
    waiting = customer.dial("sales")
    await waiting.answered(5)  # by the queue, which has no member
    assert await office.members("sales") == {}
    assert len(phone.invites) == 2
    assert other.invites == []
    await waiting.hangup()


async def test_an_agent_who_moves_takes_its_calls_to_the_new_telephone(office: Centre) -> None:
    old, new = await switched_on(office, "row-0", "row-1")
    number = await desk_agent(office, "ana", "sales")
    await sit_down(office, "ana", "row-0")
    await office.until_member("sales", "row-0")
    await office.pause("ana", "moving")
    await sit_down(office, "ana", "row-1")
    await office.until_member("sales", "row-1", paused=True, reason="moving")
    assert await office.member("sales", "row-0") is None
    await office.unpause("ana")
    await office.settled()
    await rings_at(await office.caller(), number, new)
    assert old.invites == []


async def test_calls_from_the_telephone_are_the_agents_and_after_the_logout_its_own(office: Centre) -> None:
    phone, seen_at = await switched_on(office, "row-0", "row-9")
    await desk_agent(office, "ana", "sales", caller_id='"Ana" <0441001>')

    async def shown() -> tuple[str, str]:
        call = await phone.call("0100", 8)
        assert call.status == 200
        await call.hangup()
        caller = seen_at.invites[-1].caller
        return caller.user, caller.display

    assert await shown() == ("300", "Row")
    await sit_down(office, "ana", "row-0")
    await office.settled()
    assert await shown() == ("0441001", "Ana")
    await office.logout("ana")
    await office.settled()
    assert await shown() == ("300", "Row")


async def test_the_agents_mask_do_not_disturb_and_recording_apply_on_the_telephone(office: Centre) -> None:
    (phone,) = await switched_on(office, "row-0")
    number = await desk_agent(office, "ana", "sales", mask_sensitive=True, record_calls="wav")
    await sit_down(office, "ana", "row-0")
    await office.until_member("sales", "row-0")
    await office.settled()
    customer = await office.caller()
    await rings_at(customer, number, phone)
    assert "*" in phone.invites[-1].caller.user

    recordings = office.asterisk.spool / "monitor/agentbridge"

    async def recorded() -> bool:
        return any(f"-{number}-1" in path.name for path in recordings.rglob("*.wav"))

    await until(recorded, within=5, what="a recording under the agent's number")
    await office.pause("ana")
    await office.settled()
    assert (await customer.call(number, 8)).status == 480
    assert len(phone.invites) == 1


async def test_a_supervisor_listens_on_the_telephone_to_an_agent_who_may_be_listened_to(office: Centre) -> None:
    phone, other = await switched_on(office, "row-0", "row-1")
    open_to_all = await desk_agent(office, "ana", chanspy=True)
    closed = await desk_agent(office, "ben")
    await office.agent("boss", typology="external", may_spy=True)
    await office.login("boss")
    await sit_down(office, "ana", "row-0")
    await sit_down(office, "ben", "row-1")
    await office.settled()
    boss, customer = await office.phone("boss"), await office.caller()
    for number in (open_to_all, closed):
        await customer.call(number, 8)
    spy = await boss.call(f"*51{open_to_all}", 8)
    assert phone.tone
    await spy.hears(phone.tone, 5)
    assert other.tone not in spy.heard()
    await spy.hangup()
    assert (await boss.call(f"*51{closed}", 8)).status == 403


async def test_a_deactivated_or_deleted_agent_leaves_the_telephone_free(office: Centre) -> None:
    await switched_on(office, "row-0")
    for end in ("UPDATE agentbridge.agents SET deactivated = true", "DELETE FROM agentbridge.agents"):
        await office.db.execute("DELETE FROM agentbridge.agents")
        await desk_agent(office, "ana", "sales")
        await sit_down(office, "ana", "row-0")
        await office.until_member("sales", "row-0")
        await office.db.execute(end)

        async def nobody() -> bool:
            return await office.members("sales") == {}

        await until(nobody, within=10, what="the telephone's member being gone")
        assert await available(office) == ["row-0"]


async def test_ten_agents_on_ten_telephones_each_answer_their_own_calls_at_once(office: Centre) -> None:
    phones = await switched_on(office, *ROW)
    numbers = [await desk_agent(office, f"agent{n}", "sales") for n in range(10)]
    for n, name in enumerate(ROW):
        await sit_down(office, f"agent{n}", name)
    await office.settled()
    customers = [await office.caller() for _ in range(10)]

    async def talk(n: int) -> None:
        call = await customers[n].call(numbers[n], 10)
        mine, theirs = phones[n].tone, customers[n].tone
        assert mine
        assert theirs
        await call.hears(mine, 10)
        await (await phones[n].rings(1)).hears(theirs, 10)
        await call.hangup()

    async with asyncio.TaskGroup() as talks:
        for n in range(10):
            talks.create_task(talk(n))
    # and ten who call the queue reach ten different telephones
    calls = [await customer.call("sales", 10) for customer in customers]
    assert {await answered_by(call, phones) for call in calls} == set(ROW)
