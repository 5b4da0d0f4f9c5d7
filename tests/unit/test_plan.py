"""The difference between what should be and what is, and its order."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import pytest

from agentbridge.desired.state import session_pause
from agentbridge.model import (
    Action,
    AddMember,
    AgentId,
    DeleteMailbox,
    DeleteObject,
    DeletePolicy,
    DesiredState,
    DropContact,
    EndpointId,
    Interface,
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
from agentbridge.plan.difference import plan, rank
from agentbridge.plan.pauses import plan_pauses

SALES, SUPPORT, THEIRS = (QueueName(name) for name in ("sales", "support", "theirs"))
OURS = [SALES, SUPPORT]
KEY, OTHER = EndpointId("1001"), EndpointId("desk7")
ME = Interface("PJSIP/1001")


@dataclass
class Seen:
    """What is in Asterisk, as told."""

    states: Mapping[EndpointId, DesiredState] = field(default_factory=dict)
    queues: Collection[QueueName] = (SALES, SUPPORT, THEIRS)
    carrying: Collection[EndpointId] = ()

    def state(self, key: EndpointId) -> ObservedState:
        there = self.states.get(key, DesiredState())
        return ObservedState(objects=there.objects, members=there.members, policy=there.policy, mailbox=there.mailbox)

    def members_of(self, key: EndpointId) -> Mapping[QueueName, Member]:
        return self.state(key).members

    def policy(self, path: str) -> str:
        return next((there.policy[path] for there in self.states.values() if path in there.policy), "")

    def knows_queue(self, queue: QueueName) -> bool:
        return queue in self.queues

    def carriers(self, agent: str) -> Collection[EndpointId]:
        return self.carrying if agent == "1" else ()


def member(queue: QueueName = SALES, **changes: object) -> Member:
    return replace(Member(queue=queue, interface=ME, name="Ann", state_interface=ME), **changes)  # type: ignore[arg-type]


def members(*found: Member) -> DesiredState:
    return DesiredState(members={m.queue: m for m in found})


def actions(wanted: DesiredState, found: DesiredState, queues: Collection[QueueName] = OURS) -> list[object]:
    return [step.action for step in plan({KEY: wanted}, Seen({KEY: found}), queues).steps]


A, P = member(), member(paused=True, reason="lunch")
LOWER = member(interface=Interface("pjsip/1001"))
FIXED = member(dynamic=False)
LISTED = {"agent/1001/id": "1"}
"""what makes a key one of the directory's"""


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        (members(A), members(A), []),
        (members(P), members(P), []),
        (members(A), DesiredState(), [AddMember(A)]),
        (DesiredState(), members(A), [RemoveMember(A)]),
        (members(P), members(A), [PauseMember(SALES, ME, True, "lunch")]),
        (members(A), members(P), [PauseMember(SALES, ME, False, "")]),
        (members(P), members(replace(P, reason="x")), [PauseMember(SALES, ME, True, "lunch")]),
        (members(replace(A, penalty=3)), members(A), [SetPenalty(SALES, ME, 3)]),
        (members(replace(P, name="Beth")), members(P), [RemoveMember(P), AddMember(replace(P, name="Beth"))]),
        (members(A), members(LOWER), [RemoveMember(LOWER), AddMember(A)]),
        (DesiredState(), members(member(THEIRS)), []),
        (members(A), members(A, member(THEIRS)), []),
    ],
)
def test_members_differ_by_the_fewest_actions(
    wanted: DesiredState, found: DesiredState, expected: list[object]
) -> None:
    assert actions(wanted, found) == expected


def test_only_the_fields_that_differ_are_put() -> None:
    wanted = DesiredState(objects={ObjectKind.ENDPOINT: {"context": "a", "allow": "ulaw"}})
    found = DesiredState(objects={ObjectKind.ENDPOINT: {"context": "b", "allow": "ulaw", "dtmf_mode": "info"}})
    assert actions(wanted, found) == [PutObject(ObjectKind.ENDPOINT, KEY, {"context": "a"})]
    assert actions(wanted, wanted) == []


def test_the_password_is_not_in_what_is_logged() -> None:
    wanted = DesiredState(objects={ObjectKind.AUTH: {"password_digest": "MD5:new"}})
    found = DesiredState(objects={ObjectKind.AUTH: {"password_digest": "MD5:old"}})
    [step] = plan({KEY: wanted}, Seen({KEY: found}), OURS).steps
    assert "old" not in step.was


def test_policy_is_put_changed_and_taken_back() -> None:
    wanted, found = DesiredState(policy={"a": "1", "b": "2", "c": ""}), DesiredState(policy={"b": "3", "d": "4"})
    expected = [PutPolicy("a", "1"), PutPolicy("b", "2"), PutPolicy("c", ""), DeletePolicy("d")]
    assert actions(wanted, found) == expected


def test_what_stops_a_ring_comes_first_and_what_may_start_one_last() -> None:
    kinds = (ObjectKind.AOR, ObjectKind.AUTH, ObjectKind.ENDPOINT)
    in_order = [
        # no call of any kind is offered without it
        DeletePolicy(f"agent/{KEY}/device"),
        RemoveMember(A),
        PauseMember(SALES, ME, True, "lunch"),
        PutPolicy("a", "1"),
        *(PutObject(kind, KEY, {}) for kind in kinds),
        AddMember(A),
        PauseMember(SALES, ME, False, ""),
        # its AOR first: an endpoint made there next would be 'Not in use' without a contact
        *(DeleteObject(kind, KEY) for kind in (ObjectKind.AOR, ObjectKind.ENDPOINT, ObjectKind.AUTH)),
        DeletePolicy("a"),
        DeleteMailbox(KEY),
    ]
    beside = [DropContact(KEY, "sip:x"), SetPenalty(SALES, ME, 1), SetRingInUse(SALES, ME, True), PutMailbox(KEY, {})]
    assert {type(action) for action in (*in_order, *beside)} == set(get_args(Action)), "each kind is here"
    assert all(rank(Step(KEY, action)) for action in beside)
    ranks = [rank(Step(KEY, action)) for action in in_order]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


def test_the_aors_of_all_agents_go_before_the_first_endpoint() -> None:
    objects = {ObjectKind.ENDPOINT: {"a": "1"}, ObjectKind.AUTH: {"a": "1"}, ObjectKind.AOR: {"a": "1"}}
    wanted = {EndpointId(str(number)): DesiredState(objects=objects) for number in range(3)}
    puts = [step.action for step in plan(wanted, Seen(), OURS).steps]
    kinds = [put.kind for put in puts if isinstance(put, PutObject)]
    assert kinds == [ObjectKind.AOR] * 3 + [ObjectKind.AUTH] * 3 + [ObjectKind.ENDPOINT] * 3


def test_a_queue_that_asterisk_does_not_know_is_a_problem_and_the_others_go_on() -> None:
    wanted = members(member(SALES), member(SUPPORT))
    planned = plan({KEY: wanted}, Seen(queues=[SALES]), OURS)
    assert [step.action for step in planned.steps] == [AddMember(member(SALES))]
    assert "support" in planned.problems[KEY]
    assert "queues.conf" in planned.problems[KEY]


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ((), FIXED, []),
        ((replace(A, name="Beth"),), FIXED, []),
        ((replace(P, name="Beth"),), FIXED, [PauseMember(SALES, ME, True, "lunch")]),
    ],
    ids=["leaves", "another name", "pause"],
)
def test_a_member_of_queues_conf_is_reported_and_the_rest_goes_on(
    wanted: Collection[Member], found: Member, expected: list[object]
) -> None:
    should = DesiredState(members={m.queue: m for m in wanted}, policy=LISTED)
    planned = plan({KEY: should}, Seen({KEY: members(found)}), OURS)
    assert [step.action for step in planned.steps] == [*expected, PutPolicy("agent/1001/id", "1")]
    assert "sales" in planned.problems[KEY]
    assert "queues.conf" in planned.problems[KEY]


def test_a_strangers_member_of_queues_conf_is_the_administrators_wish() -> None:
    planned = plan({KEY: DesiredState()}, Seen({KEY: members(FIXED)}), OURS)
    assert (planned.steps, planned.problems) == ((), {})


def test_a_row_that_makes_no_sense_changes_nothing_of_its_key() -> None:
    wanted = {KEY: DesiredState(problem="codecs: there is none"), OTHER: members(A)}
    planned = plan(wanted, Seen({KEY: members(A)}), OURS)
    assert [step.key for step in planned.steps] == [OTHER]
    assert planned.problems == {KEY: "codecs: there is none"}


def test_an_agent_that_moves_waits_until_its_old_endpoint_has_left_the_queue() -> None:
    wanted = {KEY: replace(members(member(SALES), member(SUPPORT)), agent=AgentId(1))}
    there = replace(member(SALES), interface=Interface("PJSIP/desk7"))
    planned = plan(wanted, Seen({OTHER: members(there)}, carrying=[KEY, OTHER]), OURS)
    assert [step.action for step in planned.steps] == [AddMember(member(SUPPORT))]
    assert planned.waiting.keys() == {KEY}
    left = plan(wanted, Seen({}, carrying=[KEY, OTHER]), OURS)
    assert (len(left.steps), left.waiting) == (2, {})


# ---------------------------------------------------------------- nothing but a pause


def paused(key: EndpointId, there: DesiredState, reason: str = "lunch") -> list[Action]:
    """What a session's pause that is all that has changed makes of what is there."""
    pause = session_pause(bool(reason), reason)
    return [step.action for step in plan_pauses({key: pause}, Seen({key: there}), {SALES, SUPPORT}).steps]


def test_a_pause_alone_goes_to_each_queue_of_ours_where_it_is_not_yet() -> None:
    there = DesiredState(members={
        SALES: member(), SUPPORT: member(SUPPORT, paused=True, reason="lunch"), THEIRS: member(THEIRS)
    })  # fmt: skip
    assert paused(KEY, there) == [PauseMember(SALES, member().interface, True, "lunch")]
    assert paused(KEY, there, "a;b") == [
        PauseMember(SALES, member().interface, True, "a b"), PauseMember(SUPPORT, member().interface, True, "a b")
    ]  # fmt: skip
    assert paused(KEY, there, "") == [PauseMember(SUPPORT, member().interface, False, "")]


def test_a_pause_alone_is_told_by_the_astdb_where_no_queue_tells_it() -> None:
    own = {f"agent/{KEY}/id": "1"}
    said = {**own, f"agent/{KEY}/paused": "1"}
    assert paused(KEY, DesiredState(policy=own)) == [PutPolicy(f"agent/{KEY}/paused", "1")]
    assert paused(KEY, DesiredState(policy=said)) == []
    assert paused(KEY, DesiredState(policy=said), "") == [DeletePolicy(f"agent/{KEY}/paused")]
    assert paused(KEY, DesiredState(policy={**own, f"agent/{KEY}/queues": "sales"})) == []
    assert paused(KEY, DesiredState(policy={f"telephone/{KEY}/agent": "1001"})) == []
