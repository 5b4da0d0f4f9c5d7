"""Who dials an agent's number gets a stated outcome, whatever the agent is doing."""

import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.asterisk import Asterisk
from lab.manager import Manager
from lab.phones import Ignore, Reject, Ring, State
from lab.processes import until
from tests.acceptance.calls import ASTERISKS, FILES, Calls, calls_on, hear_each_other, root_of

BOX = "realtime store voicemail internal 1001 mailbox 1001 context agentbridge password 1234 fullname Agent"
# `late`: the queue support asks for the pause of sales, as if it had come while support was choosing
DIALPLAN = r"""
[globals](+)
AGENTBRIDGE_RING_SECONDS = 1

[callers](+)
exten => late,1,Answer()
 same => n,Queue(support,b(agentbridge-before-ring^s^1(sales)))
"""


@pytest_asyncio.fixture(scope="module", params=ASTERISKS, ids="asterisk-{}".format)
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Asterisk]:
    async with Asterisk(
        root=root_of(request.param), queues={"sales": {}, "support": {}}, extra={**FILES, "extensions.conf": DIALPLAN}
    ) as server:
        await server.cli(BOX)
        yield server


@pytest_asyncio.fixture
async def calls(pbx: Asterisk) -> AsyncIterator[Calls]:
    async with calls_on(pbx) as calls:
        yield calls


async def status_of(calls: Calls, dialled: str) -> int | None:
    return (await (await calls.customer()).call(dialled, timeout=8)).status


async def test_a_logged_in_agent_is_reached_by_number(calls: Calls) -> None:
    await calls.agent("1001")
    agent, customer = await calls.phone("1001"), await calls.customer()
    outgoing = await customer.call("1001", timeout=5)
    await hear_each_other(outgoing, await agent.rings(timeout=1), (customer, agent))


async def test_a_number_that_is_no_agents_is_not_found(calls: Calls) -> None:
    assert await status_of(calls, "1999") == 404


async def test_an_agent_who_is_not_logged_in_does_not_ring(calls: Calls) -> None:
    await calls.agent("1001", device="")
    phone = await calls.phone("1001")
    assert await status_of(calls, "1001") == 480
    assert phone.invites == []


async def test_a_hot_desk_agent_is_reached_at_the_telephone_it_sits_at(calls: Calls) -> None:
    await calls.agent("1001", device="desk-7")
    telephone, other, customer = await calls.phone("desk-7"), await calls.phone("desk-8"), await calls.customer()
    outgoing = await customer.call("1001", timeout=5)
    await hear_each_other(outgoing, await telephone.rings(timeout=1), (customer, telephone))
    assert other.invites == []


async def test_a_paused_agent_is_not_disturbed(calls: Calls) -> None:
    await calls.agent("1001", queues="support&sales")
    phone = await calls.phone("1001")
    await calls.member("1001")
    customer = await calls.customer()
    await (await customer.call("1001", timeout=5)).hangup()
    await calls.silence()
    await calls.pause("1001")
    assert await status_of(calls, "1001") == 480
    assert len(phone.invites) == 1


async def test_a_paused_agent_who_is_in_no_queue_is_not_disturbed(calls: Calls) -> None:
    await calls.agent("1001", paused="1")
    phone = await calls.phone("1001")
    assert await status_of(calls, "1001") == 480
    assert phone.invites == []


async def test_a_paused_agent_without_do_not_disturb_rings(calls: Calls) -> None:
    await calls.agent("1001", queues="sales", nodnd="1")
    await calls.phone("1001")
    await calls.member("1001")
    await calls.pause("1001")
    assert await status_of(calls, "1001") == 200


async def test_an_agent_in_a_call_is_busy(calls: Calls) -> None:
    await calls.agent("1001")
    phone = await calls.phone("1001")
    assert await status_of(calls, "1001") == 200
    assert await status_of(calls, "1001") == 486
    assert len(phone.invites) == 1


async def test_an_agent_whose_phone_rings_is_busy_for_the_next(calls: Calls) -> None:
    await calls.agent("1001")
    phone, customer = await calls.phone("1001"), await calls.customer()
    phone.behaviour = Ring()
    first = customer.dial("1001")
    await phone.rings(timeout=3)
    await first.ringing(timeout=3)
    assert await status_of(calls, "1001") == 486
    await first.hangup()


async def test_with_ring_in_use_a_second_call_rings_too(calls: Calls) -> None:
    await calls.agent("1001", ringinuse="1")
    phone = await calls.phone("1001")
    assert await status_of(calls, "1001") == 200
    assert await status_of(calls, "1001") == 200
    assert len(phone.invites) == 2


async def test_an_agent_who_does_not_answer_is_given_up_after_the_configured_seconds(calls: Calls) -> None:
    await calls.agent("1001")
    phone = await calls.phone("1001")
    phone.behaviour = Ring()
    assert await status_of(calls, "1001") == 480
    assert (await phone.rings(timeout=1)).state is State.ENDED


@pytest.mark.parametrize(("rejects", "status"), [(486, 486), (603, 480), (480, 480)])
async def test_an_agent_who_rejects(calls: Calls, rejects: int, status: int) -> None:
    await calls.agent("1001")
    (await calls.phone("1001")).behaviour = Reject(rejects)
    assert await status_of(calls, "1001") == status


async def test_a_phone_that_is_not_registered_is_unavailable(calls: Calls) -> None:
    await calls.agent("1001")
    assert await status_of(calls, "1001") == 480


async def test_a_phone_without_network_is_unavailable(calls: Calls) -> None:
    await calls.agent("1001")
    (await calls.phone("1001")).behaviour = Ignore()
    assert await status_of(calls, "1001") == 480


async def test_auto_answer_is_asked_for_with_its_delay(calls: Calls) -> None:
    await calls.agent("1001", autoanswer="3")
    phone = await calls.phone("1001")
    assert await status_of(calls, "1001") == 200
    assert [info.rpartition(";")[2] for info in phone.invites[0].call_info] == ["answer-after=3"]
    assert [info.rpartition(";")[2] for info in phone.invites[0].alert_info] == ["info=alert-autoanswer"]


async def test_without_auto_answer_nothing_of_it_is_said(calls: Calls) -> None:
    await calls.agent("1001", autoanswer="1;evil")
    phone = await calls.phone("1001")
    assert await status_of(calls, "1001") == 200
    assert (phone.invites[0].call_info, phone.invites[0].alert_info) == ([], [])


async def test_auto_answer_is_asked_for_in_queue_calls_too(calls: Calls) -> None:
    await calls.agent("1001", autoanswer="0")
    phone = await calls.phone("1001")
    await calls.member("1001")
    assert await status_of(calls, "sales") == 200
    await phone.rings(timeout=3)
    assert [info.rpartition(";")[2] for info in phone.invites[0].call_info] == ["answer-after=0"]


# ---------------------------------------------------------------- forwarding


async def test_a_forwarded_agent_is_reached_at_another_agents_phone(calls: Calls) -> None:
    await calls.agent("1001", forward="1002")
    await calls.agent("1002")
    mine, theirs = await calls.phone("1001"), await calls.phone("1002")
    assert await status_of(calls, "1001") == 200
    assert (len(mine.invites), len(theirs.invites)) == (0, 1)


async def test_a_forward_goes_outside_by_the_administrators_dialplan(calls: Calls) -> None:
    await calls.agent("1001", device="", forward="0551234")
    customer = await calls.customer()
    outgoing = await customer.call("1001", timeout=5)
    await outgoing.hears(1000, timeout=3)


async def test_a_forward_to_a_number_that_the_outside_does_not_have_is_not_found(calls: Calls) -> None:
    await calls.agent("1001", forward="7771234")
    assert await status_of(calls, "1001") == 404


@pytest.mark.parametrize("chain", [("1001", "1001"), ("1001", "1002", "1001"), ("1001", "1002", "1003", "1002")])
async def test_a_forward_that_runs_in_a_circle_is_refused(calls: Calls, chain: tuple[str, ...]) -> None:
    for internal, target in itertools.pairwise(chain):
        await calls.agent(internal, forward=target)
    assert await status_of(calls, "1001") == 403


@pytest.mark.parametrize("target", ["echo", "1002,1", "0551234&PJSIP/1002", "${EXTEN}", "0" * 40])
async def test_a_forward_that_is_no_number_is_refused(calls: Calls, target: str) -> None:
    await calls.agent("1001", forward=target)
    assert await status_of(calls, "1001") == 403


# ---------------------------------------------------------------- voicemail


@pytest.mark.parametrize("doing", ["logged out", "paused", "busy", "not answering", "unregistered"])
async def test_voicemail_takes_the_call_of_an_agent_who_can_not(calls: Calls, doing: str) -> None:
    if "VM_INFO" not in await calls.pbx.cli("core show functions"):
        pytest.skip("Debian has the voicemail of this Asterisk in a package of its own")
    await calls.agent("1001", device="" if doing == "logged out" else "1001", queues="sales", voicemail="1")
    await calls.member("1001")
    if doing == "paused":
        await calls.pause("1001")
    if doing != "unregistered":
        (await calls.phone("1001")).behaviour = Reject(486) if doing == "busy" else Ring()
    customer = await calls.customer()
    outgoing = await customer.call("1001", timeout=8)
    assert outgoing.status == 200

    async def is_recording() -> bool:
        return "VoiceMail" in await calls.pbx.cli("core show channels concise")

    await until(is_recording, within=3, what="the voicemail")
    await outgoing.hangup()


async def test_an_agent_whose_box_is_not_there_is_simply_unavailable(calls: Calls) -> None:
    await calls.agent("1002", device="", voicemail="1")
    assert await status_of(calls, "1002") == 480


# ---------------------------------------------------------------- lamps


async def lamp(manager: Manager, internal: str) -> str:
    (answer,) = await manager.ask("ExtensionState", {"Exten": internal, "Context": "from-sip"})
    return answer["StatusText"]


async def test_a_busy_lamp_follows_what_the_daemon_says_of_the_agent(calls: Calls) -> None:
    async with Manager(calls.pbx) as manager:
        for state, shown in (("NOT_INUSE", "Idle"), ("INUSE", "InUse"), ("RINGING", "Ringing")):
            await calls.pbx.cli(f"devstate change Custom:agent1001 {state}")
            assert await lamp(manager, "1001") == shown
            assert await lamp(manager, "1002") != shown or shown == "Idle"


# ---------------------------------------------------------------- a pause that comes late


async def test_a_call_on_its_way_does_not_ring_an_agent_who_has_just_paused(calls: Calls) -> None:
    await calls.agent("1001", queues="sales")
    phone, customer = await calls.phone("1001"), await calls.customer()
    await calls.member("1001", "support")
    await calls.member("1001", "sales")
    await calls.pause("1001", "sales")
    before = len(calls.pbx.log_path.read_text())
    waiting = customer.dial("late")
    await waiting.answered(timeout=5)

    async def refused_twice() -> bool:
        return calls.pbx.log_path.read_text()[before:].count("Abnormal 'Gosub(agentbridge-before-ring,") >= 2

    await until(refused_twice, within=8, what="the refusal before dialling")
    assert phone.invites == []
    await calls.pbx.cli("queue unpause member PJSIP/1001 queue sales")
    await phone.rings(timeout=5)


async def test_a_queue_call_on_its_way_does_not_ring_an_agent_who_has_just_logged_out(calls: Calls) -> None:
    await calls.agent("1001", device="")
    phone, customer = await calls.phone("1001"), await calls.customer()
    await calls.member("1001")
    waiting = customer.dial("sales")
    await waiting.answered(timeout=5)
    with pytest.raises(TimeoutError):
        await phone.rings(timeout=2)
    await calls.put("agent/1001/device", "1001")
    await phone.rings(timeout=5)


async def test_a_member_that_is_the_administrators_own_rings_as_ever(calls: Calls) -> None:
    phone, customer = await calls.phone("1009"), await calls.customer()
    await calls.member("1009")
    outgoing = await customer.call("sales", timeout=5)
    await hear_each_other(outgoing, await phone.rings(timeout=5), (customer, phone))
