"""Which queue members ring, are in a call or in wrap-up just now, asked of app_queue when it matters.

The events of members' states are not read: a busy queue sends ten for each call. And app_queue tells nobody a queue's
wrapuptime: QueueStatus has only the member's own, which a member added by AMI has not got. But
QUEUE_MEMBER(queue,ready) counts the members that are free, not paused and not in wrap-up, so that of the free ones with
the most recent calls as many as are missing in that count are in wrap-up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.ami.wire import Message
from agentbridge.model import Interface, QueueName, queue_name

TIMEOUT_SECONDS = 10.0
GUESSED_WRAPUP_SECONDS = 30.0
"""how long after its last call a member that is paused counts as in wrap-up, where the queue does not show it"""
_NOT_IN_USE = 1
_WORDS = {2: "in a call", 3: "in a call", 6: "ringing", 7: "ringing", 8: "in a call"}
"""of the device states that keep an agent: in use, busy, ringing, ringing while in use, on hold"""
IN_WRAP_UP = "in wrap-up"

Place = tuple[QueueName, Interface]


@dataclass(frozen=True, slots=True)
class _Member:
    """What QueueStatus says of a member's calls."""

    interface: str
    """in lower case: Asterisk compares without"""
    status: int
    in_call: bool
    paused: bool
    last_call: int
    """when its last call from the queue ended, in seconds since 1970; 0 for none"""
    wrapup: int
    """the member's own wrap-up time in seconds; 0 for that of its queue"""

    @classmethod
    def of(cls, item: Message) -> _Member:
        """Returns the member of a QueueMember item."""
        return cls(
            interface=item.get("Location").lower(),
            status=_number(item.get("Status")),
            in_call=item.get("InCall") == "1",
            paused=item.get("Paused") == "1",
            last_call=_number(item.get("LastCall")),
            wrapup=_number(item.get("Wrapuptime")),
        )

    @property
    def is_free(self) -> bool:
        return self.status == _NOT_IN_USE and not self.paused


class Engagement:
    """wall_clock: seconds since 1970, of the machine where Asterisk runs."""

    def __init__(self, actions: AmiLink, bulk: AmiLink, wall_clock: Callable[[], float]) -> None:
        self._actions = actions
        self._bulk = bulk
        self._wall_clock = wall_clock

    async def of(self, places: Collection[Place]) -> dict[Place, str]:
        """Those of the members that are engaged, each with the word for it. Unavailable, Refused."""
        found: dict[Place, str] = {}
        for queue in {queue for queue, _ in places}:
            words = await self._in_queue(queue, {interface.lower() for name, interface in places if name == queue})
            found |= {
                (name, interface): words[interface.lower()]
                for name, interface in places
                if name == queue and interface.lower() in words
            }
        return found

    async def _in_queue(self, queue: QueueName, interfaces: Collection[str]) -> Mapping[str, str]:
        """Returns which of these members of one queue are busy, each with the word for it."""
        items = await self._bulk.action_list("QueueStatus", {"Queue": queue}, timeout=TIMEOUT_SECONDS)
        members = [
            _Member.of(item) for item in items if item.event == "QueueMember" and queue_name(item.get("Queue")) == queue
        ]
        asked = [member for member in members if member.interface in interfaces]
        words = {member.interface: _busy(member) for member in asked if _busy(member)}
        idle = [member for member in asked if member.interface not in words and member.last_call]
        if idle:
            wrapping = _wrapping_up(idle, members, await self._ready(queue), self._wall_clock())
            words |= dict.fromkeys(wrapping, IN_WRAP_UP)
        return words

    async def _ready(self, queue: QueueName) -> int:
        """How many members of it are free, not paused, and not in wrap-up."""
        answer = await self._actions.action(
            "Getvar", {"Variable": f"QUEUE_MEMBER({queue},ready)"}, timeout=TIMEOUT_SECONDS
        )
        return _number(answer.get("Value"))


def _busy(member: _Member) -> str:
    return _WORDS.get(member.status, "in a call" if member.in_call else "")


def _wrapping_up(asked: Sequence[_Member], members: Sequence[_Member], ready: int, now: float) -> set[str]:
    """The interfaces of those of the asked members that are in wrap-up, as far as the count of the ready ones tells."""
    free = sorted((member for member in members if member.is_free), key=lambda member: -member.last_call)
    in_wrapup = free[: max(0, len(free) - ready)]
    done = [member for member in free[len(in_wrapup) :] if member.last_call]
    return {member.interface for member in asked if _is_wrapping_up(member, in_wrapup, done, now)}


def _is_wrapping_up(member: _Member, in_wrapup: Sequence[_Member], done: Sequence[_Member], now: float) -> bool:
    """Whether a member that is idle is in wrap-up at `now`, judged by the queue's other members.

    in_wrapup, done: those of whom it is known. Asterisk tells no member's wrap-up, only how many are ready.
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
