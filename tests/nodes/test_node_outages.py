"""Outages of three nodes with their daemons: what is lost with each, and that nothing else is.

15 seconds each by default; AGENTBRIDGE_NODE_OUTAGE=60 or 120 for the long run. Nobody mends anything, and at the end
of each the same is asked: nobody was logged out, nothing is left to do on any node, callers reach the agent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from lab.phones import Phone, State
from lab.postgres import Postgres
from lab.processes import until
from lab.switch import parted
from tests.nodes.centre import Centre, opened, registered, served
from tests.nodes.cluster import BUSY_LINE, Place, hear_each_other

OUTAGE_S = float(os.environ.get("AGENTBRIDGE_NODE_OUTAGE", "15"))


@pytest_asyncio.fixture
async def centre(fresh_postgres: Postgres, tmp_path: Path) -> AsyncIterator[Centre]:
    async with opened(fresh_postgres, tmp_path) as centre:
        yield centre


async def as_before(centre: Centre, server: str, caller: Place, agent: Phone) -> None:
    """Nobody was logged out, no queue moved from that node, nothing is left to do, and callers are served."""
    await centre.cluster.joined()
    await centre.settled()
    assert await centre.serving("sales") == server
    assert await centre.db.fetchval("select bool_and(logged_in) from agentbridge.agent_status")
    await centre.without_drift()
    await served(caller, agent)


async def test_nothing_moves_that_need_not_and_what_is_lost_comes_back(
    centre: Centre, fresh_postgres: Postgres
) -> None:
    a, b, c = centre.cluster.places
    number, secret = await centre.agent("ann")
    agent = await registered(b, number, secret)
    await centre.until_member(a, f"Local/{number}@agentbridge-remote")

    # a daemon alone: its Asterisk goes on as last told, and no queue moves
    await centre.bridges[0].kill()
    await served(c, agent)
    await asyncio.sleep(OUTAGE_S)
    assert await centre.serving("sales") == "nodea"
    await served(c, agent)
    await centre.bridges[0].start()
    await as_before(centre, "nodea", c, agent)
    print("a daemon alone: nothing moved")

    # PostgreSQL, with a call up: everything stays as it is
    customer = await c.customer()
    outgoing = await customer.call("acd-sales", timeout=BUSY_LINE)
    incoming = await agent.rings(timeout=BUSY_LINE)
    await fresh_postgres.kill()
    await asyncio.sleep(OUTAGE_S)
    await hear_each_other(outgoing, incoming, (customer, agent))
    await outgoing.hangup()
    await incoming.ended(timeout=BUSY_LINE)
    await served(c, agent)
    await fresh_postgres.start()
    await centre.reconnect()
    await as_before(centre, "nodea", c, agent)
    await asyncio.sleep(2 * OUTAGE_S if OUTAGE_S < 30 else OUTAGE_S)  # longer than the lease
    assert await centre.serving("sales") == "nodea"
    print("PostgreSQL: nothing moved, during it and after it")

    # the link between the queue's node and the phone's: no call across, and no queue moves
    async with parted(*centre.cluster.sites[:2]):
        await until(lambda: a.lost("nodeb"), within=BUSY_LINE, what="A finding B gone")
        waiting = await customer.call("acd-sales", timeout=BUSY_LINE)
        before = len(agent.invites)
        await asyncio.sleep(OUTAGE_S)
        assert len(agent.invites) == before
        assert waiting.state is State.UP
        assert await centre.serving("sales") == "nodea"
    incoming = await agent.rings(timeout=BUSY_LINE)
    await hear_each_other(waiting, incoming, (customer, agent))
    await waiting.hangup()
    await incoming.ended(timeout=BUSY_LINE)
    await as_before(centre, "nodea", c, agent)
    print("a link: the caller waited, and was served after it")

    # an Asterisk that hangs is lost, and when it goes on it has no queue that another one has
    began = time.monotonic()
    a.pbx.pause()
    await centre.until_served("sales", "nodeb", "nodec")
    taker = await centre.serving("sales")
    await centre.until_key(c, "queue/sales/node", "" if taker == "nodec" else taker)
    await served(c, agent)
    print(f"an Asterisk that hangs: callers of its queue are served after {time.monotonic() - began:.1f} s")
    await asyncio.sleep(OUTAGE_S)
    a.pbx.resume()
    await as_before(centre, taker, c, agent)
    assert await a.members() == []

    # the agent's node: the agent leaves the queue, stays logged in, and is back when its phone is at another node
    began = time.monotonic()
    await centre.bridges[1].kill()
    await b.pbx.kill()
    if taker == "nodeb":
        await centre.until_served("sales", "nodea", "nodec")
        taker = await centre.serving("sales")
    holder = a if taker == "nodea" else c

    async def left() -> bool:
        return await holder.members() == []

    await until(left, within=BUSY_LINE, what="the agent of a lost node leaving the queue")
    print(f"the agent of a lost node left the queue {time.monotonic() - began:.1f} s after its death")
    assert await centre.db.fetchval("select logged_in from agentbridge.agent_status where internal = $1", number)
    agent.close()
    back = await registered(c, number, secret)
    await served(c, back)
    await b.pbx.start()
    await centre.bridges[1].start()
    await as_before(centre, taker, c, back)
