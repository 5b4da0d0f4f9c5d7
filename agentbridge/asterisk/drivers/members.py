"""The driver for queue members: app_queue over AMI."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.observed.observation import Observation
from agentbridge.errors import InvalidValue, Refused, Unavailable
from agentbridge.model import (
    AddMember,
    Interface,
    Member,
    MemberAction,
    PauseMember,
    QueueName,
    RemoveMember,
    SetPenalty,
    SetRingInUse,
    member_id,
    queue_name,
)

EVENT_SECONDS = 2.0
"""how long after the answer the event may come before the queue is read again"""
BULK_SECONDS = 60.0
"""for a whole read; 50,000 members are 15 MB"""
# the state that was asked for is there already; the next observation shows it
_ALREADY = ("Already there", "Not there", "Interface not found")
_BREAKS_PERSISTENCE = frozenset(";,|")

# a line for each member: `Ann (PJSIP/1001) with penalty 7 (ringinuse disabled) (dynamic) ...`, the penalty unless it
# is 0; without a name the interface stands alone
_SHOWN_RING_IN_USE = re.compile(
    r"(?:^ *|\()(?P<interface>(?:PJSIP|Local)/[^\s()]+)(?: from [^()]*)?\)?(?: with penalty \d+)?"
    r" \(ringinuse (?P<word>enabled|disabled)\)",
    re.MULTILINE | re.IGNORECASE,
)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def member_of(event: Message) -> Member:
    """Parses the member in a QueueMember… event, whose fields are named differently in QueueMember itself.

    Never fails: a field that is missing or malformed has its default, and the next read tells.
    """
    # an agent's members in many queues have these alike
    interface = Interface(sys.intern(event.get("Interface") or event.get("Location")))
    paused = event.get("Paused") == "1"
    return Member(
        queue=queue_name(event.get("Queue")),
        interface=interface,
        name=sys.intern(event.get("MemberName") or event.get("Name")),
        penalty=_number(event.get("Penalty")),
        paused=paused,
        reason=sys.intern(event.get("PausedReason")) if paused else "",
        state_interface=sys.intern(event.get("StateInterface")),
        # QueueStatus does not say it, the events do
        ring_in_use={"1": True, "0": False}.get(event.get("Ringinuse")),
        dynamic=event.get("Membership") in ("dynamic", ""),
    )


def _number(text: str) -> int:
    """Returns the number in an event's field; 0 for a malformed one, which must not end the daemon."""
    return int(text) if text.isdecimal() else 0


class Members:
    """Writes and reads app_queue's members by AMI; a write returns when app_queue's event shows it."""

    def __init__(self, actions: AmiLink, bulk: AmiLink, seen: Observation, *, timeout: float = 5.0) -> None:
        self._actions = actions
        self._bulk = bulk
        self._seen = seen
        self._timeout = timeout
        self._reading = asyncio.Lock()
        self._asked = 0
        """how often a reading of a queue was asked for by a late event"""
        self._readings: dict[QueueName, tuple[int, Unavailable | None]] = {}
        """of each queue that was read for that the last time: what was asked before it began, and why it failed"""

    async def read_all(self) -> None:
        """Reads every member of every queue (0.1 to 0.4 s for 5,000). Raises Unavailable or Refused."""
        queues: list[QueueName] = []
        members: list[Member] = []

        def take(item: Message) -> None:
            if item.event == "QueueParams":
                queues.append(queue_name(item.get("Queue")))
            elif item.event == "QueueMember":
                members.append(member_of(item))

        await self._bulk.action_list("QueueStatus", timeout=BULK_SECONDS, on_item=take)
        shown = await self._ring_in_use(queues)
        self._seen.members_read(queues, (_with_ring_in_use(member, shown) for member in members))

    async def read_queue(self, queue: QueueName) -> None:
        """Reads the members of one queue. Raises Unavailable or Refused."""
        members: list[Member] = []

        def take(item: Message) -> None:
            if item.event == "QueueMember":
                members.append(member_of(item))

        await self._bulk.action_list("QueueStatus", {"Queue": queue}, timeout=self._timeout, on_item=take)
        shown = await self._ring_in_use([queue])
        self._seen.queue_read(queue, [_with_ring_in_use(member, shown) for member in members])

    async def _read_queue_once(self, queue: QueueName) -> None:
        """Reads one queue for all who ask at the same time; returns when a read that began after the call is done.

        When events are late, they are late for hundreds of writes at once: each reading its queue for itself would be a
        message for each member of it, and keep Asterisk and this process from what they are late with. Raises
        Unavailable or Refused.
        """
        self._asked += 1
        mine = self._asked
        async with self._reading:
            covers, failure = self._readings.get(queue, (0, None))
            if covers < mine:
                covers, failure = self._asked, None
                try:
                    await self.read_queue(queue)
                except Unavailable as unavailable:
                    failure = unavailable
                self._readings[queue] = covers, failure
            if failure is not None:
                raise Unavailable(str(failure))

    async def _ring_in_use(self, queues: Iterable[QueueName]) -> dict[tuple[QueueName, str], bool]:
        """Returns whether each member is rung while in a call (P3), by queue and interface in lower case; only the CLI
        shows it."""
        found = {}
        for queue in queues:
            if _PLAIN_NAME.fullmatch(queue):  # else it is none of the directory's, and no word of a command line
                shown = await self._bulk.command(f"queue show {queue}", timeout=BULK_SECONDS)
                for match in _SHOWN_RING_IN_USE.finditer(shown):
                    found[queue, match["interface"].lower()] = match["word"].lower() == "enabled"
        return found

    async def queue_exists(self, queue: QueueName) -> bool:
        """Whether Asterisk has this queue. Raises Unavailable or Refused."""
        items = await self._bulk.action_list("QueueStatus", {"Queue": queue}, timeout=self._timeout)
        # without a name QueueStatus tells of all queues
        return any(item.event == "QueueParams" and queue_name(item.get("Queue")) == queue for item in items)

    async def apply(self, action: MemberAction) -> None:
        """Carries out the action and returns when it was observed. Raises Refused, InvalidValue or Unavailable."""
        queue, interface = member_id(action)
        name, fields = _request(action)
        event = self._seen.awaiting(queue, interface)
        try:
            if await self._is_new(name, fields):
                async with asyncio.timeout(EVENT_SECONDS):
                    await event
                return
        except TimeoutError:
            pass  # a lost event: look
        finally:
            self._seen.stop_awaiting(queue, interface)
        await self._read_queue_once(queue)

    async def add(self, action: AddMember) -> None:
        """Adds a member, then sets what QueueAdd has no field for: ring in use (P3), and on an old Asterisk the pause's
        reason."""
        await self.apply(action)
        wanted = action.member
        there = self._seen.member(wanted.queue, wanted.interface)
        if there is None:
            return
        if there.ring_in_use is not None and wanted.ring_in_use not in (None, there.ring_in_use):
            await self.apply(SetRingInUse(wanted.queue, there.interface, bool(wanted.ring_in_use)))
        if wanted.paused and there.paused and there.reason != wanted.reason:
            await self.apply(PauseMember(wanted.queue, wanted.interface, True, wanted.reason))

    async def _is_new(self, name: str, fields: Sequence[tuple[str, str]]) -> bool:
        """Sends an AMI action; returns False where Asterisk had it so already, so that no event follows.

        Raises Refused or Unavailable.
        """
        try:
            await self._actions.action(name, fields, timeout=self._timeout)
        except Refused as refused:
            if str(refused).endswith(_ALREADY):
                return False
            raise
        return True


def _with_ring_in_use(member: Member, shown: Mapping[tuple[QueueName, str], bool]) -> Member:
    return replace(member, ring_in_use=shown.get((member.queue, member.interface.lower()), member.ring_in_use))


def _request(action: MemberAction) -> tuple[str, Sequence[tuple[str, str]]]:
    """Returns the AMI action and its fields for this change. Raises InvalidValue for a value that Asterisk would cut or
    misread."""
    queue, interface = member_id(action)
    where = [("Queue", _check_text(queue, "queue")), ("Interface", _check_text(interface, "interface"))]
    match action:
        case AddMember(member):
            return "QueueAdd", [*where, *_new(member)]
        case RemoveMember():
            return "QueueRemove", where
        case PauseMember(paused=paused, reason=reason):
            # always with its queue: without one app_queue walks all queues
            return "QueuePause", [*where, ("Paused", _bool(paused)), ("Reason", _check_text(reason, "pause_reason"))]
        case SetPenalty(penalty=penalty):
            return "QueuePenalty", [*where, ("Penalty", str(penalty))]
        case SetRingInUse(ring_in_use=ring_in_use):
            return "QueueMemberRingInUse", [*where, ("RingInUse", _bool(ring_in_use))]


def _new(member: Member) -> list[tuple[str, str]]:
    """Returns the fields of QueueAdd besides queue and interface."""
    fields = [
        ("MemberName", _check_text(member.name, "alias or full_name")),
        ("Penalty", str(member.penalty)),
        ("StateInterface", _check_text(member.state_interface, "interface")),
        # paused in the same action: there is no moment in which it could ring
        ("Paused", _bool(member.paused)),
    ]
    if member.paused and member.reason:
        fields.append(("Reason", _check_text(member.reason, "pause_reason")))
    return fields


def _check_text(text: str, field: str) -> str:
    """Returns the text. Raises InvalidValue, naming the field, for a character at which app_queue would cut it.

    persistentmembers writes all members of a queue as one string, split at these three.
    """
    if _BREAKS_PERSISTENCE & set(text):
        raise InvalidValue(
            f"{field}: must not contain ; , or | at which Asterisk splits its store of members (got {text!r})"
        )
    return text


def _bool(value: bool) -> str:
    return "true" if value else "false"
