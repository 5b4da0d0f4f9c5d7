"""The driver for queue members: app_queue over AMI."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.observed.observation import Observation
from agentbridge.errors import InvalidValue, Refused
from agentbridge.model import AddMember, Interface, Member, PauseMember, QueueName, RemoveMember, SetPenalty, queue_name

EVENT_SECONDS = 2.0
"""how long after the answer the event may come before the queue is read again"""
BULK_SECONDS = 60.0
"""for a whole read; 50,000 members are 15 MB"""
# the state that was asked for is there already; the next observation shows it
_ALREADY = ("Already there", "Not there", "Interface not found")
_BREAKS_PERSISTENCE = frozenset(";,|")

MemberAction = AddMember | RemoveMember | PauseMember | SetPenalty


def member_of(event: Message) -> Member:
    """From QueueMember (which says Name and Location) and the other QueueMember… events."""
    interface = Interface(event.get("Interface") or event.get("Location"))
    paused = event.get("Paused") == "1"
    return Member(
        queue=queue_name(event.get("Queue")),
        interface=interface,
        name=event.get("MemberName") or event.get("Name"),
        penalty=_number(event.get("Penalty")),
        paused=paused,
        reason=event.get("PausedReason") if paused else "",
        state_interface=event.get("StateInterface"),
        dynamic=event.get("Membership") in ("dynamic", ""),
    )


def _number(text: str) -> int:
    """A malformed event must not end the daemon; the next read tells."""
    return int(text) if text.isdecimal() else 0


class Members:
    """Writes one member at a time and returns when app_queue's event shows it."""

    def __init__(self, actions: AmiLink, bulk: AmiLink, seen: Observation, *, timeout: float = 5.0) -> None:
        self._actions = actions
        self._bulk = bulk
        self._seen = seen
        self._timeout = timeout

    async def read_all(self) -> None:
        """Every member of every queue: 0.1 to 0.4 s for 5,000."""
        queues: list[QueueName] = []
        members: list[Member] = []

        def take(item: Message) -> None:
            if item.event == "QueueParams":
                queues.append(queue_name(item.get("Queue")))
            elif item.event == "QueueMember":
                members.append(member_of(item))

        await self._bulk.action_list("QueueStatus", timeout=BULK_SECONDS, on_item=take)
        self._seen.members_read(queues, members)

    async def read_queue(self, queue: QueueName) -> None:
        items = await self._bulk.action_list("QueueStatus", {"Queue": queue}, timeout=self._timeout)
        self._seen.queue_read(queue, [member_of(item) for item in items if item.event == "QueueMember"])

    async def queue_exists(self, queue: QueueName) -> bool:
        items = await self._bulk.action_list("QueueStatus", {"Queue": queue}, timeout=self._timeout)
        # without a name QueueStatus tells of all queues
        return any(item.event == "QueueParams" and queue_name(item.get("Queue")) == queue for item in items)

    async def apply(self, action: MemberAction) -> None:
        queue, interface = _pair(action)
        name, fields = _request(action)
        event = self._seen.awaiting(queue, interface)
        try:
            if await self._done(name, fields):
                async with asyncio.timeout(EVENT_SECONDS):
                    await event
                return
        except TimeoutError:
            pass  # a lost event: look
        finally:
            self._seen.stop_awaiting(queue, interface)
        await self.read_queue(queue)

    async def add(self, action: AddMember) -> None:
        """Adds a member, and tells the reason of its pause to an Asterisk whose QueueAdd does not take one."""
        await self.apply(action)
        wanted = action.member
        there = self._seen.member(wanted.queue, wanted.interface)
        if wanted.paused and there is not None and there.paused and there.reason != wanted.reason:
            await self.apply(PauseMember(wanted.queue, wanted.interface, True, wanted.reason))

    async def _done(self, name: str, fields: Sequence[tuple[str, str]]) -> bool:
        """Whether it was done, so that an event follows; False where it was so already."""
        try:
            await self._actions.action(name, fields, timeout=self._timeout)
        except Refused as refused:
            if str(refused).endswith(_ALREADY):
                return False
            raise
        return True


def _pair(action: MemberAction) -> tuple[QueueName, Interface]:
    match action:
        case AddMember(member) | RemoveMember(member):
            return member.queue, member.interface
        case PauseMember(queue, interface) | SetPenalty(queue, interface):
            return queue, interface


def _request(action: MemberAction) -> tuple[str, Sequence[tuple[str, str]]]:
    queue, interface = _pair(action)
    where = [("Queue", _whole(queue, "queue")), ("Interface", _whole(interface, "interface"))]
    match action:
        case AddMember(member):
            return "QueueAdd", [*where, *_new(member)]
        case RemoveMember():
            return "QueueRemove", where
        case PauseMember(paused=paused, reason=reason):
            # always with its queue: without one app_queue walks all queues
            return "QueuePause", [*where, ("Paused", _bool(paused)), ("Reason", _whole(reason, "pause_reason"))]
        case SetPenalty(penalty=penalty):
            return "QueuePenalty", [*where, ("Penalty", str(penalty))]


def _new(member: Member) -> list[tuple[str, str]]:
    fields = [
        ("MemberName", _whole(member.name, "alias or full_name")),
        ("Penalty", str(member.penalty)),
        ("StateInterface", _whole(member.state_interface, "interface")),
        # paused in the same action: there is no moment in which it could ring
        ("Paused", _bool(member.paused)),
    ]
    if member.paused and member.reason:
        fields.append(("Reason", _whole(member.reason, "pause_reason")))
    return fields


def _whole(text: str, field: str) -> str:
    """persistentmembers writes all members of a queue as one string, split at these three."""
    if _BREAKS_PERSISTENCE & set(text):
        raise InvalidValue(f"{field}: {text!r} has one of ; , | which would break Asterisk's member store")
    return text


def _bool(value: bool) -> str:
    return "true" if value else "false"
