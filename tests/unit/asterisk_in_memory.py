"""An Asterisk in memory that obeys the real one's rules, and passes the same contract (tests/contract/test_node.py).

What is (`members`, `objects`, `policy`) and what was seen of it are apart, as with the real one: `seen` learns by
events, which may be lost, by reads, and by answers.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from agentbridge.asterisk.drivers.pjsip_fields import encoded
from agentbridge.asterisk.listener import AsteriskListener
from agentbridge.asterisk.observed.observation import Observation, endpoint_of
from agentbridge.asterisk.observed.policy_tree import PolicyTree
from agentbridge.errors import InvalidValue, Refused, Unavailable
from agentbridge.model import (
    ABSENT,
    AUTOPAUSE,
    Action,
    AddMember,
    AgentId,
    DeleteMailbox,
    DeleteObject,
    DeletePolicy,
    DesiredState,
    DropContact,
    EndpointId,
    Fields,
    Interface,
    Member,
    MemberId,
    ObjectKind,
    ObservedState,
    PauseMember,
    PutMailbox,
    PutObject,
    PutPolicy,
    QueueName,
    RemoveMember,
    SetPenalty,
    SetRingInUse,
    Step,
)

BREAKS_PERSISTENCE = frozenset(";,|")
Write = Callable[[Step], None]


@dataclass
class Faults:
    """What goes wrong at the next writes."""

    refuse: set[EndpointId] = field(default_factory=set)
    """keys whose writes Asterisk refuses"""
    lose_link_in: int | None = None
    """after so many writes the connection is lost; whether that write was done is not known"""
    lose_events: bool = False


class AsteriskInMemory:
    """An Asterisk in memory, for the loop. `written` is called before each write; `offences` lists what no daemon may
    do."""

    def __init__(self, queues: Collection[str], listener: AsteriskListener, written: Write = lambda _: None) -> None:
        self.queues = {QueueName(queue) for queue in queues}
        self.members: dict[MemberId, Member] = {}
        self.objects: dict[tuple[ObjectKind, EndpointId], Fields] = {}
        self.entries: dict[str, str] = {}
        self.others: set[EndpointId] = set()
        """what it has by its own files"""
        self.faults = Faults()
        self.engagements: dict[MemberId, str] = {}
        self.begin_to_ring: set[MemberId] = set()
        """free when asked, and ringing when they are to be taken out"""
        """members that ring, are in a call or in wrap-up, each with the word for it"""
        self.offences: list[str] = []
        self.seen = Observation(listener.key_drifted)
        self._listener = listener
        self._written = written
        self._linked, self._read = True, False
        self.losses = 0

    # ------------------------------------------------------------ as the node

    @property
    def up(self) -> bool:
        return self._linked and self._read

    def state(self, key: EndpointId) -> ObservedState:
        return self.seen.state(key)

    def members_of(self, key: EndpointId) -> Mapping[QueueName, Member]:
        return self.seen.members_of(key)

    def member(self, queue: QueueName, interface: Interface) -> Member | None:
        return self.seen.member(queue, interface)

    def policy(self, path: str) -> str:
        return self.seen.policy(path)

    def is_others(self, key: EndpointId) -> bool:
        return key in self.others

    def expressible(self, wanted: DesiredState) -> DesiredState:
        return wanted

    def knows_queue(self, queue: QueueName) -> bool:
        return self.seen.knows_queue(queue)

    def carriers(self, agent: str) -> Collection[EndpointId]:
        return self.seen.carriers(agent)

    tasks_of_an_aor = 1

    def takes_together(self, aors: int) -> bool:
        del aors
        return False  # it walks nothing

    async def put_new_aors(self, aors: Mapping[EndpointId, Fields]) -> Mapping[EndpointId, str]:
        failures: dict[EndpointId, str] = {}
        for key, fields in aors.items():
            try:
                await self.apply(Step(key, PutObject(ObjectKind.AOR, key, fields), was=ABSENT))
            except (Refused, InvalidValue) as reason:
                failures[key] = str(reason)
        return failures

    def owned(self) -> Collection[EndpointId]:
        return self.seen.owned()

    def agent_of(self, key: EndpointId) -> AgentId | None:
        return self.seen.agent_of(key)

    async def engaged(self, members: Collection[MemberId], anew: Collection[MemberId]) -> dict[MemberId, str]:
        del anew  # no customer waits here
        await asyncio.sleep(0)
        return {place: self.engagements[place] for place in members if place in self.engagements}

    async def reserve(self, members: Collection[MemberId]) -> set[MemberId]:
        """Returns which of these members ring or are in a call by now, `begin_to_ring` included."""
        self.engagements |= dict.fromkeys(self.begin_to_ring & set(members), "ringing")
        self.begin_to_ring.clear()
        return {*await self.engaged(members, ())}

    async def read_all(self) -> None:
        if not self._linked:
            raise Unavailable("the link is down")
        self.seen.begin_read()
        self.seen.policy_read(PolicyTree(self.entries))
        for kind in ObjectKind:
            self.seen.objects_read(kind, {key: f for (k, key), f in self.objects.items() if k is kind})
        members = list(self.members.values())
        await asyncio.sleep(0)  # what happens now is newer than what was read
        self.seen.members_read(self.queues, members)
        self.seen.end_read()
        self._read = True

    async def apply(self, step: Step) -> None:
        await asyncio.sleep(0)
        self._reach(step)
        if step.key in self.faults.refuse:
            raise Refused("Asterisk is in a bad mood")
        self._do(step)
        await asyncio.sleep(0)
        if not self._linked:
            raise Unavailable("the link was lost before the answer")

    def _reach(self, step: Step) -> None:
        """Raises Unavailable or Refused as the faults say, before a write."""
        if not self._linked:
            raise Unavailable("the link is down")
        if self.faults.lose_link_in is None:
            return
        self.faults.lose_link_in -= 1
        if self.faults.lose_link_in < 0:
            self.lose_link()
            if len(step.key) % 2:  # now and then it was done all the same
                self._do(step)
            raise Unavailable("the link was lost")

    def _do(self, step: Step) -> None:
        """Carries out a step."""
        self._written(step)
        match step.action:
            case AddMember(member):
                self._add(member)
            case RemoveMember(member):
                self._ours(self._remove, member.queue, member.interface)
            case PauseMember(queue, interface, paused, reason):
                self._ours(self._pause, queue, interface, paused, _whole(reason))
            case SetPenalty(queue, interface, penalty):
                self._ours(self._penalty, queue, interface, penalty)
            case PutPolicy(path, value):
                self.entries[path] = value
                self.seen.policy_put(path, value)
            case DeletePolicy(path):
                self.entries.pop(path, None)
                self.seen.policy_deleted(path)
            case PutObject(kind, key, fields):
                self._put(kind, key, fields)
            case DeleteObject(kind, key):
                self.objects.pop((kind, key), None)
                self.seen.object_deleted(kind, key)
            case _:
                self._do_the_rest(step.action)

    def _do_the_rest(self, action: Action) -> None:
        match action:
            case SetRingInUse(queue, interface, ring_in_use):
                self._ours(self._ring_in_use, queue, interface, ring_in_use)
            case PutMailbox(key, fields):
                self.seen.mailbox_seen(key, fields)
            case DeleteMailbox(key):
                self.seen.mailbox_seen(key, {})
            case DropContact():
                raise AssertionError("nobody registers with it")

    # ------------------------------------------------------------ app_queue's rules

    def _add(self, member: Member) -> None:
        if member.queue not in self.queues:
            raise Refused("QueueAdd: Unable to add interface to queue: No such queue")
        _whole(member.name)
        _whole(member.reason)
        if _place(member.queue, member.interface) in self.members:
            self._look(member.queue)
            return
        self._ours(self._join, member.queue, member.interface, member)

    def _ours(self, act: Callable[..., None], queue: QueueName, interface: Interface, *args: object) -> None:
        """Carries out a member's write, and takes its event for our own; without one the queue is read."""
        event = self.seen.awaiting(queue, interface)
        try:
            act(queue, interface, *args)
        finally:
            self.seen.stop_awaiting(queue, interface)
        if not event.done():
            self._look(queue)

    def _look(self, queue: QueueName) -> None:
        self.seen.queue_read(queue, [m for (name, _), m in self.members.items() if name == queue])

    def _join(self, queue: QueueName, interface: Interface, member: Member) -> None:
        self.members[_place(queue, interface)] = member
        self._event(member)

    def _remove(self, queue: QueueName, interface: Interface) -> None:
        if self.members.pop(_place(queue, interface), None) and self._heard():
            self.seen.member_gone(queue, interface)

    def _pause(self, queue: QueueName, interface: Interface, paused: bool, reason: str) -> None:
        was = self.members.get(_place(queue, interface))
        if was is None:
            return
        now = replace(was, paused=paused, reason=reason if paused else "")
        if now == was:
            self.offences.append(f"a pause that changes nothing: {was}")
        self._replace(now)

    def _penalty(self, queue: QueueName, interface: Interface, penalty: int) -> None:
        was = self.members.get(_place(queue, interface))
        if was is None:
            raise Refused("QueuePenalty: Invalid interface, queuename or penalty")
        self._replace(replace(was, penalty=penalty))

    def _ring_in_use(self, queue: QueueName, interface: Interface, ring_in_use: bool) -> None:
        self._replace(replace(self.members[_place(queue, interface)], ring_in_use=ring_in_use))

    def _replace(self, member: Member) -> None:
        self.members[_place(member.queue, member.interface)] = member
        self._event(member)

    def _event(self, member: Member) -> None:
        if not self._heard():
            return
        key = endpoint_of(member.interface)
        if key is not None and member.paused and member.reason == AUTOPAUSE:
            self._listener.member_autopaused(key, member.queue)
        self.seen.member_seen(member)

    def _heard(self) -> bool:
        return self._linked and not self.faults.lose_events

    def _put(self, kind: ObjectKind, key: EndpointId, fields: Fields) -> None:
        encoded(fields)
        self.objects[kind, key] = {**self.objects.get((kind, key), {}), **fields}
        self.seen.object_put(kind, key, fields)

    # ------------------------------------------------------------ what others do

    def lose_link(self) -> None:
        self._linked = self._read = False
        self.losses += 1

    def restore_link(self) -> None:
        self._linked = True
        self._listener.asterisk_stale()

    def reload_queues(self) -> None:
        if self._heard():
            self._listener.asterisk_stale()

    def wipe_policy(self) -> None:
        """`database deltree agentbridge`: there is no event of it."""
        self.entries.clear()

    def add_by_hand(self, member: Member) -> None:
        self._join(member.queue, member.interface, member)

    def remove_by_hand(self, queue: QueueName, interface: Interface) -> None:
        self._remove(queue, interface)

    def pause_by_hand(self, queue: QueueName, interface: Interface, reason: str) -> None:
        self._set_pause(queue, interface, True, reason)

    def unpause_by_hand(self, queue: QueueName, interface: Interface) -> None:
        self._set_pause(queue, interface, False, "")

    def set_ring_in_use_by_hand(self, queue: QueueName, interface: Interface, ring_in_use: bool) -> None:
        self._ring_in_use(queue, interface, ring_in_use)

    def no_answer(self, queue: QueueName, interface: Interface) -> None:
        """A queue with autopause=yes called a member that is not paused, in vain."""
        self._set_pause(queue, interface, True, AUTOPAUSE)

    def _set_pause(self, queue: QueueName, interface: Interface, paused: bool, reason: str) -> None:
        if (was := self.members.get(_place(queue, interface))) and was.paused != paused:
            self._replace(replace(was, paused=paused, reason=reason))


def _place(queue: QueueName, interface: Interface) -> MemberId:
    """app_queue compares both without case."""
    return QueueName(queue.lower()), Interface(interface.lower())


def _whole(text: str) -> str:
    """Returns the text. Raises InvalidValue where app_queue would cut it."""
    if BREAKS_PERSISTENCE & set(text):
        raise InvalidValue(f"must not contain ; , or | at which Asterisk splits its store of members (got {text!r})")
    return text
