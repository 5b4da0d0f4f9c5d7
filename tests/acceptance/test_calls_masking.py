"""A masked agent's telephone never learns the caller's number and name; recordings and supervisors keep theirs."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.asterisk import Asterisk
from lab.phones import Phone
from lab.phones.sip_message import Headers
from tests.acceptance.calls import ASTERISKS, FILES, Calls, calls_on, hear_each_other, root_of

NUMBER, NAME = "0551234567", "Erika Mustermann"


def asserted(number: str, name: str) -> Headers:
    """Who calls, as a trunk says it."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return (("P-Asserted-Identity", f'"{quoted}" <sip:{number}@127.0.0.1>'),)


CALLER = asserted(NUMBER, NAME)


@pytest_asyncio.fixture(scope="module", params=ASTERISKS, ids="asterisk-{}".format)
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Asterisk]:
    async with Asterisk(root=root_of(request.param), queues={"sales": {}}, extra=FILES) as server:
        yield server


@pytest_asyncio.fixture
async def calls(pbx: Asterisk) -> AsyncIterator[Calls]:
    async with calls_on(pbx) as calls:
        yield calls


def everything_said_to(phone: Phone) -> str:
    messages = [invite.request for invite in phone.invites]
    messages += [message for call in phone.calls for message in call.received]  # type: ignore[misc]
    return "\n".join(message.encode().decode("utf-8", "replace") for message in messages)


@pytest.mark.parametrize(
    ("mask", "number", "name"),
    [
        ("4", "055123****", "Erika Muster****"),
        ("1", "055123456*", "Erika Musterman*"),
        ("10", "**********", "Erika **********"),
        ("64", "**********", "****************"),
    ],
)
@pytest.mark.parametrize("dialled", ["sales", "1001"])
async def test_the_last_characters_are_hidden(calls: Calls, mask: str, number: str, name: str, dialled: str) -> None:
    await calls.agent("1001", mask=mask)
    agent, customer = await calls.phone("1001"), await calls.customer()
    await calls.member("1001")
    outgoing = await customer.call(dialled, timeout=5, headers=CALLER)
    await hear_each_other(outgoing, await agent.rings(timeout=5), (customer, agent))
    caller = agent.invites[0].caller
    assert (caller.user, caller.display) == (number, name)
    said = everything_said_to(agent)
    assert NUMBER not in said
    assert NAME not in said


async def test_an_unmasked_agent_sees_who_calls(calls: Calls) -> None:
    await calls.agent("1001")
    agent, customer = await calls.phone("1001"), await calls.customer()
    await customer.call("1001", timeout=5, headers=CALLER)
    caller = agent.invites[0].caller
    assert (caller.user, caller.display) == (NUMBER, NAME)


@pytest.mark.parametrize("name", ["Müller", "محمد", 'A ) ${CHANNEL} "x', "a,b;c|d&e", "]["])
async def test_a_name_of_any_kind_is_masked_without_doing_anything(calls: Calls, name: str) -> None:
    await calls.agent("1001", mask="64")
    agent, customer = await calls.phone("1001"), await calls.customer()
    assert (await customer.call("1001", timeout=5, headers=asserted(NUMBER, name))).status == 200
    caller = agent.invites[0].caller
    assert set(caller.display) == {"*"}
    assert name not in everything_said_to(agent)


@pytest.mark.parametrize("mask", ["999", "x", "4 + 1"])
async def test_a_mask_that_is_no_number_hides_everything(calls: Calls, mask: str) -> None:
    await calls.agent("1001", mask=mask)
    agent, customer = await calls.phone("1001"), await calls.customer()
    await customer.call("1001", timeout=5, headers=CALLER)
    assert (agent.invites[0].caller.user, agent.invites[0].caller.display) == ("*" * 10, "*" * 16)


async def test_an_attended_transfer_does_not_tell_the_number_either(calls: Calls) -> None:
    await calls.agent("1001")
    await calls.agent("1002", mask="4")
    first, second, customer = await calls.phone("1001"), await calls.phone("1002"), await calls.customer()
    outgoing = await customer.call("1001", timeout=5, headers=CALLER)
    incoming = await first.rings(timeout=5)
    await hear_each_other(outgoing, incoming, (customer, first))
    await incoming.hold()
    question = await first.call("1002", timeout=5)
    asked = await second.rings(timeout=5)
    await hear_each_other(question, asked, (first, second))
    assert await incoming.transfer_to(question) == 200
    await hear_each_other(outgoing, asked, (customer, second))
    assert asked.identities[-1].user == "055123****"  # it was told who is there now
    assert NUMBER not in everything_said_to(second)
    assert NAME not in everything_said_to(second)


async def test_a_blind_transfer_does_not_tell_the_number_either(calls: Calls) -> None:
    await calls.agent("1001", mask="4")
    await calls.agent("1002", mask="4")
    first, second, customer = await calls.phone("1001"), await calls.phone("1002"), await calls.customer()
    outgoing = await customer.call("1001", timeout=5, headers=CALLER)
    incoming = await first.rings(timeout=5)
    await hear_each_other(outgoing, incoming, (customer, first))
    assert await incoming.transfer("1002") == 200
    await hear_each_other(outgoing, await second.rings(timeout=5), (customer, second))
    for phone in (first, second):
        assert NUMBER not in everything_said_to(phone)
        assert NAME not in everything_said_to(phone)


async def test_a_hot_desk_agent_is_masked_at_its_telephone(calls: Calls) -> None:
    await calls.agent("1001", device="desk-7", mask="4")
    telephone, customer = await calls.phone("desk-7"), await calls.customer()
    await customer.call("1001", timeout=5, headers=CALLER)
    assert telephone.invites[0].caller.user == "055123****"


async def test_a_masked_agent_who_is_forwarded_shows_the_number_to_the_one_who_may_see_it(calls: Calls) -> None:
    await calls.agent("1001", forward="1002", mask="4")
    await calls.agent("1002")
    other, customer = await calls.phone("1002"), await calls.customer()
    await customer.call("1001", timeout=5, headers=CALLER)
    assert other.invites[0].caller.user == NUMBER
