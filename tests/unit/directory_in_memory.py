"""A directory in memory: the rows that the loop reads, and what it writes back."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentbridge.errors import Refused, Unavailable
from agentbridge.model import (
    Agent,
    AgentId,
    EndpointId,
    Fate,
    Line,
    Loss,
    LossKind,
    Membership,
    QueueName,
    Reading,
    Session,
    SessionPause,
    Subject,
    Telephone,
    Typology,
)
from agentbridge.reconcile.ports import Outcome

LINE = Line(secret="secret")


def agent(number: int, **changes: Any) -> Agent:
    """Makes an agent whose row id and internal number is `number`; `queues` are its memberships by name."""
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
    """A directory in memory, for the loop. `hint` is called with the touched keys of each change, as the triggers
    do."""

    queues: set[QueueName]
    hint: Callable[[Iterable[EndpointId]], None] = lambda _: None
    hint_pauses: Callable[[Collection[EndpointId]], None] | None = None
    """called instead where nothing but the pause of a session has changed"""
    agents: dict[AgentId, Agent] = field(default_factory=dict)
    telephones: dict[EndpointId, Telephone] = field(default_factory=dict)
    numbers: list[EndpointId] = field(default_factory=list)
    """the range whose AORs are kept in reserve"""
    problems: dict[EndpointId, str] = field(default_factory=dict)
    retired: set[QueueName] = field(default_factory=set)
    """queues that left the directory"""
    unhinted: set[EndpointId] = field(default_factory=set)
    """keys with a change of which no hint has come yet"""
    up: bool = True
    confirmed: bool = False
    refuses_pauses: str = ""
    """the rule that forbids to adopt one"""
    held: set[EndpointId] = field(default_factory=set)
    """what the loop said last that it holds back"""
    owned: int = 0
    taken_away: set[tuple[object, ...]] = field(default_factory=set)
    """the notes that a log-out, a deletion and other queues leave; `agents.clear()` leaves none"""
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
        return Reading(
            snapshot="1:1:",
            subjects=subjects,
            queues=frozenset(self.queues | self.retired),
            retired=frozenset(self.retired),
            changed=frozenset(self.unhinted & subjects.keys()),
        )

    async def keys(self) -> set[EndpointId]:
        await self._reach()
        return {agent.internal for agent in self.agents.values()} | self.telephones.keys()

    async def reserve(self) -> frozenset[EndpointId]:
        await self._reach()
        return frozenset(self.numbers)

    async def record(self, snapshot: str, outcomes: Mapping[EndpointId, Outcome]) -> None:
        await self._reach()
        assert snapshot == "1:1:"
        self.outcomes |= outcomes

    async def adopt_pause(self, key: EndpointId, queue: QueueName, reason: str) -> bool:
        await self._reach()
        self.adoptions += 1
        if self.refuses_pauses:
            raise Refused(self.refuses_pauses)
        carried = self.subject(key).carried
        if carried is None or not any(one.queue == queue and not one.paused for one in carried.memberships):
            return False
        self.pause_in(carried.id, queue, reason)
        return True

    async def hand_over(self, queues: Collection[QueueName]) -> None:
        await self._reach()
        self.retired -= set(queues)

    async def judge(self, losses: Sequence[Loss]) -> dict[Loss, Fate]:
        await self._reach()
        return {loss: self._fate(loss) for loss in losses}

    def _fate(self, loss: Loss) -> Fate:
        """Decides what became of a loss, as the schema's function `fates` does."""
        if self._has_moved(loss):
            return Fate.MOVED
        return Fate.VANISHED if self._has_vanished(loss) else Fate.TAKEN_AWAY

    def _has_moved(self, loss: Loss) -> bool:
        agent = self.agents.get(loss.agent) if loss.agent is not None else None
        if agent is None or agent.device in (None, loss.key):
            return False
        return loss.queue in self.queues and any(one.queue == loss.queue for one in agent.memberships)

    def _has_vanished(self, loss: Loss) -> bool:
        if loss.agent is None:
            return loss.key not in self.telephones and ("telephone", loss.key) not in self.taken_away
        agent = self.agents.get(loss.agent)
        if agent is None:
            return ("agent", loss.agent) not in self.taken_away
        if loss.kind is LossKind.ENDPOINT or not agent.active:
            return False
        if agent.session is None:
            return ("session", loss.agent) not in self.taken_away
        if loss.kind is LossKind.LOGIN or agent.device != loss.key or loss.queue not in self.queues:
            return False
        is_member = any(membership.queue == loss.queue for membership in agent.memberships)
        return not is_member and ("membership", loss.agent, loss.queue) not in self.taken_away

    async def hold(self, keys: Collection[EndpointId], owned: int) -> set[EndpointId]:
        await self._reach()
        self.held, self.owned = set(keys), owned
        return set(keys) if self.confirmed else set()

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
        self._note(before, changed)
        only_pause = before is not None and changed == replace(before, session=changed.session) and (
            before.session is not None and changed.session is not None
            and before.session.telephone == changed.session.telephone and before.session != changed.session
        )  # fmt: skip
        hint = self.hint_pauses if only_pause and self.hint_pauses is not None else self.hint
        hint(_keys(before) | _keys(changed))

    def session_pause(self, key: EndpointId) -> SessionPause | None:
        """What is read of a key of which nothing but a pause has changed; None where that does not tell all."""
        own = next((agent for agent in self.agents.values() if key in _keys(agent)), None)
        if own is None or own.session is None or any(membership.paused for membership in own.memberships):
            return None
        return SessionPause(paused=own.session.paused, reason=own.session.reason)

    def change(self, number: AgentId, **changes: Any) -> None:
        self.put(replace(self.agents[number], **changes))

    def _note(self, before: Agent | None, after: Agent) -> None:
        """Keeps a note of what was taken away, and removes the note of what is there."""
        if before is not None and before.session is not None:
            self.taken_away.add(("session", after.id))
        if after.session is not None:
            self.taken_away.discard(("session", after.id))
        self.taken_away |= {("membership", after.id, one.queue) for one in (before.memberships if before else ())}
        self.taken_away -= {("membership", after.id, one.queue) for one in after.memberships}

    def delete(self, number: AgentId) -> None:
        self.taken_away.add(("agent", number))
        self.hint(_keys(self.agents.pop(number)))

    def add_telephone(self, name: str) -> None:
        self.telephones[EndpointId(name)] = Telephone(name=EndpointId(name), line=LINE)
        self.hint([EndpointId(name)])

    def pause(self, number: AgentId, reason: str) -> None:
        self.change(number, session=self._session(number, paused=True, reason=reason))

    def unpause(self, number: AgentId) -> None:
        """Ends the agent's pauses, in all queues and in single ones."""
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
