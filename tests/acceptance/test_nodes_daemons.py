"""Two nodes on one directory, each a real Asterisk with its daemon: who has which members, and what is lost when."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest_asyncio

from lab.asterisk import Asterisk
from lab.bridge import Bridge
from lab.manager import members
from lab.phones import Farm
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.many_nodes import make_agent, settled

QUEUES: dict[str, dict[str, str]] = {"sales": {}, "support": {}}
FAILOVER_S = 10
WITHIN_S = 30.0
TRUNK = """
[{name}]
type = endpoint
aors = {name}
context = callers
disallow = all
allow = ulaw
[{name}]
type = aor
contact = sip:{host}:{port}
qualify_frequency = 2
qualify_timeout = 1.0
"""


@dataclass
class Station:
    """A node: its Asterisk and its daemon, with phones that register there."""

    name: str
    asterisk: Asterisk
    bridge: Bridge
    farm: Farm

    async def members(self, queue: str) -> set[str]:
        return {interface for _, interface in await members(self.asterisk, [queue])}

    async def until_members(self, queue: str, *interfaces: str, within: float = WITHIN_S) -> None:
        """Until these interfaces and no others are in the queue."""

        async def same() -> bool:
            return await self.members(queue) == {*interfaces}

        try:
            await until(same, within=within, what=f"{interfaces} in {queue} at {self.name}")
        except Exception as late:
            late.add_note(f"they are {await self.members(queue)}")
            late.add_note("\n".join(self.bridge.lines()[-10:]))
            raise

    async def astdb(self, path: str) -> str:
        family, _, key = f"agentbridge/{path}".rpartition("/")
        shown = await self.asterisk.cli(f"database get {family} {key}")
        return shown.removeprefix("Value: ").strip() if shown.startswith("Value: ") else ""

    async def until_astdb(self, path: str, value: str) -> None:
        async def same() -> bool:
            return await self.astdb(path) == value

        await until(same, within=WITHIN_S, what=f"{path} = {value!r} at {self.name}")

    async def contacts(self) -> str:
        return await self.asterisk.cli("pjsip show contacts")


class Pair:
    """Nodes a and b."""

    def __init__(self, db: "asyncpg.Connection[asyncpg.Record]", a: Station, b: Station) -> None:
        self.db, self.a, self.b = db, a, b

    async def serving(self) -> dict[str, str]:
        rows = await self.db.fetch("select name, serving_node from agentbridge.queues")
        return {row["name"]: row["serving_node"] for row in rows}

    async def until_serving(self, **wanted: str) -> None:
        async def same() -> bool:
            return await self.serving() == wanted

        await until(same, within=3 * WITHIN_S, what=f"the queues being served as {wanted}")

    async def agent(self, username: str) -> tuple[str, str]:
        """Makes an agent in both queues, logged in; returns its number and secret."""
        made = await make_agent(self.db, username)
        await self.settled()
        return made

    async def settled(self) -> None:
        """Until all nodes that live have all of the directory."""
        try:
            await settled(self.db, WITHIN_S)
        except Exception as late:
            for station in (self.a, self.b):
                late.add_note("\n".join((f"the log of {station.name} ends in:", *station.bridge.lines()[-15:])))
            raise

    async def lost(self) -> list[str]:
        rows = await self.db.fetch("select node from agentbridge.nodes where lost_at is not null order by node")
        return [row["node"] for row in rows]


@pytest_asyncio.fixture
async def pair(postgres: Postgres) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        dsn = await postgres.create_directory("two_nodes")
        db = await asyncpg.connect(dsn)
        stack.callback(lambda: db.terminate())
        await db.execute("update agentbridge.settings set queue_failover_seconds = $1", FAILOVER_S)
        await db.execute("insert into agentbridge.queues (name) select unnest($1::text[])", [*QUEUES])
        both = [await stack.enter_async_context(Asterisk(queues=QUEUES)) for _ in range(2)]
        stations = []
        for name, here, other, others_name in (("a", both[0], both[1], "b"), ("b", both[1], both[0], "a")):
            text = (here.etc / "pjsip.conf").read_text()
            here.write_config("pjsip.conf", text + TRUNK.format(name=others_name, host=other.host, port=other.sip_port))
            await here.restart()
            bridge = await stack.enter_async_context(Bridge(here, dsn, name=name))
            farm = await stack.enter_async_context(Farm((here.host, here.sip_port), audio=False))
            await bridge.cli("node", "add", name, here.host, "--sip-port", str(here.sip_port))
            stations.append(Station(name, here, bridge, farm))
        for station in stations:
            await station.bridge.start()
        pair = Pair(db, *stations)

        async def both_up() -> bool:
            return {row["state"] for row in await nodes_of(pair)} == {"up"}

        await until(both_up, within=3 * WITHIN_S, what="both nodes being up")
        for name, queue in (("a", "sales"), ("b", "support")):
            await stations[0].bridge.cli("node", "home", name, "--queue", queue, "--yes")
        yield pair
        await postgres.drop_database("two_nodes")


async def test_members_are_where_the_queue_is_and_ring_where_the_phone_is(pair: Pair) -> None:
    a, b = pair.a, pair.b
    number, secret = await pair.agent("anna")
    local, remote = f"PJSIP/{number}", f"Local/{number}@agentbridge-remote"
    # registered nowhere
    await a.until_members("sales", local)
    await b.until_members("support", local)
    assert (await a.members("support"), await b.members("sales")) == (set(), set())
    await a.until_astdb("queue/support/node", "b")
    await b.until_astdb("queue/sales/node", "a")
    assert await a.astdb("queue/sales/node") == ""

    await b.farm.register({number: secret})
    await a.until_astdb(f"agent/{number}/node", "b")
    await a.until_members("sales", remote)
    await b.until_members("support", local)
    assert await b.astdb(f"agent/{number}/node") == ""
    shown = await a.asterisk.cli("queue show sales")
    assert f"{remote} from {local}" in shown, "its state is that of the phone"

    # a pause is in the queue of each, and in the AstDB of both
    await pair.db.execute("select agentbridge.pause('anna', 'lunch')")
    await pair.settled()
    assert "lunch" in await a.asterisk.cli("queue show sales")
    assert "lunch" in await b.asterisk.cli("queue show support")
    assert [await station.astdb(f"agent/{number}/paused") for station in (a, b)] == ["1", "1"]
    await pair.db.execute("select agentbridge.unpause('anna')")
    await a.until_astdb(f"agent/{number}/paused", "")

    # the newest registration wins, and the other node forgets its own
    await a.farm.register({number: secret})
    await b.until_astdb(f"agent/{number}/node", "a")
    await a.until_astdb(f"agent/{number}/node", "")
    await a.until_members("sales", local)
    await b.until_members("support", remote)

    async def forgotten() -> bool:
        return f" {number}/sip:" not in await b.contacts()  # the trunk's port may have these digits

    await until(forgotten, within=WITHIN_S, what="node b having no contact of the phone")
    assert f" {number}/sip:" in await a.contacts()
    await b.farm.dismissed()  # unregisters there, where it is not registered any more
    assert await pair.db.fetchval("select node from agentbridge.device_locations where device = $1", number) == "a"
    listed = {row["node"]: row for row in (await nodes_of(pair))}
    assert {name: (row["state"], row["queues"], row["devices"]) for name, row in listed.items()} == {
        "a": ("up", 1, 1),
        "b": ("up", 1, 0),
    }


async def nodes_of(pair: Pair) -> list[dict[str, object]]:
    rows = await pair.db.fetch("select * from agentbridge.node_status")
    return [dict(row) for row in rows]


async def test_one_node_dies_and_comes_back_and_nothing_else_is_lost(pair: Pair) -> None:
    a, b = pair.a, pair.b
    at_a, secret_a = await pair.agent("anna")
    at_b, secret_b = await pair.agent("bert")
    await a.farm.register({at_a: secret_a})
    await b.farm.register({at_b: secret_b})
    await a.until_members("sales", f"PJSIP/{at_a}", f"Local/{at_b}@agentbridge-remote")
    await b.until_members("support", f"PJSIP/{at_b}", f"Local/{at_a}@agentbridge-remote")

    # its daemon alone: everything stays, for longer than the lease
    await a.bridge.kill()
    gone_at = await pair.db.fetchval("select clock_timestamp()")
    query = "select clock_timestamp() > $1::timestamptz + make_interval(secs => $2::float8)"

    async def long_ago() -> bool:
        return bool(await pair.db.fetchval(query, gone_at, FAILOVER_S + 5.0))

    await until(long_ago, within=60, what="the lease being over")
    assert (await pair.serving(), await pair.lost()) == ({"sales": "a", "support": "b"}, [])
    assert await b.members("support") == {f"PJSIP/{at_b}", f"Local/{at_a}@agentbridge-remote"}

    # and its Asterisk: its agents leave, its queue moves, nobody is logged out
    await a.asterisk.kill()
    await b.until_members("support", f"PJSIP/{at_b}")
    await pair.until_serving(sales="b", support="b")
    await b.until_members("sales", f"PJSIP/{at_b}")
    await b.until_astdb("queue/sales/node", "")
    assert await pair.lost() == ["a"]
    assert await pair.db.fetchval("select count(*) from agentbridge.sessions") == 2
    told = {row["node"]: row for row in await nodes_of(pair)}["a"]
    assert told["state"] == "lost"
    assert "not reached by b" in str(told["trouble"])
    await pair.settled()

    # it is back: its agents come back, its queue stays away until it is told to come home
    await a.asterisk.start()
    await a.bridge.start()
    await b.until_members("support", f"PJSIP/{at_b}", f"Local/{at_a}@agentbridge-remote")
    await b.until_members("sales", f"PJSIP/{at_b}", f"Local/{at_a}@agentbridge-remote")
    await a.until_members("sales")
    assert (await pair.serving(), await pair.lost()) == ({"sales": "b", "support": "b"}, [])
    await pair.settled()
    assert "1 queues moved to a" in await b.bridge.cli("node", "home", "a", "--yes")
    await a.until_members("sales", f"PJSIP/{at_a}", f"Local/{at_b}@agentbridge-remote")
    await b.until_members("sales")
    await pair.settled()
    for node in (a, b):  # at the end: what an older Asterisk lacks is told first
        assert (await node.bridge.cli("plan")).strip().endswith("no difference")
