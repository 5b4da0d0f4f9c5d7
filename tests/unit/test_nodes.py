"""What several nodes change: members of phones elsewhere, contacts that moved, what is told and written."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agentbridge.asterisk.observed.observation import Observation
from agentbridge.asterisk.queue_nodes import QueueNodes
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import desired
from agentbridge.errors import Unavailable
from agentbridge.model import (
    Contact,
    DeletePolicy,
    DesiredState,
    DropContact,
    EndpointId,
    Fields,
    Interface,
    Location,
    Member,
    ObservedState,
    PutPolicy,
    QueueName,
    Session,
    Step,
    Subject,
)
from agentbridge.phone.locations import Locations
from agentbridge.plan.registration import has_moved
from lab.processes import until
from tests.unit.directory_in_memory import agent
from tests.unit.test_plan import OURS, Seen

SALES = QueueName("sales")
KEY, DESK = EndpointId("1001"), EndpointId("desk7")
LOCAL, REMOTE = Interface("PJSIP/1001"), Interface("Local/1001@agentbridge-remote")


def wanted(**changes: Any) -> DesiredState:
    """What is wished of agent 1001, who is logged in and in one queue."""
    carried = replace(agent(1001, queues=["sales"], session=Session()), **changes)
    return desired(Subject(key=KEY, agent=carried, carried=carried), SipDefaults())


# ---------------------------------------------------------------- what should be


def test_the_member_of_a_phone_elsewhere_is_called_through_its_node_and_has_the_phones_state() -> None:
    here, there = wanted().members[SALES], wanted(node="b").members[SALES]
    assert (here.interface, here.state_interface) == (LOCAL, LOCAL)
    assert (there.interface, there.state_interface) == (REMOTE, LOCAL)
    assert replace(there, interface=LOCAL) == here


def test_the_dialplan_learns_the_node_and_with_several_nodes_the_pause_itself() -> None:
    assert "agent/1001/node" not in wanted().policy
    assert wanted(node="b").policy["agent/1001/node"] == "b"
    paused = {"session": Session(paused=True, reason="lunch")}
    assert wanted(**paused).policy["agent/1001/queues"] == "sales"
    assert "agent/1001/paused" not in wanted(**paused).policy
    several = wanted(**paused, among_several=True).policy
    assert several["agent/1001/paused"] == "1"
    assert "agent/1001/queues" not in several


@pytest.mark.parametrize(
    ("moved_at", "located_at", "drops"),
    [
        (None, 5.0, False),
        (6.0, 5.0, True),
        (5.0, 5.0, True),  # the directory answered that it is elsewhere
        (4.0, 5.0, False),  # a reading of before it registered here
        (6.0, None, False),  # registered a moment ago, and not told yet
    ],
)
def test_a_contact_is_dropped_only_for_a_registration_that_is_newer(
    moved_at: float | None, located_at: float | None, drops: bool
) -> None:
    found = ObservedState(contacts=frozenset({"sip:1@x"}), located_at=located_at)
    assert has_moved(DesiredState(moved_at=moved_at), found) is drops


def test_what_moved_loses_its_contact_here() -> None:
    from agentbridge.plan.difference import plan

    class Registered(Seen):
        def state(self, key: EndpointId) -> ObservedState:
            return replace(super().state(key), contacts=frozenset({"sip:1@x"}), located_at=5.0)

    state = replace(wanted(), moved_at=6.0)
    steps = plan({KEY: state}, Registered({KEY: state}), OURS).steps
    assert [step.action for step in steps] == [DropContact(KEY, "sip:1@x")]


# ---------------------------------------------------------------- what is seen


def test_a_member_elsewhere_belongs_to_the_device_whose_state_it_has() -> None:
    told: list[EndpointId] = []
    seen = Observation(told.append)
    member = Member(queue=SALES, interface=REMOTE, name="Ann", state_interface="PJSIP/desk7")
    seen.member_seen(member)
    assert seen.state(DESK).members == {SALES: member}
    assert seen.member(SALES, REMOTE) == member
    seen.begin_read()
    seen.members_read([SALES], [member])
    assert seen.state(DESK).members == {SALES: member}
    seen.member_gone(SALES, REMOTE)
    assert seen.state(DESK).members == {}
    assert told == [DESK, DESK]


def test_what_goes_after_its_successor_came_takes_nothing_away() -> None:
    seen = Observation(lambda _: None)
    here = Member(queue=SALES, interface=LOCAL, name="Ann", state_interface=LOCAL)
    seen.member_seen(replace(here, interface=REMOTE))
    seen.member_seen(here)
    seen.member_gone(SALES, REMOTE)
    assert seen.state(KEY).members == {SALES: here}


def test_a_stranger_on_a_local_channel_is_nobodys() -> None:
    seen = Observation(lambda _: None)
    seen.member_seen(Member(queue=SALES, interface=Interface("Local/9@theirs"), name="X", state_interface="PJSIP/9"))
    assert seen.state(EndpointId("9")).members == {}


# ---------------------------------------------------------------- what is told


class Directory:
    """Says that every device is where it was told last."""

    node = "a"

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[EndpointId]]] = []
        self.elsewhere: set[EndpointId] = set()
        self.away = False

    async def registered(self, contacts: Mapping[EndpointId, Contact]) -> dict[EndpointId, Location]:
        return self._answer("registered", contacts)

    async def replace_all(self, contacts: Mapping[EndpointId, Contact]) -> dict[EndpointId, Location]:
        return self._answer("replace_all", contacts)

    async def gone(self, devices: set[EndpointId]) -> None:
        self._answer("gone", dict.fromkeys(devices, Contact("")))

    def _answer(self, call: str, contacts: Mapping[EndpointId, Contact]) -> dict[EndpointId, Location]:
        if self.away:
            raise Unavailable("away")
        self.calls.append((call, sorted(contacts)))
        return {device: Location("b" if device in self.elsewhere else "a", 7.0) for device in contacts}


class Registrar:
    def __init__(self) -> None:
        self.here: dict[EndpointId, Contact] = {KEY: Contact("sip:1@x"), DESK: Contact("sip:2@x")}
        self.noted: dict[EndpointId, float] = {}

    def contact(self, device: EndpointId) -> Contact | None:
        return self.here.get(device)

    async def whole_contact(self, device: EndpointId) -> Contact | None:  # noqa: ARG002 - as the real one is called
        raise Unavailable("Asterisk's ARI is away")

    def contacts(self) -> Mapping[EndpointId, Contact]:
        return self.here

    def located(self, moments: Mapping[EndpointId, float]) -> None:
        self.noted |= moments


async def test_places_are_told_only_where_there_are_other_nodes_and_then_all_of_them() -> None:
    directory, registrar, drifted = Directory(), Registrar(), list[EndpointId]()
    locations = Locations(directory, active=lambda: True, elsewhere=drifted.append)  # type: ignore[arg-type]
    running = asyncio.create_task(locations.run(registrar))
    try:
        locations.came(KEY)
        locations.heard(())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert directory.calls == []
        locations.heard(["b"])
        await until(_calls(directory, 1), within=5, what="the first telling")
        assert directory.calls == [("replace_all", [KEY, DESK])]
        assert registrar.noted == {KEY: 7.0, DESK: 7.0}
        directory.elsewhere = {DESK}
        locations.came(DESK)
        await until(_calls(directory, 2), within=5, what="the second telling")
        assert drifted == [DESK]
        directory.away = True
        locations.changed(KEY, False)
        await asyncio.sleep(0)
        directory.away = False
        await until(_calls(directory, 3), within=10, what="what the database could not take at first")
        assert directory.calls[1:] == [("registered", [DESK]), ("gone", [KEY])]
    finally:
        running.cancel()


def _calls(directory: Directory, count: int) -> Any:
    async def so_many() -> bool:
        return len(directory.calls) == count

    return so_many


class AstDb:
    """Our family, as far as it is about queues."""

    up = True

    def __init__(self) -> None:
        self.values: dict[str, str] = {"queue/old/node": "c"}
        self.steps: list[Step] = []

    def queue_policy(self) -> Fields:
        return dict(self.values)

    async def apply(self, step: Step) -> None:
        self.steps.append(step)
        match step.action:
            case PutPolicy(path, value):
                self.values[path] = value
            case DeletePolicy(path):
                del self.values[path]
            case _:
                raise AssertionError(step)


async def test_the_astdb_says_which_queues_other_nodes_serve_and_is_written_once() -> None:
    astdb = AstDb()
    queues = QueueNodes(astdb, active=lambda: True)
    running = asyncio.create_task(queues.run())
    try:

        async def same() -> bool:
            return astdb.values == {"queue/sales/node": "b"}

        for _ in range(2):
            queues.heard({SALES: "b"})
            await until(same, within=5, what="the AstDB being as the directory says")
        assert len(astdb.steps) == 2
    finally:
        running.cancel()
