"""What the dialplan finds in the AstDB for an agent."""

from dataclasses import replace

from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import desired
from agentbridge.model import (
    Agent,
    AgentId,
    CallOptions,
    EndpointId,
    Fields,
    Line,
    Membership,
    QueueName,
    Recording,
    Session,
    Subject,
    Typology,
)

ANA = Agent(
    id=AgentId(7),
    username="ana",
    internal=EndpointId("1001"),
    display_name="Ana",
    typology=Typology.EXTERNAL,
    line=Line(secret="s"),
    session=Session(),
)


def policy(agent: Agent) -> Fields:
    state = desired(Subject(key=agent.internal, agent=agent, carried=agent), SipDefaults())
    return {path.removeprefix("agent/1001/"): value for path, value in state.policy.items()}


def membership(queue: str, *, paused: bool = False) -> Membership:
    return Membership(queue=QueueName(queue), paused=paused)


def test_an_ordinary_agent_has_only_its_id_and_its_device() -> None:
    assert policy(ANA) == {"id": "7", "device": "1001"}


def test_a_deactivated_supervisor_may_not_listen() -> None:
    boss = replace(ANA, options=CallOptions(may_spy=True))
    assert policy(boss)["spy"] == "1"
    assert "spy" not in policy(replace(boss, active=False))


def test_three_queues_at_most_tell_whether_the_agent_is_on_pause() -> None:
    agent = replace(ANA, memberships=tuple(membership(queue) for queue in ("d", "b", "c", "a")))
    assert policy(agent)["queues"] == "a&b&c"
    assert policy(replace(agent, session=Session(paused=True)))["queues"] == "a&b&c"


def test_a_pause_of_one_queue_is_not_taken_for_the_agents() -> None:
    agent = replace(ANA, memberships=(membership("a", paused=True), membership("b")))
    assert policy(agent)["queues"] == "b"


def test_an_agent_whose_queues_are_each_on_pause_is_on_pause() -> None:
    agent = replace(ANA, memberships=(membership("a", paused=True), membership("b", paused=True)))
    assert policy(agent)["queues"] == "a&b"


def test_an_agent_in_no_queue_has_its_pause_in_the_policy() -> None:
    assert policy(replace(ANA, session=Session(paused=True)))["paused"] == "1"
    assert "paused" not in policy(replace(ANA, session=None))


def test_calls_that_the_agent_makes_are_recorded_by_a_setting_of_their_own() -> None:
    assert policy(replace(ANA, options=CallOptions(record=Recording.GSM))).get("recordmade") is None
    assert policy(replace(ANA, options=CallOptions(record=Recording.GSM, record_made=True)))["recordmade"] == "gsm"
    made_only = policy(replace(ANA, options=CallOptions(record_made=True)))
    assert (made_only["recordmade"], made_only.get("record")) == ("wav", None)


def test_an_agent_who_must_choose_a_prefix_has_the_list_and_none_is_no_leave_to_call() -> None:
    assert "prefix" not in policy(ANA)
    assert policy(replace(ANA, options=CallOptions(prefixes=("08", "9"))))["prefix"] == "08&9"
    assert policy(replace(ANA, options=CallOptions(prefixes=())))["prefix"] == "-"


def test_a_hot_desk_agent_brings_its_caller_id_along() -> None:
    desk = replace(ANA, hot_desk=True, session=Session(telephone=EndpointId("desk-7")))
    assert policy(desk)["callerid"] == '"Ana" <1001>'
    assert policy(replace(desk, line=Line(secret="s", caller_id="0441001")))["callerid"] == "0441001"
    assert "callerid" not in policy(ANA)
