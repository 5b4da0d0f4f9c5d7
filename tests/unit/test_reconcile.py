"""The loop, one story at a time; the clock jumps, and nothing is asked of a server."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from agentbridge.asterisk.listener import NoListener
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import interface_of
from agentbridge.errors import Unavailable
from agentbridge.model import (
    AUTOPAUSE,
    AddMember,
    AgentId,
    CallOptions,
    EndpointId,
    Interface,
    Member,
    Membership,
    ObjectKind,
    PauseMember,
    PutPolicy,
    QueueName,
    Reading,
    RemoveMember,
    Session,
    Step,
)
from agentbridge.plan.limit import Limit
from agentbridge.reconcile.pace import SPARE, Pace
from agentbridge.reconcile.ports import Outcome
from agentbridge.reconcile.reconciler import Reconciler
from agentbridge.reconcile.results import RECORD_SECONDS
from agentbridge.reconcile.work_queue import REST_SECONDS, Cause
from lab.processes import until
from tests.unit.asterisk_in_memory import AsteriskInMemory
from tests.unit.directory_in_memory import DirectoryInMemory, agent
from tests.unit.loop_clock import JumpingLoop, turns

SALES = QueueName("sales")
KEY = EndpointId("1001")
ANN = AgentId(1001)
ME = Interface("PJSIP/1001")


class Loop(NoListener):
    """The reconciler beside a directory and an Asterisk in memory."""

    def __init__(self) -> None:
        self.clock = JumpingLoop()
        self.written: list[Step] = []
        self.depth = 0
        """of Asterisk's task processors"""
        self.clock.run(self._build())

    async def _build(self) -> None:
        hint: Callable[..., None] = lambda keys: self.reconciler.mark(keys, Cause.CHANGE)  # noqa: E731
        self.directory = DirectoryInMemory({SALES}, hint)
        self.asterisk = AsteriskInMemory([SALES], self, self.written.append)
        self.pace = Pace(self._depth, clock=self.clock.time)
        await self.begin()

    def key_drifted(self, key: EndpointId) -> None:
        self.reconciler.mark([key], Cause.EVENT)

    def member_autopaused(self, key: EndpointId, queue: QueueName) -> None:
        self.reconciler.autopaused(key, queue)

    async def begin(self) -> None:
        """A daemon starts, in the place of the one that there was."""
        limit = Limit(share=0.3, at_least=2)
        self.reconciler = Reconciler(
            self.directory, self.asterisk, self.pace, sip=SipDefaults(), limit=limit, clock=self.clock.time
        )
        self.reconciler.hinted("1:1:")
        self.task = self.clock.create_task(self.reconciler.run())
        await self.look()

    async def _depth(self) -> int:
        return self.depth

    async def look(self) -> None:
        since = self.reconciler.token()
        await self.asterisk.read_all()
        await self.reconciler.resync(since)

    def hint_pauses(self, keys: Collection[EndpointId]) -> None:
        """Does as the daemon where nothing but the pause of sessions has changed."""
        found = {key: self.directory.session_pause(key) for key in keys}
        self.reconciler.mark_pauses({key: pause for key, pause in found.items() if pause is not None})

    def settle(self) -> None:
        self.clock.run(until(lambda: self.reconciler.is_settled, within=300))

    def pass_time(self, seconds: float) -> None:
        self.clock.run(asyncio.sleep(seconds))

    def look_again(self) -> None:
        self.clock.run(self.look())
        self.settle()

    def member(self, key: EndpointId = KEY) -> Member | None:
        return self.asterisk.members.get((SALES, Interface(interface_of(key).lower())))


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    assert loop.asterisk.offences == []
    loop.clock.end()


def log_in(loop: Loop, number: int = 1001) -> None:
    loop.directory.put(agent(number, queues=["sales"], session=Session()))


def test_an_agent_that_logs_in_is_a_member_and_the_directory_is_told(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    found = loop.member()
    assert found is not None
    assert not found.paused
    assert loop.directory.outcomes[KEY].error == ""


def test_a_second_look_writes_nothing(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.written.clear()
    loop.look_again()
    assert loop.written == []


def test_what_asterisk_refuses_is_reported_and_tried_again_until_it_goes(loop: Loop) -> None:
    loop.asterisk.faults.refuse.add(KEY)
    log_in(loop)
    log_in(loop, 1002)
    loop.pass_time(5)
    assert loop.member() is None
    assert loop.member(EndpointId("1002")) is not None
    assert "bad mood" in loop.directory.outcomes[KEY].error
    assert "bad mood" in loop.reconciler.failed[KEY]
    loop.asterisk.faults.refuse.clear()
    loop.settle()
    assert loop.member() is not None
    assert loop.directory.outcomes[KEY].error == ""
    assert loop.reconciler.failed == {}


def test_a_row_that_makes_no_sense_stops_nobody_else(loop: Loop) -> None:
    loop.directory.problems[KEY] = "typology: no such"
    log_in(loop)
    log_in(loop, 1002)
    loop.settle()
    assert loop.directory.outcomes[KEY].error == "typology: no such"
    assert loop.member(EndpointId("1002")) is not None


def test_without_the_directory_everything_stays_as_it_is(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.directory.up = False
    loop.reconciler.suspend()
    loop.written.clear()
    loop.directory.agents.clear()
    loop.asterisk.pause_by_hand(SALES, ME, "fun")
    loop.pass_time(60)
    assert loop.written == []


def test_a_session_that_is_only_paused_is_written_without_a_reading(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.directory.given.clear()
    loop.directory.outcomes.clear()
    loop.written.clear()
    loop.directory.hint_pauses = loop.hint_pauses
    loop.directory.pause(ANN, "lunch; ")
    loop.settle()
    assert [type(step.action) for step in loop.written] == [PauseMember]
    member = loop.member()
    assert member is not None
    assert (member.paused, member.reason) == (True, "lunch")
    assert loop.directory.given == {}
    loop.pass_time(RECORD_SECONDS)
    assert loop.directory.outcomes == {KEY: Outcome()}
    loop.look_again()
    assert len(loop.written) == 1


def test_what_many_pauses_came_to_is_recorded_together_and_never_of_what_has_changed_since(loop: Loop) -> None:
    first, second, third = AgentId(1001), AgentId(1002), AgentId(1003)
    for number in (first, second, third):
        log_in(loop, number)
    loop.settle()
    loop.pass_time(RECORD_SECONDS)
    loop.directory.hint_pauses = loop.hint_pauses
    loop.directory.outcomes.clear()
    for number in (first, second, third):
        loop.directory.pause(number, "lunch")
        loop.clock.run(turns(50))
    assert loop.directory.outcomes == {EndpointId("1001"): Outcome()}  # at once, and the others with the next
    loop.asterisk.faults.refuse.add(EndpointId("1003"))
    loop.directory.change(third, display_name="Ann")
    loop.pass_time(RECORD_SECONDS)
    assert loop.directory.outcomes.keys() == {"1001", "1002"}
    loop.pass_time(1)
    assert loop.directory.outcomes[EndpointId("1003")].error != ""


def test_a_pause_of_a_key_that_failed_is_compared_whole(loop: Loop) -> None:
    loop.asterisk.faults.refuse.add(KEY)
    log_in(loop)
    loop.pass_time(5)
    loop.asterisk.faults.refuse.clear()
    loop.directory.hint_pauses = loop.hint_pauses
    loop.directory.pause(ANN, "lunch")
    loop.pass_time(0.1)  # long before it would be tried again
    member = loop.member()
    assert member is not None
    assert member.paused
    assert loop.reconciler.failed == {}


def test_a_lost_link_only_postpones(loop: Loop) -> None:
    loop.asterisk.faults.lose_link_in = 2
    log_in(loop)
    loop.pass_time(5)
    assert loop.member() is None
    loop.asterisk.faults.lose_link_in = None
    loop.asterisk.restore_link()
    loop.look_again()
    assert loop.member() is not None


def test_a_pause_by_hand_is_drift_and_is_repaired(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    with capture_logs() as lines:
        loop.asterisk.pause_by_hand(SALES, ME, "fun")
        loop.settle()
    assert [line["event"] for line in lines] == ["drift.repaired"]
    found = loop.member()
    assert found is not None
    assert not found.paused


def test_what_differs_since_everything_changed_is_a_wish_once_and_drift_again_after_it(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.directory.hint = lambda _: loop.reconciler.everything_changed()
    with capture_logs() as lines:
        loop.directory.put(agent(1001, queues=["sales"], session=Session(paused=True, reason="tea")))
        loop.look_again()
        assert _paused(loop)
        loop.directory.hint = lambda _: None
        loop.directory.put(agent(1001, queues=["sales"], session=Session()))
        loop.look_again()
    written = [line["event"] for line in lines if line["event"] != "resync.started"]
    assert written == ["member.paused", "drift.repaired"]


@pytest.mark.parametrize("heard", [True, False])
def test_a_pause_that_the_queue_decided_becomes_the_directorys(loop: Loop, heard: bool) -> None:
    log_in(loop)
    loop.settle()
    loop.asterisk.faults.lose_events = not heard
    loop.asterisk.no_answer(SALES, ME)
    loop.asterisk.faults.lose_events = False
    loop.look_again()
    assert loop.directory.agents[ANN].memberships[0].reason == AUTOPAUSE
    assert _paused(loop)


def test_a_pause_that_our_own_hang_up_caused_is_undone_and_not_adopted(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.asterisk.lose_link()
    loop.asterisk.no_answer(SALES, ME)
    loop.reconciler.mark([KEY], Cause.CHANGE)  # as the relay does for `pause_of_ours`
    loop.pass_time(0.1)
    loop.asterisk.restore_link()
    loop.look_again()
    assert loop.directory.adoptions == 0
    assert not _paused(loop)


def test_a_pause_that_the_directory_does_not_take_is_reported_and_stays(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.directory.refuses_pauses = "a rule of the day"
    loop.asterisk.no_answer(SALES, ME)
    loop.pass_time(30)
    assert "a rule of the day" in loop.directory.outcomes[KEY].error
    assert _paused(loop)
    loop.look_again()
    assert loop.directory.adoptions <= 3  # once for the event, and for each look at everything
    log_in(loop, 1002)
    loop.settle()
    assert loop.member(EndpointId("1002")) is not None
    loop.directory.refuses_pauses = ""
    loop.look_again()
    assert loop.directory.agents[ANN].memberships[0].paused
    assert loop.directory.outcomes[KEY].error == ""


def test_a_pass_that_waits_for_asterisk_is_not_stuck(loop: Loop) -> None:
    loop.depth = 1000
    for number in range(1001, 1101):
        log_in(loop, number)
    with capture_logs() as lines:
        for _ in range(600):
            loop.pass_time(1)
            assert loop.reconciler.stuck_seconds() < 30
    told = [line for line in lines if line["event"] != "policy.set"]  # which leaves no task, and so waits for none
    assert [line["event"] for line in told] == ["pace.waiting"]
    assert told[0]["deepest"] == 1000
    loop.depth = 0
    loop.settle()
    assert len(loop.asterisk.members) == 100


def test_an_unpause_wins_over_an_old_autopause_also_while_asterisk_or_the_directory_was_away(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.asterisk.no_answer(SALES, ME)
    loop.settle()
    loop.asterisk.lose_link()
    loop.directory.unpause(ANN)
    loop.pass_time(2)
    loop.directory.up = False
    loop.reconciler.suspend()
    loop.pass_time(2)
    loop.directory.up = True
    loop.asterisk.restore_link()
    loop.look_again()
    assert not _paused(loop)
    assert not loop.directory.agents[ANN].memberships[0].paused


def test_an_autopause_is_adopted_while_asterisk_is_away_and_undoes_no_later_unpause(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.asterisk.no_answer(SALES, ME)
    loop.asterisk.lose_link()
    loop.pass_time(2)
    assert loop.directory.agents[ANN].memberships[0].paused
    loop.directory.unpause(ANN)
    loop.asterisk.restore_link()
    loop.look_again()
    assert not _paused(loop)


def test_an_agent_with_a_new_number_does_not_wait_for_a_stranger_at_the_old_one(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    memberships = loop.directory.agents[ANN].memberships
    loop.directory.change(ANN, memberships=())
    loop.settle()
    loop.directory.change(ANN, internal=EndpointId("2001"))
    loop.settle()
    loop.asterisk.add_by_hand(Member(queue=SALES, interface=ME, name="by hand", state_interface=ME))
    loop.directory.change(ANN, memberships=memberships)
    loop.settle()
    assert loop.member(EndpointId("2001")) is not None
    assert loop.member() is not None


def test_an_autopause_while_the_directory_is_away_is_adopted_when_it_is_back(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.directory.up = False
    loop.reconciler.suspend()
    loop.asterisk.no_answer(SALES, ME)
    loop.pass_time(2)
    loop.directory.up = True
    loop.look_again()
    assert _paused(loop)
    assert loop.directory.agents[ANN].memberships[0].paused


def _paused(loop: Loop) -> bool:
    found = loop.member()
    assert found is not None
    return found.paused


def ten_work(loop: Loop) -> list[AgentId]:
    """Ten agents log in; two may vanish at once."""
    numbers = [AgentId(number) for number in range(1001, 1011)]
    for number in numbers:
        log_in(loop, number)
    loop.settle()
    return numbers


def test_a_directory_that_lost_its_agents_empties_nothing_until_it_is_confirmed(loop: Loop) -> None:
    ten_work(loop)
    loop.directory.agents.clear()
    loop.look_again()
    assert len(loop.asterisk.members) == 10
    assert loop.reconciler.refusal is not None
    assert "plan --confirm" in loop.directory.outcomes[KEY].error
    assert (len(loop.directory.held), loop.directory.owned) == (10, 10)
    loop.directory.confirmed = True
    loop.look_again()
    assert not loop.asterisk.members
    assert not loop.asterisk.objects
    loop.look_again()
    assert loop.reconciler.refusal is None
    assert loop.reconciler.failed == {}
    assert loop.directory.held == set()


def test_a_refusal_ends_when_the_agents_are_back(loop: Loop) -> None:
    ten_work(loop)
    agents, loop.directory.agents = loop.directory.agents, {}
    loop.look_again()
    assert loop.reconciler.refusal is not None
    loop.directory.agents = agents
    for number in range(1001, 1011):  # their rows are hinted one by one
        loop.directory.hint([EndpointId(str(number))])
    loop.pass_time(2)
    assert loop.reconciler.refusal is None
    assert loop.directory.held == set()
    assert loop.reconciler.failed == {}


def test_a_refusal_of_the_daemon_before_this_one_ends_where_nothing_is_held(loop: Loop) -> None:
    loop.directory.held = {KEY}
    loop.task.cancel()
    loop.clock.run(loop.begin())
    assert loop.directory.held == set()


@pytest.mark.parametrize(
    "leave",
    [
        lambda directory, number: directory.change(number, session=None),
        lambda directory, number: directory.change(number, active=False),
        lambda directory, number: directory.delete(number),
        lambda directory, number: directory.change(number, memberships=()),
        lambda directory, number: directory.change(number, internal=EndpointId(str(number + 1000))),
    ],
    ids=["log out", "lock", "delete", "other queues", "another number"],
)
def test_all_may_leave_at_once_where_they_were_taken_away(
    loop: Loop, leave: Callable[[DirectoryInMemory, AgentId], None]
) -> None:
    numbers = ten_work(loop)
    loop.directory.hint = lambda _: None  # as after an outage: all comes with one look
    for number in numbers:
        leave(loop.directory, number)
    loop.look_again()
    assert loop.reconciler.refusal is None
    assert not any(interface in loop.asterisk.members for interface in [(SALES, f"pjsip/{n}") for n in numbers])
    assert loop.reconciler.failed == {}


def test_who_is_held_may_still_be_paused_logged_out_and_moved(loop: Loop) -> None:
    numbers = ten_work(loop)
    agents = dict(loop.directory.agents)
    for number in numbers[1:]:
        loop.directory.agents[number] = replace(agents[number], memberships=())
    loop.look_again()
    assert loop.reconciler.refusal is not None
    assert len(loop.asterisk.members) == 10
    loop.directory.pause(ANN, "lunch")
    loop.directory.change(numbers[1], session=None)
    loop.directory.change(numbers[2], active=False)
    loop.settle()
    assert _paused(loop)
    assert len(loop.asterisk.members) == 8
    assert loop.member(EndpointId("1004")) is not None


def test_what_is_held_is_told_at_the_agents_present_number(loop: Loop) -> None:
    numbers = ten_work(loop)
    for number in numbers:
        loop.directory.agents[number] = replace(loop.directory.agents[number], session=None)
    loop.look_again()
    assert "plan --confirm" in loop.directory.outcomes[KEY].error
    moved = EndpointId("2001")
    loop.directory.change(ANN, internal=moved)
    loop.settle()
    assert "plan --confirm" in loop.directory.outcomes[moved].error
    assert loop.member() is not None
    for number in numbers:
        loop.directory.change(number, session=Session())
    loop.pass_time(5)
    assert loop.directory.outcomes[moved].error == ""
    assert loop.member() is None
    assert loop.member(moved) is not None


def test_the_aors_of_the_range_are_there_before_their_agents(loop: Loop) -> None:
    loop.directory.numbers = [EndpointId("1001"), EndpointId("1002")]
    loop.look_again()
    assert loop.asterisk.objects.keys() == {(ObjectKind.AOR, KEY), (ObjectKind.AOR, EndpointId("1002"))}


def test_two_writers_who_disagree_do_not_write_without_end(loop: Loop) -> None:
    """Another program takes the member out as often as we add it."""
    log_in(loop)
    loop.settle()
    loop.written.clear()

    def contradict(step: Step) -> None:
        loop.written.append(step)
        asyncio.get_running_loop().call_soon(loop.asterisk.remove_by_hand, SALES, ME)

    loop.asterisk._written = contradict
    loop.asterisk.remove_by_hand(SALES, ME)
    loop.pass_time(60)
    assert 1 <= len(loop.written) <= 90


# ---------------------------------------------------------------- what is lost and comes back meanwhile


def behind(loop: Loop) -> None:
    """Asterisk takes no member writes for now."""
    loop.pass_time(5)
    loop.depth = 1000
    loop.clock.run(loop.pace.take(SPARE + 1))  # looks at the depth
    loop.clock.run(loop.pace.take(SPARE))  # what may be written without another look


def test_a_directory_that_is_lost_during_a_resync_is_not_obeyed_after_it(loop: Loop) -> None:
    async def lost_meanwhile() -> None:
        looking = asyncio.ensure_future(loop.look())
        await asyncio.sleep(0)
        loop.reconciler.suspend()
        with pytest.raises(Unavailable):
            await looking

    loop.clock.run(lost_meanwhile())
    log_in(loop)
    loop.pass_time(60)
    assert loop.written == []


@pytest.mark.parametrize("lost", ["the directory", "Asterisk"])
def test_what_waited_while_one_side_was_lost_and_came_back_is_not_written(loop: Loop, lost: str) -> None:
    log_in(loop)
    loop.settle()
    loop.directory.pause(ANN, "lunch")
    loop.settle()
    behind(loop)
    loop.written.clear()
    loop.directory.unpause(ANN)
    loop.pass_time(1)
    loop.directory.hint = lambda _: None
    loop.directory.pause(ANN, "lunch")  # on the server that is there now, which tells nobody
    if lost == "Asterisk":
        loop.asterisk.lose_link()
        loop.asterisk.restore_link()
    else:
        loop.reconciler.suspend()
    loop.clock.run(loop.look())
    loop.depth = 0
    loop.pass_time(30)
    assert not any(isinstance(step.action, PauseMember) and not step.action.paused for step in loop.written)


def test_a_process_that_stood_still_since_its_look_looks_again(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    read, stood = loop.directory.read, []

    async def slow(keys: Collection[EndpointId]) -> Reading:
        reading = await read(keys)
        if not stood:
            stood.append(keys)
            loop.clock.jump(60)
            loop.directory.hint = lambda _: None
            loop.directory.pause(ANN, "lunch")
        return reading

    monkeypatch.setattr(loop.directory, "read", slow)
    log_in(loop)
    loop.settle()
    assert [step.action.member.paused for step in loop.written if isinstance(step.action, AddMember)] == [True]


def test_who_needs_no_write_does_not_wait_for_those_that_do(loop: Loop) -> None:
    for number in range(1001, 1041):
        log_in(loop, number)
    loop.settle()
    for number in range(1011, 1036):
        del loop.asterisk.objects[ObjectKind.AOR, EndpointId(str(number))]
    behind(loop)
    loop.clock.run(loop.look())
    loop.pass_time(1)
    loop.written.clear()
    loop.directory.change(AgentId(1003), options=CallOptions(chanspy=True))
    loop.pass_time(1)
    assert [step.action for step in loop.written] == [PutPolicy("agent/1003/chanspy", "1")]
    loop.depth = 0
    loop.settle()


def test_a_change_that_a_full_look_has_read_before_its_hint_does_not_wait_for_the_looks_end(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [AgentId(number) for number in range(1001, 1121)]
    for number in numbers:
        log_in(loop, number)
    loop.settle()
    loop.directory.hint = lambda _: None
    loop.directory.pause(ANN, "lunch")
    loop.directory.unhinted.add(KEY)
    read = loop.directory.read

    async def hint_comes_now(keys: Collection[EndpointId]) -> Reading:
        if KEY not in keys and not _paused(loop):
            loop.reconciler.mark([KEY], Cause.CHANGE)
            await until(lambda: _paused(loop), within=1, what="the pause, while others are compared")
        return await read(keys)

    monkeypatch.setattr(loop.directory, "read", hint_comes_now)
    loop.reconciler.mark([EndpointId(str(number)) for number in numbers], Cause.RESYNC)
    loop.settle()
    assert _paused(loop)


def test_a_directory_that_can_not_be_written_to_keeps_no_repair_from_asterisk(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1001, 1002):
        log_in(loop, number)
    loop.settle()

    async def read_only(*_: object) -> None:
        raise Unavailable("read-only")

    monkeypatch.setattr(loop.directory, "record", read_only)
    del loop.asterisk.entries["agent/1002/id"]
    loop.clock.run(loop.look())
    loop.pass_time(5)
    assert loop.asterisk.entries["agent/1002/id"] == "1002"


# ---------------------------------------------------------------- calls


def busy(loop: Loop, words: str = "in a call", key: str = "1001") -> None:
    loop.asterisk.engagements[SALES, Interface(f"PJSIP/{key}")] = words


def free(loop: Loop) -> None:
    loop.asterisk.engagements.clear()
    loop.pass_time(3)


@pytest.mark.parametrize("words", ["ringing", "in a call", "in wrap-up"])
def test_another_name_waits_for_the_end_of_a_call_and_says_so(loop: Loop, words: str) -> None:
    log_in(loop)
    loop.settle()
    busy(loop, words)
    loop.written.clear()
    loop.directory.change(ANN, display_name="Beth")
    loop.pass_time(10)
    assert not any(isinstance(step.action, AddMember | RemoveMember) for step in loop.written)
    assert words in loop.directory.outcomes[KEY].waits_for
    assert loop.reconciler.failed == {}
    free(loop)
    found = loop.member()
    assert found is not None
    assert found.name == "Beth"
    assert loop.directory.outcomes[KEY] == Outcome()


def test_a_member_that_begins_to_ring_before_it_is_taken_out_stays(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.asterisk.begin_to_ring.add((SALES, Interface("PJSIP/1001")))
    loop.written.clear()
    loop.directory.change(ANN, display_name="Beth")
    loop.pass_time(10)
    assert not any(isinstance(step.action, AddMember | RemoveMember) for step in loop.written)
    assert "ringing" in loop.directory.outcomes[KEY].waits_for
    free(loop)
    found = loop.member()
    assert found is not None
    assert found.name == "Beth"


def test_a_pause_and_a_penalty_do_not_wait_with_the_name(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    busy(loop)
    loop.directory.change(
        ANN,
        display_name="Beth",
        session=Session(paused=True, reason="lunch"),
        memberships=(Membership(queue=SALES, penalty=4),),
    )
    loop.pass_time(1)
    found = loop.member()
    assert found is not None
    assert (found.name, found.paused, found.penalty) == ("Agent 1001", True, 4)
    free(loop)
    assert replace(found, name="Beth") == loop.member()


def test_a_log_out_and_a_lock_do_not_wait_for_a_call(loop: Loop) -> None:
    for leaves in ({"session": None}, {"active": False}):
        log_in(loop)
        loop.settle()
        busy(loop)
        loop.directory.change(ANN, display_name=f"Beth {len(leaves)}")
        loop.pass_time(1)
        assert loop.member() is not None
        loop.directory.change(ANN, **leaves)
        loop.pass_time(0.5)
        assert loop.member() is None
        loop.asterisk.engagements.clear()
        loop.directory.delete(ANN)
        loop.settle()


def test_an_agent_who_changes_the_number_or_the_desk_in_a_call_joins_there_after_it(loop: Loop) -> None:
    loop.directory.add_telephone("desk7")
    log_in(loop)
    loop.settle()
    busy(loop)
    new = EndpointId("2001")
    loop.directory.change(ANN, internal=new)
    loop.pass_time(5)
    assert loop.member() is not None
    assert loop.member(new) is None
    assert (ObjectKind.ENDPOINT, KEY) in loop.asterisk.objects
    assert "PJSIP/1001" in loop.directory.outcomes[new].waits_for
    loop.directory.pause(ANN, "lunch")
    loop.pass_time(1)
    assert _paused(loop)
    free(loop)
    assert loop.member() is None
    found = loop.member(new)
    assert found is not None
    assert found.paused
    assert (ObjectKind.ENDPOINT, KEY) not in loop.asterisk.objects


def test_whoever_logs_out_after_a_move_in_a_call_is_out_at_once(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    busy(loop)
    loop.directory.change(ANN, internal=EndpointId("2001"))
    loop.pass_time(5)
    assert loop.member() is not None
    loop.directory.change(ANN, session=None)
    loop.pass_time(0.2)
    assert loop.member() is None


def test_another_agent_who_takes_the_desk_does_not_wait_for_the_former_ones_call(loop: Loop) -> None:
    loop.directory.add_telephone("desk7")
    at_desk = Session(telephone=EndpointId("desk7"))
    loop.directory.put(agent(1001, hot_desk=True, queues=["sales"], session=at_desk))
    loop.settle()
    busy(loop, key="desk7")
    loop.directory.change(ANN, session=None)
    loop.directory.put(agent(1002, hot_desk=True, queues=["sales"], session=at_desk))
    loop.pass_time(1)
    found = loop.member(EndpointId("desk7"))
    assert found is not None
    assert found.name == "Agent 1002"


def test_ring_in_use_is_repaired_like_a_penalty(loop: Loop) -> None:
    loop.directory.put(agent(1001, queues=["sales"], session=Session(), options=CallOptions(ring_in_use=True)))
    loop.settle()
    loop.asterisk.set_ring_in_use_by_hand(SALES, ME, False)
    loop.settle()
    found = loop.member()
    assert found is not None
    assert found.ring_in_use is True


# ---------------------------------------------------------------- what is drift, and what is wished


def in_two_queues(loop: Loop) -> QueueName:
    """Logs an agent in who is in SALES and another queue, and returns that one."""
    support = QueueName("support")
    loop.directory.queues.add(support)
    loop.asterisk.queues.add(support)
    loop.directory.put(agent(1001, queues=["sales", "support"], session=Session()))
    loop.look_again()
    return support


def test_an_autopause_is_told_once_and_what_follows_from_it_is_no_drift(loop: Loop) -> None:
    """The AstDB then names another queue in which a direct call learns of a pause."""
    support = in_two_queues(loop)
    with capture_logs() as lines:
        loop.asterisk.no_answer(SALES, ME)
        loop.asterisk.no_answer(support, ME)
        loop.look_again()
    events = [line["event"] for line in lines if line["event"] != "resync.started"]
    assert events.count("pause.adopted") == 1
    assert "drift.repaired" not in events


@pytest.mark.parametrize("cause", [Cause.EVENT, Cause.RESYNC])
def test_autopauses_of_several_queues_are_adopted_together_whatever_else_the_key_is_compared_for(
    loop: Loop, cause: Cause
) -> None:
    """Each of them is an event of a member too, and a comparison of all keys may come between two."""
    support = in_two_queues(loop)
    loop.pass_time(REST_SECONDS)
    with capture_logs() as lines:
        for queue in (SALES, support):
            loop.asterisk.no_answer(queue, ME)
            loop.reconciler.mark([KEY], cause)
            loop.pass_time(0.01)
        loop.settle()
    assert [line["queue"] for line in lines if line["event"] == "pause.adopted"] == ["sales,support"]


def test_an_unpause_that_is_read_before_its_hint_is_not_taken_for_a_missed_autopause(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.asterisk.no_answer(SALES, ME)
    loop.settle()
    hint, loop.directory.hint = loop.directory.hint, lambda _: None
    with capture_logs() as lines:
        loop.directory.unpause(ANN)
        loop.directory.unhinted = {KEY}
        loop.look_again()
        loop.directory.unhinted = set()
        hint([KEY])
        loop.settle()
    assert not _paused(loop)
    assert not loop.directory.agents[ANN].memberships[0].paused
    assert "drift.repaired" not in [line["event"] for line in lines]


def test_of_a_queue_that_left_the_directory_ours_are_taken_out_once(loop: Loop) -> None:
    log_in(loop)
    loop.settle()
    loop.directory.queues.discard(SALES)
    loop.directory.retired.add(SALES)
    loop.directory.change(ANN, memberships=())
    loop.look_again()
    assert loop.member() is None
    loop.look_again()
    assert loop.directory.retired == set()
    loop.asterisk.add_by_hand(Member(queue=SALES, interface=ME, name="by hand"))
    loop.look_again()
    assert loop.member() is not None


def test_many_keys_that_fail_for_one_reason_are_one_line(loop: Loop) -> None:
    loop.directory.queues.add(QueueName("unknown"))
    with capture_logs() as lines:
        hint, loop.directory.hint = loop.directory.hint, lambda _: None
        for number in range(1001, 1031):
            loop.directory.put(agent(number, queues=["unknown"], session=Session()))
        loop.directory.hint = hint
        loop.look_again()
    failed = [line for line in lines if line["event"] in ("key.failed", "keys.failed")]
    assert [line["agents"] for line in failed] == [30]
