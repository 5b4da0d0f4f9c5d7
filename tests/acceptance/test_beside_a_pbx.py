"""Beside a PBX that is there: its own phones, and its own settings of PJSIP, stay as they are and are kept clear of."""

from collections.abc import AsyncIterator

import pytest_asyncio

from lab import pjsip
from lab.phones import RegistrationRefusedError
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre

THEIRS = ("1000", "1002")
SHA = "\n[global](+)\ndefault_auth_algorithms_uas = SHA-256,MD5\n"


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    files = {"pjsip.conf": "".join(pjsip.phone(user) for user in THEIRS)}
    async with Centre(postgres, extra=files, numbers=range(1000, 1010), sections={"resync": {"seconds": 1}}) as centre:
        yield centre


async def test_numbers_that_asterisk_has_by_its_own_files_are_left_out(shared: Centre) -> None:
    await shared.bridge.logged("numbers.taken", numbers=" ".join(THEIRS))
    reserve = {str(number) for number in range(1000, 1010)} - {*THEIRS}

    async def kept() -> bool:
        stored = await shared.asterisk.cli("database show ps_aors")
        return {line.split()[0].rpartition("/")[2] for line in stored.splitlines() if "/aor/" in line} == reserve

    await until(kept, within=10, what="all of the range but these being kept in reserve")

    async def told() -> bool:
        return await shared.db.fetchval("SELECT taken FROM agentbridge.nodes") == [*THEIRS]

    await until(told, within=10, what="the directory knowing which numbers are taken")
    # and who is created without a number gets none of them
    assert [await shared.agent(name, "sales") for name in ("ana", "ben", "eve")] == ["1001", "1003", "1004"]
    await shared.settled()
    for user in THEIRS:
        phone = await shared.farm.phone(user, f"secret-{user}")
        await phone.register()


async def test_an_agent_on_such_a_number_is_told_of_and_leaves_nothing_behind(shared: Centre) -> None:
    await shared.agent("ana", "sales", internal="1000")
    await shared.login("ana")
    await shared.settled()
    status = await shared.status("ana")
    assert "1000" in status["error"]
    assert "pjsip.conf" in status["error"]
    assert "agent/1000/" not in await shared.asterisk.cli("database show agentbridge")
    phone = await shared.farm.phone("1000", "secret-1000")
    await phone.register()
    await shared.db.execute("DELETE FROM agentbridge.agents")

    async def clean() -> bool:
        return "1000" not in await shared.asterisk.cli("database show agentbridge")

    await until(clean, within=10, what="nothing of the agent being left")
    assert await phone_is_theirs(shared, "1000")


async def phone_is_theirs(centre: Centre, user: str) -> bool:
    phone = await centre.farm.phone(user, f"secret-{user}")
    try:
        await phone.register()
    except RegistrationRefusedError:
        return False
    return True


async def test_a_phone_that_is_added_later_gets_its_own_aor(shared: Centre) -> None:
    config = shared.asterisk.etc / "pjsip.conf"
    before = config.read_text()
    since = len(shared.bridge.lines())
    try:
        config.write_text(before + pjsip.phone("1007"))
        await shared.asterisk.cli("module reload res_pjsip.so")
        await shared.bridge.logged("numbers.taken", since=since, numbers="1007", within=15)

        async def ours_is_gone() -> bool:
            return "/ps_aors/aor/1007 " not in await shared.asterisk.cli("database show ps_aors")

        await until(ours_is_gone, within=15, what="our reserve being out of its way")
        assert await phone_is_theirs(shared, "1007")

        async def in_the_directory() -> bool:
            return "1007" in await shared.db.fetchval("SELECT taken FROM agentbridge.nodes")

        await until(in_the_directory, within=10, what="the directory knowing of it")
    finally:
        config.write_text(before)
        await shared.asterisk.cli("module reload res_pjsip.so")


async def test_a_default_of_other_digests_keeps_nobody_out(shared: Centre) -> None:
    """An MD5 digest can't serve SHA-256: an auth says what it asks for, where this Asterisk lets it."""
    config = shared.asterisk.etc / "pjsip.conf"
    before = config.read_text()
    await shared.agent("ana", "sales")
    await shared.settled()
    try:
        config.write_text(before + SHA)
        await shared.asterisk.cli("module reload res_pjsip.so")
        await shared.agent("ben", "sales")
        await shared.db.execute("UPDATE agentbridge.agents SET sip_secret = 'Another-secret-1' WHERE username = 'ana'")
        await shared.settled()
        for name in ("ana", "ben"):
            assert (await shared.status(name))["error"] is None
        await shared.phones(["ana", "ben"])
    finally:
        config.write_text(before)
        await shared.asterisk.cli("module reload res_pjsip.so")


async def test_two_devices_with_one_secret_are_told_of_once(shared: Centre) -> None:
    number = await shared.agent("ana", "sales")
    await shared.settled()
    first, second = await shared.phone("ana"), await shared.phone("ana")
    for _ in range(4):
        await first.register()
        await second.register()

    async def told() -> bool:
        return "two devices" in ((await shared.status("ana"))["error"] or "")

    await until(told, within=10, what="the agent's error naming the two devices")
    assert len(shared.bridge.events("contact.displaced", agent=number)) == 1
    for phone in (first, second):
        assert f"{phone.address[1]}" in (await shared.status("ana"))["error"]
