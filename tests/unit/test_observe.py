"""What is seen of Asterisk, when events and reads cross."""

import asyncio
from dataclasses import replace

import pytest

from agentbridge.asterisk.observed.objects import ObjectTable
from agentbridge.asterisk.observed.observation import Observation, endpoint_of
from agentbridge.asterisk.observed.policy_tree import PolicyTree
from agentbridge.model import EndpointId, Fields, Interface, Member, ObjectKind, ObservedState, QueueName, Row

SALES, SUPPORT = QueueName("sales"), QueueName("support")
KEY, OTHER = EndpointId("1001"), EndpointId("1002")
ME = Interface("PJSIP/1001")
A = Member(queue=SALES, interface=ME, name="Ann")
PAUSED = replace(A, paused=True, reason="lunch")
STRANGER = Member(queue=SALES, interface=Interface("PJSIP/1002"), name="Stranger")


@pytest.fixture
def told() -> list[EndpointId]:
    return []


@pytest.fixture
def seen(told: list[EndpointId]) -> Observation:
    return Observation(told.append)


@pytest.mark.parametrize(
    ("interface", "key"), [("PJSIP/1001", "1001"), ("pjsip/1001", "1001"), ("Local/1@x", None), ("SIP/1001", None)]
)
def test_only_a_pjsip_member_is_an_endpoint(interface: str, key: str | None) -> None:
    assert endpoint_of(Interface(interface)) == key


def test_a_change_is_told_and_a_repetition_is_not(seen: Observation, told: list[EndpointId]) -> None:
    seen.member_seen(A)
    seen.member_seen(A)
    seen.member_seen(PAUSED)
    assert told == [KEY, KEY]
    assert seen.state(KEY).members == {SALES: PAUSED}


async def test_an_event_that_is_awaited_is_our_own_doing(seen: Observation, told: list[EndpointId]) -> None:
    event = seen.awaiting(SALES, ME)
    seen.member_seen(A)
    await asyncio.wait_for(event, 1)
    assert told == []
    seen.member_seen(PAUSED)
    assert told == [KEY]


def test_an_event_during_a_read_is_newer_than_the_read(seen: Observation) -> None:
    seen.member_seen(A)
    seen.begin_read()
    seen.member_seen(PAUSED)
    seen.members_read([SALES], [A])
    assert seen.state(KEY).members == {SALES: PAUSED}


def test_who_left_during_a_read_does_not_come_back(seen: Observation) -> None:
    seen.member_seen(A)
    seen.begin_read()
    seen.member_gone(SALES, ME)
    seen.members_read([SALES], [A])
    assert seen.state(KEY) == ObservedState()


def test_a_queue_that_was_read_during_a_read_is_newer(seen: Observation) -> None:
    seen.begin_read()
    seen.queue_read(SALES, [PAUSED])
    seen.members_read([SALES], [A])
    assert seen.state(KEY).members == {SALES: PAUSED}


def test_what_was_written_during_a_read_stays(seen: Observation) -> None:
    seen.begin_read()
    seen.policy_put("agent/1001/id", "1")
    seen.object_put(ObjectKind.AOR, KEY, {"max_contacts": "1"})
    seen.object_put(ObjectKind.AUTH, KEY, {"username": "1001"})
    seen.object_deleted(ObjectKind.AUTH, KEY)
    seen.policy_read(PolicyTree({"agent/1002/id": "2"}))
    seen.objects_read(ObjectKind.AOR, {})
    seen.objects_read(ObjectKind.AUTH, {KEY: {"username": "1001"}})
    assert seen.state(KEY).policy == {"agent/1001/id": "1"}
    assert seen.state(KEY).objects == {ObjectKind.AOR: {"max_contacts": "1"}}
    assert set(seen.owned()) == {KEY, OTHER}


@pytest.mark.parametrize("whole", [True, False])
def test_a_stranger_whose_event_was_lost_is_told_by_the_next_read(
    seen: Observation, told: list[EndpointId], whole: bool
) -> None:
    seen.members_read([SALES], [A])
    told.clear()
    if whole:
        seen.members_read([SALES], [A, STRANGER])
    else:
        seen.queue_read(SALES, [A, STRANGER])
    assert told == [OTHER]


def test_one_queue_that_was_read_leaves_the_others_alone(seen: Observation) -> None:
    support = replace(A, queue=SUPPORT)
    seen.members_read([SALES, SUPPORT], [A, support])
    seen.queue_read(SALES, [])
    assert seen.state(KEY).members == {SUPPORT: support}


def test_policy_that_is_gone_is_told_since_nothing_else_lists_its_key(
    seen: Observation, told: list[EndpointId]
) -> None:
    seen.policy_read(PolicyTree({"agent/1001/id": "1", "agent/1002/id": "2"}))
    told.clear()
    seen.policy_read(PolicyTree({"agent/1002/id": "2"}))
    assert told == [KEY]


def test_an_agents_endpoints_are_its_device_and_every_telephone_that_names_it(seen: Observation) -> None:
    seen.policy_read(PolicyTree({"agent/1001/id": "1", "telephone/desk7/agent": "1001", "telephone/desk8/agent": ""}))
    assert set(seen.carriers("1")) == {KEY, "desk7"}
    seen.policy_put("telephone/desk7/agent", "")
    seen.policy_put("agent/1001/device", "desk8")
    assert set(seen.carriers("1")) == {"desk8"}
    assert not seen.carriers("2")


def test_objects_are_kept_by_their_values_and_equal_ones_once() -> None:
    table = ObjectTable({KEY: {"contact": "", "max_contacts": "1"}, OTHER: {"contact": "", "max_contacts": "1"}})
    assert table[KEY] == {"contact": "", "max_contacts": "1"}
    assert table._rows[KEY] is table._rows[OTHER]
    table.put(KEY, {"aors": KEY})
    newer = ObjectTable({OTHER: {"aors": OTHER}})
    newer.take_over([KEY, OTHER], ObjectTable({KEY: {"aors": "newer"}}))
    assert newer == {KEY: {"aors": "newer"}}
    table.drop(KEY)
    table.drop(KEY)
    assert list(table) == [OTHER]


@pytest.mark.parametrize(
    "fields",
    [
        {"aors": KEY, "callerid": f'"Ann" <{KEY}>', "mailboxes": f"{KEY}@agentbridge", "context": "agents"},
        {"aors": f"{KEY}{KEY}", "callerid": "", "rtp_timeout": KEY[0]},
        {"aors": "\0", "callerid": "\0", "context": f"\0{KEY}"},
        {},
    ],
)
def test_a_table_has_each_objects_own_values(fields: Fields) -> None:
    read = {"context": "agents"}
    table = ObjectTable({OTHER: read, KEY: fields})
    assert table == {OTHER: read, KEY: fields}
    fresh = ObjectTable()
    fresh.put_read(KEY, 1, lambda: fields, table)
    again = ObjectTable()
    again.put_read(KEY, 1, dict, fresh)
    assert again == {KEY: fields}


def test_what_is_said_of_an_agent_is_the_same_in_whatever_order_it_came() -> None:
    said = {f"agent/{KEY}/id": "1", f"agent/{KEY}/device": KEY, f"agent/{KEY}/callerid": f'"Ann" <{KEY}>'}
    tree, other = PolicyTree(said), PolicyTree(dict(reversed(said.items())))
    assert tree.changed_in(other) == set()
    assert dict(tree.of(KEY)) == said
    other.put(f"agent/{KEY}/id", "2")
    assert tree.changed_in(other) == {KEY}
    assert (other.carriers("1"), set(other.carriers("2"))) == (set(), {KEY})
    for path in said:
        other.drop(path)
    other.drop(f"agent/{KEY}/id")
    assert not other.keys()
    assert not other.carriers("2")


def test_objects_that_differ_in_their_key_alone_are_kept_once() -> None:
    table = ObjectTable({key: {"auth": key, "mailboxes": f"{key}@x"} for key in (KEY, OTHER)})
    assert table._rows[KEY] is table._rows[OTHER]
    assert table == {key: {"auth": key, "mailboxes": f"{key}@x"} for key in (KEY, OTHER)}


def test_a_row_is_a_mapping_that_a_table_takes_as_it_is() -> None:
    fields = {"contact": "", "max_contacts": "1"}
    row = Row(fields)
    assert row == fields
    assert fields == row
    assert (row["max_contacts"], row.get("aors"), "aors" in row, len(row)) == ("1", None, False, 2)
    table = ObjectTable({KEY: row})
    assert table[KEY] == fields
    assert {**row, "contact": "?"} == {"contact": "?", "max_contacts": "1"}


def test_what_a_list_of_a_look_little_by_little_shows_otherwise_is_told(
    seen: Observation, told: list[EndpointId]
) -> None:
    written = {"context": "agents", "allow": "alaw"}
    seen.object_put(ObjectKind.ENDPOINT, KEY, written)
    seen.policy_put("agent/1001/id", "1")
    for tells_drift in (False, True):
        seen.begin_read(tells_drift=tells_drift)
        # a list has all fields of an object, and those of strangers
        seen.objects_read(ObjectKind.ENDPOINT, {KEY: {**written, "language": "en"}, OTHER: {"context": "trunk"}})
        seen.policy_read(PolicyTree({"agent/1001/id": "1"}))
        seen.end_read()
    assert told == []
    seen.begin_read(tells_drift=True)
    seen.objects_read(ObjectKind.ENDPOINT, {KEY: {**written, "allow": "ulaw"}, OTHER: {"context": "trunk"}})
    assert told == [KEY]
    seen.policy_read(PolicyTree({"agent/1001/id": "1", "agent/1001/paused": "1"}))
    assert told == [KEY, KEY]
    seen.objects_read(ObjectKind.ENDPOINT, {OTHER: {"context": "trunk"}})
    assert told == [KEY, KEY, KEY]
