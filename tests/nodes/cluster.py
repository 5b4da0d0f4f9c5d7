"""Three Asterisks on addresses of their own, with agents, members and policy typed in by hand: no daemon runs."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from agentbridge.desired.node_files import ASTERISK_FILE, PJSIP_FILE, node_files
from agentbridge.model import Node
from lab import pjsip
from lab.asterisk import SIP_PORT, Asterisk, Queues
from lab.manager import Manager, Message
from lab.phones import Call, Farm, Phone
from lab.phones.audio import TONES
from lab.processes import until
from lab.switch import Switch

NAMES = ("nodea", "nodeb", "nodec")
AGENTS = ("1001", "1002", "1003", "1009")
QUEUES: Mapping[str, Mapping[str, str]] = {
    "sales": {"autopause": "yes", "retry": "1", "timeout": "15"},
    "support": {"autopause": "yes", "retry": "1", "timeout": "15"},
    "care": {"retry": "1", "timeout": "15", "wrapuptime": "8"},
}
TRUSTED = "\n[caller](+)\ntrust_id_inbound = yes\n"
# how the administrator's own dialplan sends callers to a queue, whichever node serves it
CALLS = "\n[queues](+)\nexten => _acd-.,1,Goto(agentbridge-queue,${EXTEN:4},1)\n"
BUSY_LINE = 20.0
"""seconds that a busy machine may take for what takes a moment"""


def addressed(names: Sequence[str]) -> list[Node]:
    """The nodes with the addresses that they have on the switch."""
    return [Node(name, f"10.98.0.{number}", SIP_PORT) for number, name in enumerate(names, 1)]


NODES = addressed(NAMES)


def files(name: str, *, agents: bool, nodes: Sequence[Node]) -> dict[str, str]:
    """What is added to the lab's files at that node: `agentbridge node files` as it is, used as it says."""
    if len(nodes) == 1:  # an ordinary centre
        return {"extensions.conf": CALLS}
    written = node_files(name, nodes, transport="udp")
    groups = {"call_group": "1", "pickup_group": "1"}
    phones = [pjsip.phone(user, callerid=f'"Phone {user}" <{user}>', **pjsip.SEEN, **groups) for user in AGENTS]
    endpoints = "".join(phones) if agents else ""
    return {
        PJSIP_FILE: written[PJSIP_FILE],
        "asterisk.conf": written[ASTERISK_FILE],
        "pjsip.conf": endpoints + TRUSTED + f"#include {PJSIP_FILE}\n",
        "extensions.conf": CALLS,
    }


@dataclass(slots=True)
class Place:
    """A node and the phones that are registered there. `events`: what its Asterisk told since it was opened."""

    name: str
    pbx: Asterisk
    farm: Farm
    events: list[Message] = field(default_factory=list)

    async def put(self, path: str, value: str) -> None:
        await self.ask("DBPut", Family="agentbridge", Key=path, Val=value)

    async def drop(self, path: str) -> None:
        await self.ask("DBDel", Family="agentbridge", Key=path)

    async def phone(self, user: str, display: str = "") -> Phone:
        phone = await self.farm.phone(user, f"secret-{user}", display=display)
        await phone.register()
        return phone

    async def customer(self, display: str = "") -> Phone:
        return await self.farm.phone(self.pbx.caller_user, self.pbx.caller_secret, display=display)

    async def ask(self, action: str, **fields: str) -> list[Message]:
        async with Manager(self.pbx) as manager:
            return await manager.ask(action, fields)

    async def member(self, agent: str, queue: str = "sales", *, here: bool) -> None:
        """Makes the agent a member, as the daemon does for a phone that is registered here or elsewhere."""
        interface = f"PJSIP/{agent}" if here else f"Local/{agent}@agentbridge-remote"
        added = await self.ask("QueueAdd", Queue=queue, Interface=interface, StateInterface=f"PJSIP/{agent}")
        assert added[0]["Response"] == "Success", added

    async def state(self, device: str) -> str:
        got = (await self.ask("Getvar", Variable=f"DEVICE_STATE({device})"))[0]
        return got["Value"]

    async def until_state(self, device: str, wanted: str, within: float = BUSY_LINE) -> None:
        async def there() -> bool:
            return await self.state(device) == wanted

        await until(there, within=within, what=f"{device} being {wanted} at {self.name}")

    async def lost(self, name: str) -> bool:
        """Whether its Asterisk can't reach that node."""
        shown = await self.pbx.cli("pjsip show contacts")
        return any(f" {name}/" in line and " Unavail " in line for line in shown.splitlines())

    async def members(self, queue: str = "sales") -> list[Message]:
        return [m for m in await self.ask("QueueStatus", Queue=queue) if m.get("Event") == "QueueMember"]

    def recordings(self) -> list[Path]:
        return sorted(path for path in (self.pbx.spool / "monitor/agentbridge").rglob("*") if path.is_file())

    async def quiet(self) -> None:
        async def silent() -> bool:
            return "0 active channels" in await self.pbx.cli("core show channels count")

        await until(silent, within=BUSY_LINE, what=f"the end of all channels of {self.name}")


class Cluster:
    """`async with Cluster(folder) as cluster`: `a`, `b` and `c` are up and have found each other.

    daemons: they bring the agents; else those of AGENTS have endpoints of pjsip.conf, and no call waits for a daemon.
    names: of more or fewer nodes.
    """

    def __init__(
        self, folder: Path, *, daemons: bool = False, names: Sequence[str] = NAMES, queues: Queues = QUEUES
    ) -> None:
        self._folder, self._daemons = folder, daemons
        self.nodes, self._queues = addressed(names), queues
        self.tones = itertools.cycle(TONES)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.switch = await stack.enter_async_context(Switch(self._folder))
            self.sites = [await self.switch.site(number) for number in range(1, len(self.nodes) + 1)]
            self.places: list[Place] = []
            for node, site in zip(self.nodes, self.sites, strict=True):
                added = files(node.name, agents=not self._daemons, nodes=self.nodes)
                pbx = Asterisk(queues=self._queues, extra=added, site=site)
                await stack.enter_async_context(pbx)
                self.places.append(Place(node.name, pbx, Farm((pbx.host, pbx.sip_port))))
            if not self._daemons:
                for place in self.places:
                    await place.pbx.cli("dialplan set global AGENTBRIDGE_COMPARED 1")
            await self.joined()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def a(self) -> Place:
        return self.places[0]

    @property
    def b(self) -> Place:
        return self.places[1]

    @property
    def c(self) -> Place:
        return self.places[2]

    async def joined(self, within: float = 30.0) -> None:
        """Until each node can call each other."""

        async def there() -> bool:
            shown = await asyncio.gather(*(place.pbx.cli("pjsip show contacts") for place in self.places))
            return all(text.count(" Avail ") >= len(self.nodes) - 1 for text in shown)

        await until(there, within=within, what="the trunks between all nodes")

    async def gone(self, name: str) -> bool:
        """Whether every other node finds that one gone."""
        others = [place for place in self.places if place.name != name]
        return all(await asyncio.gather(*(place.lost(name) for place in others)))

    @asynccontextmanager
    async def scene(self) -> AsyncIterator[Self]:
        """A scene for one test: phones that it opens are gone after it, and so is every agent and member."""
        async with AsyncExitStack() as stack:
            for place in self.places:
                server = place.pbx.host, place.pbx.sip_port
                place.farm = await stack.enter_async_context(Farm(server, tones=self.tones))
            yield self
        for place in self.places:
            if place.pbx.running:
                await place.quiet()
                await place.pbx.cli("database deltree agentbridge")
                for queue in QUEUES:
                    for member in await place.members(queue):
                        await place.ask("QueueRemove", Queue=queue, Interface=member["Location"])
                shutil.rmtree(place.pbx.spool / "monitor/agentbridge", ignore_errors=True)

    async def agent(self, number: str, at: Place, **options: str) -> Phone:
        """An agent who is logged in, known on every node, with a phone that is registered at one of them."""
        await self.policy(number, at, **options)
        phone = await at.phone(number)
        await asyncio.gather(*(place.until_state(f"PJSIP/{number}", "NOT_INUSE") for place in self.places))
        return phone

    async def policy(self, number: str, at: Place, **options: str) -> None:
        """What the daemons write about a logged-in agent whose phone is at that node."""
        for place in self.places:
            values = {"id": number, "device": number, "node": "" if place is at else at.name, **options}
            for name, value in values.items():
                if value:
                    await place.put(f"agent/{number}/{name}", value)

    async def pause(self, number: str, *, paused: bool = True) -> None:
        """As the daemons write it: the key on each node, the pause where the agent is a member."""
        for place in self.places:
            await (place.put(f"agent/{number}/paused", "1") if paused else place.drop(f"agent/{number}/paused"))
            for interface in (f"PJSIP/{number}", f"Local/{number}@agentbridge-remote"):
                await place.ask("QueuePause", Interface=interface, Paused=str(paused).lower())

    async def serve(self, queue: str, at: Place) -> None:
        """That node serves the queue, and the others know."""
        for place in self.places:
            if place is not at:
                await place.put(f"queue/{queue}/node", at.name)


async def hear_each_other(one: Call, other: Call, tones: tuple[Phone, Phone]) -> None:
    """`tones`: the phones of the two calls."""
    first, second = tones
    assert first.tone
    assert second.tone
    await one.hears(second.tone, timeout=10)
    await other.hears(first.tone, timeout=10)
