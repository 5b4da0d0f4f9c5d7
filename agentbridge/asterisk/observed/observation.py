"""What is in Asterisk, as last seen: from full reads and from the events between them. No I/O.

A full read and the events come over different connections, so an event may be newer than a line of a read
that is still under way. What an event or a write of ours touches during a read is therefore not overwritten
by it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from agentbridge.asterisk.observed.objects import ObjectTable
from agentbridge.asterisk.observed.policy_tree import PolicyTree
from agentbridge.model import (
    REMOTE_CONTEXT,
    AgentId,
    EndpointId,
    Fields,
    Interface,
    Member,
    MemberId,
    ObjectKind,
    ObservedState,
    QueueName,
)

PREFIX = "PJSIP/"
REMOTE = re.compile(rf"Local/[^@/]+@{REMOTE_CONTEXT}", re.IGNORECASE)
"""a member whose device is registered with another node"""


def endpoint_of(interface: Interface) -> EndpointId | None:
    """Returns the endpoint id of a member's interface; None for one that is no PJSIP endpoint, which is not ours.

    Asterisk finds `pjsip/1001` as well, and takes it for the same member as `PJSIP/1001`.
    """
    return EndpointId(interface[len(PREFIX) :]) if interface.upper().startswith(PREFIX) else None


def device_of(member: Member) -> EndpointId | None:
    """Returns the device of a member: that of its interface or, of a member at another node, of its state interface."""
    remote = REMOTE.fullmatch(member.interface)
    return endpoint_of(Interface(member.state_interface) if remote else member.interface)


class Observation:
    """Stores what was last observed in Asterisk; `on_change` is called with keys that changed without our doing."""

    def __init__(self, on_change: Callable[[EndpointId], None]) -> None:
        self._on_change = on_change
        self._queues: frozenset[QueueName] = frozenset()
        self._members: dict[EndpointId, dict[QueueName, Member]] = {}
        self._remote: dict[MemberId, EndpointId] = {}
        """the device of each member at another node, whose interface does not say it"""
        self._objects: dict[ObjectKind, ObjectTable] = {kind: ObjectTable() for kind in ObjectKind}
        self._policy = PolicyTree()
        self._mailboxes: dict[EndpointId, Fields] = {}
        self._touched_mailboxes: set[EndpointId] = set()
        self._reading = False
        """a full read is under way; else nobody asks what was touched"""
        self._tells_drift = False
        self._awaited: dict[MemberId, asyncio.Future[None]] = {}
        self._touched_members: set[MemberId] = set()
        self._touched_objects: set[tuple[ObjectKind, EndpointId]] = set()
        self._touched_paths: set[str] = set()

    # ------------------------------------------------------------ questions

    def state(self, key: EndpointId) -> ObservedState:
        """Returns all that was observed of a key."""
        return ObservedState(
            objects={kind: objects[key] for kind, objects in self._objects.items() if key in objects},
            members=self.members_of(key),
            policy=self._policy.of(key),
            mailbox=self._mailboxes.get(key, {}),
        )

    def members_of(self, key: EndpointId) -> Mapping[QueueName, Member]:
        """Returns the queue members of a key, by queue."""
        return self._members.get(key, {})

    def member(self, queue: QueueName, interface: Interface) -> Member | None:
        key = self._key(queue, interface)
        return self._members.get(key, {}).get(queue) if key else None

    def _key(self, queue: QueueName, interface: Interface) -> EndpointId | None:
        """Returns the device of a member that was seen: of any PJSIP one, or of ours at another node; else None."""
        return endpoint_of(interface) or self._remote.get((queue, interface))

    def knows_queue(self, queue: QueueName) -> bool:
        return queue in self._queues

    def policy(self, path: str) -> str:
        """The value at a path of our family; '' where there is none."""
        return self._policy.get(path) or ""

    def endpoints(self) -> int:
        """How many endpoints of the AstDB Asterisk has."""
        return len(self._objects[ObjectKind.ENDPOINT])

    def queue_policy(self) -> Fields:
        """What our family says of queues, by its path."""
        return self._policy.queues()

    def is_telephone(self, key: EndpointId) -> bool:
        return self._policy.get(f"telephone/{key}/agent") is not None

    def agents(self) -> Iterator[EndpointId]:
        """The internal numbers of our agents that Asterisk has, by our AstDB family."""
        return self._policy.agents()

    def owned(self) -> Collection[EndpointId]:
        return self._policy.keys() | self._mailboxes.keys()

    def agent_of(self, key: EndpointId) -> AgentId | None:
        """Returns the row id of the agent whose number this is, or who is logged in at this telephone, by our AstDB
        family; else None."""
        row_id = self._policy.agent_of(key)
        return AgentId(int(row_id)) if row_id.isdecimal() else None

    def stored(self) -> Collection[EndpointId]:
        """Every id of which a PJSIP object is in the AstDB, whoever put it there."""
        return {key for objects in self._objects.values() for key in objects}

    def queues(self) -> Collection[QueueName]:
        """All queues of this Asterisk."""
        return self._queues

    def carriers(self, agent: str) -> Collection[EndpointId]:
        """The endpoint ids that take this agent's calls: its device, and every telephone that names it."""
        return self._policy.carriers(agent)

    # ------------------------------------------------------------ events and writes

    def awaiting(self, queue: QueueName, interface: Interface) -> asyncio.Future[None]:
        """Returns a future that is done at the next event of this member; that event is then taken for the result of
        our write."""
        future = asyncio.get_running_loop().create_future()
        self._awaited[queue, interface] = future
        return future

    def stop_awaiting(self, queue: QueueName, interface: Interface) -> None:
        self._awaited.pop((queue, interface), None)

    def member_seen(self, member: Member) -> None:
        """Stores a member as an event or an answer shows it."""
        if (key := self._owner(member)) is None:
            return
        changed = self._members.get(key, {}).get(member.queue) != member
        self._members.setdefault(key, {})[member.queue] = member
        self._member_touched(key, member.queue, member.interface, changed=changed)

    def _owner(self, member: Member) -> EndpointId | None:
        """Returns the device of a member, and remembers it where the interface does not say it."""
        key = device_of(member)
        if key is not None and endpoint_of(member.interface) is None:
            self._remote[member.queue, member.interface] = key
        return key

    def member_gone(self, queue: QueueName, interface: Interface) -> None:
        """Notes that an interface is not a member of the queue any more."""
        if (key := self._key(queue, interface)) is None:
            return
        self._remote.pop((queue, interface), None)
        there = self._members.get(key, {}).get(queue)
        if there is None or there.interface.lower() == interface.lower():
            self._forget(key, queue)
        self._member_touched(key, queue, interface, changed=True)

    def _forget(self, key: EndpointId, queue: QueueName) -> None:
        """Forgets a key's membership."""
        members = self._members.get(key, {})
        members.pop(queue, None)
        if not members:
            self._members.pop(key, None)

    def _member_touched(self, key: EndpointId, queue: QueueName, interface: Interface, *, changed: bool) -> None:
        """Notes an event about a member: it ends the wait of a write of ours; without one, a change is a drift and
        told."""
        if self._reading:
            self._touched_members.add((queue, interface))
        awaited = self._awaited.pop((queue, interface), None)
        if awaited is not None and not awaited.done():
            awaited.set_result(None)
        elif changed:
            self._on_change(key)

    def object_put(self, kind: ObjectKind, key: EndpointId, fields: Fields) -> None:
        """Notes the fields of an object that were written; its other fields stay, as a PUT merges."""
        if self._reading:
            self._touched_objects.add((kind, key))
        there = self._objects[kind].get(key)
        self._objects[kind].put(key, {**there, **fields} if there else fields)

    def object_deleted(self, kind: ObjectKind, key: EndpointId) -> None:
        """Notes that an object was deleted."""
        if self._reading:
            self._touched_objects.add((kind, key))
        self._objects[kind].drop(key)

    def objects(self, kind: ObjectKind) -> ObjectTable:
        """All objects of a kind."""
        return self._objects[kind]

    def object_touched(self, kind: ObjectKind, key: EndpointId) -> bool:
        """Whether the object was written or deleted since the full read began that is under way."""
        return (kind, key) in self._touched_objects

    def policy_put(self, path: str, value: str) -> None:
        """Notes that an AstDB entry was written."""
        if self._reading:
            self._touched_paths.add(path)
        self._policy.put(path, value)

    def policy_deleted(self, path: str) -> None:
        """Notes that an AstDB entry was deleted."""
        if self._reading:
            self._touched_paths.add(path)
        self._policy.drop(path)

    def mailbox_seen(self, key: EndpointId, fields: Fields) -> None:
        """Stores a voicemail box as it is; {} where there is none."""
        if self._reading:
            self._touched_mailboxes.add(key)
        if fields:
            self._mailboxes[key] = fields
        else:
            self._mailboxes.pop(key, None)

    # ------------------------------------------------------------ full reads

    def begin_read(self, *, tells_drift: bool = False) -> None:
        """Begins a full read: what is touched from now on, until `end_read`, is newer than what the read will say, and
        stays.

        tells_drift: all that is not as it was known is told as a change, since nobody will compare everything at once
        after it.
        """
        self.end_read()
        self._reading, self._tells_drift = True, tells_drift

    def end_read(self) -> None:
        """Ends a full read, whether or not it succeeded."""
        self._reading = self._tells_drift = False
        self._touched_members.clear()
        self._touched_objects.clear()
        self._touched_paths.clear()
        self._touched_mailboxes.clear()

    def members_read(self, queues: Iterable[QueueName], members: Iterable[Member]) -> None:
        """Stores all members of all queues from a full read."""
        self._queues = frozenset(queues)
        fresh: dict[EndpointId, dict[QueueName, Member]] = {}
        for member in members:
            if (key := self._owner(member)) and (member.queue, member.interface) not in self._touched_members:
                known = self._members.get(key, {}).get(member.queue)
                fresh.setdefault(key, {})[member.queue] = known if known == member else member
        for queue, interface in self._touched_members:
            self._keep(fresh, queue, interface)
        before, self._members = self._members, fresh
        # also who is a stranger: a look at everything goes by what the directory and our policy list
        self._tell(key for key in before.keys() | fresh.keys() if before.get(key) != fresh.get(key))

    def _keep(self, fresh: dict[EndpointId, dict[QueueName, Member]], queue: QueueName, interface: Interface) -> None:
        if (key := self._key(queue, interface)) and (member := self._members.get(key, {}).get(queue)):
            fresh.setdefault(key, {})[queue] = member

    def queue_read(self, queue: QueueName, members: Iterable[Member]) -> None:
        """Stores all members of one queue; those stored before that are not among them are forgotten.

        A queue that Asterisk does not know has no members: that is how it shows that the queue is gone.
        """
        before = {key: queues[queue] for key, queues in self._members.items() if queue in queues}
        found = {owner: member for member in members if (owner := self._owner(member))}
        for key in before.keys() - found.keys():
            self._forget(key, queue)
        for key, member in found.items():
            self._members.setdefault(key, {})[queue] = member
        if self._reading:  # it may be older
            self._touched_members |= {(queue, member.interface) for member in (before | found).values()}
        self._tell(key for key in before.keys() | found.keys() if before.get(key) != found.get(key))

    def objects_read(self, kind: ObjectKind, objects: Mapping[EndpointId, Fields]) -> None:
        """Stores all objects of a kind from a full read; those that were touched since its beginning stay."""
        fresh = objects if isinstance(objects, ObjectTable) else ObjectTable(objects)
        fresh.take_over((key for of, key in self._touched_objects if of is kind), self._objects[kind])
        before, self._objects[kind] = self._objects[kind], fresh
        if self._tells_drift:
            self._tell(before.changed_in(fresh))

    def mailboxes_read(self, boxes: Mapping[EndpointId, Fields]) -> None:
        """Stores all voicemail boxes from a full read; those that were touched since its beginning stay."""
        fresh = {key: fields for key, fields in boxes.items() if key not in self._touched_mailboxes}
        kept = {key: fields for key, fields in self._mailboxes.items() if key in self._touched_mailboxes}
        before, self._mailboxes = self._mailboxes, fresh | kept
        if self._tells_drift:
            now = self._mailboxes
            self._tell(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))

    def policy_read(self, fresh: PolicyTree) -> None:
        """Stores our whole AstDB family from a full read."""
        fresh.take_over(self._touched_paths, self._policy)
        before, self._policy = self._policy, fresh
        # what was ours and is not listed any more is in no list but this one
        self._tell(before.changed_in(fresh) if self._tells_drift else before.keys() - fresh.keys())

    def _tell(self, keys: Iterable[EndpointId]) -> None:
        for key in keys:
            self._on_change(key)
