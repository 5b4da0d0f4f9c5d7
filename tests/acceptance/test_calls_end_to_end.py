"""From the row to the call: what the directory says of an agent holds for its next call, the daemon alive or dead."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.manager import Manager, Message
from lab.phones import Call, Phone
from lab.phones.sip_message import Headers
from lab.postgres import Postgres
from lab.processes import until
from lab.recordings import heard_at, samples_of
from tests.acceptance.calls import hear_each_other
from tests.acceptance.centre import Centre
from tests.acceptance.desk import switched_on, telephones

NUMBER = "0551234567"
CALLER: Headers = (("P-Asserted-Identity", f'"Erika Mustermann" <sip:{NUMBER}@127.0.0.1>'),)
# `0100` is a customer: what it is shown is what the world outside is shown
EXTRA = {
    "pjsip.conf": "[caller](+)\ntrust_id_inbound = yes\n",
    "extensions.conf": "[lab-outside](+)\nexten => 0100,1,Dial(PJSIP/outside,10)\n",
}
# what Asterisk adds to every event of a channel, for whoever may read its AMI
ASTERISKS_OWN = {"CallerIDNum", "CallerIDName", "ConnectedLineNum", "ConnectedLineName"}
OUTSIDE = """
[outside]
type = aor
max_contacts = 1
[outside]
type = auth
username = outside
password = outside
[outside]
type = endpoint
context = lab-outside
allow = !all,ulaw
auth = outside
aors = outside
direct_media = no
"""


@pytest_asyncio.fixture
async def centre(fresh_postgres: Postgres) -> AsyncIterator[Centre]:
    """With a PostgreSQL of its own, since it dies here."""
    extra = {**EXTRA, "pjsip.conf": EXTRA["pjsip.conf"] + OUTSIDE}
    async with Centre(fresh_postgres, extra=extra) as centre:
        yield centre


@pytest_asyncio.fixture
async def living(postgres: Postgres) -> AsyncIterator[Centre]:
    extra = {"pjsip.conf": EXTRA["pjsip.conf"]}
    async with Centre(postgres, extra=extra, sections={"log": {"level": "debug"}}) as centre:
        yield centre


async def everything_else_dies(centre: Centre) -> None:
    await centre.bridge.kill()
    await centre.postgres.kill()


async def in_a_call(centre: Centre, agent: Phone, dialled: str) -> tuple[Phone, Call, Call]:
    customer = await centre.caller()
    outgoing = await customer.call(dialled, timeout=20, headers=CALLER)
    incoming = await agent.rings(timeout=20)
    await hear_each_other(outgoing, incoming, (customer, agent))
    return customer, outgoing, incoming


async def no_channels(centre: Centre) -> bool:
    return "0 active channels" in await centre.asterisk.cli("core show channels count")


async def test_a_call_obeys_the_agents_row_when_daemon_and_database_are_dead(centre: Centre) -> None:
    ana = await centre.agent(
        "ana", "sales", record_calls="wav", mask_sensitive=True, chanspy=True, auto_answer=True, auto_answer_delay=2
    )
    boss = await centre.agent("boss", may_spy=True, hot_desk=False)
    await centre.login("ana", "boss")
    await centre.settled()
    agent, supervisor = await centre.phone("ana"), await centre.phone("boss")
    await everything_else_dies(centre)

    customer, outgoing, _ = await in_a_call(centre, agent, "sales")
    assert agent.invites[0].caller.user == "055123****"
    assert agent.invites[0].call_info[0].endswith("answer-after=2")
    spy = await supervisor.call(f"*51{ana}", timeout=5)
    assert agent.tone
    assert customer.tone
    await spy.hears(agent.tone, timeout=3)
    await spy.hears(customer.tone, timeout=3)
    assert (await agent.call(f"*51{boss}", timeout=5)).status == 403
    await outgoing.hangup()
    await until(lambda: no_channels(centre), within=5, what="the end of the calls")

    (file,) = (path for path in (centre.asterisk.spool / "monitor/agentbridge").rglob("*") if path.is_file())
    samples = samples_of(file)
    assert file.name.endswith(f"-{ana}-1.wav")
    assert len(heard_at(samples, agent.tone)) >= 5
    assert len(heard_at(samples, customer.tone)) >= 5


async def status_of(phone: Phone, dialled: str) -> int | None:
    call = await phone.call(dialled, timeout=8)
    if call.status == 200:
        await call.hangup()
    return call.status


async def test_each_option_of_a_row_holds_for_real_calls_when_daemon_and_database_are_dead(centre: Centre) -> None:
    eager = await centre.agent("eager", dnd_in_pause=False)
    busy = await centre.agent("busy", ring_in_use=True)
    away = await centre.agent("away", forward_allowed=True, forward_to=eager)
    kept = await centre.agent("kept", forward_allowed=False, forward_to=eager)
    gone = await centre.agent("gone", voicemail=True)
    taped = await centre.agent("taped", record_calls="gsm")
    await centre.agent("asked", prefix_required=True)
    await centre.db.execute("INSERT INTO agentbridge.prefixes (prefix, label) VALUES ('9', 'Head office')")
    await centre.agent("mute", may_call=False)
    await centre.login("eager", "busy", "taped")
    await centre.pause("eager")
    await centre.settled()
    # in the order of their rows
    eagers, busys, tapeds, askeds, mutes = await centre.phones(["eager", "busy", "taped", "asked", "mute"])
    await everything_else_dies(centre)

    customer = await centre.caller()
    assert await status_of(customer, eager) == 200  # on pause

    async def eager_is_free() -> bool:
        return "Not in use" in await centre.asterisk.cli(f"pjsip show endpoint {eager}")

    await until(eager_is_free, within=5, what="eager's telephone being free again")
    assert await status_of(customer, away) == 200
    assert len(eagers.invites) == 2
    assert await status_of(customer, kept) == 480
    assert await status_of(customer, gone) == 200  # its voicemail
    assert [await status_of(askeds, number) for number in ("0551234", "90551234")] == [403, 200]
    assert [await status_of(mutes, number) for number in ("0551234", busy)] == [403, 403]
    (await customer.call(busy, timeout=5)).drop()
    assert await status_of(await centre.caller(), busy) == 200  # a second one
    assert len(busys.invites) == 2
    await in_a_call(centre, tapeds, taped)
    (file,) = (path for path in (centre.asterisk.spool / "monitor/agentbridge").rglob("*") if path.is_file())
    assert file.name.endswith(f"-{taped}-1.gsm")


@pytest.mark.parametrize("dialled", ["sales", "directly"])
async def test_a_masked_number_is_in_no_log_and_in_no_event_of_ours(living: Centre, dialled: str) -> None:
    """The log says everything that it can say; the call is recorded, listened to, and its lamp follows it."""
    ana = await living.agent("ana", "sales", record_calls="wav", mask_sensitive=True, chanspy=True)
    boss = await living.agent("boss", may_spy=True)
    await living.login("ana")
    await living.settled()
    agent, supervisor = await living.phone("ana"), await living.phone("boss")
    told: list[Message] = []
    async with Manager(living.asterisk, events="user", on_event=told.append) as manager:
        _, outgoing, _ = await in_a_call(living, agent, ana if dialled == "directly" else dialled)
        spy = await supervisor.call(f"*51{ana}", timeout=5)
        await living.bridge.logged("spy.started", agent=ana, spyer=boss)
        await outgoing.hangup()
        await spy.ended(timeout=5)
        await living.bridge.logged("recording.finished", agent=ana, within=8)
        await manager.ask("Ping")  # the events before it have come
    ours = [event for event in told if event.get("UserEvent", "").startswith("Agentbridge")]
    assert {event["UserEvent"] for event in ours} == {"AgentbridgeRecordingStarted", "AgentbridgeSpy"}
    said = "\n".join(living.bridge.lines()) + "\n".join(
        value for event in ours for name, value in event.items() if name not in ASTERISKS_OWN
    )
    assert agent.invites[0].caller.user == "055123****"
    assert NUMBER not in said
    assert "Mustermann" not in said


async def test_a_pause_in_the_directory_keeps_direct_calls_away(centre: Centre) -> None:
    ana = await centre.agent("ana", "sales", "support")
    await centre.login("ana")
    await centre.settled()
    agent, customer = await centre.phone("ana"), await centre.caller()
    await centre.pause("ana", queue="sales")
    await centre.settled()
    call = await customer.call(ana, timeout=5)
    assert call.status == 200  # a pause of one queue is not the agent's
    await call.hangup()
    await centre.pause("ana")
    await centre.settled()
    assert (await customer.call(ana, timeout=5)).status == 480
    assert len(agent.invites) == 1
    await centre.unpause("ana")
    await centre.settled()
    assert (await customer.call(ana, timeout=5)).status == 200


async def test_a_pause_keeps_direct_calls_away_from_an_agent_in_no_queue(centre: Centre) -> None:
    ana = await centre.agent("ana")
    await centre.login("ana")
    await centre.pause("ana")
    await centre.settled()
    agent, customer = await centre.phone("ana"), await centre.caller()
    assert (await customer.call(ana, timeout=5)).status == 480
    await centre.unpause("ana")
    await centre.settled()
    assert (await customer.call(ana, timeout=5)).status == 200
    assert len(agent.invites) == 1


async def test_a_hot_desk_agent_calls_under_its_own_name(centre: Centre) -> None:
    ana = await centre.agent("ana", typology="external", hot_desk=True, full_name='Ana "A" (b,c):d')
    await telephones(centre, "desk-7")
    (telephone,) = await switched_on(centre, "desk-7")
    outside = await centre.farm.phone("outside", "outside")
    await outside.register()
    assert (await telephone.call("0100", timeout=5)).status == 200
    assert outside.invites[-1].caller.user == "desk-7"  # nobody sits there: its own caller id
    await centre.db.fetchval("SELECT agentbridge.login('ana', 'desk-7', 'admin')")
    await centre.settled()
    await everything_else_dies(centre)
    assert (await telephone.call("0100", timeout=5)).status == 200
    assert outside.invites[-1].caller.user == ana
    assert outside.invites[-1].caller.display == r"Ana \"A\" (b c):d"  # escaped, as SIP wants it
