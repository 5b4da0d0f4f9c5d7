"""An agent's voicemail box is made, changed and removed while Asterisk runs, and takes messages."""

import re
import struct
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lab.manager import Manager
from lab.phones import Phone, Ring
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre
from tests.acceptance.odd_phone import OddPhone

SPEAKS_MS = 1200
BYTES_PER_MS = 16  # 8 kHz, 16 bits
DIALPLAN = """
[globals](+)
AGENTBRIDGE_RING_SECONDS = 1
"""
PAGE = Path(__file__).parents[2] / "docs/voice.md"
[OWN_BOX] = re.findall(r"```\n(exten => \*97.*?)```", PAGE.read_text(), re.DOTALL)


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres, extra={"extensions.conf": f"{DIALPLAN}[from-sip](+)\n{OWN_BOX}"}) as centre:
        yield centre


async def box(centre: Centre, number: str) -> dict[str, str]:
    """The box as Asterisk shows it; empty when there is none."""
    lines = (await centre.asterisk.cli(f"realtime load voicemail internal {number}")).splitlines()
    pairs = (line.split(None, 1) for line in lines[2:])
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


async def folder(centre: Centre, number: str) -> Path:
    """Where the messages for the number go."""
    return centre.asterisk.spool / "voicemail/agentbridge" / (await box(centre, number))["mailbox"]


async def messages(centre: Centre, number: str) -> list[Path]:
    return sorted((await folder(centre, number) / "INBOX").glob("*.wav"))


async def recorded_bytes(centre: Centre, number: str) -> int:
    """Of all messages, also of one that is still being spoken."""
    return sum(file.stat().st_size for file in (await folder(centre, number)).rglob("*.wav"))


async def waiting(centre: Centre, number: str) -> int:
    """How many new messages app_voicemail has in the box that the number's lamp shows."""
    shown = await centre.asterisk.cli(f"pjsip show endpoint {number}")
    [box] = re.findall(r"^ mailboxes +: (\S+)$", shown, re.MULTILINE)
    async with Manager(centre.asterisk) as manager:
        [count] = await manager.ask("MailboxCount", {"Mailbox": box})
    return int(count["NewMessages"])


async def change(centre: Centre, **columns: object) -> None:
    places = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 1))
    await centre.db.execute(f"UPDATE agentbridge.agents SET {places}", *columns.values())
    await centre.settled()


async def leave_message(centre: Centre, number: str) -> Phone:
    """A customer calls, nobody answers, and the customer speaks after the beep."""
    before, bytes_before = len(await messages(centre, number)), await recorded_bytes(centre, number)
    caller = await centre.caller()
    call = await caller.call(number, 10.0)
    assert call.status == 200
    await call.send_digits("#", 5.0)  # enough of the greeting

    async def recorded() -> bool:
        return await recorded_bytes(centre, number) - bytes_before > BYTES_PER_MS * SPEAKS_MS

    await until(recorded, within=10, what="the recording of a message")
    await call.hangup()

    async def kept() -> bool:
        return len(await messages(centre, number)) == before + 1

    await until(kept, within=10, what="the message in the box")
    return caller


def loudness(file: Path) -> float:
    with wave.open(str(file)) as heard:
        samples = heard.readframes(heard.getnframes())
    values = struct.unpack(f"<{len(samples) // 2}h", samples)
    return (sum(value * value for value in values) / max(1, len(values))) ** 0.5


async def test_a_box_is_made_changed_and_removed_without_a_reload(shared: Centre) -> None:
    number = await shared.agent("ana", voicemail=True, voicemail_pin="4711")
    await shared.settled()
    made = await box(shared, number)
    assert (made["context"], made["password"], made["fullname"]) == ("agentbridge", "4711", "Ana")
    assert number in await shared.asterisk.cli("voicemail show users for agentbridge")
    await change(shared, voicemail_pin="08154711", alias="Ana of Sales")
    changed = await box(shared, number)
    assert (changed["password"], changed["fullname"]) == ("08154711", "Ana of Sales")
    assert changed["uniqueid"] == made["uniqueid"]
    await change(shared, voicemail=False)
    assert await box(shared, number) == {}
    log = shared.asterisk.log_path.read_text()
    assert "Reloading module" not in log


async def test_a_box_without_a_pin_lets_nobody_in(shared: Centre) -> None:
    number = await shared.agent("ana", voicemail=True)
    await shared.settled()
    assert not (await box(shared, number))["password"].isdigit()


@pytest.mark.parametrize(
    "name",
    ['Ana "the boss" O\'Neill; drop table voicemail;--', '$(id) `id` \\" %s | <x>', "Ünï لمى 山田", "n" * 79],
)
async def test_a_name_can_t_break_out_of_the_command(shared: Centre, name: str) -> None:
    number, other = await shared.agent("ana", voicemail=True, full_name=name), await shared.agent("ben", voicemail=True)
    await shared.settled()
    assert (await shared.status("ana"))["error"] is None
    stored = (await box(shared, number))["fullname"]
    assert not set(stored) & set("\"'`;$\\|<>%()")
    assert (await box(shared, other))["fullname"] == "Ben"


async def test_removing_one_box_leaves_the_others(shared: Centre) -> None:
    gone, kept = await shared.agent("ana", voicemail=True), await shared.agent("ben", voicemail=True)
    await shared.settled()
    await shared.db.execute("DELETE FROM agentbridge.agents WHERE username = 'ana'")

    async def removed() -> bool:
        return await box(shared, gone) == {}

    await until(removed, within=5, what="the box being gone")
    assert await box(shared, kept)


async def test_a_call_that_nobody_answers_leaves_a_message_and_the_phone_is_told(shared: Centre) -> None:
    number = await shared.agent("ana", voicemail=True)
    await shared.login("ana")
    await shared.settled()
    secret = await shared.db.fetchval("SELECT sip_secret FROM agentbridge.agents")
    phone = await OddPhone.of(shared.farm, number, secret)
    await phone.register()
    phone.behaviour = Ring()
    await leave_message(shared, number)
    assert len(phone.invites) == 1
    (message,) = await messages(shared, number)
    assert loudness(message) > 500

    async def lamp() -> bool:
        return any(b"Messages-Waiting: yes" in notice.body for notice in phone.notices)

    await until(lamp, within=5, what="the lamp of a waiting message")


async def test_who_gets_the_number_next_does_not_get_the_messages_of_the_last(shared: Centre) -> None:
    number = await shared.agent("ana", voicemail=True)
    await shared.settled()
    await leave_message(shared, number)
    assert await waiting(shared, number) == 1
    await shared.db.execute("DELETE FROM agentbridge.agents WHERE username = 'ana'")
    assert await shared.agent("ben", internal=number, voicemail=True) == number
    await shared.settled()
    assert (await box(shared, number))["fullname"] == "Ben"
    assert await waiting(shared, number) == 0
    assert await messages(shared, number) == []
    await leave_message(shared, number)
    assert await waiting(shared, number) == 1


async def test_an_agent_hears_its_messages_from_its_own_phone_without_a_pin(shared: Centre) -> None:
    number = await shared.agent("ana", voicemail=True)
    await shared.settled()
    await leave_message(shared, number)
    before = len(shared.asterisk.log_path.read_text())
    call = await (await shared.phone("ana")).call("*97", timeout=5)

    async def told() -> bool:
        return "vm-youhave" in shared.asterisk.log_path.read_text()[before:]

    await until(told, within=5, what="the telling of how many messages there are")
    await call.hangup()
    assert "vm-password" not in shared.asterisk.log_path.read_text()[before:]


async def test_messages_follow_their_agent_to_a_new_number(shared: Centre) -> None:
    number = await shared.agent("ana", voicemail=True)
    await shared.settled()
    await leave_message(shared, number)
    await change(shared, internal="1041")
    assert await waiting(shared, "1041") == 1
    assert await box(shared, number) == {}
    await leave_message(shared, "1041")
    assert await waiting(shared, "1041") == 2


async def test_a_box_works_with_the_daemon_and_the_database_away(shared: Centre) -> None:
    number = await shared.agent("ana", voicemail=True)
    await shared.login("ana")
    await shared.settled()
    before = len(await messages(shared, number))
    await shared.bridge.kill()
    try:
        await leave_message(shared, number)
    finally:
        await shared.bridge.start()
    assert len(await messages(shared, number)) == before + 1


async def test_without_voicemail_a_call_that_nobody_answers_is_refused(shared: Centre) -> None:
    number = await shared.agent("ana", voicemail=True)
    await shared.login("ana")
    await shared.settled()
    await change(shared, voicemail=False)
    call = await (await shared.caller()).call(number, 10.0)
    assert call.status == 480


async def test_boxes_outlive_a_restart_of_asterisk_and_drift_is_repaired(shared: Centre) -> None:
    number = await shared.agent("ana", voicemail=True, voicemail_pin="1234")
    await shared.settled()
    await shared.bridge.kill()
    await shared.asterisk.restart()
    assert (await box(shared, number))["password"] == "1234"
    await shared.asterisk.cli(f"realtime update voicemail internal {number} password 9999")
    await shared.asterisk.cli(
        'realtime store voicemail internal 1777 mailbox 77 context agentbridge password 1 fullname "nobody"'
    )
    await shared.bridge.start()

    async def repaired() -> bool:
        return (await box(shared, number))["password"] == "1234" and await box(shared, "1777") == {}

    await until(repaired, within=10, what="the repair of the boxes")
    told = await shared.bridge.logged("drift.repaired", what="mailbox.pushed", agent=number)
    assert (told["was"], "PIN" in told["now"]) == ("another PIN", True)
    told = re.sub(r'"timestamp": "[^"]*"', "", "\n".join(shared.bridge.lines()))  # whose digits may be the PIN's
    assert "9999" not in told


async def test_an_asterisk_without_writable_boxes_is_reported_and_the_agent_works_all_the_same(
    postgres: Postgres,
) -> None:
    async with Centre(postgres, extra={"extconfig.conf": "\n[settings](+)\n;none\n"}, audio=False) as centre:
        (centre.asterisk.etc / "extconfig.conf").write_text("[settings]\n")
        await centre.asterisk.restart()
        number = await centre.agent("ana", "sales", voicemail=True)
        await centre.login("ana")
        await centre.until_member("sales", number, paused=False)

        async def reported() -> bool:
            return "voicemail" in ((await centre.status("ana"))["error"] or "")

        await until(reported, within=10, what="the report")
        await centre.phone("ana")
        await centre.db.execute("UPDATE agentbridge.agents SET voicemail = false")
        await centre.healed("ana")
