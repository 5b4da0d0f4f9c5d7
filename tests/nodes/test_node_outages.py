"""Outages of three nodes with their daemons: what is lost with each, and that nothing else is.

15 seconds each by default; AGENTBRIDGE_NODE_OUTAGE=60 or 120 for the long run. Nobody mends anything, and at the end
of each the same is asked: nobody was logged out, nothing is left to do on any node, callers reach the agent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest_asyncio

from lab.clock import Clock
from lab.phones import Phone, State
from lab.postgres import Postgres
from lab.processes import until
from lab.switch import parted
from tests.nodes.centre import Centre, opened, registered, served
from tests.nodes.cluster import BUSY_LINE, Place, hear_each_other

DAY_S = 86400
OUTAGE_S = float(os.environ.get("AGENTBRIDGE_NODE_OUTAGE", "15"))


@pytest_asyncio.fixture
async def centre(fresh_postgres: Postgres, tmp_path: Path) -> AsyncIterator[Centre]:
    async with opened(fresh_postgres, tmp_path) as centre:
        yield centre


async def as_before(centre: Centre, server: str, caller: Place, agent: Phone) -> None:
    """One agent is logged in, no queue moved from that node, nothing is left to do, and callers are served."""
    await centre.cluster.joined()
    await centre.settled()
    assert await centre.serving("sales") == server
    assert await centre.db.fetchval("select count(*) from agentbridge.agent_status where logged_in") == 1
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
    served_by_b = taker == "nodeb"
    if served_by_b:
        await centre.until_served("sales", "nodea", "nodec")
        taker = await centre.serving("sales")
    holder = a if taker == "nodea" else c

    async def left() -> bool:
        return await holder.members() == []

    await until(left, within=BUSY_LINE, what="the agent of a lost node leaving the queue")
    waited = " (with the lease of its queues)" if served_by_b else ""
    print(f"the agent of a lost node left the queue {time.monotonic() - began:.1f} s after its death{waited}")
    assert await centre.db.fetchval("select logged_in from agentbridge.agent_status where internal = $1", number)
    agent.close()
    back = await registered(c, number, secret)
    await served(c, back)
    await b.pbx.start()
    await centre.bridges[1].start()
    await as_before(centre, taker, c, back)


async def test_two_are_lost_at_once_one_is_back_after_a_day_and_then_its_clock_is_wrong(centre: Centre) -> None:
    a, b, c = centre.cluster.places
    number, secret = await centre.agent("ann")
    agent = await registered(c, number, secret)
    bob, bobs_secret = await centre.agent("bob")
    bobs = await registered(a, bob, bobs_secret)
    await centre.until_key(c, f"agent/{bob}/node", "nodea")

    # two nodes at once: the third one serves everything, and bob is not rung
    began = time.monotonic()
    await asyncio.gather(*(bridge.kill() for bridge in centre.bridges[:2]), a.pbx.kill(), b.pbx.kill())
    await centre.until_served("sales", "nodec")
    await centre.until_member(c, f"PJSIP/{number}")
    await centre.until_key(c, "queue/sales/node", "")
    print(f"the last node serves the queue {time.monotonic() - began:.1f} s after the death of the two others")
    await served(c, agent)
    await b.pbx.start()
    await centre.bridges[1].start()

    # a day passes for A: bob is another's colleague now, and what was told meanwhile is forgotten
    await centre.db.execute(
        "update agentbridge.nodes set up_at = up_at - make_interval(secs => $1),"
        " seen_at = seen_at - make_interval(secs => $1), steady_since = steady_since - make_interval(secs => $1)"
        " where node = 'nodea'",
        float(DAY_S),
    )
    await centre.db.execute("select agentbridge.logout('bob')")
    await centre.db.execute("update agentbridge.agents set sip_secret = 'another-secret-now' where username = 'bob'")
    await centre.db.execute("update agentbridge.changes set at = at - interval '1 day'")
    await centre.db.execute("select agentbridge.prune_changes()")
    bobs.close()
    await a.pbx.start()
    await centre.bridges[0].start()
    await as_before(centre, "nodec", a, agent)
    assert await a.members() == []
    print("a node that is back after a day has what is true now")

    # its clock is a minute ahead, and that of its daemon: a phone that comes and goes is where it was last
    a.pbx.environment = dict(minute_ahead(a.pbx.dir))
    await a.pbx.restart()
    await centre.bridges[0].stop()
    await centre.bridges[0].start(environment=minute_ahead(centre.bridges[0].dir))
    await as_before(centre, "nodec", a, agent)
    at_a = await registered(a, number, secret)
    await centre.until_key(c, f"agent/{number}/node", "nodea")
    await served(b, at_a)
    back = await registered(c, number, secret)
    await centre.until_key(a, f"agent/{number}/node", "nodec")
    before = len(at_a.invites)
    await as_before(centre, "nodec", a, back)
    assert len(at_a.invites) == before
    assert await centre.db.fetchval("select count(*) from agentbridge.nodes where lost_at is not null") == 0
    print("a wrong clock changes nothing")


def minute_ahead(folder: Path) -> Mapping[str, str]:
    """The environment of a process whose clock is a minute ahead, and which sees that folder."""
    (folder / "clock").mkdir()
    clock = Clock(folder / "clock")
    clock.offset = 60
    return clock.environment
