"""What of a plan is held when agents have vanished from the directory, and what is done all the same."""

from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from agentbridge.model import (
    Action,
    AddMember,
    AgentId,
    DeleteObject,
    DeletePolicy,
    EndpointId,
    Interface,
    Loss,
    LossKind,
    Member,
    ObjectKind,
    ObservedState,
    PauseMember,
    PutPolicy,
    QueueName,
    RemoveMember,
    Step,
)
from agentbridge.plan.difference import Plan
from agentbridge.plan.limit import Limit, Refusal, all_that_could_be_lost, losses_of, who, without

LIMIT = Limit(share=0.3, at_least=2)
SALES, SUPPORT = QueueName("sales"), QueueName("support")
ANN, DESK, SUE = EndpointId("1001"), EndpointId("desk7"), EndpointId("1002")
"""ann has a phone of her own, sue sits at desk7"""


def member(key: EndpointId, queue: QueueName = SALES) -> Member:
    return Member(queue=queue, interface=Interface(f"PJSIP/{key}"), name="Ann")


@dataclass
class Asterisk:
    """Two agents that are logged in, and a number that nobody has."""

    states: dict[EndpointId, ObservedState] = field(
        default_factory=lambda: {
            ANN: ObservedState(
                objects={ObjectKind.ENDPOINT: {}},
                members={SALES: member(ANN), SUPPORT: member(ANN, SUPPORT)},
                policy={"agent/1001/id": "1", "agent/1001/device": "1001"},
            ),
            SUE: ObservedState(policy={"agent/1002/id": "2", "agent/1002/device": "desk7"}),
            DESK: ObservedState(
                objects={ObjectKind.ENDPOINT: {}},
                members={SALES: member(DESK)},
                policy={"telephone/desk7/agent": "1002"},
            ),
        }
    )

    def owned(self) -> Collection[EndpointId]:
        return self.states.keys()

    def state(self, key: EndpointId) -> ObservedState:
        return self.states.get(key, ObservedState())

    def agent_of(self, key: EndpointId) -> AgentId | None:
        return {ANN: AgentId(1), SUE: AgentId(2), DESK: AgentId(2)}.get(key)


def lost(key: EndpointId, *actions: Action, was: str = "present") -> list[Loss]:
    return losses_of(Plan(steps=tuple(Step(key, action, was=was) for action in actions)), Asterisk())


def endpoint(key: EndpointId, agent: int | None) -> Loss:
    return Loss(key=key, kind=LossKind.ENDPOINT, agent=None if agent is None else AgentId(agent))


def login(key: EndpointId, agent: int) -> Loss:
    return Loss(key=key, kind=LossKind.LOGIN, agent=AgentId(agent))


def membership(key: EndpointId, agent: int, queue: QueueName = SALES) -> Loss:
    return Loss(key=key, kind=LossKind.MEMBERSHIP, agent=AgentId(agent), queue=queue)


@pytest.mark.parametrize(
    ("vanished", "owned", "allowed"),
    [(0, 0, True), (2, 0, True), (3, 0, False), (3, 10, True), (4, 10, False), (300, 1000, True), (301, 1000, False)],
)
def test_a_share_may_vanish_and_a_few_always(vanished: int, owned: int, allowed: bool) -> None:
    assert LIMIT.allows(vanished, owned) is allowed


@pytest.mark.parametrize(
    ("key", "action", "expected"),
    [
        (ANN, RemoveMember(member(ANN)), [membership(ANN, 1)]),
        (DESK, RemoveMember(member(DESK)), [membership(DESK, 2)]),
        (ANN, DeleteObject(ObjectKind.ENDPOINT, ANN), [endpoint(ANN, 1)]),
        (DESK, DeleteObject(ObjectKind.ENDPOINT, DESK), [endpoint(DESK, None)]),
        (ANN, DeletePolicy("agent/1001/device"), [login(ANN, 1)]),
        (SUE, DeletePolicy("agent/1002/device"), [login(SUE, 2)]),
        (DESK, PutPolicy("telephone/desk7/agent", ""), [login(DESK, 2)]),
        (ANN, DeleteObject(ObjectKind.AOR, ANN), []),
        (ANN, DeletePolicy("agent/1001/chanspy"), []),
        (ANN, PauseMember(SALES, member(ANN).interface, True, "lunch"), []),
        (SUE, RemoveMember(member(SUE)), []),
    ],
    ids=str,
)
def test_what_a_step_takes_away(key: EndpointId, action: Action, expected: list[Loss]) -> None:
    """The last: somebody put her own number into the queue by hand, while she works at desk7."""
    assert lost(key, action) == expected


def test_who_leaves_to_join_anew_loses_nothing() -> None:
    assert lost(ANN, RemoveMember(member(ANN)), AddMember(member(ANN))) == []


def test_everything_that_asterisk_has_could_be_lost() -> None:
    assert set(all_that_could_be_lost(Asterisk())) == {
        endpoint(ANN, 1),
        login(ANN, 1),
        membership(ANN, 1),
        membership(ANN, 1, SUPPORT),
        login(SUE, 2),
        endpoint(DESK, None),
        login(DESK, 2),
        membership(DESK, 2),
    }


def test_an_agent_counts_once_however_much_is_lost() -> None:
    lost_of_ann = [loss for loss in all_that_could_be_lost(Asterisk()) if loss.key == ANN]
    assert {who(loss) for loss in lost_of_ann} == {1}
    assert who(endpoint(DESK, None)) == DESK


def test_of_a_membership_that_vanished_only_its_removal_is_held() -> None:
    pause = Step(ANN, PauseMember(SUPPORT, member(ANN).interface, True, "lunch"))
    leaves = Step(ANN, RemoveMember(member(ANN)))
    revoked = Step(ANN, DeletePolicy("agent/1001/chanspy"))
    rest = without(Plan(steps=(leaves, pause, revoked)), [membership(ANN, 1)], "why", Asterisk())
    assert (rest.steps, rest.problems) == ((pause, revoked), {ANN: "why"})


def test_of_an_agent_who_vanished_nothing_is_done() -> None:
    steps = (
        Step(ANN, RemoveMember(member(ANN))),
        Step(ANN, DeleteObject(ObjectKind.ENDPOINT, ANN)),
        Step(ANN, DeletePolicy("agent/1001/id")),
    )
    other = Step(SUE, PutPolicy("agent/1002/chanspy", "1"))
    rest = without(Plan(steps=(*steps, other)), [endpoint(ANN, 1)], "why", Asterisk())
    assert (rest.steps, rest.problems) == ((other,), {ANN: "why"})


def test_the_refusal_says_how_to_confirm() -> None:
    assert "9 of 10 agents and telephones" in str(Refusal(9, 10))
    assert "plan --confirm" in str(Refusal(9, 10))
