"""Supervisors hear those whom they may hear, and nobody else hears anybody."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab import versions
from lab.asterisk import Asterisk
from lab.phones import Call, Phone, Ring, State
from lab.phones.sdp import DEFAULT_EVENT_PAYLOAD
from lab.processes import until
from tests.acceptance.calls import ASTERISKS, FILES, Calls, calls_on, hear_each_other, root_of

LISTEN, WHISPER, BARGE = "*51", "*52", "*53"


@pytest_asyncio.fixture(scope="module", params=ASTERISKS, ids="asterisk-{}".format)
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Asterisk]:
    async with Asterisk(root=root_of(request.param), queues={"sales": {}}, extra=FILES) as server:
        yield server


@pytest_asyncio.fixture
async def calls(pbx: Asterisk) -> AsyncIterator[Calls]:
    async with calls_on(pbx) as calls:
        yield calls


async def talking(calls: Calls, agent: Phone, dialled: str) -> tuple[Phone, Call, Call]:
    """A customer in a call with the agent."""
    customer = await calls.customer()
    outgoing = await customer.call(dialled, timeout=5)
    incoming = await agent.rings(timeout=5)
    await hear_each_other(outgoing, incoming, (customer, agent))
    return customer, outgoing, incoming


async def supervisor(calls: Calls, **options: str) -> Phone:
    await calls.agent("1003", **options)
    return await calls.phone("1003")


async def audit(calls: Calls, count: int = 1) -> list[tuple[str, ...]]:
    told = await calls.told("AgentbridgeSpy", count)
    return [tuple(event.get(name) for name in ("Spyer", "Target", "Mode", "Allowed", "Reason")) for event in told]


def tones(*phones: Phone) -> set[int]:
    return {phone.tone for phone in phones if phone.tone}


async def hears_all(call: Call, *phones: Phone) -> None:
    for tone in tones(*phones):
        await call.hears(tone, timeout=3)


async def hears_none(call: Call, *phones: Phone) -> None:
    for tone in tones(*phones):
        await call.stops_hearing(tone, timeout=3)


@pytest.mark.parametrize("dialled", ["sales", "1001"])
async def test_a_supervisor_listens_and_is_not_heard(calls: Calls, dialled: str) -> None:
    await calls.agent("1001", chanspy="1")
    agent, spyer = await calls.phone("1001"), await supervisor(calls, spy="1")
    await calls.member("1001")
    customer, outgoing, incoming = await talking(calls, agent, dialled)
    spy = await spyer.call(f"{LISTEN}1001", timeout=5)
    await hears_all(spy, customer, agent)
    assert outgoing.heard() == tones(agent)
    assert incoming.heard() == tones(customer)
    assert await audit(calls) == [("1003", "1001", "listen", "1", "")]


async def test_a_supervisor_whispers_to_the_agent_alone(calls: Calls) -> None:
    await calls.agent("1001", chanspy="1")
    agent, spyer = await calls.phone("1001"), await supervisor(calls, spy="1")
    customer, outgoing, incoming = await talking(calls, agent, "1001")
    spy = await spyer.call(f"{WHISPER}1001", timeout=5)
    await hears_all(spy, customer, agent)
    await hears_all(incoming, spyer, customer)
    assert outgoing.heard() == tones(agent)
    assert await audit(calls) == [("1003", "1001", "whisper", "1", "")]


async def test_a_supervisor_barges_in_and_both_hear(calls: Calls) -> None:
    await calls.agent("1001", chanspy="1")
    agent, spyer = await calls.phone("1001"), await supervisor(calls, spy="1")
    customer, outgoing, incoming = await talking(calls, agent, "1001")
    spy = await spyer.call(f"{BARGE}1001", timeout=5)
    await hears_all(spy, customer, agent)
    await hears_all(incoming, spyer, customer)
    await hears_all(outgoing, spyer, agent)
    assert await audit(calls) == [("1003", "1001", "barge", "1", "")]


async def test_the_spy_ends_with_the_call(calls: Calls) -> None:
    await calls.agent("1001", chanspy="1")
    agent, spyer = await calls.phone("1001"), await supervisor(calls, spy="1")
    customer, outgoing, _ = await talking(calls, agent, "1001")
    spy = await spyer.call(f"{LISTEN}1001", timeout=5)
    await hears_all(spy, customer)
    await outgoing.hangup()
    await spy.ended(timeout=3)


async def test_a_call_that_the_agent_made_may_be_listened_to_as_well(calls: Calls) -> None:
    await calls.agent("1001", chanspy="1")
    agent, spyer = await calls.phone("1001"), await supervisor(calls, spy="1")
    outgoing = await agent.call("0551234", timeout=5)
    await outgoing.hears(1000, timeout=3)
    spy = await spyer.call(f"{LISTEN}1001", timeout=5)
    await hears_all(spy, agent)
    await spy.hears(1000, timeout=3)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("mode", [LISTEN, WHISPER, BARGE])
async def test_an_agent_without_chanspy_is_listened_to_by_nobody(calls: Calls, mode: str) -> None:
    await calls.agent("1001")
    agent, spyer = await calls.phone("1001"), await supervisor(calls, spy="1")
    await talking(calls, agent, "1001")
    assert (await spyer.call(f"{mode}1001", timeout=5)).status == 403
    name = {LISTEN: "listen", WHISPER: "whisper", BARGE: "barge"}[mode]
    assert await audit(calls) == [("1003", "1001", name, "0", "agent")]


@pytest.mark.parametrize("mode", [LISTEN, WHISPER, BARGE])
async def test_an_agent_who_is_no_supervisor_listens_to_nobody(calls: Calls, mode: str) -> None:
    await calls.agent("1001", chanspy="1")
    agent, spyer = await calls.phone("1001"), await supervisor(calls)
    await talking(calls, agent, "1001")
    assert (await spyer.call(f"{mode}1001", timeout=5)).status == 403
    assert (await audit(calls))[0][3:] == ("0", "supervisor")


async def test_a_phone_of_nobody_listens_to_nobody(calls: Calls) -> None:
    await calls.agent("1001", chanspy="1")
    agent, stranger = await calls.phone("1001"), await calls.phone("1009")
    await talking(calls, agent, "1001")
    assert (await stranger.call(f"{LISTEN}1001", timeout=5)).status == 403
    assert await audit(calls) == [("1009", "1001", "listen", "0", "supervisor")]


async def test_customers_do_not_reach_the_codes(calls: Calls) -> None:
    await calls.agent("1001", chanspy="1")
    assert (await (await calls.customer()).call(f"{LISTEN}1001", timeout=5)).status == 404


async def test_an_agent_who_is_in_no_call_is_not_waited_for(calls: Calls) -> None:
    await calls.agent("1001", chanspy="1")
    await calls.phone("1001")
    spyer = await supervisor(calls, spy="1")
    assert (await spyer.call(f"{LISTEN}1001", timeout=5)).status == 480
    assert await audit(calls) == [("1003", "1001", "listen", "0", "no call")]


async def test_nobody_listens_to_themselves(calls: Calls) -> None:
    spyer = await supervisor(calls, spy="1", chanspy="1")
    assert (await spyer.call(f"{LISTEN}1003", timeout=5)).status == 403


@pytest.mark.parametrize("target", ["", "1999", "1001,25", "1001&PJSIP/1002", "all", "-", "1" * 17, "1001-"])
async def test_a_number_that_is_no_agents_is_refused(calls: Calls, target: str) -> None:
    await calls.agent("1001", chanspy="1")
    agent, spyer = await calls.phone("1001"), await supervisor(calls, spy="1")
    await talking(calls, agent, "1001")
    assert (await spyer.call(f"{LISTEN}{target}", timeout=5)).status == 403
    assert [(row[0], row[3]) for row in await audit(calls)] == [("1003", "0")]


async def test_a_number_that_begins_another_does_not_open_it(calls: Calls) -> None:
    """1001 may be listened to and is in no call; 10010 may be too, and is."""
    await calls.agent("1001", chanspy="1")
    await calls.agent("10010", chanspy="1")
    agent, spyer = await calls.phone("10010"), await supervisor(calls, spy="1")
    await talking(calls, agent, "10010")
    assert (await spyer.call(f"{LISTEN}1001", timeout=5)).status == 480


async def test_a_global_spygroup_opens_nothing(calls: Calls) -> None:
    await calls.agent("1001")
    await calls.agent("1002", chanspy="1")
    agent, spyer = await calls.phone("1001"), await supervisor(calls, spy="1")
    await calls.phone("1002")
    await calls.pbx.cli("dialplan set global SPYGROUP agentbridge")
    try:
        await talking(calls, agent, "1001")
        assert (await spyer.call(f"{LISTEN}1001", timeout=5)).status == 403
        assert (await spyer.call(f"{LISTEN}1002", timeout=5)).status == 480
        # what an administrator's own extension with the same group would hear: not this call
        await calls.pbx.cli("channel originate PJSIP/1003 application ChanSpy PJSIP/1001-,g(agentbridge)q")
        own = await spyer.rings(timeout=3)
        await hears_none(own, agent)
    finally:
        await calls.pbx.cli('dialplan set global SPYGROUP ""')


async def test_an_agent_is_listened_to_at_the_telephone_it_sits_at(calls: Calls) -> None:
    await calls.agent("1001", device="desk-7", chanspy="1")
    telephone, spyer = await calls.phone("desk-7"), await supervisor(calls, spy="1")
    customer, _, _ = await talking(calls, telephone, "1001")
    spy = await spyer.call(f"{LISTEN}1001", timeout=5)
    await hears_all(spy, customer, telephone)


async def test_a_supervisor_at_a_hot_desk_listens_too(calls: Calls) -> None:
    await calls.agent("1001", chanspy="1")
    await calls.agent("1003", device="desk-8", spy="1")
    agent, desk = await calls.phone("1001"), await calls.phone("desk-8")
    customer, _, _ = await talking(calls, agent, "1001")
    spy = await desk.call(f"{LISTEN}1001", timeout=5)
    await hears_all(spy, customer, agent)
    assert await audit(calls) == [("1003", "1001", "listen", "1", "")]


@pytest.mark.parametrize("first", ["", "1"])
async def test_the_next_agent_at_a_telephone_does_not_open_the_last_ones_call(calls: Calls, first: str) -> None:
    await calls.agent("1001", device="desk-7", chanspy=first)
    telephone, spyer = await calls.phone("desk-7"), await supervisor(calls, spy="1")
    await talking(calls, telephone, "1001")
    await calls.put("agent/1001/device", "")
    await calls.agent("1002", device="desk-7", chanspy="1")
    assert (await spyer.call(f"{LISTEN}1002", timeout=5)).status == 480


@pytest.mark.parametrize("dialled", ["sales", "1001"])
@pytest.mark.parametrize("sits_down", ["", "1002"])
async def test_the_agent_for_whom_the_phone_rang_counts_at_the_answer(
    calls: Calls, dialled: str, sits_down: str
) -> None:
    """C4: it logged out on the other line while the phone rang, and maybe a colleague sits there now."""
    await calls.agent("1001", device="desk-7", record="wav", chanspy="1")
    await calls.agent("1002", device="")
    telephone, spyer, customer = await calls.phone("desk-7"), await supervisor(calls, spy="1"), await calls.customer()
    telephone.behaviour = Ring()
    await calls.member("desk-7")
    outgoing = customer.dial(dialled)
    incoming = await telephone.rings(timeout=5)
    await calls.pbx.cli("database del agentbridge agent/1001/device")
    await calls.put("telephone/desk-7/agent", sits_down)
    if sits_down:
        await calls.put(f"agent/{sits_down}/device", "desk-7")
    incoming.answer()
    await hear_each_other(outgoing, incoming, (customer, telephone))
    (told,) = await calls.told("AgentbridgeRecordingStarted")
    assert told.get("Agent") == "1001"
    spy = await spyer.call(f"{LISTEN}1001", timeout=5)
    await hears_all(spy, customer, telephone)
    assert await audit(calls) == [("1003", "1001", "listen", "1", "")]
    if sits_down:
        await calls.put(f"agent/{sits_down}/chanspy", "1")
        other = await calls.phone("1009")
        await calls.agent("1009", spy="1")
        assert (await other.call(f"{LISTEN}{sits_down}", timeout=5)).status == 480, "the call is not the colleague's"
    await outgoing.hangup()
    await calls.silence()
    assert ["-1001-1.wav" in file.name for file in calls.recordings()] == [True]


@pytest.mark.parametrize("left", ["", "desk-8"])
@pytest.mark.parametrize("made", [False, True], ids=["answered", "made"])
async def test_who_logs_out_in_a_call_is_still_listened_to(calls: Calls, left: str, made: bool) -> None:
    await calls.agent("1001", device="desk-7", chanspy="1")
    telephone, spyer = await calls.phone("desk-7"), await supervisor(calls, spy="1")
    if made:
        await calls.agent("1002")
        customer = await calls.phone("1002")
        await telephone.call("1002", timeout=5)
    else:
        customer, _, _ = await talking(calls, telephone, "1001")
    await calls.pbx.cli("database del agentbridge agent/1001/device")
    await calls.put("telephone/desk-7/agent", "")
    if left:
        await calls.agent("1001", device=left)
    spy = await spyer.call(f"{LISTEN}1001", timeout=5)
    await hears_all(spy, customer, telephone)


@pytest.mark.parametrize("digits", ["#", "*", "1002#", "5", "4"])
async def test_digits_pressed_in_the_spy_do_nothing(calls: Calls, digits: str) -> None:
    await calls.agent("1001", chanspy="1")
    await calls.agent("1002", chanspy="1")
    agent, other, spyer = await calls.phone("1001"), await calls.phone("1002"), await supervisor(calls, spy="1")
    customer, outgoing, _ = await talking(calls, agent, "1001")
    elsewhere = await (await calls.customer()).call("1002", timeout=5)
    await hears_all(elsewhere, other)
    spy = await spyer.call(f"{LISTEN}1001", timeout=5)
    await hears_all(spy, customer, agent)
    # the telephone was told that digits are not taken, and sends them nevertheless
    spy.media.stream.send_digits(digits, DEFAULT_EVENT_PAYLOAD)

    async def sent() -> bool:
        return not spy.media.stream.events_pending or spy.state is State.ENDED

    await until(sent, within=5, what="the digits")
    assert other.tone not in spy.heard()
    assert outgoing.heard() == tones(agent)
    # where they are not dropped, they may end the spy, and open nothing else
    if calls.has(versions.DROPS_DIGITS):
        await hears_all(spy, customer, agent)
        assert other.tone not in spy.heard()
        assert spy.state is State.UP
