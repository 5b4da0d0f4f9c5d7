"""What is lost with a node or a link, what is not, and how it heals."""

from __future__ import annotations

import asyncio
import time

from lab.manager import Manager, Message
from lab.phones import State
from lab.processes import until
from lab.switch import parted
from tests.nodes.cluster import BUSY_LINE, Cluster, Place, hear_each_other

CHANGES = 200
PUBLISHER = "res_pjsip_publish_asterisk.so"


async def lamp(place: Place, agent: str, state: str) -> None:
    await place.ask("Setvar", Variable=f"DEVICE_STATE(Custom:agent{agent})", Value=state)


async def test_what_a_node_changes_is_known_to_the_others_in_milliseconds(nodes: Cluster) -> None:
    """Custom:agent states, set at B one after the other, as A and C tell them by AMI."""
    heard: dict[str, list[float]] = {"nodea": [], "nodec": []}
    sent = 0.0

    def hear(name: str, message: Message) -> None:
        if message.get("Device") == "Custom:agent1001":
            heard[name].append(time.perf_counter() - sent)

    async def listen(place: Place, name: str) -> None:
        async with Manager(place.pbx, events="call", on_event=lambda message: hear(name, message)) as ears:
            while True:
                hear(name, await ears.read())

    async with asyncio.TaskGroup() as tasks:
        ears = [tasks.create_task(listen(place, place.name)) for place in (nodes.a, nodes.c)]
        async with Manager(nodes.b.pbx) as mouth:
            await asyncio.sleep(1)  # both are listening
            for number in range(CHANGES):
                sent = time.perf_counter()
                state = "INUSE" if number % 2 else "NOT_INUSE"
                await mouth.ask("Setvar", {"Variable": "DEVICE_STATE(Custom:agent1001)", "Value": state})
                wanted = number + 1
                await until(
                    lambda wanted=wanted: all(len(seen) >= wanted for seen in heard.values()),
                    within=BUSY_LINE,
                    what=f"change {wanted} at A and C",
                )
        for ear in ears:
            ear.cancel()
    for name, seen in heard.items():
        ordered = sorted(seen)
        half, most = ordered[len(ordered) // 2] * 1000, ordered[int(len(ordered) * 0.99)] * 1000
        print(f"a state of nodeb at {name}: p50 {half:.1f} ms, p99 {most:.1f} ms of {len(ordered)} changes")
        assert len(ordered) == CHANGES
        assert half < 50


async def test_the_death_of_a_node_costs_its_calls_and_no_others(nodes: Cluster) -> None:
    there, here = await nodes.agent("1001", nodes.b), await nodes.agent("1003", nodes.c)
    for agent in ("1001", "1003"):
        await nodes.a.member(agent, here=False)
    first, second = await nodes.a.customer(), await nodes.a.customer()
    calls = await asyncio.gather(first.call("acd-sales", BUSY_LINE), second.call("acd-sales", BUSY_LINE))

    def each_has_one() -> bool:
        heard = [call.heard() & {there.tone, here.tone} for call in calls]
        return heard in ([{there.tone}, {here.tone}], [{here.tone}, {there.tone}])

    await until(each_has_one, within=BUSY_LINE, what="both calls being heard")
    (lost,) = [call for call in calls if there.tone in call.heard()]
    (kept,) = [call for call in calls if call is not lost]
    # both phones rang for both callers: what another agent had taken is over
    (at_b,), (at_c,) = there.live_calls, here.live_calls
    assert at_c.heard() == {first.tone if kept is calls[0] else second.tone}

    await nodes.b.pbx.kill()
    began = time.monotonic()
    await until(lambda: nodes.gone("nodeb"), within=BUSY_LINE, what="A and C finding B gone")
    print(f"found gone after {time.monotonic() - began:.1f} s")
    third = await nodes.c.customer()
    began = time.monotonic()
    assert (await third.call("1001", timeout=BUSY_LINE)).status == 480
    assert time.monotonic() - began < 2
    assert here.tone in kept.heard()
    assert kept.state is State.UP
    # half a minute without a packet ends the calls that B had, and those who were in them are free
    await lost.ended(timeout=60)
    there.close()
    at_b.drop()
    assert here.tone in kept.heard()

    await nodes.b.pbx.start()
    await nodes.joined()
    await nodes.b.pbx.cli("dialplan set global AGENTBRIDGE_COMPARED 1")
    await nodes.policy("1001", nodes.b)  # as its daemon does: what was put last may not be on the disk yet
    back = await nodes.b.phone("1001")
    await asyncio.gather(*(place.until_state("PJSIP/1001", "NOT_INUSE") for place in nodes.places))
    again = await first.call("acd-sales", timeout=BUSY_LINE)
    incoming = await back.rings(timeout=BUSY_LINE)
    await hear_each_other(again, incoming, (first, back))


async def test_a_link_that_was_away_heals_by_one_reload(nodes: Cluster) -> None:
    """Nothing crosses while it is away, and what was changed meanwhile is right afterwards at both ends."""
    agent = await nodes.agent("1001", nodes.b)
    customer = await nodes.a.customer()
    async with parted(nodes.sites[0], nodes.sites[1]):
        await until(lambda: nodes.a.lost("nodeb"), within=BUSY_LINE, what="A finding B gone")
        began = time.monotonic()
        assert (await customer.call("1001", timeout=BUSY_LINE)).status == 480
        print(f"a call across is refused after {(time.monotonic() - began) * 1000:.0f} ms")
        assert not agent.invites
        for number in range(1010, 1030):
            await lamp(nodes.b, str(number), "INUSE")
        # C, between whom and B nothing happened, has it all
        await nodes.c.until_state("Custom:agent1029", "INUSE")
    await nodes.joined()
    for place in (nodes.a, nodes.b):
        await place.pbx.cli(f"module reload {PUBLISHER}")
    began = time.monotonic()
    for number in range(1010, 1030):
        await nodes.a.until_state(f"Custom:agent{number}", "INUSE")
    print(f"all states are there {time.monotonic() - began:.1f} s after the reload")
    outgoing = await customer.call("1001", timeout=BUSY_LINE)
    await hear_each_other(outgoing, await agent.rings(timeout=BUSY_LINE), (customer, agent))


async def test_a_caller_waits_for_a_queue_whose_node_is_gone_until_another_serves_it(nodes: Cluster) -> None:
    agent = await nodes.agent("1003", nodes.c)
    await nodes.serve("support", nodes.b)
    await nodes.switch.unplug(nodes.sites[1])
    try:
        await until(lambda: nodes.c.lost("nodeb"), within=BUSY_LINE, what="C finding B gone")
        customer = await nodes.c.customer()
        outgoing = await customer.call("acd-support", timeout=BUSY_LINE)
        assert not agent.invites
        await nodes.c.member("1003", "support", here=True)
        await nodes.c.drop("queue/support/node")
        await hear_each_other(outgoing, await agent.rings(timeout=BUSY_LINE), (customer, agent))
    finally:
        await nodes.switch.plug(nodes.sites[1])
    await nodes.joined()
