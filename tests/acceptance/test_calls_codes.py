"""Feature codes work only for a device of the directory that dials them itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.asterisk import Asterisk
from lab.phones import Phone, Redirect
from tests.acceptance.calls import ASTERISKS, FILES, Calls, calls_on, hear_each_other, root_of

CODES = ("*54", "*55", "*561", "*57", "*511002", "*521002", "*531002")


@pytest_asyncio.fixture(scope="module", params=ASTERISKS, ids="asterisk-{}".format)
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Asterisk]:
    async with Asterisk(root=root_of(request.param), queues={"sales": {}}, extra=FILES) as server:
        yield server


@pytest_asyncio.fixture
async def calls(pbx: Asterisk) -> AsyncIterator[Calls]:
    async with calls_on(pbx) as calls:
        await calls.agent("1002", chanspy="1")
        yield calls


async def spied_one(calls: Calls) -> Phone:
    """Agent 1002 is in a call that may be listened to."""
    agent, customer = await calls.phone("1002"), await calls.customer()
    outgoing = await customer.call("1002", timeout=5)
    await hear_each_other(outgoing, await agent.rings(timeout=5), (customer, agent))
    return agent


async def test_a_device_that_is_none_of_the_directorys_is_refused(calls: Calls) -> None:
    phone = await calls.phone("1009")
    assert {code: (await phone.call(code, timeout=5)).status for code in CODES} == dict.fromkeys(CODES, 403)
    for event in calls.named("AgentbridgeSpy"):
        assert event.get("Spyer") == "1009"


@pytest.mark.parametrize("code", ["*54", "*511002"])
@pytest.mark.parametrize("dialled", ["1001", "sales"])
async def test_a_phone_that_forwards_to_a_code_leads_no_caller_there(calls: Calls, code: str, dialled: str) -> None:
    await calls.agent("1001", spy="1")
    await calls.member("1001")
    phone = await calls.phone("1001")
    phone.behaviour = Redirect(code)
    await spied_one(calls)
    customer = await calls.customer()
    outgoing = customer.dial(dialled)
    await phone.rings(timeout=5)
    if dialled == "1001":
        assert await outgoing.answered(timeout=5) == 480
    if code != "*54":
        (event,) = await calls.told("AgentbridgeSpy")
        assert (event.get("Spyer"), event.get("Allowed"), event.get("Reason")) == ("1001", "0", "device")
    assert not (outgoing.heard() & {phone.tone, customer.tone})
    await outgoing.hangup()


async def test_who_transferred_a_caller_to_a_code_is_named_and_rung_back(calls: Calls) -> None:
    await calls.agent("1001", spy="1")
    await spied_one(calls)
    agent, customer = await calls.phone("1001"), await calls.customer()
    outgoing = await customer.call("1001", timeout=5)
    incoming = await agent.rings(timeout=5)
    await hear_each_other(outgoing, incoming, (customer, agent))
    assert await incoming.transfer("*511002") == 200
    (event,) = await calls.told("AgentbridgeSpy")
    assert (event.get("Spyer"), event.get("Allowed"), event.get("Reason")) == ("1001", "0", "device")
    await hear_each_other(outgoing, await agent.rings(timeout=10), (customer, agent))


async def test_a_call_that_has_no_device_is_refused_without_a_row(calls: Calls) -> None:
    """As an application makes one: there is nobody to name."""
    before = len(calls.pbx.log_path.read_text())
    await calls.pbx.cli("channel originate Local/*511002@from-sip application Wait 1")
    await calls.silence()
    assert calls.named("AgentbridgeSpy") == []
    assert "refused: listening to 1002" in calls.pbx.log_path.read_text()[before:]
