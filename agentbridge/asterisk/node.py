"""One Asterisk: its four AMI links, ARI, what was observed of it, and the drivers that write to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

import structlog

from agentbridge.asterisk import capabilities, task_processors
from agentbridge.asterisk.ami.events import EVENTS, FILTERS
from agentbridge.asterisk.ami.link import Account, AmiLink, Timing
from agentbridge.asterisk.ami.pending import OnEvent
from agentbridge.asterisk.ami.shutdown import Shutdown
from agentbridge.asterisk.ami.wire import Fields as WireFields
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.capabilities import Capabilities
from agentbridge.asterisk.drivers.endpoints import Endpoints
from agentbridge.asterisk.drivers.engagement import Engagement
from agentbridge.asterisk.drivers.members import Members, member_of
from agentbridge.asterisk.drivers.pjsip_fields import MANAGED
from agentbridge.asterisk.drivers.policy import PolicyStore
from agentbridge.asterisk.drivers.registrar import RegistrarContacts
from agentbridge.asterisk.drivers.transports import Transports
from agentbridge.asterisk.drivers.voicemail import Mailboxes
from agentbridge.asterisk.listener import AsteriskListener
from agentbridge.asterisk.missing_queues import MissingQueues
from agentbridge.asterisk.observed.contacts import ContactListener, Contacts, NoContactListener
from agentbridge.asterisk.observed.observation import Observation, device_of
from agentbridge.asterisk.silencing import Silencing
from agentbridge.asterisk.trunks import PUBLISHER
from agentbridge.errors import Unavailable
from agentbridge.model import (
    AUTOPAUSE,
    AddMember,
    AgentId,
    Contact,
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
    queue_name,
)

log = structlog.get_logger()

OLD = "this version of Asterisk does not know these: the daemon does without; `agentbridge status` says what each means"


class Node:
    """One Asterisk: observes what is in it by AMI and writes to it by AMI and ARI; `run` keeps the connections.

    listener: is told what happens there. contacts: is told which devices are registered.
    """

    def __init__(
        self,
        account: Account,
        ari: Ari,
        listener: AsteriskListener,
        *,
        contacts: ContactListener | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._listener = listener
        self._seen = Observation(listener.key_drifted)
        shutdown = Shutdown(self._shuts_down, listener.asterisk_stale)
        self._actions = AmiLink(
            account,
            name="actions",
            on_up=self._came_up,
            on_down=self._lost,
            timing=timing,
            shutdown=shutdown,
            asks=True,
        )
        # what takes long is apart, since Asterisk does a session's actions one by one: beside 5,000 endpoints a look at
        # the task processors takes 0.2 s
        self._bulk, self._depth = (
            AmiLink(account, name=name, timing=timing, shutdown=shutdown, lives=lambda: self._events.up)
            for name in ("bulk", "depth")
        )
        self._events = AmiLink(
            account,
            name="events",
            events=EVENTS,
            filters=FILTERS,
            on_event=self._on_event,
            on_up=self._came_up,
            on_down=self._lost,
            timing=timing,
            shutdown=shutdown,
        )
        self._links = (self._events, self._actions, self._bulk, self._depth)
        self._gauge = task_processors.DepthGauge(self._depth, time.monotonic)
        self._members = Members(self._actions, self._bulk, self._seen)
        self._engagement = Engagement(self._actions, self._bulk, self._members, self._seen, time.time)
        self._policy = PolicyStore(self._actions, self._bulk, self._seen)
        self._contacts = Contacts(self._bulk, contacts or NoContactListener())
        self._endpoints = Endpoints(ari, self._actions, self._bulk, self._seen, self._contacts)
        self._registrar = RegistrarContacts(ari)
        self._transports = Transports(self._registrar, self._contacts, listener.key_drifted)
        self._mailboxes = Mailboxes(self._actions, self._bulk, self._seen)
        self._missing = MissingQueues(self._members, lambda: self.up, listener)
        self._silencing = Silencing(self._actions, self._members, self._seen, listener)
        self._capabilities = Capabilities()
        self._asked = -1
        """at how many losses the capabilities were asked for"""
        self._read = False
        self._losses = 0
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Keeps the AMI links connected and runs the node's other loops, until it is cancelled."""
        async with asyncio.TaskGroup() as links:
            for link in self._links:
                links.create_task(link.run(), name=f"ami-{link.name}")
            links.create_task(self._missing.run(), name="missing-queues")
            links.create_task(self._silencing.run(), name="silencing")

    # ------------------------------------------------------------ what is

    @property
    def up(self) -> bool:
        """Connected, and read completely since."""
        return self._read and self._events.up and self._actions.up

    @property
    def sessions(self) -> int:
        """How many AMI sessions this node opens."""
        return len(self._links)

    @property
    def losses(self) -> int:
        """How often a link was lost: what was read before is old."""
        return self._losses

    def state(self, key: EndpointId) -> ObservedState:
        return self._endpoints.added_to(self._transports.added_to(self._seen.state(key), key), key)

    def members_of(self, key: EndpointId) -> Mapping[QueueName, Member]:
        """The queue members of a key, by queue."""
        return self._seen.members_of(key)

    def member(self, queue: QueueName, interface: Interface) -> Member | None:
        """A member of a queue as it was seen last; None where there is none."""
        return self._seen.member(queue, interface)

    def expressible(self, wanted: DesiredState) -> DesiredState:
        """`wanted` as far as this Asterisk has words for it."""
        return self._capabilities.expressible(wanted)

    def is_others(self, key: EndpointId) -> bool:
        """Whether Asterisk has a device of that name by its own files."""
        return self._endpoints.is_others(key)

    @property
    def lacks(self) -> Collection[str]:
        """What this Asterisk can't do, by name; known once it was read."""
        return self._capabilities.lacks

    def contacts(self) -> Mapping[EndpointId, Contact]:
        """Returns every device that is registered here, with where it is reached."""
        return self._contacts.all()

    def contact(self, device: EndpointId) -> Contact | None:
        """Returns where a device that is registered here is reached."""
        return self._contacts.contact(device)

    def has_contact(self, device: EndpointId) -> bool:
        """Whether a device has a contact here, be it one that does not answer just now."""
        return self._contacts.registered(device) or bool(self._contacts.unreachable([device]))

    async def whole_contact(self, device: EndpointId) -> Contact | None:
        """Returns where a device that is registered here is reached, with its path, as the registrar has it now.

        Raises Refused or Unavailable.
        """
        contact = self._contacts.contact(device)
        return await self._registrar.read(device, contact.uri) if contact is not None else None

    async def register(self, device: EndpointId, contact: Contact) -> None:
        """Registers a device of another node here; the event that follows tells the contact listener. Raises Refused
        or Unavailable."""
        await self._registrar.write(device, contact)

    def located(self, moments: Mapping[EndpointId, float]) -> None:
        """Notes as of which moment the directory knew where these devices are; see Contacts.located."""
        self._contacts.located(moments)

    def unreachable(self, names: Collection[str]) -> list[str]:
        """Returns those of these nodes that this Asterisk can't reach: the AOR of a trunk has its node's name."""
        return self._contacts.unreachable(names)

    def is_telephone(self, key: EndpointId) -> bool:
        """Whether our AstDB family lists it as a telephone."""
        return self._seen.is_telephone(key)

    def knows_queue(self, queue: QueueName) -> bool:
        """Whether Asterisk has this queue; one that it does not have is looked for from now on."""
        known = self._seen.knows_queue(queue)
        if not known:
            self._missing.note(queue)
        return known

    def forget_missing_queues(self) -> None:
        """Looks no more for queues that were not there, since all keys are compared, and those that are still missed
        are noted again."""
        self._missing.clear()

    def carriers(self, agent: str) -> Collection[EndpointId]:
        """Returns the endpoint ids that take the calls of the agent with this row id."""
        return self._seen.carriers(agent)

    def owned(self) -> Collection[EndpointId]:
        return self._seen.owned()

    def agent_of(self, key: EndpointId) -> AgentId | None:
        """Whose number this is, or who is logged in at this telephone, by our AstDB family."""
        return self._seen.agent_of(key)

    def stored(self) -> Collection[EndpointId]:
        """Every id of which a PJSIP object is in the AstDB, whoever put it there."""
        return self._seen.stored()

    def queues(self) -> Collection[QueueName]:
        """All queues of this Asterisk."""
        return self._seen.queues()

    def policy(self, path: str) -> str:
        """The value at a path below our AstDB family, e.g. `agent/1001/chanspy`; '' where there is none."""
        return self._seen.policy(path)

    def queue_policy(self) -> Fields:
        """What our AstDB family says of queues, by its path, e.g. `queue/sales/node`."""
        return self._seen.queue_policy()

    def agents(self) -> Collection[EndpointId]:
        """The internal numbers of our agents that Asterisk has, by our AstDB family."""
        return list(self._seen.agents())

    async def engaged(self, members: Collection[MemberId], anew: Collection[MemberId]) -> dict[MemberId, str]:
        """Which of these members ring, are in a call or in wrap-up just now, or are the last one for waiting customers;
        each with the words for it."""
        return await self._engagement.of(members, anew)

    async def reserve(self, members: Collection[MemberId]) -> set[MemberId]:
        """Keeps the free ones of these members from beginning to ring; returns the others."""
        return await self._engagement.reserve(members)

    async def read_all(self, *, timeout: float = 30.0) -> None:
        """Reads everything in Asterisk that we manage. Raises Unavailable when a link is not up within `timeout`
        seconds."""
        async with self._reading:
            for link in self._links:
                await link.wait_up(timeout)
            losses = self._losses
            await self._ask_capabilities()
            self._seen.begin_read()
            try:
                await self._policy.read_all()
                await self._endpoints.read_all()
                await self._members.read_all()
                await self._mailboxes.read_all()
                await self._contacts.read_all()
            finally:
                self._seen.end_read()
            # a link that was lost meanwhile has missed events; it asks for another read when it is back
            self._read = losses == self._losses

    def reads(self) -> list[Callable[[], Awaitable[None]]]:
        """Returns what `read_all` reads as parts that may be read at different times, once all was read; each raises
        Unavailable or Refused."""
        parts = (
            self._policy.read_all,
            *self._endpoints.reads(),
            self._members.read_all,
            self._mailboxes.read_all,
            self._contacts.read_all,
        )
        return [partial(self._read_alone, part) for part in parts]

    async def _read_alone(self, part: Callable[[], Awaitable[None]]) -> None:
        """Reads one of the parts while nothing else is read."""
        async with self._reading:
            if not self.up:
                raise Unavailable("Asterisk is not connected")
            self._seen.begin_read(tells_drift=True)
            try:
                await part()
            finally:
                self._seen.end_read()

    async def _ask_capabilities(self) -> None:
        """Asks what this Asterisk can do, once for each connection: another version may have taken its place."""
        if self._asked == self._losses:
            return
        asked = self._losses
        found = await capabilities.ask(self._bulk, MANAGED)
        if found.lacks and found.lacks != self._capabilities.lacks:
            log.warning("asterisk.lacks", lacks="; ".join(found.lacks), meanwhile=OLD)
        self._capabilities = found
        self._endpoints.connected(found)
        self._asked = asked

    async def depth(self) -> int:
        """Returns the tasks in the deepest task processor; see task_processors. Raises Unavailable."""
        return await self._gauge.depth(self._capabilities.processors, self._seen.endpoints())

    @property
    def tasks_of_an_aor(self) -> int:
        """How many tasks a written AOR counts as; see task_processors."""
        return task_processors.tasks_of_a_walk(self._seen.endpoints())

    # ------------------------------------------------------------ questions and orders of others

    async def action(self, action: str, fields: WireFields = (), *, timeout: float) -> Message:
        """Sends an AMI action and waits for its answer; see AmiConnection.action."""
        return await self._actions.action(action, fields, timeout=timeout)

    async def action_list(
        self, action: str, fields: WireFields = (), *, timeout: float, on_item: OnEvent | None = None
    ) -> list[Message]:
        """Sends an AMI action that answers with a list; see AmiConnection.action_list. On the link for bulk answers."""
        return await self._bulk.action_list(action, fields, timeout=timeout, on_item=on_item)

    async def command(self, line: str, *, timeout: float) -> str:
        """Runs a command of Asterisk's command line; see AmiLink.command."""
        return await self._actions.command(line, timeout=timeout)

    # ------------------------------------------------------------ what should be

    async def apply(self, step: Step) -> None:
        """Carries out one step; returns when the change has been observed. Raises Refused, InvalidValue or
        Unavailable."""
        match step.action:
            case AddMember() as action:
                await self._members.add(action)
            case RemoveMember() | PauseMember() | SetPenalty() | SetRingInUse() as action:
                await self._members.apply(action)
                self._silencing.after_member_step(action)
            case PutPolicy() | DeletePolicy() as action:
                was = self._seen.policy(action.path)
                await self._policy.apply(action)
                now = action.value if isinstance(action, PutPolicy) else ""
                self._listener.policy_written(action.path, now)
                if was != now:
                    self._silencing.after_policy_step(action.path, was, now)
            case PutObject() as action:
                await self._endpoints.apply(action)
                self._gauge.pjsip_written()
            case DeleteObject(id=key) as action:
                await self._endpoints.apply(action)
                self._gauge.pjsip_written()
                self._transports.forget(key)
            case PutMailbox() | DeleteMailbox() as action:
                await self._mailboxes.apply(action)
            case DropContact() as action:
                await self._transports.apply(action)

    def takes_together(self, aors: int) -> bool:
        """Whether so many new AORs are made sooner by `put_new_aors` than one by one."""
        return self._endpoints.takes_together(aors)

    async def put_new_aors(self, aors: Mapping[EndpointId, Fields]) -> Mapping[EndpointId, str]:
        """Makes AORs that are not there yet, all together; returns why some could not be made. Raises Refused or
        Unavailable."""
        self._gauge.look_next()
        return await self._endpoints.put_new_aors(aors)

    async def finish_new_aors(self) -> None:
        """Has Asterisk take in new AORs that an earlier daemon could only store. Raises Refused or Unavailable."""
        self._gauge.look_next()
        await self._endpoints.finish_new_aors()

    # ------------------------------------------------------------ events

    def _came_up(self, _fully_booted: Message) -> None:
        self._listener.asterisk_stale()

    def _lost(self, _reason: str) -> None:
        """Notes that the connection was lost and that what was read before is out of date."""
        self._read = False
        self._losses += 1
        self._contacts.lost()

    def _shuts_down(self, reason: str) -> None:
        """Notes that Asterisk is shutting down: it counts as lost, though the links are up, until that is taken
        back."""
        log.warning("asterisk.shutting_down", reason=reason)
        self._lost(reason)

    def _on_event(self, event: Message) -> None:
        """Takes an AMI event about members, contacts or reloads, then hands it to the listener."""
        match event.event:
            case "QueueMemberAdded" | "QueueMemberPenalty" | "QueueMemberRinginuse":
                self._seen.member_seen(member_of(event))
            case "QueueMemberPause":
                self._note_pause(event)
            case "QueueMemberRemoved":
                self._seen.member_gone(queue_name(event.get("Queue")), Interface(event.get("Interface")))
            case "ContactStatus":
                self._transports.seen(event)
                key = EndpointId(event.get("AOR"))
                if event.get("ContactStatus") == "Removed" and not self._contacts.registered(key):
                    self._silencing.device_gone(key)
                if self._endpoints.is_due(key):
                    self._listener.key_drifted(key)
            case "Reload":
                self._reloaded(event.get("Module"))
            case _:
                pass
        self._listener.call_event(event)

    def _reloaded(self, module: str) -> None:
        """Asks for a look at everything where the reload of this module may have changed what is ours."""
        if module == PUBLISHER:
            return  # by ourselves, see asterisk.trunks; it knows nothing of endpoints
        pjsip = module == "All" or "pjsip" in module.lower()
        if pjsip:
            self._endpoints.reloaded()
        if pjsip or "queue" in module.lower():
            self._listener.asterisk_stale()

    def _note_pause(self, event: Message) -> None:
        """Takes a member's pause; one by app_queue itself goes to the listener, or is undone where our hang-up caused
        it."""
        member = member_of(event)
        key = device_of(member)
        if key is not None and member.paused and member.reason == AUTOPAUSE:
            if self._silencing.is_own_pause(key, member.queue):
                return
            self._listener.member_autopaused(key, member.queue)
        self._seen.member_seen(member)
