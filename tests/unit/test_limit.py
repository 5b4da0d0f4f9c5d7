"""How much one plan may take away."""

import pytest

from agentbridge.model import (
    AddMember,
    DeleteObject,
    EndpointId,
    Interface,
    Member,
    ObjectKind,
    PauseMember,
    QueueName,
    RemoveMember,
    Step,
    Totals,
)
from agentbridge.plan.difference import Limit, Plan, within

LIMIT = Limit(share=0.3, at_least=2)
SALES = QueueName("sales")
TEN = Totals(endpoints=10, members=10)
NONE = Totals(endpoints=0, members=0)


def leaves(key: int) -> Step:
    return Step(EndpointId(str(key)), RemoveMember(_member(key)))


def joins(key: int) -> Step:
    return Step(EndpointId(str(key)), AddMember(_member(key)))


def goes(key: int, kind: ObjectKind = ObjectKind.ENDPOINT) -> Step:
    return Step(EndpointId(str(key)), DeleteObject(kind, EndpointId(str(key))))


def pauses(key: int) -> Step:
    return Step(EndpointId(str(key)), PauseMember(SALES, _member(key).interface, True, "lunch"))


def _member(key: int) -> Member:
    return Member(queue=SALES, interface=Interface(f"PJSIP/{key}"), name="Ann")


@pytest.mark.parametrize(
    ("removals", "owned", "allowed"),
    [(0, 0, True), (2, 0, True), (3, 0, False), (3, 10, True), (4, 10, False), (300, 1000, True), (301, 1000, False)],
)
def test_a_share_may_go_and_a_few_always(removals: int, owned: int, allowed: bool) -> None:
    assert LIMIT.allows(removals, owned) is allowed


def limited(*steps: Step) -> tuple[list[Step], str]:
    plan, refusal = within(LIMIT, Plan(steps=steps), owned=TEN, wanted=TEN)
    held = {step.key for step in steps} - {step.key for step in plan.steps}
    assert plan.problems.keys() == held
    return list(plan.steps), refusal.kind if refusal else ""


def test_removals_above_the_limit_are_held_back_and_the_rest_goes_on() -> None:
    steps, refused = limited(*map(goes, range(4)), pauses(9))
    assert (steps, refused) == ([pauses(9)], "endpoints")


def test_members_are_limited_by_themselves() -> None:
    steps, refused = limited(*map(leaves, range(4)), joins(9))
    assert (steps, refused) == ([joins(9)], "members")


def test_members_are_limited_also_where_endpoints_are_refused() -> None:
    steps, refused = limited(*map(goes, range(4)), *map(leaves, range(10, 14)), pauses(9))
    assert (steps, refused) == ([pauses(9)], "endpoints")


def test_who_joins_anew_is_no_removal() -> None:
    steps = [*map(leaves, range(9)), *map(joins, range(9))]
    assert limited(*steps) == (steps, "")


def test_numbers_in_reserve_may_go() -> None:
    steps = [goes(key, ObjectKind.AOR) for key in range(9)]
    assert limited(*steps) == (steps, "")


@pytest.mark.parametrize(("step", "kind"), [(goes(1), "endpoints"), (leaves(1), "members")])
def test_a_small_part_of_a_large_removal_is_held_back_too(step: Step, kind: str) -> None:
    plan, refusal = within(LIMIT, Plan(steps=(step, pauses(9))), owned=TEN, wanted=NONE)
    assert plan.steps == (pauses(9),)
    assert refusal is not None
    assert (refusal.kind, refusal.removals) == (kind, 10)


def test_what_is_missing_elsewhere_holds_nothing_else_up() -> None:
    steps = (joins(1), pauses(9))
    assert within(LIMIT, Plan(steps=steps), owned=TEN, wanted=NONE) == (Plan(steps=steps), None)


def test_the_refusal_says_how_to_confirm() -> None:
    _, refusal = within(LIMIT, Plan(steps=tuple(map(goes, range(9)))), owned=TEN, wanted=TEN)
    assert "9 of 10 endpoints" in str(refusal)
    assert "plan --confirm" in str(refusal)
