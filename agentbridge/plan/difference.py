"""The difference between what should be and what is, as ordered actions. Pure.

The order carries the safety: what stops a ring comes first, what may start one comes last, and policy is
there before a call can ask for it. PJSIP objects go by type, AORs ahead, since each new AOR makes Asterisk
walk all the endpoints it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from agentbridge.model import (
    ABSENT,
    Action,
    AddMember,
    DeleteMailbox,
    DeleteObject,
    DeletePolicy,
    DesiredState,
    DropContact,
    EndpointId,
    Fields,
    Member,
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
from agentbridge.plan.registration import changes_hands, complaint, has_moved, strays


class Observed(Protocol):
    """What a plan asks about the observed state of Asterisk."""

    def state(self, key: EndpointId) -> ObservedState: ...

    def members_of(self, key: EndpointId) -> Mapping[QueueName, Member]:
        """Those of the state of the key, which is more to put together."""
        ...

    def policy(self, path: str) -> str:
        """The value at a path of our AstDB family; '' where there is none."""
        ...

    def knows_queue(self, queue: QueueName) -> bool: ...

    def carriers(self, agent: str) -> Collection[EndpointId]:
        """The endpoint ids that take the calls of the agent with this row id, as Asterisk knows it now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`steps` in their order; `problems` says per key why a part of it can't be closed now."""

    steps: tuple[Step, ...] = ()
    problems: Mapping[EndpointId, str] = field(default_factory=dict)
    waiting: Mapping[EndpointId, str] = field(default_factory=dict)
    """keys of which a part must wait, to be compared again soon; each with what it waits for, in words or ''"""


def plan(desired: Mapping[EndpointId, DesiredState], observed: Observed, queues: Collection[QueueName]) -> Plan:
    """Returns the actions that make `observed` as `desired`, for the keys of `desired`; raises nothing.

    A key that can't be made so has a problem in the plan. queues: those of the directory. Members of other queues are
    the administrator's and stay as they are.
    """
    steps: list[Step] = []
    problems: dict[EndpointId, str] = {}
    waiting: dict[EndpointId, str] = {}
    for key, wanted in desired.items():
        if wanted.problem:
            problems[key] = wanted.problem
            continue
        found = observed.state(key)
        missing = sorted(q for q in wanted.members if not observed.knows_queue(q))
        fixed = _fixed_members(wanted, found, queues)
        if problem := "; ".join(filter(None, (_unknown_queues(missing), fixed, complaint(wanted, found)))):
            problems[key] = problem
        taken = _taken_elsewhere(key, wanted, found, observed)
        for queue, member in taken.items():
            waiting[key] = f"waits until {member.interface} has left {queue}: no call or wrap-up is interrupted"
            steps += (Step(key, action, was=shown_member(member)) for action in in_place(wanted.members[queue], member))
        gone = changes_hands(key, wanted, found) or has_moved(wanted, found)
        dropped = found.contacts if gone else strays(wanted, found)
        steps += (Step(key, DropContact(key, uri), was=uri) for uri in sorted(dropped))
        steps += _object_steps(key, wanted, found)
        steps += _policy_steps(key, wanted.policy, found.policy)
        members = {q: m for q, m in wanted.members.items() if q not in missing and q not in taken}
        steps += _member_steps(key, members, wanted.members, found.members, queues)
        steps += _mailbox_steps(key, wanted.mailbox, found.mailbox)
    return Plan(steps=tuple(sorted(steps, key=rank)), problems=problems, waiting=waiting)


def _unknown_queues(missing: Collection[QueueName]) -> str:
    return f"queue: Asterisk does not know {', '.join(missing)}; add it to queues.conf" if missing else ""


def _fixed_members(wanted: DesiredState, found: ObservedState, queues: Collection[QueueName]) -> str:
    """Returns the message about members that should leave or change and can't, since queues.conf or realtime made them;
    '' for none.

    Only for keys of ours: of other devices such a member is the administrator's wish.
    """
    fixed = sorted(
        queue
        for queue, member in found.members.items()
        if wanted.policy and queue in queues and not member.dynamic
        if queue not in wanted.members or _needs_anew(wanted.members[queue], member)
    )
    if not fixed:
        return ""
    return f"queue: a member of {', '.join(fixed)} by queues.conf or realtime; take its `member =>` line out there"


def joined(plans: Iterable[Plan]) -> Plan:
    """Merges plans for different keys into one, its steps in the order of ranks."""
    parts = list(plans)
    return Plan(
        steps=tuple(sorted((step for part in parts for step in part.steps), key=rank)),
        problems={key: problem for part in parts for key, problem in part.problems.items()},
        waiting={key: reason for part in parts for key, reason in part.waiting.items()},
    )


def held_back(planned: Plan, reasons: Mapping[EndpointId, str]) -> Plan:
    """Returns the plan without any step of these keys; each gets its reason as its problem."""
    if not reasons:
        return planned
    steps = tuple(step for step in planned.steps if step.key not in reasons)
    problems = {**planned.problems, **reasons}
    waiting = {key: reason for key, reason in planned.waiting.items() if key not in reasons}
    return replace(planned, steps=steps, problems=problems, waiting=waiting)


def rank(step: Step) -> int:
    """Returns the rank of a step: lower ranks are done first; steps of equal rank may be done at the same time."""
    match step.action:
        case DeletePolicy(path) if path == device_path(step.key):
            # Ahead of the members: a key of the AstDB is gone in a tenth of the time that a member takes, and with it
            # the dialplan refuses the calls of queues as well as direct ones.
            return 0
        case PauseMember(paused=paused):
            return _PAUSES if paused else _UNPAUSES
        case PutObject(kind=kind):
            return _PUTS + _PUT_ORDER.index(kind)
        case DeleteObject(kind=kind):
            return _DELETES + _DELETE_ORDER.index(kind)
        case action:
            return _RANKS[type(action)]


def device_path(internal: EndpointId) -> str:
    """Returns the AstDB path that says at which device the agent of this number is logged in."""
    return f"agent/{internal}/device"


_PAUSES, _PUTS, _UNPAUSES, _DELETES = 2, 4, 8, 9
_RANKS: Mapping[type[Action], int] = {
    RemoveMember: 1,
    DropContact: 1,
    PutPolicy: 3,
    AddMember: 7,
    SetPenalty: 7,
    SetRingInUse: 7,
    DeletePolicy: 12,
    # last, since a voicemail that doesn't work must not keep an agent from working
    PutMailbox: 13,
    DeleteMailbox: 13,
}
_PUT_ORDER = (ObjectKind.AOR, ObjectKind.AUTH, ObjectKind.ENDPOINT)
# An AOR that goes after its endpoint leaves 'Not in use' behind: the endpoint that is made there next would have that
# state without a contact.
_DELETE_ORDER = (ObjectKind.AOR, ObjectKind.ENDPOINT, ObjectKind.AUTH)


# ---------------------------------------------------------------- per kind of thing


def _object_steps(key: EndpointId, wanted: DesiredState, found: ObservedState) -> Iterator[Step]:
    """Yields the steps that make a key's PJSIP objects as they should be: PUTs of the fields that differ, then
    deletions."""
    for kind, fields in wanted.objects.items():
        there = found.objects.get(kind)
        if there is None:
            yield Step(key, PutObject(kind, key, fields), was=ABSENT)
        elif differs := {name: value for name, value in fields.items() if there.get(name) != value}:
            yield Step(key, PutObject(kind, key, differs), was=_shown(there, differs))
    for kind in found.objects.keys() - wanted.objects.keys():
        yield Step(key, DeleteObject(kind, key), was="present")


def _shown(there: Fields, names: Iterable[str]) -> str:
    return " ".join(f"{name}={there.get(name, '')}" for name in names if name != "password_digest")


def _policy_steps(key: EndpointId, wanted: Fields, found: Fields) -> Iterator[Step]:
    """Yields the steps that make a key's AstDB entries for the dialplan as they should be."""
    for path, value in wanted.items():
        if (was := found.get(path)) != value:
            yield Step(key, PutPolicy(path, value), was=ABSENT if was is None else was)
    for path in found.keys() - wanted.keys():
        yield Step(key, DeletePolicy(path), was=found[path])


def _shown_box(wanted: Fields, found: Fields) -> str:
    """Returns what of the voicemail box in Asterisk differs, for the log; never the PIN itself."""
    if not found:
        return ABSENT
    differing = [name for name in wanted if wanted[name] != found.get(name, "")]
    return ", ".join("another PIN" if name == "password" else f"{name}={found.get(name, '')}" for name in differing)


def _mailbox_steps(key: EndpointId, wanted: Fields, found: Fields) -> Iterator[Step]:
    """Yields the step that makes a key's voicemail box as it should be: none, one that writes it or one that deletes
    it."""
    if wanted and wanted != found:
        yield Step(key, PutMailbox(key, wanted), was=_shown_box(wanted, found))
    elif found and not wanted:
        yield Step(key, DeleteMailbox(key), was=found.get("fullname", "present"))


def _member_steps(
    key: EndpointId,
    allowed: Mapping[QueueName, Member],
    wanted: Mapping[QueueName, Member],
    found: Mapping[QueueName, Member],
    queues: Collection[QueueName],
) -> Iterator[Step]:
    """Yields the steps that make a key's queue memberships as they should be.

    allowed: those of `wanted` that may be added now. queues: the queues that are ours; of others nothing is removed.
    """
    for queue, member in found.items():
        if queue not in wanted and queue in queues and member.dynamic:
            yield Step(key, RemoveMember(member), was=shown_member(member))
    for queue, member in allowed.items():
        there = found.get(queue)
        if there is None:
            yield Step(key, AddMember(member), was=ABSENT)
        else:
            yield from (Step(key, action, was=shown_member(there)) for action in _member_actions(member, there))


def _member_actions(wanted: Member, found: Member) -> Iterator[Action]:
    """Yields the actions that change an existing member: removed and added again where name or interfaces differ, else
    in place."""
    if found.dynamic and _needs_anew(wanted, found):
        yield RemoveMember(found)
        yield AddMember(wanted)
    else:
        yield from in_place(wanted, found)


def in_place(wanted: Member, found: Member) -> Iterator[Action]:
    """Yields the actions that change an existing member without removing it: ring-in-use, penalty, pause."""
    if found.ring_in_use is not None and wanted.ring_in_use != found.ring_in_use:
        yield SetRingInUse(wanted.queue, found.interface, bool(wanted.ring_in_use))
    if wanted.penalty != found.penalty:
        yield SetPenalty(wanted.queue, found.interface, wanted.penalty)
    if wanted.paused != found.paused or (wanted.paused and wanted.reason != found.reason):
        yield PauseMember(wanted.queue, found.interface, wanted.paused, wanted.reason)


def _needs_anew(wanted: Member, found: Member) -> bool:
    """Whether a member must be removed and added again: app_queue has no action that changes its name or interfaces."""
    return (wanted.name, wanted.interface, wanted.state_interface) != (
        found.name,
        found.interface,
        found.state_interface,
    )


def _taken_elsewhere(
    key: EndpointId, wanted: DesiredState, found: ObservedState, observed: Observed
) -> Mapping[QueueName, Member]:
    """Returns the queues that this key should join and in which its agent is still a member by another endpoint, with
    that member.

    The key must wait there: an agent is never a member of one queue twice.
    """
    joining = wanted.members.keys() - found.members.keys()
    if wanted.agent is None or not joining:
        return {}
    others = [observed.members_of(other) for other in observed.carriers(str(wanted.agent)) if other != key]
    return {queue: members[queue] for members in others for queue in joining & members.keys()}


def shown_member(member: Member) -> str:
    """Returns a member's pause, penalty and name as text for the log."""
    pause = f"paused reason={member.reason!r}" if member.paused else "unpaused"
    return f"{pause} penalty={member.penalty} name={member.name!r}"
