"""Three nodes with their daemons on one directory."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import asyncpg

from lab.bridge import Bridge
from lab.faults import FaultProxy
from lab.phones import Call, Farm, Phone, RegistrationRefusedError
from lab.postgres import Postgres
from lab.processes import LabError, until
from tests.acceptance.many_nodes import make_agent, settled
from tests.nodes.cluster import BUSY_LINE, NAMES, QUEUES, Cluster, Place, hear_each_other

FAILOVER_S = 10
SERVED_AGAIN_S = 40.0
SILENT_S = 5.0
"""nobody is rung longer for one who is not there"""
OUTAGE_S = float(os.environ.get("AGENTBRIDGE_NODE_OUTAGE", "15"))
_numbers = itertools.count(1)


class Centre:
    """The cluster with a daemon on each node, and the directory."""

    def __init__(
        self, cluster: Cluster, bridges: list[Bridge], dsn: str, db: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        self.dsn = dsn
        self.cluster, self.bridges, self.db = cluster, bridges, db

    async def reconnect(self, dsn: str = "") -> None:
        """This test's own connection, after the database was gone, or to another server from now on."""
        self.db.terminate()
        self.dsn = dsn or self.dsn
        self.db = await asyncpg.connect(self.dsn)

    async def agent(self, username: str) -> tuple[str, str]:
        """Makes an agent of all queues, logged in; returns its number and SIP secret."""
        made = await make_agent(self.db, username)
        await self.settled()
        return made

    async def settled(self) -> None:
        """Until each node that lives has all of the directory."""
        await settled(self.db, SERVED_AGAIN_S)

    async def serving(self, queue: str) -> str:
        return str(await self.db.fetchval("select serving_node from agentbridge.queues where name = $1", queue))

    async def until_served(self, queue: str, *nodes: str) -> None:
        """Until one of these nodes serves the queue."""

        async def there() -> bool:
            return await self.serving(queue) in nodes

        await until(there, within=SERVED_AGAIN_S, what=f"{queue} being served by {nodes}")

    async def until_member(self, place: Place, interface: str, queue: str = "sales", *, paused: bool = False) -> None:
        """Until that is the only member of the queue at that node, and its phone is free."""
        wanted = [(interface, "1" if paused else "0", "1")]

        async def there() -> bool:
            return [(m["Location"], m["Paused"], m["Status"]) for m in await place.members(queue)] == wanted

        try:
            await until(there, within=SERVED_AGAIN_S, what=f"{wanted} in {queue} at {place.name}")
        except LabError as late:
            late.add_note(str(await place.members(queue)))
            raise

    async def until_key(self, place: Place, path: str, value: str) -> None:
        family, _, key = f"agentbridge/{path}".rpartition("/")

        async def there() -> bool:
            shown = await place.pbx.cli(f"database get {family} {key}")
            return (shown.removeprefix("Value: ").strip() if shown.startswith("Value: ") else "") == value

        await until(there, within=SERVED_AGAIN_S, what=f"{path} being {value!r} at {place.name}")

    async def until_right(self, phones: Mapping[str, Place]) -> None:
        """Until each queue has these agents at the node that serves it and nobody anywhere else, all free, and every
        node knows each phone's state. phones: number → where it is registered.
        """

        async def right() -> bool:
            serving = {queue: await self.serving(queue) for queue in QUEUES}
            return all([await self._is_right(place, serving, phones) for place in self.cluster.places])

        await until(right, within=SERVED_AGAIN_S, what="members and states of every node being those of the directory")

    async def _is_right(self, place: Place, serving: Mapping[str, str], phones: Mapping[str, Place]) -> bool:
        """As a bare AMI client of that node sees it."""
        wanted = {
            f"PJSIP/{number}" if at is place else f"Local/{number}@agentbridge-remote" for number, at in phones.items()
        }
        for queue, node in serving.items():
            found = {member["Location"] for member in await place.members(queue) if member["Status"] == "1"}
            if found != (wanted if node == place.name else set()):
                return False
        return all([await place.state(f"PJSIP/{number}") == "NOT_INUSE" for number in phones])

    async def unmoved(self) -> list[tuple[object, ...]]:
        """What no outage may change: who serves each queue since when, and who is logged in since when."""
        queues = "select name, serving_node, serving_since from agentbridge.queues order by name"
        sessions = "select agent_id, telephone_id, started_at from agentbridge.sessions order by agent_id"
        return [tuple(row) for query in (queues, sessions) for row in await self.db.fetch(query)]

    async def without_drift(self) -> None:
        """Nothing is left to do on any node; `plan` ends with 3 where something is."""

        async def quiet() -> bool:
            try:
                for bridge in self.bridges:
                    await bridge.cli("plan")
            except LabError:
                return False
            return True

        await until(quiet, within=SERVED_AGAIN_S, what="no drift on any node")

    async def as_unmoved(self, before: list[tuple[object, ...]], numbers: Mapping[str, Place]) -> None:
        """Longer than the lease after an outage nothing has moved, and nothing is left to do."""
        await asyncio.sleep(2 * FAILOVER_S)
        await self.until_right(numbers)
        await self.without_drift()
        assert await self.unmoved() == before
        assert await self.db.fetchval("select count(*) from agentbridge.nodes where lost_at is not null") == 0

    async def database_back(self, postgres: Postgres) -> float:
        """Starts PostgreSQL again; returns the seconds from then until a change of ann is on every node."""
        await postgres.start()
        began = time.monotonic()
        await self.reconnect()
        await self.db.execute("select agentbridge.pause('ann', 'lunch')")
        await self.settled()
        took = time.monotonic() - began
        await self.db.execute("select agentbridge.unpause('ann')")
        await self.settled()
        return took

    async def only(self, name: str) -> None:
        """Puts everybody else on pause."""
        others = "from agentbridge.agent_status where username <> $1 and logged_in and not paused"
        await self.db.execute(f"select agentbridge.pause(username, '') {others}", name)
        await self.db.execute("select agentbridge.unpause($1)", name)
        await self.settled()


@asynccontextmanager
async def opened(
    postgres: Postgres,
    folder: Path,
    others: Sequence[Postgres] = (),
    *,
    nodes: Sequence[str] = NAMES,
    ways: Mapping[str, FaultProxy] = MappingProxyType({}),
) -> AsyncIterator[Centre]:
    """A centre in which nodea serves both queues. others: servers of PostgreSQL that may become the primary one. ways:
    by which some nodes' daemons reach PostgreSQL, by the node."""
    async with AsyncExitStack() as stack:
        dsn = await postgres.create_directory(f"three_nodes_{next(_numbers)}", range(1000, 1010))
        db = await asyncpg.connect(dsn)
        stack.callback(db.terminate)
        await db.execute("update agentbridge.settings set queue_failover_seconds = $1", FAILOVER_S)
        await db.execute("insert into agentbridge.queues (name) select unnest($1::text[])", [*QUEUES])
        cluster = await stack.enter_async_context(Cluster(folder, daemons=True, names=nodes))
        of_all = dsn_of_all(dsn, postgres, others)
        by_way = {name: dsn.replace(f":{postgres.port}/", f":{way.port}/") for name, way in ways.items()}
        bridges = [
            await stack.enter_async_context(Bridge(p.pbx, by_way.get(p.name, of_all), name=p.name))
            for p in cluster.places
        ]
        for node in cluster.nodes if len(nodes) > 1 else ():
            await bridges[0].cli("node", "add", node.name, node.sip_host, "--sip-port", str(node.sip_port))
        await asyncio.gather(*(bridge.start() for bridge in bridges))
        await stack.enter_async_context(phones(cluster))
        centre = Centre(cluster, bridges, dsn, db)
        stack.callback(lambda: centre.db.terminate())
        if len(nodes) > 1:
            await bridges[0].cli("node", "home", "nodea", "--queue", "sales", "--queue", "support", "--yes")
        yield centre


def dsn_of_all(dsn: str, postgres: Postgres, others: Sequence[Postgres]) -> str:
    """The DSN with all of these servers, of which whoever connects takes the one that can be written to."""
    if not others:
        return dsn
    first, *more = (f"{server.host}:{server.port}" for server in (postgres, *others))
    return dsn.replace(f"@{first}/", f"@{','.join((first, *more))}/") + "?target_session_attrs=read-write"


@asynccontextmanager
async def phones(cluster: Cluster) -> AsyncIterator[None]:
    """A farm at each node."""
    async with AsyncExitStack() as stack:
        for place in cluster.places:
            place.farm = await stack.enter_async_context(
                Farm((place.pbx.host, place.pbx.sip_port), tones=cluster.tones)
            )
        yield


async def registered(place: Place, number: str, secret: str) -> Phone:
    return await registered_by(place.farm, number, secret)


async def registered_by(farm: Farm, number: str, secret: str) -> Phone:
    phone = await farm.phone(number, secret)

    async def accepted() -> bool:
        try:
            await phone.register()
        except (RegistrationRefusedError, TimeoutError):  # its endpoint is being pushed
            return False
        return True

    await until(accepted, within=BUSY_LINE, what=f"{number} being registered at {farm.server}")
    return phone


async def served(place: Place, agent: Phone, queue: str = "sales") -> None:
    """A customer at that node calls the queue and hears the agent."""
    customer = await place.customer()
    outgoing = await customer.call(f"acd-{queue}", timeout=SERVED_AGAIN_S)
    incoming = await agent.rings(timeout=SERVED_AGAIN_S)
    await hear_each_other(outgoing, incoming, (customer, agent))
    await outgoing.hangup()
    await incoming.ended(timeout=BUSY_LINE)


class Talk:
    """A customer and an agent who hear each other."""

    def __init__(self, outgoing: Call, incoming: Call, tones: tuple[Phone, Phone]) -> None:
        self._outgoing, self._incoming, self._tones = outgoing, incoming, tones

    async def goes_on(self) -> None:
        await hear_each_other(self._outgoing, self._incoming, self._tones)

    async def end(self) -> None:
        await self._outgoing.hangup()
        await self._incoming.ended(timeout=BUSY_LINE)


async def talk(place: Place, queue: str, agent: Phone) -> Talk:
    """A customer at that node calls the queue, and the agent answers."""
    customer = await place.customer()
    outgoing = await customer.call(f"acd-{queue}", timeout=SERVED_AGAIN_S)
    talking = Talk(outgoing, await agent.rings(timeout=SERVED_AGAIN_S), (customer, agent))
    await talking.goes_on()
    return talking
