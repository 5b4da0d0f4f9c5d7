"""A node that is cut off from the database, while the other nodes, its phones and its callers reach it as ever.

15 seconds by default; AGENTBRIDGE_NODE_OUTAGE=120 for the long run. Beside it what is the same outage for a centre of
one node. Judged by SQL, by a bare AMI client on each node, and by what is heard.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from lab.faults import Fault, FaultProxy
from lab.phones import Ring
from lab.postgres import Postgres
from lab.processes import until
from lab.switch import parted
from tests.nodes.centre import FAILOVER_S, OUTAGE_S, SERVED_AGAIN_S, SILENT_S, Centre, opened, registered, served, talk
from tests.nodes.cluster import BUSY_LINE, NAMES, Place

RETURN_S = 15.0
"""until a node has everything again that happened while it had no database"""
LOOKS_S = 2.0
CALLS = """
select a.username, count(*) from agentbridge.ended_calls e join agentbridge.agents a on a.id = e.agent_id
where e.answered_at is not null group by 1"""


@pytest_asyncio.fixture
async def way(fresh_postgres: Postgres) -> AsyncIterator[FaultProxy]:
    """The way of nodea's daemon to the database."""
    async with FaultProxy(fresh_postgres.port) as way:
        yield way


async def until_paused(centre: Centre, place: Place, number: str, queue: str = "sales") -> None:
    """Until the agent is on pause in the queue that the node serves and, where there are several, at its gate."""

    async def paused() -> bool:
        return any(number in m["Location"] and m["Paused"] == "1" for m in await place.members(queue))

    await until(paused, within=SERVED_AGAIN_S, what=f"{number} on pause in {queue} at {place.name}")
    if len(centre.bridges) > 1:
        await centre.until_key(place, f"agent/{number}/paused", "1")


async def test_a_node_without_the_database_goes_on_by_what_was_last_known(
    fresh_postgres: Postgres, tmp_path: Path, way: FaultProxy
) -> None:
    """sales is served by A, which is cut off, support by B; ann and eve are at B, bob and dan at C, cam at A."""
    async with opened(fresh_postgres, tmp_path, ways={"nodea": way}) as centre:
        a, b, c = centre.cluster.places
        await centre.bridges[1].cli("node", "home", "nodeb", "--queue", "support", "--yes")
        places = {"ann": b, "bob": c, "cam": a, "dan": c, "eve": b}
        people = {name: await centre.agent(name) for name in places}
        ann, bob, cam, dan, eve = [await registered(place, *people[name]) for name, place in places.items()]
        numbers = {people[name][0]: place for name, place in places.items()}
        await centre.until_right(numbers)
        await centre.db.execute("select agentbridge.logout('dan')")
        await centre.only("eve")
        talking = await talk(c, "sales", eve)
        await centre.db.execute("select agentbridge.unpause('ann'), agentbridge.unpause('bob')")
        await centre.settled()
        before = await centre.unmoved()

        way.fault, began = Fault.HALF_OPEN, time.monotonic()
        await centre.bridges[0].logged("database.lost", within=BUSY_LINE)
        print(f"the node knows that it is cut off after {time.monotonic() - began:.1f} s")
        # as last known: ann and bob are free, and cam is on pause
        ann.behaviour = bob.behaviour = Ring()
        waiting = await (await c.customer()).call("acd-sales", timeout=BUSY_LINE)
        await asyncio.gather(ann.rings(timeout=BUSY_LINE), bob.rings(timeout=BUSY_LINE))
        await waiting.hangup()

        # what happens meanwhile is at once with the others: ann goes on pause, bob leaves, cam works, dan comes
        paused = time.monotonic()
        await centre.db.execute("select agentbridge.pause('ann', 'lunch')")
        await until_paused(centre, b, people["ann"][0], "support")
        print(f"a pause is with the other nodes {time.monotonic() - paused:.1f} s after it was made")
        assert time.monotonic() - paused < SILENT_S
        await centre.db.execute(
            "select agentbridge.logout('bob'), agentbridge.unpause('cam'), agentbridge.login('dan')"
        )
        await centre.until_key(c, f"agent/{people['bob'][0]}/device", "")
        invites = len(ann.invites), len(bob.invites)
        await served(c, dan, "support")
        # A offers its callers to ann and bob, whose nodes refuse; they wait for cam, who is on pause as A knows it
        waiting = await (await c.customer()).call("acd-sales", timeout=BUSY_LINE)
        await asyncio.sleep(SILENT_S)
        assert (len(ann.invites), len(bob.invites), len(cam.invites)) == (*invites, 0)
        await talking.goes_on()
        assert await centre.db.fetchval("select state from agentbridge.node_status where node = 'nodea'") == "ill"
        await asyncio.sleep(max(OUTAGE_S, 2 * FAILOVER_S) - (time.monotonic() - began))
        after = await centre.unmoved()
        assert len(set(before) - set(after)) == 1, "bob's session, and no other one and no queue"

        way.fault, healed = Fault.NONE, time.monotonic()
        incoming = await cam.rings(timeout=SERVED_AGAIN_S)
        await waiting.hears(cam.tone or 0, timeout=BUSY_LINE)
        await until_paused(centre, a, people["ann"][0])
        print(f"the node has what happened meanwhile {time.monotonic() - healed:.1f} s after its return")
        assert time.monotonic() - healed < RETURN_S
        await talking.goes_on()
        await asyncio.gather(talking.end(), waiting.hangup(), incoming.ended(timeout=BUSY_LINE))
        await until(lambda: told(centre, cam=1, dan=1, eve=1), within=BUSY_LINE, what="each call in the history")
        del numbers[people["bob"][0]]
        await centre.as_unmoved(after, numbers)

        # and now the way to the other nodes too, with a phone of A that rings for a caller at B
        cam.behaviour = Ring()
        (await b.customer()).dial(people["cam"][0])
        ringing = await cam.rings(timeout=BUSY_LINE)
        way.fault, began = Fault.HALF_OPEN, time.monotonic()
        here, *others = centre.cluster.sites
        async with parted(here, others[0]), parted(here, others[1]):
            await ringing.ended(timeout=BUSY_LINE)
            silent = time.monotonic() - began
            print(f"a phone of a node that is cut off from everything is silent after {silent:.1f} s")
            assert silent < SILENT_S
            await a.ask("Setvar", Variable="DEVICE_STATE(Custom:agent1519)", Value="INUSE")
        await centre.cluster.joined()
        await asyncio.sleep(LOOKS_S)  # its daemon finds the others, and has no database yet
        way.fault = Fault.NONE
        for place in (b, c):
            await place.until_state("Custom:agent1519", "INUSE", within=SERVED_AGAIN_S)
        await centre.as_unmoved(after, numbers)


async def told(centre: Centre, **wanted: int) -> bool:
    """Whether the history has so many answered calls of each agent."""
    return dict(await centre.db.fetch(CALLS)) == wanted


async def test_the_same_outages_of_a_centre_of_one_node(
    fresh_postgres: Postgres, tmp_path: Path, way: FaultProxy
) -> None:
    """The figures beside those of several nodes."""
    async with opened(fresh_postgres, tmp_path, nodes=NAMES[:1], ways={"nodea": way}) as centre:
        (a,), (bridge,) = centre.cluster.places, centre.bridges
        number, secret = await centre.agent("ann")
        agent = await registered(a, number, secret)
        await centre.until_right({number: a})
        before = await centre.unmoved()

        way.fault = Fault.HALF_OPEN
        await bridge.logged("database.lost", within=BUSY_LINE)
        await centre.db.execute("select agentbridge.pause('ann', 'lunch')")
        await served(a, agent)
        await asyncio.sleep(OUTAGE_S)
        way.fault, healed = Fault.NONE, time.monotonic()
        await until_paused(centre, a, number)
        print(f"one node has a pause of meanwhile {time.monotonic() - healed:.1f} s after the return of its database")
        await centre.db.execute("select agentbridge.unpause('ann')")
        await centre.until_member(a, f"PJSIP/{number}")

        began = time.monotonic()
        await a.pbx.kill()
        await a.pbx.start()
        agent.close()
        agent = await registered(a, number, secret)
        await served(a, agent)
        print(f"one node serves its queue {time.monotonic() - began:.1f} s after its Asterisk was killed and started")
        await bridge.kill()
        await served(a, agent)
        await bridge.start()
        await fresh_postgres.kill()
        await asyncio.sleep(OUTAGE_S)
        await served(a, agent)
        print(f"a change is on one node {await centre.database_back(fresh_postgres):.1f} s after PostgreSQL is back")
        await centre.without_drift()
        assert await centre.unmoved() == before
