"""What a row of the directory means in Asterisk."""

from dataclasses import replace
from typing import Any

import pytest

from agentbridge.desired.caller_id import TEXT_BYTES, caller_id, member_text
from agentbridge.desired.pjsip import NO_CALLS_CONTEXT, SipDefaults, digest, groups
from agentbridge.desired.state import desired, reserve
from agentbridge.model import (
    DesiredState,
    EndpointId,
    Line,
    Membership,
    ObjectKind,
    QueueName,
    Session,
    SipType,
    Subject,
)
from tests.unit.directory_in_memory import LINE, agent

SIP = SipDefaults()
SALES = QueueName("sales")
KEY = EndpointId("1001")


def of(**changes: Any) -> DesiredState:
    """The state of agent 1001 on a device of its own."""
    found = agent(1001, **changes)
    return desired(Subject(key=KEY, agent=found, carried=found if found.device == KEY else None), SIP)


def endpoint(**line: Any) -> dict[str, str]:
    return dict(of(line=replace(LINE, **line)).objects[ObjectKind.ENDPOINT])


def test_nothing_is_wanted_for_a_key_that_the_directory_does_not_know() -> None:
    assert not desired(Subject(key=KEY), SIP)


def test_an_agent_that_is_logged_out_has_an_endpoint_and_is_in_no_queue() -> None:
    state = of(queues=["sales"])
    assert state.objects.keys() == {ObjectKind.AOR, ObjectKind.AUTH, ObjectKind.ENDPOINT}
    assert state.members == {}


@pytest.mark.parametrize(
    ("session", "membership", "paused", "reason"),
    [
        (Session(), Membership(queue=SALES), False, ""),
        (Session(paused=True, reason="lunch"), Membership(queue=SALES), True, "lunch"),
        (Session(), Membership(queue=SALES, paused=True, reason="training"), True, "training"),
        (Session(paused=True, reason="lunch"), Membership(queue=SALES, paused=True, reason="training"), True, "lunch"),
        (Session(reason="stale"), Membership(queue=SALES), False, ""),
        (Session(paused=True, reason="a;b,c|d"), Membership(queue=SALES), True, "a b c d"),
    ],
)
def test_a_member_is_paused_by_the_session_or_in_its_queue(
    session: Session, membership: Membership, paused: bool, reason: str
) -> None:
    member = of(session=session, memberships=(membership,)).members[SALES]
    assert (member.paused, member.reason) == (paused, reason)
    assert (member.interface, member.state_interface) == ("PJSIP/1001", "PJSIP/1001")


@pytest.mark.parametrize("changes", [{"active": False}, {"line": replace(LINE, sip_type=SipType.USER)}])
def test_who_may_not_be_called_is_in_no_queue(changes: dict[str, Any]) -> None:
    assert of(session=Session(), queues=["sales"]).members
    assert of(session=Session(), queues=["sales"], **changes).members == {}


def test_a_deactivated_agent_has_no_endpoint_and_keeps_the_aor_that_holds_its_registration() -> None:
    assert of(active=False).objects == {ObjectKind.AOR: of().objects[ObjectKind.AOR]}


def test_a_hot_desk_agent_is_a_member_by_its_telephone_and_has_no_endpoint_of_its_own() -> None:
    desk = EndpointId("desk7")
    ann = agent(1001, hot_desk=True, session=Session(telephone=desk), queues=["sales"])
    own = desired(Subject(key=KEY, agent=ann), SIP)
    assert (own.objects.keys(), own.members) == ({ObjectKind.AOR}, {})
    assert own.policy["agent/1001/device"] == desk
    by_desk = desired(Subject(key=desk, carried=ann), SIP)
    assert by_desk.members[SALES].interface == "PJSIP/desk7"
    assert by_desk.agent == ann.id


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ({"sip_type": SipType.PEER}, {"context": NO_CALLS_CONTEXT, "aors": "1001"}),
        ({"sip_type": SipType.USER}, {"context": "from-sip", "aors": ""}),
        ({"nat": ("no",)}, {"force_rport": "no", "rewrite_contact": "no", "rtp_symmetric": "no"}),
        ({"nat": ("yes",)}, {"force_rport": "yes", "rewrite_contact": "yes", "rtp_symmetric": "yes"}),
        ({"nat": ("route",)}, {"force_rport": "no", "rewrite_contact": "no", "rtp_symmetric": "no"}),
        ({"nat": ("comedia",)}, {"force_rport": "no", "rtp_symmetric": "yes"}),
        ({"transports": ("wss",)}, {"webrtc": "yes", "media_encryption": "dtls", "ice_support": "yes"}),
        ({"transports": ("udp", "tcp")}, {"webrtc": "no", "media_encryption": "no", "ice_support": "no"}),
        ({"codecs": ("g722", "alaw")}, {"allow": "g722,alaw"}),
        ({"call_group": "7,1-3", "pickup_group": ""}, {"call_group": "1,2,3,7", "pickup_group": ""}),
    ],
)
def test_an_option_of_the_line_becomes_fields_of_the_endpoint(line: dict[str, Any], fields: dict[str, str]) -> None:
    assert fields.items() <= endpoint(**line).items()


def test_every_line_states_the_same_fields_so_that_none_keeps_its_old_value() -> None:
    lines: list[dict[str, Any]] = [{}, {"transports": ("wss",)}, {"sip_type": SipType.USER}, {"nat": ("yes",)}]
    assert len({frozenset(endpoint(**line)) for line in lines}) == 1


def test_a_phonebar_of_a_fixed_host_is_called_at_its_port() -> None:
    objects = of(line=replace(LINE, host="192.0.2.7", sip_port=5070, transports=("tcp",))).objects
    assert objects[ObjectKind.AOR]["contact"] == "sip:1001@192.0.2.7:5070;transport=tcp"


@pytest.mark.parametrize(
    ("host", "contact"),
    [("192.0.2.7", "sip:1001@192.0.2.7"), ("2001:DB8:0::7", "sip:1001@[2001:db8::7]")],
)
def test_a_fixed_host_is_called_at_its_address_and_takes_nobody_elses(host: str, contact: str) -> None:
    objects = of(line=replace(LINE, host=host)).objects
    assert objects[ObjectKind.AOR]["contact"] == contact
    assert objects.keys() == {ObjectKind.AOR, ObjectKind.AUTH, ObjectKind.ENDPOINT}, "no identify by the address"


@pytest.mark.parametrize(
    "line", [{"codecs": ()}, {"host": "no-address"}, {"call_group": "one"}, {"secret": ""}, {"sip_expires": -1}]
)
def test_a_line_that_asterisk_can_not_have_is_a_problem_and_changes_nothing(line: dict[str, Any]) -> None:
    state = of(line=replace(LINE, **line))
    assert state.problem
    assert not state


def test_the_secret_is_never_in_asterisk() -> None:
    auth = of(line=replace(LINE, secret="geheim")).objects[ObjectKind.AUTH]
    assert auth["password_digest"] == f"MD5:{digest(KEY, 'asterisk', 'geheim')}"
    assert "geheim" not in str(auth)
    # RFC 2617, 3.5
    example = digest(EndpointId("Mufasa"), "testrealm@host.com", "Circle Of Life")
    assert example == "939e7578ed9e3c518a452acee763bce9"


@pytest.mark.parametrize(
    ("text", "given_back"),
    [
        ("", ""),
        ("Sales <800>", '"Sales" <800>'),
        ('"Sales" <800>', '"Sales" <800>'),
        ("<800>", "800"),
        ('"" <800>', "800"),
        ("+39 (06) 12-34.5", "+390612345"),
        ("Sales Team", "Sales Team"),
        ('Ann "the boss"', "Ann the boss"),
        (r'"A \"b\"" <1>', r'"A \"b\"" <1>'),
        ('"' + '\\"' * 6 + '" <1>', '"' + "'" * 6 + '" <1>'),
        ("n" * 100 + " <1>", '"' + "n" * TEXT_BYTES + '" <1>'),
    ],
)
def test_a_caller_id_is_wanted_as_asterisk_gives_it_back(text: str, given_back: str) -> None:
    assert caller_id(text) == given_back
    assert caller_id(given_back) == given_back


@pytest.mark.parametrize(
    ("text", "carried"),
    [
        ("Ann", "Ann"),
        ("  Ann \r\n Lee ", "Ann Lee"),
        ("Lee, Ann; x|y", "Lee Ann x y"),
        ("n" * 80, "n" * 79),
        ("ü" * 40, "ü" * 39),
        ("آ" * 100, "آ" * 39),
        (";", ""),
    ],
)
def test_a_name_is_cut_where_app_queue_would_cut_it(text: str, carried: str) -> None:
    assert member_text(text) == carried


@pytest.mark.parametrize(("text", "numbers"), [("", ""), ("3", "3"), ("1-3, 5", "1,2,3,5"), ("63,0", "0,63")])
def test_groups_are_listed_one_by_one(text: str, numbers: str) -> None:
    assert groups(text) == numbers


def test_a_number_in_reserve_is_the_aor_that_its_agent_will_have() -> None:
    kept = reserve(SIP).objects
    assert kept == {ObjectKind.AOR: of(line=Line(secret="x")).objects[ObjectKind.AOR]}
