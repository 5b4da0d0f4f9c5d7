"""Device states of one node with many members at the others: how late they are, and how deep Asterisk's queues become.

A few hundred members and some seconds by default; AGENTBRIDGE_NODE_MEMBERS=2000 AGENTBRIDGE_NODE_SECONDS=600 for the
long run. The states are those of a node's own agents, each a member of every queue, as where phone and queue are at
different nodes. Beside it the figure of one node: its own states as it tells them to itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence

from lab.manager import Manager, Message
from lab.processes import until
from lab.task_processors import TaskProcessors
from tests.nodes.cluster import BUSY_LINE, Cluster, Place

MEMBERS = int(os.environ.get("AGENTBRIDGE_NODE_MEMBERS", "300"))
SECONDS = int(os.environ.get("AGENTBRIDGE_NODE_SECONDS", "10"))
RATE = int(os.environ.get("AGENTBRIDGE_NODE_RATE", "111"))
"""changes a second"""
LOAD_QUEUES = tuple(f"load{number}" for number in range(5))
DEPTH = 450
"""res_pjsip takes no new call above 500"""


class Ears:
    """Notes when a node tells each change: device → moments."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.moments: dict[str, list[float]] = {}
        self.states: dict[str, str] = {}

    def hear(self, message: Message) -> None:
        device = message.get("Device", "")
        if message.get("Event") == "DeviceStateChange" and device.startswith("Custom:agent"):
            self.moments.setdefault(device, []).append(time.perf_counter())
            self.states[device] = message["State"]

    async def listen(self) -> None:
        async with Manager(self.place.pbx, events="call", on_event=self.hear) as manager:
            while True:
                self.hear(await manager.read())


async def fill(place: Place) -> None:
    """Makes agents of another node members of every queue; their states are those of their lamps."""
    async with Manager(place.pbx) as manager:
        for number in range(MEMBERS):
            for queue in LOAD_QUEUES:
                device = f"Custom:agent{20000 + number}"
                member = {"Queue": queue, "Interface": f"Local/{20000 + number}@agentbridge-remote", "Paused": "true"}
                await manager.ask("QueueAdd", {**member, "StateInterface": device})


def late(sent: Mapping[str, Sequence[float]], ears: Ears) -> list[float]:
    """Milliseconds from each change to the moment at which it was told, sorted."""
    times = []
    for device, moments in sent.items():
        times += [(told - moment) * 1000 for moment, told in zip(moments, ears.moments[device], strict=True)]
    return sorted(times)


async def test_states_keep_up_with_a_busy_centre(nodes: Cluster) -> None:
    for place in nodes.places:
        await place.pbx.set_queues({name: {} for name in (*place.pbx.queues, *LOAD_QUEUES)})
    filled = [nodes.a, nodes.c]
    await asyncio.gather(*(fill(place) for place in filled))
    ears = [Ears(place) for place in nodes.places]
    sent: dict[str, list[float]] = {}
    deepest = 0
    async with asyncio.TaskGroup() as tasks, TaskProcessors(nodes.a.pbx) as processors:
        listening = [tasks.create_task(ear.listen()) for ear in ears]
        await processors.idle(within=120)
        await processors.reset()
        async with Manager(nodes.b.pbx) as mouth:
            began = time.perf_counter()
            for number in range(RATE * SECONDS):
                await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                device = f"Custom:agent{20000 + number % MEMBERS}"
                state = ("INUSE", "NOT_INUSE")[number // MEMBERS % 2]
                sent.setdefault(device, []).append(time.perf_counter())
                await mouth.ask("Setvar", {"Variable": f"DEVICE_STATE({device})", "Value": state})
            took = time.perf_counter() - began
        total = RATE * SECONDS
        for ear in ears:
            await until(
                lambda ear=ear: sum(map(len, ear.moments.values())) >= total,
                within=BUSY_LINE,
                what=f"all changes at {ear.place.name}",
            )
        deepest = (await processors.deepest()).most
        for task in listening:
            task.cancel()
    print(f"{total / took:.0f} changes a second for {took:.0f} s, {MEMBERS} members in {len(LOAD_QUEUES)} queues")
    for ear in ears:
        times = late(sent, ear)
        where = "at nodeb itself" if ear.place is nodes.b else f"at {ear.place.name}"
        print(f"{where}: p50 {times[len(times) // 2]:.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms")
    print(f"the deepest taskprocessor of nodea: {deepest}")
    assert deepest < DEPTH
    assert ears[0].states == ears[1].states == ears[2].states
