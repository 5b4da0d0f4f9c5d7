"""Three nodes with their daemons on one directory: what a call does when agents, queues and nodes come and go.

Judged by SQL, by a bare AMI client on each node, and by what is heard.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agentbridge.desired.node_files import ASTERISK_FILE, PJSIP_FILE
from agentbridge.reconcile.work_queue import REST_SECONDS
from lab.manager import Manager
from lab.phones import Ring
from lab.postgres import Postgres
from lab.processes import LabError, until
from lab.switch import parted
from tests.acceptance.many_nodes import make_agent
from tests.nodes.centre import FAILOVER_S, SERVED_AGAIN_S, SILENT_S, Centre, opened, registered, served
from tests.nodes.cluster import BUSY_LINE, QUEUES, hear_each_other

WRAP_UP_S = float(QUEUES["care"]["wrapuptime"])


@pytest_asyncio.fixture
async def centre(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Centre]:
    async with opened(postgres, tmp_path) as centre:
        yield centre


async def test_an_agent_moves_between_nodes_and_a_node_dies(centre: Centre) -> None:
    a, b, c = centre.cluster.places
    number, secret = await centre.agent("ann")

    # the phone at B, the queue at A, callers at C
    at_b = await registered(b, number, secret)
    await centre.until_member(a, f"Local/{number}@agentbridge-remote")
    for place in (a, c):
        await centre.until_key(place, f"agent/{number}/node", "nodeb")
    await centre.until_key(c, "queue/sales/node", "nodea")
    await served(c, at_b)

    # a pause is everywhere
    times = [await pause_seconds(centre, number) for _ in range(5)]
    print(f"a pause is on all nodes after {', '.join(f'{1000 * t:.0f}' for t in sorted(times))} ms")

    # the phone goes to C: its call comes there, and B has forgotten it
    at_c = await registered(c, number, secret)
    await centre.until_key(c, f"agent/{number}/node", "")
    await centre.until_key(a, f"agent/{number}/node", "nodec")
    await centre.until_member(a, f"Local/{number}@agentbridge-remote")
    before = len(at_b.invites)
    await served(b, at_c)
    assert len(at_b.invites) == before
    assert f"{number}/sip:" not in await b.pbx.cli("pjsip show contacts")

    # A dies: its queues are served elsewhere, and nobody is logged out
    began = time.monotonic()
    await a.pbx.kill()
    await centre.until_served("sales", "nodeb", "nodec")
    taker = b if await centre.serving("sales") == "nodeb" else c
    await centre.until_member(taker, f"PJSIP/{number}" if taker is c else f"Local/{number}@agentbridge-remote")
    await centre.until_key(b if taker is c else c, "queue/sales/node", taker.name)
    print(f"sales is served again {time.monotonic() - began:.1f} s after the death of its node")
    await served(b, at_c)
    await served(c, at_c)
    assert await centre.db.fetchval("select logged_in from agentbridge.agent_status where internal = $1", number)

    # A comes back: no queue moves, and nothing is left to do anywhere
    await a.pbx.start()
    await centre.cluster.joined()
    await centre.until_key(a, "queue/sales/node", taker.name)
    await centre.settled()
    assert await centre.serving("sales") == taker.name
    await centre.without_drift()
    await served(a, at_c)


async def test_a_link_heals_by_itself_and_no_phone_rings_for_a_dead_node(centre: Centre) -> None:
    a, b, c = centre.cluster.places
    number, secret = await centre.agent("ann")
    agent = await registered(b, number, secret)
    await centre.until_member(a, f"Local/{number}@agentbridge-remote")

    # what B tells while A does not hear it is told again, and nobody reloads anything by hand
    async with parted(*centre.cluster.sites[:2]):
        await until(lambda: a.lost("nodeb"), within=BUSY_LINE, what="A finding B gone")
        for lamp in range(1500, 1520):
            await b.ask("Setvar", Variable=f"DEVICE_STATE(Custom:agent{lamp})", Value="INUSE")
        await c.until_state("Custom:agent1519", "INUSE")
        assert await a.state("Custom:agent1519") != "INUSE"
    began = time.monotonic()
    for lamp in range(1500, 1520):
        await a.until_state(f"Custom:agent{lamp}", "INUSE", within=SERVED_AGAIN_S)
    print(f"all states of B are at A {time.monotonic() - began:.1f} s after the partition")
    await centre.cluster.joined()
    await served(c, agent)

    # the caller's node dies while the phone rings
    agent.behaviour = Ring()
    caller = await a.customer()
    caller.dial(number)
    ringing = await agent.rings(timeout=BUSY_LINE)
    began = time.monotonic()
    await a.pbx.kill()
    await ringing.ended(timeout=BUSY_LINE)
    silent = time.monotonic() - began
    print(f"the phone is silent {silent:.1f} s after the death of the caller's node")
    assert silent < SILENT_S

    # and the phone's node dies while a queue's call rings there: the caller gets the next agent
    await a.pbx.start()
    await centre.cluster.joined()
    await centre.settled()
    await centre.bridges[0].cli("node", "home", "nodea", "--queue", "sales", "--yes")
    bob, bobs_secret = await centre.agent("bob")
    other = await registered(c, bob, bobs_secret)
    await centre.db.execute("select agentbridge.pause('bob', '')")
    await centre.settled()
    await centre.until_key(c, "queue/sales/node", "nodea")
    customer = await c.customer()
    outgoing = await customer.call("acd-sales", timeout=BUSY_LINE)
    await agent.rings(timeout=BUSY_LINE)
    await centre.db.execute("select agentbridge.unpause('bob')")
    began = time.monotonic()
    await b.pbx.kill()
    await hear_each_other(outgoing, await other.rings(timeout=BUSY_LINE), (customer, other))
    print(f"the caller has another agent {time.monotonic() - began:.1f} s after the death of the phone's node")
    assert not await centre.db.fetchval("select paused from agentbridge.agent_status where username = 'ann'")


async def test_agents_of_a_dead_node_leave_the_queues_of_others_within_seconds(centre: Centre) -> None:
    a, b, _ = centre.cluster.places
    number, secret = await centre.agent("ann")
    await registered(b, number, secret)
    await centre.until_member(a, f"Local/{number}@agentbridge-remote")

    async def left() -> bool:
        return await a.members() == []

    began = time.monotonic()
    await asyncio.gather(b.pbx.kill(), centre.bridges[1].kill())
    await until(left, within=BUSY_LINE, what="the agent leaving the queue")
    took = time.monotonic() - began
    print(f"the agent of a dead node left the queue {took:.1f} s after its death")
    assert took < FAILOVER_S - 2, "it waited for the lease of the node's queues"


async def test_a_hot_desk_and_a_wrap_up_across_nodes(centre: Centre) -> None:
    """The queue at A, the desk at B, callers at C; in the wrap-up the telephone goes to C."""
    a, b, c = centre.cluster.places
    await centre.db.execute("insert into agentbridge.telephones (name) values ('desk7')")
    secret = await centre.db.fetchval("select sip_secret from agentbridge.telephones")
    number, _ = await make_agent(centre.db, "guest", hot_desk=True, record_calls="wav")
    await centre.bridges[0].cli("node", "home", "nodea", "--queue", "care", "--yes")
    at_b = await registered(b, "desk7", secret)
    there = "select registered from agentbridge.telephones"
    await until(lambda: _value(centre, there, True), within=BUSY_LINE, what="the directory knowing the telephone")
    await centre.db.execute("select agentbridge.login('guest', 'desk7')")
    await centre.until_member(a, f"Local/{number}@agentbridge-remote", "care")
    await centre.until_key(c, "queue/care/node", "nodea")
    await served(c, at_b, "care")
    over = time.monotonic()
    recorded = "select node from agentbridge.recordings where agent_id is not null"
    await until(
        lambda: _value(centre, recorded, "nodeb"), within=BUSY_LINE, what="the recording of the telephone's node"
    )

    at_c = await registered(c, "desk7", secret)
    await centre.until_key(a, f"agent/{number}/node", "nodec")
    customer = await c.customer()
    outgoing = await customer.call("acd-care", timeout=BUSY_LINE)
    incoming = await at_c.rings(timeout=SERVED_AGAIN_S)
    held = time.monotonic() - over
    print(f"the next call came {held:.1f} s after the last, with a wrap-up of {WRAP_UP_S:.0f} s")
    assert held > WRAP_UP_S - 1.5  # Asterisk counts whole seconds
    await hear_each_other(outgoing, incoming, (customer, at_c))
    await outgoing.hangup()
    await incoming.ended(timeout=BUSY_LINE)
    assert len(at_b.invites) == 1


async def _value(centre: Centre, query: str, wanted: object) -> bool:
    return bool(await centre.db.fetchval(query) == wanted)


async def pause_seconds(centre: Centre, number: str) -> float:
    """Pauses the agent, and ends it; returns how long it took until A's member and B's gate had it."""
    a, b, _ = centre.cluster.places
    began = 0.0
    done: dict[str, float] = {}

    async def member() -> None:
        async with Manager(a.pbx, events="agent") as manager:
            ready.release()
            while "member" not in done:
                message = await manager.read()
                if message.get("Event") == "QueueMemberPause" and message.get("Paused") == "1":
                    done["member"] = time.perf_counter()

    async def gate() -> None:
        async with Manager(b.pbx) as manager:
            ready.release()
            while "gate" not in done:
                answer = await manager.ask("DBGet", {"Family": "agentbridge", "Key": f"agent/{number}/paused"})
                if answer[-1].get("Val") == "1" or answer[0]["Response"] == "Success":
                    done["gate"] = time.perf_counter()
                await asyncio.sleep(0.002)

    ready = asyncio.Semaphore(0)
    async with asyncio.timeout(BUSY_LINE), asyncio.TaskGroup() as tasks:
        tasks.create_task(member())
        tasks.create_task(gate())
        await ready.acquire()
        await ready.acquire()
        began = time.perf_counter()
        await centre.db.execute("select agentbridge.pause('ann', 'lunch')")
    await centre.db.execute("select agentbridge.unpause('ann')")
    await centre.until_key(b, f"agent/{number}/paused", "")
    await centre.until_member(a, f"Local/{number}@agentbridge-remote")
    await asyncio.sleep(REST_SECONDS)  # else the next change is one of a storm, and waits for its end
    return max(done.values()) - began


async def test_the_command_writes_the_files_that_the_nodes_run_with(centre: Centre, tmp_path: Path) -> None:
    for place, bridge in zip(centre.cluster.places, centre.bridges, strict=True):
        folder = tmp_path / place.name
        await bridge.cli("node", "files", place.name, str(folder), "--transport", "udp")
        assert (folder / PJSIP_FILE).read_text() == (place.pbx.etc / PJSIP_FILE).read_text().lstrip("\n")
        assert (folder / ASTERISK_FILE).read_text() in (place.pbx.etc / "asterisk.conf").read_text()
    with pytest.raises(LabError, match="no node 'noded'"):
        await centre.bridges[0].cli("node", "files", "noded", str(tmp_path / "noded"))
