"""A directory in memory: the rows that the loop reads, and what it writes back."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentbridge.errors import Refused, Unavailable
from agentbridge.model import (
    Agent,
    AgentId,
    EndpointId,
    Line,
    Membership,
    QueueName,
    Reading,
    Session,
    Subject,
    Telephone,
    Totals,
    Typology,
)
from agentbridge.reconcile.reconciler import Outcome

LINE = Line(secret="secret")


def agent(number: int, **changes: Any) -> Agent:
    """An agent with the row id and the internal number `number`; `queues` are its memberships by name."""
    queues = changes.pop("queues", ())
    return Agent(
        **{
            "id": AgentId(number),
            "username": f"user{number}",
            "internal": EndpointId(str(number)),
            "display_name": f"Agent {number}",
            "typology": Typology.EXTERNAL,
            "line": LINE,
            "memberships": tuple(Membership(queue=QueueName(queue)) for queue in queues),
            **changes,
        }
    )


@dataclass
class DirectoryInMemory:
    """`hint` is called with the touched keys of each change, as the database's triggers do."""

    queues: set[QueueName]
    hint: Callable[[Iterable[EndpointId]], None] = lambda _: None
    agents: dict[AgentId, Agent] = field(default_factory=dict)
    telephones: dict[EndpointId, Telephone] = field(default_factory=dict)
    numbers: list[EndpointId] = field(default_factory=list)
    """the range whose AORs are kept in reserve"""
    problems: dict[EndpointId, str] = field(default_factory=dict)
    up: bool = True
    confirmed: bool = False
    refuses_pauses: str = ""
    """the rule that forbids to adopt one"""
    refusals: list[tuple[int, int]] = field(default_factory=list)
    adoptions: int = 0
    """how often one was asked for"""
    outcomes: dict[EndpointId, Outcome] = field(default_factory=dict)
    given: dict[EndpointId, Subject] = field(default_factory=dict)
    """what the last look at each key saw"""

    # ------------------------------------------------------------ what the loop asks

    async def read(self, keys: Collection[EndpointId]) -> Reading:
        await self._reach()
        subjects = {key: self.subject(key) for key in keys}
        self.given |= subjects
        return Reading(snapshot="1:1:", subjects=subjects, queues=frozenset(self.queues))

    async def keys(self) -> set[EndpointId]:
        await self._reach()
        return {agent.internal for agent in self.agents.values()} | self.telephones.keys()

    async def reserve(self) -> Collection[EndpointId]:
        await self._reach()
        return self.numbers

    async def record(self, snapshot: str, outcomes: Mapping[EndpointId, Outcome]) -> None:
        await self._reach()
        assert snapshot == "1:1:"
        self.outcomes |= outcomes

    async def adopt_pause(self, key: EndpointId, queue: QueueName, reason: str) -> None:
        await self._reach()
        self.adoptions += 1
        if self.refuses_pauses:
            raise Refused(self.refuses_pauses)
        if (carried := self.subject(key).carried) is not None:
            self.pause_in(carried.id, queue, reason)

    async def totals(self) -> Totals:
        await self._reach()
        logged_in = [agent for agent in self.agents.values() if agent.device]
        return Totals(
            endpoints=len(self.agents) + len(self.telephones),
            members=sum(len(agent.memberships) for agent in logged_in),
        )

    async def refused(self, removals: int, owned: int) -> bool:
        await self._reach()
        self.refusals.append((removals, owned))
        return self.confirmed

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if not self.up:
            raise Unavailable("the database is down")

    def subject(self, key: EndpointId) -> Subject:
        agents = self.agents.values()
        return Subject(
            key=key,
            agent=next((agent for agent in agents if agent.internal == key), None),
            telephone=self.telephones.get(key),
            carried=next((agent for agent in agents if agent.device == key), None),
            problem=self.problems.get(key, ""),
        )

    # ------------------------------------------------------------ what people change

    def put(self, changed: Agent) -> None:
        before = self.agents.get(changed.id)
        self.agents[changed.id] = changed
        self.hint(_keys(before) | _keys(changed))

    def change(self, number: AgentId, **changes: Any) -> None:
        self.put(replace(self.agents[number], **changes))

    def delete(self, number: AgentId) -> None:
        self.hint(_keys(self.agents.pop(number)))

    def add_telephone(self, name: str) -> None:
        self.telephones[EndpointId(name)] = Telephone(name=EndpointId(name), line=LINE)
        self.hint([EndpointId(name)])

    def pause(self, number: AgentId, reason: str) -> None:
        self.change(number, session=self._session(number, paused=True, reason=reason))

    def unpause(self, number: AgentId) -> None:
        """Of all queues, the single ones too."""
        memberships = tuple(replace(m, paused=False, reason="") for m in self.agents[number].memberships)
        session = self._session(number, paused=False, reason="")
        self.change(number, session=session, memberships=memberships)

    def pause_in(self, number: AgentId, queue: QueueName, reason: str) -> None:
        memberships = self.agents[number].memberships
        paused = (replace(m, paused=True, reason=reason) if m.queue == queue else m for m in memberships)
        self.change(number, memberships=tuple(paused))

    def _session(self, number: AgentId, **changes: Any) -> Session:
        return replace(self.agents[number].session or Session(), **changes)


def _keys(agent: Agent | None) -> set[EndpointId]:
    if agent is None:
        return set()
    telephone = agent.session.telephone if agent.session else None
    return {agent.internal, telephone} if telephone else {agent.internal}
