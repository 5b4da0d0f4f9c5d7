"""Whatever is changed, a registered phone stays registered; who has no phone is never shown as if there were one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from lab.bridge import Bridge
from lab.phones import Call, Phone
from lab.postgres import Postgres
from lab.processes import LabError, until
from tests.acceptance.centre import Centre

SECTIONS = {"resync": {"seconds": 1}, "log": {"level": "debug"}}
CHANGES: list[dict[str, Any]] = [
    {"sip_expires": 120},
    {"sip_expires": 3600},
    {"sip_secret": "Another-secret-1"},
    {"codecs": ["alaw", "ulaw"]},
    {"nat": ["force_rport", "comedia"]},
    {"nat": ["no"]},
    {"context": "callers"},
    {"call_group": "1-3", "pickup_group": "2"},
    {"caller_id": '"Sales" <800>'},
    {"sip_type": "peer"},
    {"sip_type": "friend"},
    {"transport": ["udp", "tcp"]},
    {"voicemail": True, "voicemail_pin": "4321"},
    {"record_calls": "gsm"},
    {"chanspy": True},
    {"mask_sensitive": True},
    {"host": "127.0.0.9"},
    {"host": "127.0.0.8"},
    {"host": "dynamic"},
]


OF_THE_AOR = {"sip_expires", "host"}


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    """Its daemon compares everything each second."""
    async with Centre(postgres, sections=SECTIONS) as centre:
        yield centre


async def contacts(centre: Centre, key: str) -> int:
    """How many registrations Asterisk's registrar holds for this AOR."""
    shown = await centre.asterisk.cli("database show registrar")
    return sum(line.startswith(f"/registrar/contact/{key};@") for line in shown.splitlines())


async def device_state(centre: Centre, key: str) -> str:
    return (await centre.asterisk.cli(f"dialplan eval function DEVICE_STATE(PJSIP/{key})")).split()[-1]


async def until_state(centre: Centre, key: str, wanted: str) -> None:
    async def so() -> bool:
        return await device_state(centre, key) == wanted

    try:
        await until(so, within=5, what=f"PJSIP/{key} being {wanted}")
    except LabError as late:
        late.add_note(f"it is {await device_state(centre, key)}")
        raise


async def until_gone(centre: Centre, key: str) -> None:
    """Until it has no endpoint."""

    async def so() -> bool:
        return "Unable to find" in await centre.asterisk.cli(f"pjsip show endpoint {key}")

    await until(so, within=5, what=f"the endpoint {key} being gone")


async def looks(centre: Centre, bridge: Bridge | None = None) -> None:
    """Until everything was read and compared twice from now on."""
    bridge = bridge or centre.bridge
    since = len(bridge.lines())

    async def done() -> bool:
        # one may have begun before
        return len(bridge.events("resync.marked", since=since)) > 2

    await until(done, within=20, what="full comparisons")


async def change(centre: Centre, columns: dict[str, Any]) -> None:
    places = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 1))
    await centre.db.execute(f"UPDATE agentbridge.agents SET {places}", *columns.values())
    await centre.settled()


async def talking(centre: Centre, phone: Phone, number: str) -> tuple[Phone, Call, Call]:
    customer = await centre.caller()
    call = await customer.call(number, 5.0)
    return customer, call, await phone.rings(5.0)


async def test_no_change_of_a_row_costs_a_registration_or_a_call(shared: Centre) -> None:
    ana, ben = await shared.agent("ana", "sales"), await shared.agent("ben", "support")
    await shared.login("ana", "ben")
    await shared.settled()
    idle, busy = await shared.phones(["ana", "ben"])
    customer, call, answered = await talking(shared, busy, ben)
    since = len(shared.bridge.lines())
    for columns in CHANGES:
        await change(shared, columns)
        if columns.keys() & OF_THE_AOR:
            await looks(shared)
        seen = [await contacts(shared, key) for key in (ana, ben)]
        assert seen == [1, 1], f"after {columns}"
    await looks(shared)
    assert [await contacts(shared, key) for key in (ana, ben)] == [1, 1]
    assert customer.tone
    assert busy.tone
    await asyncio.gather(call.hears(busy.tone, 5.0), answered.hears(customer.tone, 5.0))
    await call.hangup()
    assert shared.bridge.events("drift.repaired", since=since) == []
    # and the phones are still called where they registered
    for number, phone in ((ana, idle), (ben, busy)):
        _, call, _ = await talking(shared, phone, number)
        await call.hangup()


async def test_a_fixed_address_that_came_and_went_leaves_no_state_behind(shared: Centre) -> None:
    ana = await shared.agent("ana", "sales")
    await shared.login("ana")
    await shared.settled()
    phone = await shared.phone("ana")
    await change(shared, {"host": "127.0.0.9"})
    await change(shared, {"host": "dynamic"})
    await looks(shared)
    assert await contacts(shared, ana) == 1
    await phone.unregister()
    await until_state(shared, ana, "UNAVAILABLE")
    await change(shared, {"host": "127.0.0.9"})
    await until_state(shared, ana, "NOT_INUSE")


async def test_a_new_setting_for_all_phones_costs_no_registration(shared: Centre) -> None:
    numbers = [await shared.agent(f"agent{n}", "sales") for n in range(8)]
    await shared.settled()
    phones = await shared.phones([f"agent{n}" for n in range(8)])
    await shared.bridge.stop()
    async with shared.daemon(sections={"sip": {"qualify_seconds": 1}}) as fresh:
        await fresh.start()
        await looks(shared, fresh)
        assert [await contacts(shared, number) for number in numbers] == [1] * 8
        shown = await shared.asterisk.cli(f"pjsip show aor {numbers[0]}")
        assert "qualify_frequency    : 1\n" in shown
        # Asterisk's OPTIONS begin at the phone's next REGISTER
        await phones[0].register()

        async def asked() -> bool:
            return " Avail " in await shared.asterisk.cli(f"pjsip show aor {numbers[0]}")

        await until(asked, within=10, what="an answered OPTIONS")
        assert fresh.events("drift.repaired") == []
        await fresh.stop()
    await shared.bridge.start()


async def test_who_is_unlocked_works_at_once_with_the_phone_that_stayed(shared: Centre) -> None:
    ana = await shared.agent("ana", "sales", typology="external")
    phone = None
    for off, on in (
        ({"locked_at": "now"}, {"locked_at": None}),
        ({"deactivated": True}, {"deactivated": False}),
        ({"hot_desk": True}, {"hot_desk": False}),
    ):
        await shared.settled()
        phone = phone or await shared.phone("ana")
        await until_state(shared, ana, "NOT_INUSE")
        await _set(shared, off)
        await until_gone(shared, ana)
        assert await contacts(shared, ana) == 1
        await _set(shared, on)
        await shared.login("ana")
        await shared.settled()
        await until_state(shared, ana, "NOT_INUSE")
        _, call, _ = await talking(shared, phone, "sales")
        await call.hangup()
        await shared.logout("ana")


async def test_who_is_unlocked_without_a_phone_is_unavailable(shared: Centre) -> None:
    ana = await shared.agent("ana", "sales")
    await shared.settled()
    phone = await shared.phone("ana")
    await _set(shared, {"locked_at": "now"})
    await until_gone(shared, ana)
    await shared.asterisk.restart()  # what Asterisk kept over it says the same
    await looks(shared)
    await _set(shared, {"locked_at": None})
    await shared.login("ana")
    await until_state(shared, ana, "NOT_INUSE")
    await phone.unregister()
    await until_state(shared, ana, "UNAVAILABLE")


async def _set(centre: Centre, columns: dict[str, Any]) -> None:
    for name, value in columns.items():
        literal = {None: "NULL", True: "true", False: "false", "now": "now()"}[value]
        await centre.db.execute(f"UPDATE agentbridge.agents SET {name} = {literal}")
    await centre.settled()


async def test_a_number_that_changes_hands_inherits_nothing(shared: Centre) -> None:
    number = await shared.agent("ana", "sales")
    await shared.settled()
    await shared.phone("ana")
    await until_state(shared, number, "NOT_INUSE")
    # at once, before a look could see it free
    async with shared.db.transaction():
        await shared.db.execute("DELETE FROM agentbridge.agents WHERE username = 'ana'")
        await shared.agent("ben", "sales", internal=number)
    await shared.login("ben")
    await shared.settled()
    await until_state(shared, number, "UNAVAILABLE")
    assert await contacts(shared, number) == 0
    # and when it was free for a while
    phone = await shared.phone("ben")
    await until_state(shared, number, "NOT_INUSE")
    await shared.db.execute("DELETE FROM agentbridge.agents")
    await until_gone(shared, number)
    await looks(shared)
    assert await contacts(shared, number) == 0
    await shared.agent("eve", "sales", internal=number)
    await shared.login("eve")
    await shared.settled()
    await until_state(shared, number, "UNAVAILABLE")
    assert phone.registered, "it does not know, and is not called"


async def test_agents_who_exchange_numbers_do_not_exchange_phones(shared: Centre) -> None:
    ana, ben = await shared.agent("ana", "sales"), await shared.agent("ben", "sales")
    await shared.settled()
    await shared.phones(["ana", "ben"])
    await shared.login("ana", "ben")
    await shared.settled()
    for username, number in (("ana", "1049"), ("ben", ana), ("ana", ben)):
        await shared.db.execute("UPDATE agentbridge.agents SET internal = $2 WHERE username = $1", username, number)
    await shared.settled()
    for number in (ana, ben):
        await until_state(shared, number, "UNAVAILABLE")
        assert await contacts(shared, number) == 0
