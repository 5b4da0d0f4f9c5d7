"""Outages of three nodes with their daemons: what is lost with each, and that nothing else is.

15 seconds each by default; AGENTBRIDGE_NODE_OUTAGE=60 or 120 for the long run. Nobody mends anything, and at the end
of each the same is asked: nobody was logged out, nothing is left to do on any node, callers reach the agent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio

from lab.clock import Clock
from lab.phones import Phone, Ring, State
from lab.postgres import Postgres
from lab.processes import until
from lab.switch import parted
from tests.faults.servers import Standby
from tests.nodes.centre import OUTAGE_S, SERVED_AGAIN_S, SILENT_S, Centre, opened, registered, served, talk
from tests.nodes.cluster import BUSY_LINE, Place, hear_each_other

DAY_S = 86400


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
    print(f"a change is on all nodes {await centre.database_back(fresh_postgres):.1f} s after PostgreSQL is back")
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


async def test_a_partition_between_two_nodes_costs_nothing_elsewhere(centre: Centre) -> None:
    """sales is served by A, support by B; ann, dan and eve are at B, bob at C, cam at A."""
    a, b, c = centre.cluster.places
    await centre.bridges[0].cli("node", "home", "nodeb", "--queue", "support", "--yes")
    places = {"ann": b, "bob": c, "cam": a, "dan": b, "eve": b}
    people = {name: await centre.agent(name) for name in places}
    ann, bob, cam, dan, eve = [await registered(place, *people[name]) for name, place in places.items()]
    numbers = {people[name][0]: place for name, place in places.items()}
    await centre.until_right(numbers)
    before = await centre.unmoved()

    # two calls that do not need the way between A and B; and a phone at B that rings for a caller at A
    await centre.only("ann")
    elsewhere = await talk(c, "support", ann)
    await centre.only("bob")
    also = await talk(a, "sales", bob)
    await centre.only("eve")
    eve.behaviour = Ring()
    (await a.customer()).dial(people["eve"][0])
    ringing = await eve.rings(timeout=BUSY_LINE)
    began = time.monotonic()
    async with parted(*centre.cluster.sites[:2]):
        await ringing.ended(timeout=BUSY_LINE)
        silent = time.monotonic() - began
        print(f"the phone that rang across is silent after {silent:.1f} s")
        assert silent < SILENT_S
        await until(lambda: a.lost("nodeb"), within=BUSY_LINE, what="A finding B gone")
        # dan is free, and A does not reach him: whoever waits there gets an agent as soon as one is reached
        await centre.only("dan")
        waiting = await (await a.customer()).call("acd-sales", timeout=BUSY_LINE)
        await asyncio.sleep(max(OUTAGE_S / 2 - (time.monotonic() - began), 5))
        assert waiting.state is State.UP
        assert (len(dan.invites), len(eve.invites)) == (0, 1)
        await centre.only("cam")
        incoming = await cam.rings(timeout=SERVED_AGAIN_S)
        await waiting.hears(cam.tone or 0, timeout=BUSY_LINE)
        # and B serves support as ever, for callers at C
        await centre.only("dan")
        await (await talk(c, "support", dan)).end()
        await asyncio.sleep(max(OUTAGE_S - (time.monotonic() - began), 0))
        await asyncio.gather(elsewhere.goes_on(), also.goes_on())
        assert await centre.unmoved() == before
    lasted, healed = time.monotonic() - began, time.monotonic()
    await asyncio.gather(elsewhere.goes_on(), also.goes_on())
    await asyncio.gather(elsewhere.end(), also.end(), waiting.hangup())
    await incoming.ended(timeout=BUSY_LINE)
    await centre.cluster.joined()
    await centre.until_right(numbers)
    print(f"all is right {time.monotonic() - healed:.1f} s after a partition of {lasted:.0f} s")
    await centre.as_unmoved(before, numbers)
    await centre.only("ann")
    await served(a, ann)


async def test_postgresql_changes_its_server(fresh_postgres: Postgres, tmp_path: Path) -> None:
    """A switchover and then a failover from a server that hangs, each to a synchronous standby, with a call up.

    The DSN names all three servers.
    """
    async with AsyncExitStack() as stack:
        second, third = Standby(fresh_postgres), Standby(fresh_postgres)
        await stack.enter_async_context(second)
        centre = await stack.enter_async_context(opened(fresh_postgres, tmp_path, [second, third]))
        b = centre.cluster.b
        number, secret = await centre.agent("ann")
        agent = await registered(b, number, secret)
        numbers = {number: b}
        await centre.until_right(numbers)
        before = await centre.unmoved()

        took = await carried_on(centre, fresh_postgres, second, agent, lambda: fresh_postgres.stop("fast"))
        print(f"a switchover: a change is on all nodes {took:.1f} s after the end of the old primary")
        await centre.as_unmoved(before, numbers)

        async def hang() -> None:
            second.pause()

        third.follow(second)
        await stack.enter_async_context(third)
        took = await carried_on(centre, second, third, agent, hang)
        print(f"a failover: a change is on all nodes {took:.1f} s after the old primary hung")
        await centre.as_unmoved(before, numbers)
        for bridge in centre.bridges:
            assert bridge.events("database.older") == []


async def carried_on(
    centre: Centre, primary: Postgres, standby: Standby, agent: Phone, end: Callable[[], Awaitable[None]]
) -> float:
    """With a call up a synchronous standby becomes the primary server; returns the seconds until all nodes followed a
    change that was made there."""
    await primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    await primary.execute("SELECT pg_reload_conf()")
    a, b, c = centre.cluster.places
    talking = await talk(c, "sales", agent)
    took, began = 0.0, time.monotonic()
    await end()
    await standby.promote()
    await centre.reconnect(standby.dsn(centre.dsn.rsplit("/", 1)[1]))
    for verb, paused in (("pause('ann', 'lunch')", "1"), ("unpause('ann')", "")):
        await centre.db.execute(f"select agentbridge.{verb}")
        for place in (b, c):
            await centre.until_key(place, f"agent/{agent.user}/paused", paused)
        await until(lambda paused=paused: is_paused(a, paused), within=SERVED_AGAIN_S, what="the queue's node knowing")
        await centre.settled()
        took = took or time.monotonic() - began
    await talking.goes_on()
    await talking.end()
    await served(c, agent)
    return took


async def is_paused(place: Place, paused: str) -> bool:
    """Whether the only member of sales there is on pause; '' for not."""
    return [member["Paused"] for member in await place.members()] == [paused or "0"]


def minute_ahead(folder: Path) -> Mapping[str, str]:
    """The environment of a process whose clock is a minute ahead, and which sees that folder."""
    (folder / "clock").mkdir()
    clock = Clock(folder / "clock")
    clock.offset = 60
    return clock.environment
