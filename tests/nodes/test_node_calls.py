"""A call crosses nodes and obeys the agent's options all the same: what the phone's node does, and what it refuses."""

from __future__ import annotations

import asyncio
import os

from lab.phones import Answer, Call, Phone, Reject, Ring, State
from lab.processes import until
from lab.recordings import samples_of
from tests.nodes.cluster import BUSY_LINE, Cluster, hear_each_other

PAIRS = int(os.environ.get("AGENTBRIDGE_NODE_PAIRS", "20"))
"""pairs of calls that two nodes place at the same moment; 500 for the long run"""


async def talking(nodes: Cluster, agent: Phone) -> tuple[Phone, Call, Call]:
    """A customer at C, in a call of the queue that A serves, with an agent whose phone is at B."""
    customer = await nodes.c.customer()
    outgoing = await customer.call("acd-sales", timeout=BUSY_LINE, asserted="3312345678")
    incoming = await agent.rings(timeout=BUSY_LINE)
    await hear_each_other(outgoing, incoming, (customer, agent))
    return customer, outgoing, incoming


async def sales_at_a(nodes: Cluster, *agents: str) -> None:
    await nodes.serve("sales", nodes.a)
    for agent in agents:
        await nodes.a.member(agent, here=False)


async def paused_at_a(nodes: Cluster) -> list[str]:
    return [member["Name"] for member in await nodes.a.members() if member["Paused"] == "1"]


async def test_queue_at_a_phone_at_b_caller_at_c_recorded_masked_and_spied_from_c(nodes: Cluster) -> None:
    agent = await nodes.agent("1001", nodes.b, record="wav", chanspy="1", mask="4")
    await sales_at_a(nodes, "1001")
    customer, outgoing, incoming = await talking(nodes, agent)
    assert {identity.user for identity in incoming.identities} == {"331234****"}

    supervisor = await nodes.agent("1009", nodes.c, spy="1")
    spy = await supervisor.call("*511001", timeout=BUSY_LINE)
    assert spy.status == 200
    assert customer.tone
    assert agent.tone
    assert supervisor.tone
    await spy.hears(customer.tone, timeout=BUSY_LINE)
    await spy.hears(agent.tone, timeout=BUSY_LINE)
    assert supervisor.tone not in outgoing.heard() | incoming.heard()

    await outgoing.hangup()
    await spy.ended(timeout=BUSY_LINE)
    await nodes.b.quiet()
    assert not nodes.a.recordings()
    assert not nodes.c.recordings()
    (recording,) = nodes.b.recordings()
    assert recording.name.endswith("-1001-1.wav")
    assert max(samples_of(recording)) > 1000


async def test_who_may_not_be_heard_is_not_heard_from_another_node_either(nodes: Cluster) -> None:
    await nodes.agent("1001", nodes.b, chanspy="1")
    await nodes.b.drop("agent/1001/chanspy")  # the phone's node is asked too
    supervisor = await nodes.agent("1009", nodes.c, spy="1")
    assert (await supervisor.call("*511001", timeout=BUSY_LINE)).status == 403
    await nodes.b.put("agent/1001/chanspy", "1")
    assert (await supervisor.call("*511001", timeout=BUSY_LINE)).status == 480


async def test_a_direct_call_from_another_node_ends_as_one_of_the_same_node(nodes: Cluster) -> None:
    agent = await nodes.agent("1001", nodes.b, record="wav")
    colleague = await nodes.agent("1003", nodes.c)
    outgoing = await colleague.call("1001", timeout=BUSY_LINE)
    incoming = await agent.rings(timeout=BUSY_LINE)
    await hear_each_other(outgoing, incoming, (colleague, agent))
    assert {identity.user for identity in incoming.identities} == {"1003"}

    customer = await nodes.c.customer()
    assert (await customer.call("1001", timeout=BUSY_LINE)).status == 486
    await outgoing.hangup()
    await nodes.b.quiet()
    assert len(nodes.b.recordings()) == 1

    agent.behaviour = Reject(486)
    assert (await customer.call("1001", timeout=BUSY_LINE)).status == 486
    agent.behaviour = Reject(480)
    assert (await customer.call("1001", timeout=BUSY_LINE)).status == 480
    agent.behaviour = Answer()
    await nodes.pause("1001")
    assert (await customer.call("1001", timeout=BUSY_LINE)).status == 480
    for place in nodes.places:
        await place.put("agent/1001/nodnd", "1")
    assert (await customer.call("1001", timeout=BUSY_LINE)).status == 200


async def test_a_pause_that_only_the_phones_node_knows_keeps_the_call_away(nodes: Cluster) -> None:
    agent = await nodes.agent("1001", nodes.b)
    await sales_at_a(nodes, "1001")
    await nodes.b.put("agent/1001/paused", "1")
    customer = await nodes.c.customer()
    outgoing = await customer.call("acd-sales", timeout=BUSY_LINE)
    await asyncio.sleep(2)  # app_queue tries every second
    assert not agent.invites
    assert await paused_at_a(nodes) == []  # autopause=yes, and the refusal is no strike
    await nodes.b.drop("agent/1001/paused")
    incoming = await agent.rings(timeout=BUSY_LINE)
    await hear_each_other(outgoing, incoming, (customer, agent))


async def test_a_pause_everywhere_and_its_end(nodes: Cluster) -> None:
    agent = await nodes.agent("1001", nodes.b)
    await sales_at_a(nodes, "1001")
    await nodes.pause("1001")
    customer = await nodes.c.customer()
    outgoing = await customer.call("acd-sales", timeout=BUSY_LINE)
    await asyncio.sleep(2)  # app_queue asks its members every second
    assert not agent.invites
    await nodes.pause("1001", paused=False)
    incoming = await agent.rings(timeout=BUSY_LINE)
    await hear_each_other(outgoing, incoming, (customer, agent))


async def test_an_attended_transfer_across_nodes_keeps_the_customer(nodes: Cluster) -> None:
    agent = await nodes.agent("1001", nodes.b, record="wav")
    colleague = await nodes.agent("1003", nodes.c)
    await sales_at_a(nodes, "1001")
    customer, outgoing, incoming = await talking(nodes, agent)
    consultation = await agent.call("1003", timeout=BUSY_LINE)
    taken = await colleague.rings(timeout=BUSY_LINE)
    await hear_each_other(consultation, taken, (agent, colleague))
    assert await incoming.transfer_to(consultation, timeout=BUSY_LINE) == 200
    await hear_each_other(outgoing, taken, (customer, colleague))
    # who gave the call away may have the next one
    second = await nodes.a.customer()
    other = await second.call("acd-sales", timeout=BUSY_LINE)
    again = await agent.rings(timeout=BUSY_LINE)
    await hear_each_other(other, again, (second, agent))


async def test_two_nodes_call_one_agent_at_the_same_moment(nodes: Cluster) -> None:
    """Never two at the phone, and both callers are served: one now, the other when the agent is free."""
    agent = await nodes.agent("1001", nodes.b)
    agent.behaviour = Answer(after=0.05)
    await nodes.serve("sales", nodes.a)
    await nodes.serve("support", nodes.c)
    await nodes.a.member("1001", "sales", here=False)
    await nodes.c.member("1001", "support", here=False)
    one, other = await nodes.a.customer(), await nodes.c.customer()
    for _ in range(PAIRS):
        before = len(agent.invites)
        calls = await asyncio.gather(one.call("acd-sales", BUSY_LINE), other.call("acd-support", BUSY_LINE))
        served = await agent.rings(timeout=BUSY_LINE)
        await until(lambda call=served: call.state is State.UP, within=BUSY_LINE, what="the first answer")
        assert agent.most_at_once == 1
        await served.hangup()
        second = await agent.rings(timeout=BUSY_LINE)
        await until(lambda call=second: call.state is State.UP, within=BUSY_LINE, what="the second answer")
        await second.hangup()
        for call in calls:
            await call.ended(timeout=BUSY_LINE)
        assert len(agent.invites) == before + 2
    assert agent.most_at_once == 1
    for place, queue in ((nodes.a, "sales"), (nodes.c, "support")):
        assert [member["Paused"] for member in await place.members(queue)] == ["0"]


async def test_with_ring_in_use_the_phone_takes_both(nodes: Cluster) -> None:
    agent = await nodes.agent("1001", nodes.b, ringinuse="1")
    agent.behaviour = Ring()
    first, second = await nodes.a.customer(), await nodes.c.customer()
    one, other = first.dial("1001"), second.dial("1001")
    await agent.rings(timeout=BUSY_LINE)
    await agent.rings(timeout=BUSY_LINE)
    assert agent.most_at_once == 2
    await one.hangup()
    await other.hangup()


async def test_a_call_that_a_colleague_picks_up_leaves_the_agent_free(nodes: Cluster) -> None:
    agent = await nodes.agent("1001", nodes.b)
    colleague = await nodes.agent("1002", nodes.b)
    await sales_at_a(nodes, "1001")
    agent.behaviour = Ring()
    customer = await nodes.c.customer()
    outgoing = await customer.call("acd-sales", timeout=BUSY_LINE)
    ringing = await agent.rings(timeout=BUSY_LINE)
    picked = await colleague.call("*8", timeout=BUSY_LINE)
    await hear_each_other(outgoing, picked, (customer, colleague))
    await ringing.ended(timeout=BUSY_LINE)
    agent.behaviour = Answer()
    second = await nodes.a.customer()
    other = await second.call("acd-sales", timeout=BUSY_LINE)
    again = await agent.rings(timeout=BUSY_LINE)
    await hear_each_other(other, again, (second, agent))


async def test_nobody_gets_into_the_trunks_context_by_a_nodes_name(nodes: Cluster) -> None:
    await nodes.agent("1001", nodes.b)
    for name in ("nodea", "nodeb", "nodec"):
        stranger = await nodes.b.farm.phone(name, "")
        assert (await stranger.call("1001", timeout=BUSY_LINE)).status == 401
