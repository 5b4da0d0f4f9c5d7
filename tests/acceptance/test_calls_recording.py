"""Calls that an agent answers are recorded as the agent's record says, both voices, whole."""

import stat
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio

from lab.asterisk import Asterisk
from lab.phones import Call, Phone
from lab.recordings import heard_at
from tests.acceptance.calls import ASTERISKS, FILES, Calls, calls_on, hear_each_other, root_of


@pytest_asyncio.fixture(scope="module", params=ASTERISKS, ids="asterisk-{}".format)
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Asterisk]:
    async with Asterisk(root=root_of(request.param), queues={"sales": {}}, extra=FILES) as server:
        yield server


@pytest_asyncio.fixture
async def calls(pbx: Asterisk) -> AsyncIterator[Calls]:
    async with calls_on(pbx) as calls:
        yield calls


async def queue_call(calls: Calls, agent: Phone) -> tuple[Phone, Call, Call]:
    """The customer, its call, and the call at the agent; both hear each other."""
    customer = await calls.customer()
    outgoing = await customer.call("sales", timeout=5)
    incoming = await agent.rings(timeout=5)
    await hear_each_other(outgoing, incoming, (customer, agent))
    return customer, outgoing, incoming


@pytest.mark.parametrize(("record", "ending"), [("wav", "wav"), ("wav49", "WAV"), ("gsm", "gsm")])
@pytest.mark.parametrize("dialled", ["sales", "1001"])
async def test_a_call_is_recorded_in_the_agents_format(calls: Calls, record: str, ending: str, dialled: str) -> None:
    await calls.agent("1001", record=record)
    agent, customer = await calls.phone("1001"), await calls.customer()
    await calls.member("1001")
    outgoing = await customer.call(dialled, timeout=5)
    await hear_each_other(outgoing, await agent.rings(timeout=5), (customer, agent))
    (told,) = await calls.told("AgentbridgeRecordingStarted")
    await outgoing.hangup()
    await calls.silence()

    (file,) = calls.recordings()
    assert told.get("File") == str(file.relative_to(calls.pbx.spool / "monitor"))
    assert file.name == f"{told.get('Linkedid')}-1001-1.{ending}"
    assert [told.get(name) for name in ("Agent", "Format", "Part")] == ["1001", record, "1"]
    assert told.get("MonitorId")
    samples = await calls.recording()
    for phone in (agent, customer):
        assert len(heard_at(samples, phone.tone)) >= 5


async def test_nothing_is_recorded_where_recording_is_inactive(calls: Calls) -> None:
    await calls.agent("1001")
    agent = await calls.phone("1001")
    await calls.member("1001")
    _, outgoing, _ = await queue_call(calls, agent)
    await outgoing.hangup()
    await calls.silence()
    assert calls.recordings() == []
    assert calls.named("AgentbridgeRecordingStarted") == []


async def test_the_folders_of_recordings_are_for_asterisk_alone_to_write(calls: Calls) -> None:
    await calls.agent("1001", record="wav")
    agent = await calls.phone("1001")
    await calls.member("1001")
    _, outgoing, _ = await queue_call(calls, agent)
    await outgoing.hangup()
    await calls.silence()
    (file,) = calls.recordings()
    for path in (file, *file.parents[:4]):
        assert not path.stat().st_mode & stat.S_IWOTH


async def test_a_voice_is_in_the_recording_when_it_spoke_and_not_when_it_was_silent(calls: Calls) -> None:
    await calls.agent("1001", record="wav")
    agent = await calls.phone("1001")
    await calls.member("1001")
    customer, outgoing, incoming = await queue_call(calls, agent)
    assert await outgoing.hold() == 200
    assert customer.tone
    for _ in range(2):  # 160 ms each
        await incoming.stops_hearing(customer.tone, timeout=3)
    assert await outgoing.unhold() == 200
    await incoming.hears(customer.tone, timeout=3)
    await outgoing.hangup()
    await calls.silence()

    samples = await calls.recording()
    agents, customers = heard_at(samples, agent.tone), heard_at(samples, customer.tone)
    silent = [at for at in agents if at not in customers and customers[0] < at < customers[-1]]
    assert len(silent) >= 3  # 40 ms each
    assert any(at < silent[0] for at in customers)
    assert any(at > silent[-1] for at in customers)


async def test_a_hot_desk_agents_calls_are_recorded_under_its_own_number(calls: Calls) -> None:
    await calls.agent("1001", device="desk-7", record="wav")
    telephone = await calls.phone("desk-7")
    await calls.member("desk-7")
    _, outgoing, _ = await queue_call(calls, telephone)
    await outgoing.hangup()
    await calls.silence()
    assert ["-1001-1.wav" in file.name for file in calls.recordings()] == [True]


async def test_a_telephone_that_nobody_is_bound_to_records_nothing(calls: Calls) -> None:
    await calls.agent("1001", record="wav")
    await calls.pbx.cli('database put agentbridge telephone/desk-7/agent ""')
    telephone = await calls.phone("desk-7")
    await calls.member("desk-7")
    _, outgoing, _ = await queue_call(calls, telephone)
    await outgoing.hangup()
    await calls.silence()
    assert calls.recordings() == []


async def test_a_blind_transfer_leaves_a_whole_file_for_each_agent(calls: Calls) -> None:
    await calls.agent("1001", record="wav")
    await calls.agent("1002", record="wav")
    first, second = await calls.phone("1001"), await calls.phone("1002")
    await calls.member("1001")
    customer, outgoing, incoming = await queue_call(calls, first)
    assert await incoming.transfer("1002") == 200
    taken = await second.rings(timeout=5)
    await hear_each_other(outgoing, taken, (customer, second))
    await outgoing.hangup()
    await calls.silence()

    mine, theirs = calls.recordings()
    assert (mine.name[-10:], theirs.name[-10:]) == ("1001-1.wav", "1002-1.wav")
    for at, phone in enumerate((first, second)):
        samples = await calls.recording(at)
        assert len(heard_at(samples, phone.tone)) >= 5
        assert len(heard_at(samples, customer.tone)) >= 5


async def test_an_attended_transfer_leaves_whole_files(calls: Calls) -> None:
    await calls.agent("1001", record="wav")
    await calls.agent("1002", record="wav")
    first, second = await calls.phone("1001"), await calls.phone("1002")
    await calls.member("1001")
    customer, outgoing, incoming = await queue_call(calls, first)
    await incoming.hold()
    question = await first.call("1002", timeout=5)
    asked = await second.rings(timeout=5)
    await hear_each_other(question, asked, (first, second))
    assert await incoming.transfer_to(question) == 200
    await hear_each_other(outgoing, asked, (customer, second))
    await outgoing.hangup()
    await calls.silence()

    mine, theirs = calls.recordings()
    assert len(heard_at(await calls.recording(0), first.tone)) >= 5
    samples = await calls.recording(1)
    assert len(heard_at(samples, first.tone)) >= 5  # the question
    assert len(heard_at(samples, second.tone)) >= 5
    assert mine.name[-10:] == "1001-1.wav"
    assert theirs.name[-10:] == "1002-1.wav"


async def test_a_phone_that_loses_its_power_leaves_a_whole_file(calls: Calls) -> None:
    await calls.agent("1001", record="wav")
    agent = await calls.phone("1001")
    await calls.member("1001")
    customer, outgoing, incoming = await queue_call(calls, agent)
    incoming.drop()  # no BYE from the agent; the customer gives up
    await outgoing.hangup()
    await calls.silence()
    samples = await calls.recording()
    assert len(heard_at(samples, agent.tone)) >= 5
    assert len(heard_at(samples, customer.tone)) >= 5


@pytest.mark.parametrize(("record", "ending"), [("wav", "wav"), ("wav49", "WAV"), ("gsm", "gsm")])
async def test_a_call_that_comes_back_to_the_agent_gets_a_second_file_and_never_a_third(
    calls: Calls, record: str, ending: str
) -> None:
    await calls.agent("1001", record=record)
    agent = await calls.phone("1001")
    await calls.member("1001")
    customer, outgoing, incoming = await queue_call(calls, agent)
    for _ in range(2):
        assert await incoming.transfer("sales") == 200
        incoming = await agent.rings(timeout=5)
        await hear_each_other(outgoing, incoming, (customer, agent))
    await outgoing.hangup()
    await calls.silence()

    assert [file.name[-6:] for file in calls.recordings()] == [f"-1.{ending}", f"-2.{ending}"]
    assert len(heard_at(await calls.recording(0), customer.tone)) >= 5
    assert len(heard_at(await calls.recording(1), customer.tone)) >= 10  # two visits
    assert [event.get("Part") for event in await calls.told("AgentbridgeRecordingStarted", 3)] == ["1", "2", "2"]


async def test_the_files_of_a_call_are_counted_whatever_the_agents_format_and_the_day(calls: Calls) -> None:
    await calls.agent("1001", record="wav")
    agent = await calls.phone("1001")
    await calls.member("1001")
    customer, outgoing, incoming = await queue_call(calls, agent)
    for record in ("gsm", "wav49"):
        await calls.agent("1001", record=record)
        assert await incoming.transfer("sales") == 200
        incoming = await agent.rings(timeout=5)
        await hear_each_other(outgoing, incoming, (customer, agent))
    await outgoing.hangup()
    await calls.silence()

    first, second = calls.recordings()
    assert (first.name[-6:], second.name[-6:]) == ("-1.wav", "-2.gsm")
    linkedid = first.name.removesuffix("-1001-1.wav")
    began = datetime.fromtimestamp(int(linkedid.rpartition("-")[2].partition(".")[0]))  # noqa: DTZ006 - as Asterisk does
    assert str(first.parent).endswith(f"{began:/%Y/%m/%d}")
    assert [event.get("Part") for event in await calls.told("AgentbridgeRecordingStarted", 3)] == ["1", "2", "2"]


async def test_a_format_that_is_none_leaves_the_call_alone(calls: Calls) -> None:
    await calls.agent("1001", record="wav,b,touch /tmp/pwned")
    agent = await calls.phone("1001")
    await calls.member("1001")
    _, outgoing, _ = await queue_call(calls, agent)
    await outgoing.hangup()
    await calls.silence()
    assert calls.recordings() == []
