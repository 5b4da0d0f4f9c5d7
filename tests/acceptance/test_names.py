"""Names of every kind are refused or carried unharmed, through AMI and through a restart of Asterisk."""

import asyncpg
import pytest

from lab.postgres import Postgres
from tests.acceptance.centre import Centre

CARRIED = {
    "semicolon": "Ana; Maria",
    "comma": "Ana, Maria",
    "pipe": "Ana | Maria",
    "quotes": 'Ana "the 1st" O\'Hara',
    "brackets": "Ana <1001> [x] {y} (z)",
    "arabic": "آنا ماريا العربية",
    "emoji": "Ana 👩‍💼",
    "dialplan": "${SHELL(id)} $[1+1] %s \\n",
    "header": "Ana Action: Command",
}
REFUSED = {
    "line feed": "Ana\nAction: Command",
    "carriage return": "Ana\r\nAction: Command\r\nCommand: core stop now",
    "nul-like": "Ana\x01",
    "line separator": "Ana\u2028Maria",
    "300 characters": "A" * 300,
}

HEADERS = {"ActionID", "Queue", "Interface", "MemberName", "Penalty", "StateInterface", "Paused", "Reason"}


def as_carried(name: str) -> str:
    """Asterisk's own member store is split at three characters: they become spaces."""
    return " ".join(name.translate(str.maketrans(";,|", "   ")).split())


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
async def test_a_name_that_no_line_can_carry_is_refused(database: str, name: str) -> None:
    db = await asyncpg.connect(database)
    try:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await db.execute("INSERT INTO agentbridge.agents (username, full_name) VALUES ('ana', $1)", name)
        assert (refused.value.sqlstate or "")[:2] == "AB"
        assert "full_name" in str(refused.value)
    finally:
        await db.close()


async def test_every_other_name_arrives_unharmed_and_survives_a_restart_of_asterisk(postgres: Postgres) -> None:
    async with Centre(postgres, wired=True) as centre:
        internals = {}
        for number, (what, name) in enumerate(CARRIED.items()):
            internals[what] = await centre.agent(f"agent{number}", "sales", full_name=name)
            await centre.login(f"agent{number}")
            await centre.pause(f"agent{number}", 'back "office"')
        await centre.settled()
        wanted = {f"PJSIP/{internals[what]}": as_carried(name) for what, name in CARRIED.items()}
        assert await names(centre) == wanted
        added = [sent for sent in centre.wire.writes() if sent.name == "QueueAdd"]
        assert len(added) == len(CARRIED)
        headers = {line.partition(":")[0] for sent in added for line in sent.detail.split("\r\n") if line}
        assert headers <= HEADERS
        assert not [sent for sent in centre.wire.sent if sent.name == "Command" and "core stop" in sent.detail]
        await centre.bridge.stop()
        await centre.asterisk.restart()
        # by itself, from its own member store
        assert await names(centre) == wanted
        seen = await centre.members("sales")
        assert {(member.paused, member.reason) for member in seen.values()} == {(True, 'back "office"')}


async def names(centre: Centre) -> dict[str, str]:
    return {interface: seen.name for (_, interface), seen in (await centre.members("sales")).items()}


async def test_an_agent_with_a_name_full_of_quotes_calls_and_shows_it(centre: Centre) -> None:
    await centre.agent("ana", full_name=CARRIED["quotes"])
    number = await centre.agent("ben")
    await centre.login("ana", "ben")
    await centre.settled()
    ana, ben = await centre.phone("ana"), await centre.phone("ben")
    call = await ana.call(number, timeout=5)
    assert call.status == 200
    shown = ben.invites[-1].caller
    # as SIP writes it, with its quotes escaped
    assert (shown.display, shown.user) == (CARRIED["quotes"].replace('"', '\\"'), ana.user)
    await call.hangup()
