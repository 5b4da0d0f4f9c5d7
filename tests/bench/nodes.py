"""Centres of one to four nodes at work: how late each node knows a phone's state and a pause, and what daemons write.

`make bench-nodes ARGS="FIGURES.json --nodes 1,4 --agents 10000 --at-work 2000 --seconds 600"`, in a network namespace
of its own. Each agent at work is in five of twenty queues, which are spread over the nodes as the phones are. So the
figures of one node are those of an ordinary centre of the same size in the same run. `--draw PICTURE.svg` draws them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import asyncpg
import psutil

from lab.asterisk import cache_folder
from lab.bridge import Bridge
from lab.manager import Manager, members
from lab.phones import Farm, RegistrationRefusedError
from lab.postgres import DAEMON, Postgres
from lab.processes import until
from lab.task_processors import TaskProcessors
from tests.bench.curve import Curve, Panel, svg
from tests.bench.idle import cpu_seconds
from tests.bench.latency import Figures
from tests.bench.node_traffic import DIALPLAN, Calls, Ear, Lamps, Pausing, Seat
from tests.bench.stand import FIRST, QUEUES, WITHIN_S, Stand
from tests.nodes.cluster import Cluster, Place

NAMES = ("nodea", "nodeb", "nodec", "noded")
PAUSES = 40
AT_ONCE = 40
"""phones that register at one moment"""
LOOK_S = 2.0
SETTLES_S = 3.0
RESTS_S = 0.5
ASKED_WITHIN_S = 60.0
_ACTIONS = re.compile(r'(?m)^agentbridge_ami_actions_total\{action="(\w+)"\} (\S+)')
_WANTED = """
SELECT q.serving_node AS node, q.name AS queue, a.internal, coalesce(l.node, q.serving_node) AS phone
FROM agentbridge.sessions s
JOIN agentbridge.agents a ON a.id = s.agent_id
JOIN agentbridge.effective_members e ON e.agent_id = s.agent_id
JOIN agentbridge.queues q ON q.id = e.queue_id
LEFT JOIN agentbridge.device_locations l ON l.device = a.internal
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a centre is, and how long it is at work.

    rate: changes of states a second in all. calls: by short calls of the phones; else lamps change, and nobody calls.
    """

    nodes: int
    agents: int
    at_work: int
    rate: float
    seconds: float
    calls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Of each daemon and Asterisk while the centre is at work: their mean; a second, or percent of a core."""

    ami_actions: float
    ami_by_name: Mapping[str, float]
    sql_statements: float
    asterisk_percent: float
    daemon_percent: float
    postgresql_percent: float
    daemon_rss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Of one centre. Milliseconds where Figures stand; None where there is one node.

    filled_s: from the log-in of all until all is on every node. placed_s: the same from the first phone's registration.
    untold: changes that some node did not tell, or not before the next one of that device. different: phones and lamps
    whose state is not the same everywhere at the end. wrong: members that should not be there or are missing then.
    """

    size: Size
    filled_s: float
    placed_s: float
    changes: int
    changes_per_s: float
    untold: int
    state_at_its_node: Figures
    state_at_another: Figures | None
    pause_at_rest: Figures
    pause_at_work: Figures
    gate_at_rest: Figures | None
    gate_at_work: Figures | None
    deepest_filling: Sequence[int]
    deepest_placing: Sequence[int]
    """while the phones register, AT_ONCE at a time"""
    deepest_at_work: Sequence[int]
    spent: Spent
    different: int
    wrong: int
    load_average: Sequence[float]


class Nodes(Stand):
    """A centre of several nodes, empty, with a daemon on each, whose queues are spread over them."""

    def __init__(self, size: Size) -> None:
        super().__init__(numbers=size.agents + 100)
        self.size = size

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            settings = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "5000"}
            self.postgres = await stack.enter_async_context(Postgres(fsync=False, settings=settings))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentbridge-nodes-")))
            names = NAMES[: self.size.nodes]
            self.cluster = await stack.enter_async_context(Cluster(folder, daemons=True, names=names, queues=QUEUES))
            for place in self.cluster.places:
                place.pbx.write_config("extensions.conf", (place.pbx.etc / "extensions.conf").read_text() + DIALPLAN)
                await place.pbx.cli("dialplan reload")
            self.dsn = await self.postgres.create_directory("bench", range(FIRST, FIRST + self._numbers))
            self.db = await asyncpg.connect(self.dsn)
            stack.callback(lambda: self.db.terminate())
            self.eye = await asyncpg.connect(self.postgres.dsn("bench", "postgres"))
            stack.callback(self.eye.terminate)
            await self.eye.execute("CREATE EXTENSION pg_stat_statements")
            await self.db.execute("INSERT INTO agentbridge.queues (name) SELECT unnest($1::text[])", list(QUEUES))
            await self._start_daemons(stack)
            self.depths = [await stack.enter_async_context(TaskProcessors(place.pbx)) for place in self.places]
            self._stack = stack.pop_all()
        return self

    @property
    def places(self) -> list[Place]:
        return self.cluster.places

    async def _start_daemons(self, stack: AsyncExitStack) -> None:
        """Starts them one after the other, and gives each node its share of the queues."""
        self.bridges = [await stack.enter_async_context(Bridge(p.pbx, self.dsn, name=p.name)) for p in self.places]
        command = self.bridges[0].cli
        several = self.cluster.nodes if len(self.places) > 1 else []
        for node in several:
            await command("node", "add", node.name, node.sip_host, "--sip-port", str(node.sip_port))
        for bridge in self.bridges:
            await bridge.start(within=WITHIN_S)
        for number, node in enumerate(several):
            # neighbours at one node: agents are in every fourth
            some = [name for at, name in enumerate(QUEUES) if at * len(several) // len(QUEUES) == number]
            await command("node", "home", node.name, *(word for name in some for word in ("--queue", name)), "--yes")

    # ------------------------------------------------------------ what is asked of all nodes

    async def until_done(self) -> float:
        """Until the directory says that every node has everything, and no Asterisk has a task left; returns the
        moment."""

        async def nothing_pending() -> bool:
            await asyncio.sleep(LOOK_S)  # and two heartbeats, which say so
            return bool(await self.db.fetchval("SELECT bool_and(pending = 0) FROM agentbridge.nodes"))

        # first what costs little to ask: the view of 10,000 agents on four nodes takes a second
        await until(nothing_pending, within=4 * WITHIN_S, what="nothing being pending on any node")
        await self.settled(look_s=LOOK_S)
        for depth in self.depths:
            await depth.idle(within=WITHIN_S)
        return time.perf_counter()

    async def deepest(self) -> list[int]:
        """Of each node since the last time, which begins anew; tells which processor it was."""
        found = [await depth.deepest() for depth in self.depths]
        tell(f"deepest: {', '.join(f'{one.name} {one.most}' for one in found)}")
        for depth in self.depths:
            await depth.reset()
        return [one.most for one in found]

    async def wrong(self) -> int:
        """How many members are missing or should not be there, as bare AMI clients see them."""
        wanted: dict[str, set[tuple[str, str]]] = {place.name: set() for place in self.places}
        for row in await self.db.fetch(_WANTED, timeout=ASKED_WITHIN_S):
            here = f"PJSIP/{row['internal']}", f"Local/{row['internal']}@agentbridge-remote"
            wanted[row["node"]].add((row["queue"], here[row["phone"] != row["node"]]))
        found = [set(await members(place.pbx, within=ASKED_WITHIN_S)) for place in self.places]
        return sum(len(wanted[place.name] ^ there) for place, there in zip(self.places, found, strict=True))

    async def until_right(self) -> None:
        async def right() -> bool:
            await asyncio.sleep(LOOK_S)
            return not await self.wrong()

        await until(right, within=WITHIN_S, what="each node having the members that it should have")

    async def different(self, seats: Sequence[Seat]) -> int:
        """Of how many phones and lamps two nodes know different states."""
        states: list[dict[str, str]] = []
        for place in self.places:
            async with Manager(place.pbx) as manager:
                listed = await manager.ask("DeviceStateList", within=ASKED_WITHIN_S)
            states.append({item["Device"]: item["State"] for item in listed if "Device" in item})
        devices = [device for seat in seats for device in (seat.device, seat.lamp)]
        return sum(len({known.get(device) for known in states}) > 1 for device in devices)

    # ------------------------------------------------------------ people and phones

    async def seated(self, ears: Sequence[Ear], stack: AsyncExitStack) -> list[Seat]:
        """Registers the phones of all who are at work, evenly over the nodes."""
        rows = await self.db.fetch(
            "SELECT a.username, a.internal, a.sip_secret FROM agentbridge.agents a"
            " JOIN agentbridge.sessions s ON s.agent_id = a.id ORDER BY a.id"
        )
        farms = [Farm((ear.place.pbx.host, ear.place.pbx.sip_port), audio=False) for ear in ears]
        for farm in farms:
            stack.callback(lambda farm=farm: [phone.close() for phone in farm.phones])
        seats = []
        for number, row in enumerate(rows):
            at = number % len(ears)
            phone = await farms[at].phone(row["internal"], row["sip_secret"])
            seats.append(Seat(row["username"], phone, ears[at]))
        for first in range(0, len(seats), AT_ONCE):
            await asyncio.gather(*(_registered(seat) for seat in seats[first : first + AT_ONCE]))
        return seats

    @asynccontextmanager
    async def spending(self) -> AsyncIterator[list[Spent]]:
        """What is spent inside the block is in the list afterwards."""
        found: list[Spent] = []
        actions, statements, cpu, began = self._actions(), await self._statements(), self._cpu(), time.perf_counter()
        yield found
        seconds, count = time.perf_counter() - began, len(self.places)
        after, done = self._actions(), await self._statements() - statements
        by_name = {name: round((after[name] - actions.get(name, 0)) / seconds / count, 2) for name in after}
        asterisk, daemon, postgres = (100 * (now - then) / seconds for then, now in zip(cpu, self._cpu(), strict=True))
        rss = sum(psutil.Process(bridge.pid).memory_info().rss for bridge in self.bridges)
        found.append(
            Spent(
                ami_actions=round(sum(by_name.values()), 1),
                ami_by_name={name: rate for name, rate in sorted(by_name.items()) if rate},
                sql_statements=round(done / seconds / count, 1),
                asterisk_percent=round(asterisk / count, 1),
                daemon_percent=round(daemon / count, 1),
                postgresql_percent=round(postgres, 1),
                daemon_rss_mb=round(rss / count / 1e6, 1),
            )
        )

    def _cpu(self) -> tuple[float, float, float]:
        """Seconds of all Asterisks, all daemons and PostgreSQL since they began."""
        return (
            sum(cpu_seconds(place.pbx.pid) for place in self.places),
            sum(cpu_seconds(bridge.pid) for bridge in self.bridges),
            cpu_seconds(self.postgres.pid),
        )

    def _actions(self) -> dict[str, float]:
        """AMI actions of all daemons by name, as they count them."""
        found: dict[str, float] = {}
        for bridge in self.bridges:
            with urllib.request.urlopen(f"http://127.0.0.1:{bridge.http_port}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            for name, count in _ACTIONS.findall(text):
                found[name] = found.get(name, 0.0) + float(count)
        return found

    async def _statements(self) -> int:
        """SQL statements of all daemons, as PostgreSQL counts them."""
        return int(
            await self.eye.fetchval(
                "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid"
                " WHERE r.rolname = $1",
                DAEMON,
            )
        )


async def _registered(seat: Seat) -> None:
    """Until the phone is registered: on a busy machine some packets are lost."""

    async def accepted() -> bool:
        try:
            await seat.phone.register(timeout=10)
        except (RegistrationRefusedError, TimeoutError):
            return False
        return True

    await until(accepted, within=ASKED_WITHIN_S, what=f"{seat.username} being registered")


async def measure(size: Size) -> Found:
    async with AsyncExitStack() as stack:
        centre = await stack.enter_async_context(Nodes(size))
        ears = await _listening(centre, stack)
        await centre.deepest()
        began = time.perf_counter()
        await centre.people(size.agents)
        await centre.login_at_once(0, size.at_work)
        filled_s = await centre.until_done() - began
        tell(f"{size.agents} agents are on {size.nodes} nodes after {filled_s:.0f} s")
        deepest_filling = await centre.deepest()
        began = time.perf_counter()
        seats = await centre.seated(ears, stack)
        await centre.until_right()
        placed_s = await centre.until_done() - began
        tell(f"{len(seats)} phones are at work after {placed_s:.0f} s")
        filling = {"filled_s": round(filled_s, 1), "placed_s": round(placed_s, 1)}
        deepest_placing = await centre.deepest()
        found = await _at_work(centre, ears, seats)
        await centre.until_done()
        differences = {"different": await centre.different(seats), "wrong": await centre.wrong()}
        deepest = {"deepest_filling": deepest_filling, "deepest_placing": deepest_placing}
        return Found(size=size, **deepest, **filling, **found, **differences)


async def _listening(centre: Nodes, stack: AsyncExitStack) -> list[Ear]:
    """An ear at each node, until the stack is closed."""
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    ears = [Ear(place) for place in centre.places]
    listening = [tasks.create_task(ear.listen()) for ear in ears]
    stack.callback(lambda: [task.cancel() for task in listening])
    for ear in ears:
        await ear.listens.wait()
    return ears


async def _at_work(centre: Nodes, ears: Sequence[Ear], seats: Sequence[Seat]) -> dict[str, Any]:
    """Lets agents go on pause, first with nothing else and then while states change; returns what there is to tell."""
    # each agent does one thing: a change of one soon after another one waits for a moment
    resting, pausing, changing = seats[:PAUSES], seats[PAUSES : 2 * PAUSES], seats[2 * PAUSES :]
    size, pauses = centre.size, Pausing(centre.db, {ear.place.name: ear for ear in ears})
    at_rest = await pauses.each(resting, RESTS_S)
    await asyncio.sleep(SETTLES_S)
    for ear in ears:
        ear.forget()
    traffic = (Calls if size.calls else Lamps)(changing, ears, size.rate)
    async with centre.spending() as spent:
        started = time.perf_counter()
        going = asyncio.create_task(traffic.go_on(size.seconds))
        at_work = await pauses.each(pausing, 0.8 * size.seconds / PAUSES)
        await going
        took = time.perf_counter() - started
    tell(f"{traffic.made} changes in {took:.0f} s")
    await asyncio.sleep(SETTLES_S)
    return {
        "changes": traffic.made,
        "changes_per_s": round(traffic.made / took, 1),
        "untold": traffic.untold(),
        "state_at_its_node": Figures.of(traffic.at_its_node()),
        "state_at_another": Figures.of(traffic.at_another()) if size.nodes > 1 else None,
        "pause_at_rest": Figures.of(at_rest.members),
        "pause_at_work": Figures.of(at_work.members),
        "gate_at_rest": Figures.of(at_rest.gates) if at_rest.gates else None,
        "gate_at_work": Figures.of(at_work.gates) if at_work.gates else None,
        "deepest_at_work": await centre.deepest(),
        "spent": spent[0],
        "load_average": [round(value, 1) for value in os.getloadavg()],
    }


def tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# ------------------------------------------------------------ the picture


def panels(found: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Makes the diagrams: each figure by the number of nodes."""

    def curve(name: str, *path: str) -> Curve:
        points = [(one["size"]["nodes"], value) for one in found if (value := _at(one, path)) is not None]
        return Curve(name, points)

    return [
        Panel(
            "a changed state is told, p99 (ms)",
            [curve("at its node", "state_at_its_node", "p99"), curve("at another", "state_at_another", "p99")],
            limit=50,
        ),
        Panel(
            "a pause at the last of all queues (ms)",
            [curve("p50, at rest", "pause_at_rest", "p50"), curve("p50, at work", "pause_at_work", "p50")],
            limit=50,
        ),
        Panel(
            "what one daemon sends a second",
            [curve("AMI actions", "spent", "ami_actions"), curve("SQL", "spent", "sql_statements")],
        ),
        Panel(
            "percent of a core",
            [
                curve("Asterisk", "spent", "asterisk_percent"),
                curve("daemon", "spent", "daemon_percent"),
                curve("PostgreSQL", "spent", "postgresql_percent"),
            ],
        ),
    ]


def _at(one: Mapping[str, Any], path: Sequence[str]) -> float | None:
    """The figure at this path; None where there is none."""
    value: Any = one
    for name in path:
        value = None if value is None else value[name]
    return value


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.nodes", description=__doc__)
    parser.add_argument("json", nargs="?", type=Path, default=cache_folder() / "nodes.json", help="where figures go")
    parser.add_argument("--nodes", default="1,2,3,4", help="how many, one run each")
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--at-work", type=int, default=200)
    parser.add_argument("--rate", type=float, default=111.0, help="changes of phones' states a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--calls", action="store_true", help="short calls change them, and not lamps alone")
    parser.add_argument("--draw", type=Path, help="draw what is in the file of figures, and measure nothing")
    given = parser.parse_args()
    if given.draw:
        given.draw.write_text(svg(panels(json.loads(given.json.read_text()))))
        return
    if given.at_work <= 2 * PAUSES:
        parser.error(f"--at-work: more than {2 * PAUSES}, who go on pause")
    found = []
    for nodes in map(int, given.nodes.split(",")):
        size = Size(
            nodes=nodes,
            agents=given.agents,
            at_work=given.at_work,
            rate=given.rate,
            seconds=given.seconds,
            calls=given.calls,
        )
        found.append(asdict(asyncio.run(measure(size))))
        given.json.write_text(json.dumps(found, indent=2) + "\n")
        print(json.dumps(found[-1], indent=2), flush=True)


if __name__ == "__main__":
    main()
