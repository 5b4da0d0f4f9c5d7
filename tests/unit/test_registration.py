"""Which clients came the wrong way, and what is said of them."""

import pytest

from agentbridge.model import DesiredState, ObjectKind, ObservedState
from agentbridge.plan.registration import complaint, strays, transport_of

UDP, TCP, WS = "sip:1@10.0.0.1:5060", "sip:1@10.0.0.1:5060;transport=TCP", "sip:x@10.0.0.1:9;transport=ws;ob"


def wants(*transports: str) -> DesiredState:
    return DesiredState(transports=frozenset(transports))


@pytest.mark.parametrize(
    ("uri", "transport"),
    [(UDP, "udp"), (TCP, "tcp"), (WS, "ws"), ("sip:1@h;transport=udp", "udp"), ("sip:a;x=transport@h", "udp")],
)
def test_a_contact_says_its_transport(uri: str, transport: str) -> None:
    assert transport_of(uri) == transport


@pytest.mark.parametrize(
    ("allowed", "stray"),
    [
        (["udp"], [TCP, WS]),
        (["tcp"], [UDP, WS]),
        (["wss"], [UDP, TCP]),
        (["ws"], [UDP, TCP]),
        (["udp", "tcp", "wss"], []),
        ([], []),
    ],
)
def test_what_is_not_allowed_is_dropped(allowed: list[str], stray: list[str]) -> None:
    assert strays(wants(*allowed), ObservedState(contacts=frozenset({UDP, TCP, WS}))) == sorted(stray)


def test_the_address_of_a_fixed_host_is_never_dropped() -> None:
    wanted = DesiredState(transports=frozenset({"tcp"}), objects={ObjectKind.AOR: {"contact": UDP}})
    assert strays(wanted, ObservedState(contacts=frozenset({UDP}))) == []


def test_who_was_turned_away_is_told_of_until_somebody_comes_the_right_way() -> None:
    assert "over tcp" in complaint(wants("udp"), ObservedState(contacts=frozenset({TCP})))
    assert "over tcp" in complaint(wants("udp"), ObservedState(turned_away="tcp"))
    assert complaint(wants("udp"), ObservedState(turned_away="tcp", contacts=frozenset({UDP}))) == ""
    assert complaint(wants("udp", "tcp"), ObservedState(turned_away="tcp")) == ""
    assert complaint(wants(), ObservedState(turned_away="tcp")) == ""
    assert complaint(wants("udp"), ObservedState()) == ""
