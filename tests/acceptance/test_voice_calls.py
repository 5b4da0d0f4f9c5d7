"""Who may call whom, by which codecs, under which name, and who may pick up for whom."""

import asyncio

import pytest

from lab import versions
from lab.phones import Phone, RegistrationRefusedError, Ring, State
from lab.processes import until
from tests.acceptance.centre import Centre
from tests.acceptance.odd_phone import OddPhone, both_ways, offered_codecs, refused_call

ALAW, ULAW, GSM, G722 = "8", "0", "3", "9"


async def ready(shared: Centre, username: str, *queues: str, **columns: object) -> OddPhone:
    """An agent that is logged in, and its phone, registered."""
    phone = await unregistered(shared, username, *queues, **columns)
    await phone.register()
    return phone


async def unregistered(shared: Centre, username: str, *queues: str, **columns: object) -> OddPhone:
    internal = await shared.agent(username, *queues, **columns)
    await shared.login(username)
    await shared.settled()
    found = await shared.db.fetchval("SELECT sip_secret FROM agentbridge.agents WHERE username = $1", username)
    return await OddPhone.of(shared.farm, internal, found)


async def test_a_friend_calls_and_is_called(shared: Centre) -> None:
    phone = await ready(shared, "ana", sip_type="friend")
    await both_ways(await shared.caller(), phone, phone.user)
    await both_ways(phone, await ready(shared, "ben"), "1001")


async def test_a_user_calls_and_is_never_called(shared: Centre) -> None:
    phone = await unregistered(shared, "ana", "sales", sip_type="user")
    with pytest.raises(RegistrationRefusedError):
        await phone.register()
    call = await phone.call("echo", 5.0)
    assert phone.tone
    await call.hears(phone.tone, 5.0)
    await call.hangup()
    assert await refused_call(await shared.caller(), phone.user) in {480, 503}
    assert await shared.members("sales") == {}
    assert phone.invites == []


async def test_a_peer_is_called_and_never_calls(shared: Centre) -> None:
    phone = await ready(shared, "ana", sip_type="peer", pickup_group="1")
    await both_ways(await shared.caller(), phone, phone.user)
    for number in ("echo", "800", phone.user, "s", "0123"):
        assert await refused_call(phone, number) == 404, number
    ringing = await ready(shared, "ben", call_group="1")
    ringing.behaviour = Ring()
    call = (await shared.caller()).dial(ringing.user)
    await ringing.rings(5.0)
    assert await refused_call(phone, "*8") == 403
    await call.hangup()


def offered_as_wanted(centre: Centre, phone: Phone, wanted: list[str]) -> bool:
    """16 has no outgoing_call_offer_pref: it offers the caller's codec first, and of the agent's no others."""
    offered = offered_codecs(phone.invites[-1].request)
    if centre.has(versions.CODEC_ORDER):
        return offered == wanted
    return offered[0] == ULAW and sorted(offered) == sorted(wanted)


async def test_a_phone_is_offered_the_agent_s_codecs_in_their_order(shared: Centre) -> None:
    phone = await ready(shared, "ana", "sales", codecs=["g722", "gsm", "ulaw", "alaw"])
    await both_ways(await shared.caller(), phone, phone.user)
    assert offered_as_wanted(shared, phone, [G722, GSM, ULAW, ALAW])
    await shared.db.execute("UPDATE agentbridge.agents SET codecs = '{alaw,ulaw}'")
    await shared.settled()
    await both_ways(await shared.caller(), phone, phone.user)
    assert offered_as_wanted(shared, phone, [ALAW, ULAW])


async def test_a_phone_without_a_codec_of_the_agent_s_can_t_call(shared: Centre) -> None:
    phone = await ready(shared, "ana", codecs=["alaw", "gsm"])  # the lab's phones speak ulaw
    assert await refused_call(phone, "echo") == 488


@pytest.mark.parametrize(
    ("caller_id", "display", "number"),
    [
        ("", "Ana", "1000"),
        ("Front desk <08001234>", "Front desk", "08001234"),
        ("0800555", "", "0800555"),
        ("Müller & Söhne <77>", "Müller & Söhne", "77"),
    ],
)
async def test_whom_an_agent_calls_sees_its_caller_id(
    shared: Centre, caller_id: str, display: str, number: str
) -> None:
    phone = await ready(shared, "ana", caller_id=caller_id)
    callee = await ready(shared, "ben")
    await both_ways(phone, callee, callee.user)
    shown = callee.invites[-1].caller
    assert shown.user == number
    assert shown.display == display


async def test_an_agent_s_calls_start_in_its_context(shared: Centre) -> None:
    phone = await ready(shared, "ana", context="callers")
    assert await refused_call(phone, "*51" + phone.user) == 404  # feature codes are in from-sip alone
    await shared.db.execute("UPDATE agentbridge.agents SET context = 'lab'")
    await shared.settled()
    assert await refused_call(phone, "sales") == 404
    assert (await phone.call("echo", 5.0)).status == 200


async def test_a_call_is_picked_up_within_the_group_and_not_from_outside(shared: Centre) -> None:
    ringing = await ready(shared, "ana", call_group="1,5-7")
    inside = await ready(shared, "ben", pickup_group="6")
    outside = await ready(shared, "eva", pickup_group="2-4,8")
    nowhere = await ready(shared, "joe")
    ringing.behaviour = Ring()
    caller = await shared.caller()
    call = caller.dial(ringing.user)
    ring = await ringing.rings(5.0)
    for other in (outside, nowhere):
        assert await refused_call(other, "*8") != 200
    assert call.state is not State.UP
    pickup = await inside.call("*8", 5.0)
    assert await call.answered(5.0) == 200
    assert caller.tone
    assert inside.tone
    await asyncio.gather(call.hears(inside.tone, 5.0), pickup.hears(caller.tone, 5.0), ring.ended(5.0))
    await call.hangup()


async def test_groups_change_while_phones_stay_registered(shared: Centre) -> None:
    ringing, other = await ready(shared, "ana", call_group="0-63"), await ready(shared, "ben")
    ringing.behaviour = Ring()
    call = (await shared.caller()).dial(ringing.user)
    await ringing.rings(5.0)
    assert await refused_call(other, "*8") != 200
    await shared.db.execute("UPDATE agentbridge.agents SET pickup_group = '63' WHERE username = 'ben'")
    await shared.settled()
    assert (await other.call("*8", 5.0)).status == 200
    assert await call.answered(5.0) == 200
    await call.hangup()


async def test_what_was_pushed_reads_back_so_that_a_second_start_writes_nothing(wired: Centre) -> None:
    odd: dict[str, object] = {
        "host": ["dynamic", "10.1.2.3", "2001:db8::77"],
        "nat": [["yes"], ["comedia"], ["route"]],
        "sip_type": ["friend", "user", "peer"],
        "codecs": [["g722", "opus", "g729"], ["gsm"], ["alaw", "ulaw"]],
        "caller_id": ["A B. (C/D) <1>", "Ünï & Co. لمى <55>", "0800555"],
        "context": ["yes", "from-sip", "true"],
        "call_group": ["0-63", "1,3,5-7", ""],
        "pickup_group": ["", "63", "0"],
        "sip_expires": [60, 86400, 3600],
        "voicemail": [True, False, True],
        "voicemail_pin": ["0000", None, None],
        "transport": [["ws", "wss"], ["tcp", "udp"], ["wss"]],
    }
    for number in range(3):
        columns = {name: values[number] for name, values in odd.items() if isinstance(values, list)}
        await wired.agent(f"agent{number}", "sales", typology="external", full_name='N"\\;,|<>é لمى', **columns)
    await wired.bridge.start()
    await wired.settled()
    assert await wired.db.fetchval("SELECT count(*) FROM agentbridge.agent_status WHERE error IS NOT NULL") == 0
    assert wired.wire.writes()
    assert await wired.bridge.stop()
    wired.wire.forget()
    await wired.bridge.start()

    async def looked() -> bool:
        return await wired.db.fetchval("SELECT asterisk_up AND pending = 0 FROM agentbridge.nodes") is True

    await until(looked, within=10, what="the second look at everything")
    assert wired.wire.writes() == [], wired.bridge.events("endpoint.pushed") + wired.bridge.events("drift.repaired")
    assert not [sent for sent in wired.wire.sent if "realtime" in sent.detail and "load" not in sent.detail]
