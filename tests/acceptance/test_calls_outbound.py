"""Calls that agents make: under whose name, to where, and whether at all."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.asterisk import Asterisk
from lab.phones import Phone, Reject
from tests.acceptance.calls import ASTERISKS, FILES, Calls, calls_on, hear_each_other, root_of

OUTSIDE_TONE = 1000
# what the outside is told: the customer is a phone of the lab as well
DIALPLAN = r"""
[from-sip](+)
exten => 0300,1,Dial(PJSIP/1009,10)
exten => *57,1,Dial(PJSIP/1009,10)

[lab-outside](+)
exten => 0100,1,Dial(PJSIP/1009,10)
 same => n,Hangup(${HANGUPCAUSE})
exten => _**X.,1,Goto(from-sip,${EXTEN},1)
exten => _+X.,1,Goto(0551234,1)
exten => _9+X.,1,Goto(0551234,1)
"""


@pytest_asyncio.fixture(scope="module", params=ASTERISKS, ids="asterisk-{}".format)
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Asterisk]:
    async with Asterisk(
        root=root_of(request.param), queues={"sales": {}}, extra={**FILES, "extensions.conf": DIALPLAN}
    ) as server:
        yield server


@pytest_asyncio.fixture
async def calls(pbx: Asterisk) -> AsyncIterator[Calls]:
    async with calls_on(pbx) as calls:
        yield calls


async def shown(calls: Calls, caller: Phone) -> tuple[str, str]:
    """The number and name that the customer behind 0100 sees."""
    customer = await calls.phone("1009")
    assert (await caller.call("0100", timeout=5)).status == 200
    who = customer.invites[-1].caller
    return who.user, who.display


async def test_an_agent_calls_outside(calls: Calls) -> None:
    await calls.agent("1001")
    call = await (await calls.phone("1001")).call("0551234", timeout=5)
    await call.hears(OUTSIDE_TONE, timeout=3)


async def test_an_agent_is_shown_with_the_caller_id_of_its_phone(calls: Calls) -> None:
    await calls.agent("1001")
    assert await shown(calls, await calls.phone("1001", display="Someone Else")) == ("1001", "Phone 1001")


async def test_a_hot_desk_agent_is_shown_with_its_own_caller_id(calls: Calls) -> None:
    await calls.agent("1001", device="desk-7")
    await calls.pbx.cli(r'database put agentbridge agent/1001/callerid "\"Ana ${X} (a,b):c\" <0441001>"')
    assert await shown(calls, await calls.phone("desk-7")) == ("0441001", "Ana ${X} (a,b):c")


async def test_a_telephone_that_nobody_is_on_calls_under_its_own_name(calls: Calls) -> None:
    await calls.pbx.cli('database put agentbridge telephone/desk-7/agent ""')
    await calls.agent("1002")
    telephone, colleague = await calls.phone("desk-7", display="Someone Else"), await calls.phone("1002")
    assert (await shown(calls, telephone))[1] == "Phone desk-7"
    outgoing = await telephone.call("1002", timeout=5)
    await hear_each_other(outgoing, await colleague.rings(timeout=3), (telephone, colleague))
    assert colleague.invites[-1].caller.display == "Phone desk-7"


async def test_nobody_listens_to_a_telephone_that_nobody_is_on(calls: Calls) -> None:
    """The agent who was there a moment ago may be listened to."""
    await calls.agent("1001", device="desk-7", chanspy="1")
    await calls.agent("1002", spy="1")
    await calls.pbx.cli('database put agentbridge telephone/desk-7/agent ""')
    call = await (await calls.phone("desk-7")).call("0551234", timeout=5)
    await call.hears(OUTSIDE_TONE, timeout=3)
    assert (await (await calls.phone("1002")).call("*511001", timeout=5)).status == 480


async def test_a_telephone_of_an_agent_who_is_not_known_calls_nobody(calls: Calls) -> None:
    """Half a policy is none: who sits there may be one who must not call."""
    await calls.pbx.cli("database put agentbridge telephone/desk-7/agent 1001")
    assert (await (await calls.phone("desk-7")).call("0551234", timeout=5)).status == 403


async def test_who_is_no_agent_does_not_call_by_the_agents_dialplan(calls: Calls) -> None:
    assert (await (await calls.phone("1009")).call("0551234", timeout=5)).status == 403


async def test_an_agent_who_may_not_call_does_not(calls: Calls) -> None:
    await calls.agent("1001", nocalls="1")
    await calls.agent("1002")
    phone, other = await calls.phone("1001"), await calls.phone("1002")
    for number in ("0551234", "1002", "90551234"):
        assert (await phone.call(number, timeout=5)).status == 403
    assert other.invites == []


@pytest.mark.parametrize(
    ("dialled", "status"),
    [("0551234", 403), ("90551234", 200), ("+90551234", 403), ("9+390551", 200), ("080551234", 200), ("0*551", 404)],
)
async def test_one_of_the_required_prefixes_must_be_dialled(calls: Calls, dialled: str, status: int) -> None:
    await calls.agent("1001", prefix="9&08")
    assert (await (await calls.phone("1001")).call(dialled, timeout=5)).status == status
    missing = [event.get("Prefixes") for event in calls.named("AgentbridgePrefixMissing")]
    assert missing == (["9&08"] if status == 403 else [])


async def test_a_prefix_with_a_nought_is_compared_as_text(calls: Calls) -> None:
    await calls.agent("1001", prefix="09")
    phone = await calls.phone("1001")
    assert (await phone.call("+955123", timeout=5)).status == 403
    assert (await phone.call("0955123", timeout=5)).status == 200


async def test_a_required_prefix_where_there_is_none_to_choose_forbids_the_call(calls: Calls) -> None:
    await calls.agent("1001", prefix="-")
    assert (await (await calls.phone("1001")).call("90551234", timeout=5)).status == 403


async def test_colleagues_are_called_without_the_prefix(calls: Calls) -> None:
    await calls.agent("1001", prefix="9")
    await calls.agent("1002")
    caller, called = await calls.phone("1001"), await calls.phone("1002")
    outgoing = await caller.call("1002", timeout=5)
    await hear_each_other(outgoing, await called.rings(timeout=3), (caller, called))


@pytest.mark.parametrize("number", ["7551234", "**123"])
async def test_a_number_that_the_administrators_dialplan_does_not_have_is_not_found(calls: Calls, number: str) -> None:
    await calls.agent("1001")
    assert (await (await calls.phone("1001")).call(number, timeout=5)).status == 404


async def test_a_busy_outside_is_busy_for_the_agent(calls: Calls) -> None:
    await calls.agent("1001")
    (await calls.phone("1009")).behaviour = Reject(486)
    assert (await (await calls.phone("1001")).call("0100", timeout=5)).status == 486


@pytest.mark.parametrize("number", ["0300", "*57"])
async def test_an_extension_of_the_administrators_own_ends_where_it_ends(calls: Calls, number: str) -> None:
    """It has one priority; the agents' dialplan has the same number, and must not take it up at the second."""
    await calls.agent("1001", nocalls="1")
    (await calls.phone("1009")).behaviour = Reject(486)
    assert (await (await calls.phone("1001")).call(number, timeout=5)).status == 486


async def test_an_agent_transfers_a_customer_outside(calls: Calls) -> None:
    await calls.agent("1001")
    agent, customer = await calls.phone("1001"), await calls.customer()
    outgoing = await customer.call("1001", timeout=5)
    incoming = await agent.rings(timeout=3)
    await hear_each_other(outgoing, incoming, (customer, agent))
    assert await incoming.transfer("0551234") == 200
    await outgoing.hears(OUTSIDE_TONE, timeout=3)
