"""A transfer that can't be done never loses the customer: the agent keeps the call, or is rung back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from lab.asterisk import MUSIC_HZ, Asterisk
from lab.phones import Answer, Call, Phone, Reject, Ring, State
from tests.acceptance.calls import ASTERISKS, FILES, Calls, calls_on, hear_each_other, root_of

DIALPLAN = r"""
[globals](+)
AGENTBRIDGE_RING_SECONDS = 1
"""


OUTSIDE_TONE = 1000


class Scene(NamedTuple):
    """A customer in a call with agent 1001."""

    customer: Phone
    agent: Phone
    outgoing: Call
    incoming: Call


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


async def talking(calls: Calls, **options: str) -> Scene:
    await calls.agent("1001", **options)
    agent, customer = await calls.phone("1001"), await calls.customer()
    outgoing = await customer.call("1001", timeout=5)
    incoming = await agent.rings(timeout=5)
    await hear_each_other(outgoing, incoming, (customer, agent))
    return Scene(customer, agent, outgoing, incoming)


async def rung_back(scene: Scene) -> None:
    """The agent has the customer again, in a new call; the first one is over."""
    again = await scene.agent.rings(timeout=10)
    await hear_each_other(scene.outgoing, again, (scene.customer, scene.agent))
    assert scene.incoming.state is State.ENDED


@pytest.mark.parametrize("number", ["1999", "7551234", "*99", "**1", "10011", "0" * 40, "1001,1", "nobody"])
async def test_a_transfer_to_a_number_that_nobody_has_is_refused_and_the_call_goes_on(
    calls: Calls, number: str
) -> None:
    scene = await talking(calls)
    assert await scene.incoming.transfer(number) == 404
    await hear_each_other(scene.outgoing, scene.incoming, (scene.customer, scene.agent))
    assert len(scene.agent.invites) == 1


@pytest.mark.parametrize("doing", ["away", "busy", "paused", "unregistered", "not answering", "forwarded to nobody"])
async def test_a_transfer_to_an_agent_who_does_not_take_it_rings_the_transferring_agent(
    calls: Calls, doing: str
) -> None:
    scene = await talking(calls)
    forward = "7771234" if doing == "forwarded to nobody" else ""
    await calls.agent("1002", device="" if doing == "away" else "1002", queues="sales", forward=forward)
    await calls.member("1002")
    if doing == "paused":
        await calls.pause("1002")
    if doing != "unregistered":
        (await calls.phone("1002")).behaviour = Reject(486) if doing == "busy" else Ring()
    assert await scene.incoming.transfer("1002") == 200
    await rung_back(scene)


async def test_a_transfer_outside_without_the_prefix_rings_the_transferring_agent(calls: Calls) -> None:
    scene = await talking(calls, prefix="9")
    assert await scene.incoming.transfer("0551234") == 200
    await rung_back(scene)


async def test_a_transfer_by_an_agent_who_may_not_call_rings_that_agent(calls: Calls) -> None:
    scene = await talking(calls, nocalls="1")
    assert await scene.incoming.transfer("0551234") == 200
    await rung_back(scene)
    assert OUTSIDE_TONE not in scene.outgoing.heard()


async def test_who_is_rung_back_is_recorded_and_masked_as_before(calls: Calls) -> None:
    scene = await talking(calls, record="wav", mask="4", chanspy="1")
    await calls.agent("1002", device="")
    assert await scene.incoming.transfer("1002") == 200
    await rung_back(scene)
    assert [path.stem[-6:] for path in calls.recordings()] == ["1001-1", "1001-2"]
    first, again = scene.agent.invites
    assert first.caller.user == again.caller.user == "ca****"


async def test_a_hot_desk_agent_is_rung_back_at_its_telephone(calls: Calls) -> None:
    await calls.agent("1001", device="desk-7")
    await calls.agent("1002", device="")
    desk, customer = await calls.phone("desk-7"), await calls.customer()
    outgoing = await customer.call("1001", timeout=5)
    incoming = await desk.rings(timeout=5)
    await hear_each_other(outgoing, incoming, (customer, desk))
    assert await incoming.transfer("1002") == 200
    await rung_back(Scene(customer, desk, outgoing, incoming))


async def test_who_is_rung_back_may_transfer_again(calls: Calls) -> None:
    scene = await talking(calls)
    await calls.agent("1002", device="")
    await calls.agent("1003")
    assert await scene.incoming.transfer("1002") == 200
    again = await scene.agent.rings(timeout=10)
    await hear_each_other(scene.outgoing, again, (scene.customer, scene.agent))
    third = await calls.phone("1003")
    assert await again.transfer("1003") == 200
    await hear_each_other(scene.outgoing, await third.rings(timeout=5), (scene.customer, third))


async def test_who_is_rung_back_and_busy_is_tried_again(calls: Calls) -> None:
    """A telephone with one line may still have the first call."""
    scene = await talking(calls)
    await calls.agent("1002", device="")
    scene.agent.behaviour = Reject(486)
    assert await scene.incoming.transfer("1002") == 200
    await scene.agent.rings(timeout=10)
    scene.agent.behaviour = Answer()
    await rung_back(scene)


async def test_a_call_that_an_agent_made_comes_back_as_well(calls: Calls) -> None:
    """The one who is transferred was called, and has no dialplan of its own."""
    await calls.agent("1001")
    await calls.agent("1002", device="")
    await calls.agent("1003")
    agent, other = await calls.phone("1001"), await calls.phone("1003")
    outgoing = await agent.call("1003", timeout=5)
    incoming = await other.rings(timeout=5)
    await hear_each_other(outgoing, incoming, (agent, other))
    assert await outgoing.transfer("1999") == 404
    await hear_each_other(outgoing, incoming, (agent, other))
    assert await outgoing.transfer("1002") == 200
    again = await agent.rings(timeout=10)
    await hear_each_other(again, incoming, (agent, other))


async def test_a_transfer_to_a_feature_code_rings_the_transferring_agent(calls: Calls) -> None:
    """The customer never gets to where PINs are asked for."""
    scene = await talking(calls)
    assert await scene.incoming.transfer("*54") == 200
    await rung_back(scene)


async def test_the_customer_hears_music_while_the_agent_is_rung_back(calls: Calls) -> None:
    scene = await talking(calls)
    await calls.agent("1002", device="")
    scene.agent.behaviour = Ring()
    assert await scene.incoming.transfer("1002") == 200
    again = await scene.agent.rings(timeout=10)
    await scene.outgoing.hears(MUSIC_HZ, timeout=5)
    again.answer()
    await hear_each_other(scene.outgoing, again, (scene.customer, scene.agent))


# ---------------------------------------------------------------- with a call to ask first (REFER with Replaces)


async def test_asking_a_number_that_nobody_has_leaves_the_customer_on_hold(calls: Calls) -> None:
    scene = await talking(calls)
    await scene.incoming.hold()
    assert (await scene.agent.call("1999", timeout=5)).status == 404
    await scene.incoming.unhold()
    await hear_each_other(scene.outgoing, scene.incoming, (scene.customer, scene.agent))


async def test_a_transfer_to_an_agent_who_still_rings_comes_back_when_nobody_answers(calls: Calls) -> None:
    scene = await talking(calls)
    await calls.agent("1002")
    second = await calls.phone("1002")
    second.behaviour = Ring()
    await scene.incoming.hold()
    question = scene.agent.dial("1002")
    await question.ringing(timeout=5)
    assert await scene.incoming.transfer_to(question) == 200
    await rung_back(scene)


async def test_a_transfer_to_a_call_that_is_over_is_refused_and_the_call_goes_on(calls: Calls) -> None:
    scene = await talking(calls)
    await calls.agent("1002")
    second = await calls.phone("1002")
    await scene.incoming.hold()
    question = await scene.agent.call("1002", timeout=5)
    await (await second.rings(timeout=5)).hangup()
    await question.ended(timeout=5)
    assert await scene.incoming.transfer_to(question) == 603
    await scene.incoming.unhold()
    await hear_each_other(scene.outgoing, scene.incoming, (scene.customer, scene.agent))
