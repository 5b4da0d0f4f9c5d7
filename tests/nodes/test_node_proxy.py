"""Phones behind Kamailio, three nodes with their daemons: a phone whose node dies is called through another one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from lab.kamailio import Kamailio
from lab.phones import Farm
from lab.postgres import Postgres
from lab.processes import until
from lab.switch import HUB
from tests.nodes.centre import Centre, opened, registered_by, served
from tests.nodes.cluster import BUSY_LINE, NODES, Place, hear_each_other


@pytest_asyncio.fixture
async def centre(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Centre]:
    async with opened(postgres, tmp_path) as centre:
        yield centre


@pytest_asyncio.fixture
async def edge(centre: Centre) -> AsyncIterator[Farm]:
    """Phones that know Kamailio alone."""
    async with (
        Kamailio((HUB, 5060), NODES) as kamailio,
        Farm(kamailio.address, tones=centre.cluster.tones) as farm,
    ):
        yield farm


async def place_of(centre: Centre, number: str) -> Place:
    """The node that has the phone, as the directory knows it with its path."""

    async def known() -> bool:
        return bool(await centre.db.fetchval("select path from agentbridge.device_locations where device = $1", number))

    await until(known, within=BUSY_LINE, what=f"the directory knowing by which proxy {number} is reached")
    node = await centre.db.fetchval("select node from agentbridge.device_locations where device = $1", number)
    return next(place for place in centre.cluster.places if place.name == node)


async def test_a_phone_behind_kamailio_whose_node_dies_rings_from_another_without_a_register(
    centre: Centre, edge: Farm
) -> None:
    cluster = centre.cluster
    number, secret = await centre.agent("ann")
    agent = await registered_by(edge, number, secret)
    home = await place_of(centre, number)
    others = [place for place in cluster.places if place is not home]
    bridge = centre.bridges[cluster.places.index(home)]
    # the queue is at another node, and customers call at the third
    server, third = others
    await centre.bridges[0].cli("node", "home", server.name, "--queue", "sales", "--queue", "support", "--yes")
    await centre.until_member(server, f"Local/{number}@agentbridge-remote")
    await centre.until_key(third, "queue/sales/node", server.name)
    await served(third, agent)

    sent = agent.registers
    began = time.monotonic()
    await bridge.kill()
    await home.pbx.kill()

    async def taken() -> bool:
        return await place_of(centre, number) is not home

    await until(taken, within=BUSY_LINE, what="another node taking the phone over")
    taker = await place_of(centre, number)
    print(f"the phone is at another node {time.monotonic() - began:.1f} s after the death of its own")
    await centre.until_member(server, f"PJSIP/{number}" if taker is server else f"Local/{number}@agentbridge-remote")
    print(f"it is a member again {time.monotonic() - began:.1f} s after it")
    await served(third, agent)
    assert agent.registers == sent
    assert await centre.db.fetchval("select logged_in from agentbridge.agent_status where internal = $1", number)

    # what the phone sends itself goes to a node that lives: its calls, and its registration when it is due
    customer = await third.customer()
    began = time.monotonic()
    outgoing = await agent.call("queue-support", timeout=BUSY_LINE)
    took = time.monotonic() - began
    print(f"the phone's own call is taken after {took:.1f} s")
    assert took < 2.9, "Kamailio has asked the dead node more than once, for 1.5 s each"
    await outgoing.hangup()
    await agent.register()
    called = await customer.call(number, timeout=BUSY_LINE)
    await hear_each_other(called, await agent.rings(timeout=BUSY_LINE), (customer, agent))
    await called.hangup()

    # back: its old registration counts for nothing
    await home.pbx.start()
    await bridge.start()
    await cluster.joined()
    await centre.settled()
    await centre.without_drift()
    assert f"{number}/sip:" not in await home.pbx.cli("pjsip show contacts")
    await served(home, agent)
