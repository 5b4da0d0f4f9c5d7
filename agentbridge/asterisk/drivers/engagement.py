"""Which queue members ring, are in a call or in wrap-up just now, asked of app_queue when it matters.

The events of members' states are not read: a busy queue sends ten for each call. And app_queue tells nobody a queue's
wrapuptime: QueueStatus has only the member's own, which a member added by AMI has not got. But
QUEUE_MEMBER(queue,ready) counts the members that could be rung now: of those that could be but for their wrap-up, as
many as are missing in that count are in wrap-up, namely the ones with the most recent calls. The count is another
action than the list of members, so both are asked again until the list is the same before and after.

The end of a wrap-up is the very moment at which a waiting customer is offered to the member. So where customers wait, a
member that is free is put on pause before it is taken out: else it might begin to ring in between.

A queue with `leavewhenempty` throws out all who wait when it finds no member, or none that is available; it looks once
a second. So where customers wait, the last member is not made anew.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.drivers.members import Members
from agentbridge.asterisk.observed.observation import Observation
from agentbridge.model import Interface, MemberId, PauseMember, QueueName, queue_name

TIMEOUT_SECONDS = 10.0
READINGS = 5
"""of a queue that changes meanwhile"""
GUESSED_WRAPUP_SECONDS = 30.0
"""how long after its last call a member that is paused counts as in wrap-up, where the queue does not show it"""
BEGINS_TO_RING_SECONDS = 0.2
"""from app_queue's decision to ring a member to the device state that shows it"""
PAUSE_REASON = "is made anew"
_NOT_IN_USE = 1
_RINGABLE = (0, _NOT_IN_USE)
"""the device states that app_queue rings: unknown is one of them"""
_WORDS = {2: "in a call", 3: "in a call", 6: "ringing", 7: "ringing", 8: "in a call"}
"""of the device states that keep an agent: in use, busy, ringing, ringing while in use, on hold"""
IN_WRAP_UP = "in wrap-up"
ALONE = "alone with waiting customers"


@dataclass(frozen=True, slots=True)
class _Member:
    """What QueueStatus says about a queue member that matters for whether it is busy."""

    interface: str
    """in lower case: Asterisk compares without"""
    status: int
    in_call: bool
    paused: bool
    last_call: int
    """when its last call from the queue ended, in seconds since 1970; 0 for none"""
    wrapup: int
    """the member's own wrap-up time in seconds; 0 for that of its queue"""
    ring_in_use: bool
    """whether it is rung in a call too"""

    @classmethod
    def of(cls, item: Message, *, ring_in_use: bool) -> _Member:
        """Parses a QueueMember item. ring_in_use: known from elsewhere, since the item does not say it."""
        return cls(
            interface=item.get("Location").lower(),
            status=_number(item.get("Status")),
            in_call=item.get("InCall") == "1",
            paused=item.get("Paused") == "1",
            last_call=_number(item.get("LastCall")),
            wrapup=_number(item.get("Wrapuptime")),
            ring_in_use=ring_in_use,
        )

    @property
    def is_ringable(self) -> bool:
        """Whether app_queue rings it, if it is not in wrap-up."""
        return not self.paused and (self.status in _RINGABLE or (self.ring_in_use and self.status in _WORDS))

    @property
    def is_available(self) -> bool:
        """Whether it keeps a queue with `leavewhenempty=strict` from being empty."""
        return not self.paused and (self.status == _NOT_IN_USE or self.status in _WORDS)


class Engagement:
    """Asks app_queue which members ring, are in a call or in wrap-up at this moment.

    wall_clock: seconds since 1970, by the machine where Asterisk runs.
    """

    def __init__(
        self,
        actions: AmiLink,
        bulk: AmiLink,
        members: Members,
        seen: Observation,
        wall_clock: Callable[[], float],
    ) -> None:
        self._actions = actions
        self._bulk = bulk
        self._members = members
        self._seen = seen
        self._wall_clock = wall_clock

    async def of(self, wanted: Collection[MemberId], anew: Collection[MemberId]) -> dict[MemberId, str]:
        """Returns those of these members that ring, are in a call or in wrap-up, each with the words for it.

        anew: those of them that are added again at once; where customers wait, one of these that is the last member of
        its queue is returned too. Raises Unavailable or Refused.
        """
        found: dict[MemberId, str] = {}
        for queue, here in _by_queue(wanted).items():
            members, customers = await self._shown(queue)
            words = await self._engaged_now(queue, members, here)
            if customers:
                candidates = {interface for interface, member_id in here.items() if member_id in anew}
                words |= dict.fromkeys(_last(members, here.keys() - words.keys(), candidates), ALONE)
            found |= {here[interface]: word for interface, word in words.items()}
        return found

    async def reserve(self, wanted: Collection[MemberId]) -> set[MemberId]:
        """Pauses the free ones of these members, so that none begins to ring before it is taken out of its queue.

        Only in queues where customers wait, and never the last one that is available. Returns those that ring or are in
        a call nevertheless; they stay paused. Raises Unavailable or Refused.
        """
        found: set[MemberId] = set()
        for queue, here in _by_queue(wanted).items():
            members, customers = await self._shown(queue)
            pausable = here.keys() - _last(members, here.keys(), here.keys())
            ringable = [
                here[member.interface] for member in members if member.interface in pausable and member.is_ringable
            ]
            if ringable and customers:
                for member_id in ringable:
                    await self._members.apply(PauseMember(*member_id, True, PAUSE_REASON))
                await asyncio.sleep(BEGINS_TO_RING_SECONDS)
                members, _ = await self._shown(queue)
            found |= {here[member.interface] for member in members if member.interface in here and _busy(member)}
        return found

    async def _engaged_now(
        self, queue: QueueName, members: list[_Member], interfaces: Collection[str]
    ) -> dict[str, str]:
        """Returns which of these interfaces ring, are in a call or in wrap-up, each with the words for it.

        members: all of the queue, as they were shown just now. Raises Unavailable or Refused.
        """
        for _ in range(READINGS):
            asked = [member for member in members if member.interface in interfaces]
            words = {member.interface: _busy(member) for member in asked if _busy(member)}
            idle = [member for member in asked if member.interface not in words and member.last_call]
            if not idle:
                return words
            ready, before = await self._ready(queue), members
            members, _ = await self._shown(queue)
            if members == before:
                return words | dict.fromkeys(_wrapping_up(idle, members, ready, self._wall_clock()), IN_WRAP_UP)
        # a queue that never stands still: whoever may be in wrap-up counts as such, and is looked at again soon
        return words | {member.interface: IN_WRAP_UP for member in idle if not self._surely_done(member)}

    def _surely_done(self, member: _Member) -> bool:
        return self._wall_clock() >= member.last_call + max(member.wrapup, GUESSED_WRAPUP_SECONDS)

    async def _shown(self, queue: QueueName) -> tuple[list[_Member], int]:
        """Asks for the members of a queue and the number of customers who wait in it. Raises Unavailable or Refused."""
        items = await self._bulk.action_list("QueueStatus", {"Queue": queue}, timeout=TIMEOUT_SECONDS)
        mine = [item for item in items if queue_name(item.get("Queue")) == queue]
        members = [
            _Member.of(item, ring_in_use=self._rings_in_use(queue, Interface(item.get("Location"))))
            for item in mine
            if item.event == "QueueMember"
        ]
        return members, sum(item.event == "QueueEntry" for item in mine)

    def _rings_in_use(self, queue: QueueName, interface: Interface) -> bool:
        member = self._seen.member(queue, interface)
        return member is not None and member.ring_in_use is True

    async def _ready(self, queue: QueueName) -> int:
        """Asks how many members of the queue are free, not paused and not in wrap-up. Raises Unavailable or Refused."""
        answer = await self._actions.action(
            "Getvar", {"Variable": f"QUEUE_MEMBER({queue},ready)"}, timeout=TIMEOUT_SECONDS
        )
        return _number(answer.get("Value"))


def _by_queue(wanted: Collection[MemberId]) -> dict[QueueName, dict[str, MemberId]]:
    """Groups members by queue; each is then found by its interface in lower case."""
    found: dict[QueueName, dict[str, MemberId]] = defaultdict(dict)
    for queue, interface in wanted:
        found[queue][interface.lower()] = queue, interface
    return found


def _busy(member: _Member) -> str:
    return _WORDS.get(member.status, "in a call" if member.in_call else "")


def _last(members: Sequence[_Member], leaving: Collection[str], candidates: Collection[str]) -> set[str]:
    """Returns the one of the candidates, by interface, that must stay lest the queue be empty without those leaving;
    nothing where others stay."""
    there = [member for member in members if member.is_available] or members
    if any(member.interface not in leaving for member in there):
        return set()
    return {*[member.interface for member in there if member.interface in candidates][:1]}


def _wrapping_up(asked: Sequence[_Member], members: Sequence[_Member], ready: int, now: float) -> set[str]:
    """Returns the interfaces of the asked members that are in wrap-up, as far as the number of ready members shows
    it."""
    free = sorted((member for member in members if member.is_ringable), key=lambda member: -member.last_call)
    in_wrapup = free[: max(0, len(free) - ready)]
    done = [member for member in free[len(in_wrapup) :] if member.last_call]
    return {member.interface for member in asked if _is_wrapping_up(member, in_wrapup, done, now)}


def _is_wrapping_up(member: _Member, in_wrapup: Sequence[_Member], done: Sequence[_Member], now: float) -> bool:
    """Whether an idle member is in wrap-up at `now`, concluded from the queue's other members.

    in_wrapup, done: members of which it is known that they are, or are not, in wrap-up. Asterisk tells no member's
    wrap-up, only how many are ready.
    """
    if member.wrapup:
        return now < member.last_call + member.wrapup
    if member in in_wrapup or member in done:
        return member in in_wrapup
    # a paused one is not in the count: whoever ended a call earlier and is in wrap-up still, or later and is not, tells
    if any(other.last_call <= member.last_call for other in in_wrapup):
        return True
    if any(other.last_call >= member.last_call for other in done):
        return False
    return now < member.last_call + GUESSED_WRAPUP_SECONDS


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
