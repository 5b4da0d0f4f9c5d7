"""The lab's phones against a real Asterisk: what they claim to hear and to do must be true."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab import pjsip
from lab.asterisk import Asterisk
from lab.phones import Answer, Farm, Ignore, Phone, RegistrationRefusedError, Reject, Ring, State
from lab.processes import until

USERS = {str(number): f"secret-{number}" for number in range(2000, 2100)}
DIALPLAN = r"""
[from-sip]
exten => _2XXX,1,Dial(PJSIP/${EXTEN},20,b(announce^s^1))
exten => early,1,Progress()
 same => n,Playtones(1000)
 same => n,Wait(5)
exten => digits,1,Answer()
 same => n,Echo()

[announce]
exten => s,1,Set(PJSIP_HEADER(add,Call-Info)=<sip:lab>\;answer-after=0)
 same => n,Set(PJSIP_HEADER(add,Alert-Info)=<http://lab>\;info=alert-autoanswer)
 same => n,Return()

[callers]
exten => _2XXX,1,Goto(from-sip,${EXTEN},1)
"""


@pytest_asyncio.fixture(scope="module")
async def pbx() -> AsyncIterator[Asterisk]:
    endpoints = "".join(
        pjsip.phone(
            user, secret=secret, aor={"minimum_expiration": "1"}, callerid=f'"Agent {user}" <{user}>', **pjsip.SEEN
        )
        for user, secret in USERS.items()
    )
    async with Asterisk(extra={"pjsip.conf": endpoints, "extensions.conf": DIALPLAN}) as server:
        yield server


@pytest_asyncio.fixture
async def farm(pbx: Asterisk) -> AsyncIterator[Farm]:
    async with Farm((pbx.host, pbx.sip_port)) as farm:
        yield farm
    assert farm.unconfirmed == []
    await until(lambda: no_channels(pbx), within=5, what="the end of all channels")


async def no_channels(pbx: Asterisk) -> bool:
    return "0 active channels" in await pbx.cli("core show channels count")


async def contacts_of(pbx: Asterisk) -> str:
    return await pbx.cli("pjsip show contacts")


async def registered(farm: Farm, *users: str) -> list[Phone]:
    return await farm.register({user: USERS[user] for user in users})


async def hear_each_other(caller: Phone, called: Phone) -> None:
    """And nobody else: whoever else is heard is a fault of Asterisk's or the phones'."""
    outgoing, incoming = caller.calls[-1], await called.rings(timeout=10)
    assert caller.tone
    assert called.tone
    await outgoing.hears(called.tone, timeout=20)
    await incoming.hears(caller.tone, timeout=20)
    assert outgoing.heard() == {called.tone}
    assert incoming.heard() == {caller.tone}


async def test_a_phone_is_known_to_asterisk_while_it_is_registered(pbx: Asterisk, farm: Farm) -> None:
    (phone,) = await registered(farm, "2000")
    assert f"sip:2000@127.0.0.1:{phone.address[1]}" in await contacts_of(pbx)
    await phone.unregister()
    assert not phone.registered
    assert "sip:2000@" not in await contacts_of(pbx)


async def test_a_wrong_secret_is_refused(pbx: Asterisk, farm: Farm) -> None:
    phone = await farm.phone("2000", "wrong")
    with pytest.raises(RegistrationRefusedError) as refused:
        await phone.register()
    assert refused.value.status == 401
    assert "sip:2000@" not in await contacts_of(pbx)


async def test_a_registration_is_renewed_before_it_expires(farm: Farm) -> None:
    caller, phone = await registered(farm, "2000", "2001")
    await phone.register(expires=2)  # Asterisk counts in whole seconds

    async def renewed_for_longer_than_it_lasts() -> bool:
        return phone.registrations >= 4

    await until(renewed_for_longer_than_it_lasts, within=5, what="the second renewal")
    assert (await caller.call("2001", timeout=5)).status == 200


async def test_a_hundred_phones_register_at_once(pbx: Asterisk, farm: Farm) -> None:
    start = time.monotonic()
    phones = await farm.register(USERS)
    assert time.monotonic() - start < 5
    assert "Objects found: 100" in await contacts_of(pbx)
    assert all(phone.registered for phone in phones)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_phones_hear_each_other_and_nobody_else(farm: Farm, transport: str) -> None:
    (caller,) = await registered(farm, "2000")
    called = await farm.phone("2001", USERS["2001"], transport=transport)
    await called.register()
    outgoing = await caller.call("2001", timeout=5)
    assert outgoing.status == 200
    await hear_each_other(caller, called)
    await called.calls[0].hangup()
    await outgoing.ended(timeout=3)
    assert outgoing.heard() == frozenset()
    assert called.tone
    await outgoing.stops_hearing(called.tone, timeout=1)


async def test_a_tcp_phone_calls_too(farm: Farm) -> None:
    (called,) = await registered(farm, "2001")
    caller = await farm.phone("2000", USERS["2000"], transport="tcp")
    call = await caller.call("2001", timeout=5)
    assert called.tone
    await call.hears(called.tone, timeout=3)


async def test_the_caller_hears_nobody_who_is_not_there(farm: Farm) -> None:
    caller, called = await registered(farm, "2000", "2001")
    call = await caller.call("2001", timeout=5)
    with pytest.raises(TimeoutError, match=f"now \\[{called.tone}\\]"):
        await call.hears(1700, timeout=1)


async def test_what_asterisk_says_of_the_caller_is_recorded(farm: Farm) -> None:
    caller, called = await registered(farm, "2000", "2001")
    before = time.monotonic()
    await caller.call("2001", timeout=5)
    (invite,) = called.invites
    assert before < invite.at < time.monotonic()
    assert (invite.caller.user, invite.caller.display) == ("2000", "Agent 2000")
    assert invite.asserted is not None
    assert invite.asserted.user == "2000"
    assert invite.call_info == ["<sip:lab>;answer-after=0"]
    assert invite.alert_info == ["<http://lab>;info=alert-autoanswer"]


async def test_a_phone_answers_after_ringing(farm: Farm) -> None:
    caller, called = await registered(farm, "2000", "2001")
    called.behaviour = Answer(after=0.3)
    start = time.monotonic()
    call = caller.dial("2001")
    await call.ringing(timeout=3)
    assert call.status is None
    assert await call.answered(timeout=3) == 200
    assert time.monotonic() - start >= 0.3


async def test_a_caller_hears_what_is_said_before_the_answer(farm: Farm) -> None:
    (caller,) = await registered(farm, "2000")
    call = caller.dial("early")
    await call.hears(1000, timeout=3)
    assert (call.status, call.progress[-1]) == (None, 183)
    await call.hangup()
    assert call.status == 487


async def test_a_phone_rejects(farm: Farm) -> None:
    caller, called = await registered(farm, "2000", "2001")
    called.behaviour = Reject(486)
    call = await caller.call("2001", timeout=5)
    assert (call.status, call.state) == (486, State.ENDED)
    assert (await called.rings(timeout=1)).status == 486


async def test_a_ringing_phone_stops_when_the_caller_gives_up(farm: Farm) -> None:
    caller, called = await registered(farm, "2000", "2001")
    called.behaviour = Ring()
    outgoing = caller.dial("2001")
    incoming = await called.rings(timeout=3)
    await outgoing.ringing(timeout=3)
    await outgoing.hangup()
    await incoming.ended(timeout=3)
    assert (outgoing.status, incoming.status) == (487, 487)


async def test_a_dead_phone_counts_a_call_once_however_often_it_is_sent(farm: Farm) -> None:
    caller, called = await registered(farm, "2000", "2001")
    called.behaviour = Ignore()
    with pytest.raises(TimeoutError):
        await caller.call("2001", timeout=2)  # INVITE is sent again after 0.5 and 1.5 s
    assert len(called.invites) == 1
    assert called.calls == []


async def test_an_invite_of_another_server_is_not_heard(farm: Farm) -> None:
    """A lab beside ours may hold the port of a phone that has gone, and ours may have got it since."""
    caller, called = await registered(farm, "2000", "2001")
    host, port = called.address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((host, 0))
        via = f"SIP/2.0/UDP {host}:{stranger.getsockname()[1]};branch=z9hG4bKstranger"
        lines = [f"INVITE sip:2001@{host}:{port} SIP/2.0", f"Via: {via}", f"From: <sip:1@{host}>;tag=1"]
        lines += [f"To: <sip:2001@{host}>", "Call-ID: stranger", "CSeq: 1 INVITE", "Content-Length: 0", "", ""]
        stranger.sendto("\r\n".join(lines).encode(), called.address)
    await caller.call("2001", timeout=5)  # comes after it
    assert [invite.caller.user for invite in called.invites] == ["2000"]


async def test_not_one_invite_reaches_a_phone_that_nobody_calls(farm: Farm) -> None:
    caller, called, bystander = await registered(farm, "2000", "2001", "2002")
    await caller.call("2001", timeout=5)
    assert len(called.invites) == 1
    assert bystander.invites == []
    with pytest.raises(TimeoutError, match="2002 did not ring"):
        await bystander.rings(timeout=0.2)


async def test_on_hold_the_other_hears_music_until_the_call_is_taken_back(farm: Farm) -> None:
    caller, called = await registered(farm, "2000", "2001")
    call = await caller.call("2001", timeout=5)
    other = await called.rings(timeout=10)
    assert caller.tone
    await other.hears(caller.tone, timeout=3)
    assert await call.hold() == 200
    await other.stops_hearing(caller.tone, timeout=3)
    assert await call.unhold() == 200
    await other.hears(caller.tone, timeout=3)


async def test_a_blind_transfer_connects_the_caller_with_a_third(farm: Farm) -> None:
    caller, agent, third = await registered(farm, "2000", "2001", "2002")
    call = await caller.call("2001", timeout=5)
    await hear_each_other(caller, agent)  # before they are bridged, Asterisk refuses a REFER with 400
    at_agent = agent.calls[0]
    assert await at_agent.transfer("2002") == 200
    at_third = await third.rings(timeout=3)
    await at_agent.ended(timeout=3)
    assert caller.tone
    assert third.tone
    await call.hears(third.tone, timeout=3)
    await at_third.hears(caller.tone, timeout=3)


async def test_an_attended_transfer_connects_the_caller_with_whom_the_agent_asked(farm: Farm) -> None:
    caller, agent, third = await registered(farm, "2000", "2001", "2002")
    call = await caller.call("2001", timeout=5)
    await hear_each_other(caller, agent)
    at_agent = agent.calls[0]
    await at_agent.hold()
    question = await agent.call("2002", timeout=5)
    at_third = await third.rings(timeout=1)
    assert agent.tone
    assert caller.tone
    assert third.tone
    await at_third.hears(agent.tone, timeout=3)
    assert await at_agent.transfer_to(question) == 200
    await at_agent.ended(timeout=3)
    await question.ended(timeout=3)
    await call.hears(third.tone, timeout=3)
    await at_third.hears(caller.tone, timeout=3)
    assert at_third.identities[-1].user == "2000"  # the connected line moved from the agent to the caller


async def test_digits_go_both_ways(farm: Farm) -> None:
    (phone,) = await registered(farm, "2000")
    call = await phone.call("digits", timeout=5)
    await call.send_digits("70", timeout=3)
    await call.receives_digits("70", timeout=5)


async def test_a_customer_calls_in_without_registering(pbx: Asterisk, farm: Farm) -> None:
    (agent,) = await registered(farm, "2001")
    trunk = await farm.phone(pbx.caller_user, pbx.caller_secret)
    call = await trunk.call("2001", timeout=5)
    assert agent.tone
    await call.hears(agent.tone, timeout=3)


async def test_fifty_calls_at_once_are_all_heard_without_a_mistake(farm: Farm) -> None:
    phones = await farm.register(USERS)
    callers, called = phones[:50], phones[50:]
    async with asyncio.TaskGroup() as tasks:
        for caller, other in zip(callers, called, strict=True):
            tasks.create_task(caller.call(other.user, timeout=10))
    async with asyncio.TaskGroup() as tasks:
        for caller, other in zip(callers, called, strict=True):
            tasks.create_task(hear_each_other(caller, other))


async def test_without_audio_calls_are_made_and_nothing_is_sent(pbx: Asterisk) -> None:
    async with Farm((pbx.host, pbx.sip_port), audio=False) as farm:
        caller, called = await registered(farm, "2000", "2001")
        call = await caller.call("2001", timeout=5)
        incoming = await called.rings(timeout=10)
        assert (call.status, incoming.state) == (200, State.UP)
        with pytest.raises(RuntimeError, match="audio=False"):
            await call.hears(400, timeout=1)


async def test_a_farm_ends_in_time_although_asterisk_hangs(pbx: Asterisk) -> None:
    async with Farm((pbx.host, pbx.sip_port)) as farm:
        (phone,) = await registered(farm, "2000")
        await phone.call("echo", timeout=5)
        pbx.pause()
        start = time.monotonic()
    try:
        assert time.monotonic() - start < 5
        assert farm.unconfirmed == ["2000"]
    finally:
        pbx.resume()
    await until(lambda: no_channels(pbx), within=10, what="the end of the call that was left")


async def test_phones_take_calls_again_after_asterisk_restarted(pbx: Asterisk) -> None:
    async with Farm((pbx.host, pbx.sip_port)) as farm:
        (caller,) = await registered(farm, "2000")
        called = await farm.phone("2001", USERS["2001"], transport="tcp")
        await called.register()
        before = await caller.call("2001", timeout=5)
        await pbx.restart()
        await called.register()
        after = await caller.call("2001", timeout=5)
        assert called.tone
        await after.hears(called.tone, timeout=3)
        before.drop()
