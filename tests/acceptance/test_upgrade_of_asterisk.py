"""Asterisk is replaced by another version, its AstDB carried over, while phones are registered and agents at work."""

import pytest

from lab import versions
from lab.asterisk import Asterisk, installed_root, roots, version_of
from lab.phones import Phone, RegistrationRefusedError
from lab.postgres import Postgres
from lab.processes import LabError, until
from tests.acceptance.centre import Centre
from tests.acceptance.odd_phone import both_ways

AGENTS = ("ana", "ben", "eve")


def other_version(than: Asterisk) -> list[str]:
    """Two versions to go through and come back from, the one that the centre runs first."""
    there = {version_of(root) for root in roots()}
    for major in (22, 16):
        try:
            there.add(version_of(installed_root(major)))
        except LabError:
            continue
    first = version_of(than.root)
    return [first, *sorted(there - {first})]


async def replaced(centre: Centre, major: str) -> None:
    """As a package's upgrade does it: stopped, the program exchanged, started with the same etc and AstDB."""
    await centre.asterisk.stop()
    centre.asterisk.root = installed_root(int(major))
    await centre.asterisk.start()
    assert version_of(centre.asterisk.root).startswith(f"{major}.")


async def at_work(centre: Centre, numbers: list[str]) -> None:
    """All is in Asterisk as it was: nobody logged out, the pause and its reason kept."""
    ana, ben, eve = numbers
    await centre.until_member("sales", ana, paused=False, penalty=3)
    await centre.until_member("sales", ben, paused=True, reason="lunch")
    await centre.until_member("support", eve, paused=False)
    assert await centre.db.fetchval("SELECT count(*) FROM agentbridge.sessions") == 3


async def registers(phone: Phone) -> None:
    """With the secret that it always had."""

    async def let_in() -> bool:
        try:
            await phone.register()
        except (RegistrationRefusedError, TimeoutError):  # Asterisk is up and its agents' digests on the way
            return False
        return True

    await until(let_in, within=15, what=f"{phone.user} registering with its old secret")


async def status_names_what_is_lacking(centre: Centre) -> None:
    """By `agentbridge status`, with what it means for the user; of an Asterisk that can do all: nothing."""
    lacks = {"password_digest of an auth": versions.DIGEST, "muting of one recording": versions.MUTES_ONE}
    wanted = {what: not centre.has(feature) for what, feature in lacks.items()}

    async def told() -> bool:
        try:
            shown = await centre.bridge.cli("status")
        except LabError:
            return False  # not converged yet
        return {what: f"this Asterisk lacks {what}: a" in shown for what in lacks} == wanted

    await until(told, within=15, what=f"`status` saying what {centre.version} lacks")


async def nothing_left_to_do(centre: Centre) -> None:
    async def so() -> bool:
        try:
            await centre.bridge.cli("plan")
        except LabError:
            return False
        return True

    await until(so, within=60, what="no difference being left")


async def test_an_upgrade_and_the_way_back_change_nothing_for_agents_and_phones(postgres: Postgres) -> None:
    async with Centre(postgres) as centre:
        here, *others = other_version(centre.asterisk)
        if not others:
            pytest.skip("one version of Asterisk is installed: lab/setup --asterisk-16 makes the other")
        numbers = [
            await centre.agent("ana", "sales", penalty=3),
            await centre.agent("ben", "sales"),
            await centre.agent("eve", "support"),
        ]
        await centre.login(*AGENTS)
        await centre.pause("ben", "lunch")
        await centre.settled()
        phones = await centre.phones(AGENTS)
        for version in (others[0], here):
            since = len(centre.bridge.lines())
            await replaced(centre, version.partition(".")[0])
            for phone in phones:
                await registers(phone)
            await at_work(centre, numbers)
            await nothing_left_to_do(centre)
            await status_names_what_is_lacking(centre)
            assert centre.bridge.events("member.removed", since=since) == []
            assert centre.bridge.events("key.failed", since=since) == []
            await both_ways(await centre.caller(), phones[0], "sales")
            lines = len(centre.bridge.lines())
            # a look at everything finds nothing that drifted
            await centre.bridge.stop()
            await centre.bridge.start()
            written = [event["event"] for event in centre.bridge.events(since=lines)]
            assert [name for name in written if name.endswith((".pushed", ".added", ".removed", ".repaired"))] == []
