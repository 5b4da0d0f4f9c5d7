"""Whatever changes, fails or drifts, in any order: once it heals, Asterisk is as the directory says.

And on the way nobody rings who should be paused, nobody is in a queue twice, nothing is written in vain, and
what is not ours stays as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentbridge import memory
from agentbridge.asterisk.listener import NoListener
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import desired, interface_of
from agentbridge.errors import Unavailable
from agentbridge.model import (
    AddMember,
    AgentId,
    EndpointId,
    Interface,
    Member,
    MemberId,
    Membership,
    ObjectKind,
    PauseMember,
    QueueName,
    RemoveMember,
    Session,
    SessionPause,
    Step,
)
from agentbridge.plan.difference import plan
from agentbridge.plan.limit import Limit
from agentbridge.reconcile import filling, reconciler
from agentbridge.reconcile.pace import Pace
from agentbridge.reconcile.reconciler import Reconciler
from agentbridge.reconcile.work_queue import Cause
from lab.processes import until
from tests.unit.asterisk_in_memory import AsteriskInMemory, Faults
from tests.unit.directory_in_memory import DirectoryInMemory, agent
from tests.unit.loop_clock import JumpingLoop, turns

SIP = SipDefaults()
QUEUES = [QueueName("sales"), QueueName("support")]
THEIRS = QueueName("theirs")
DESKS = [EndpointId("desk1"), EndpointId("desk2"), EndpointId("desk33")]
BY_HAND = "by hand"
FOREIGN = Interface("Local/7@callers")
HEALED_WITHIN = 300.0  # seconds of the loop's clock; a key that failed waits 60 at most

agents = st.sampled_from([AgentId(1001), AgentId(1002), AgentId(10033)])
queues = st.sampled_from(QUEUES)
desks = st.sampled_from(DESKS)
keys = st.sampled_from([EndpointId(name) for name in ("1001", "1002", "10033", "2001", *DESKS)])
reasons = st.sampled_from(["lunch", "a;b,c|d", "r" * 100])


class Watch:
    """Judges each write at the moment when Asterisk takes it."""

    def __init__(self, directory: DirectoryInMemory) -> None:
        self._directory = directory
        self._owners: dict[MemberId, AgentId] = {}
        self.faults: list[str] = []

    def written(self, step: Step) -> None:
        subject = self._directory.given[step.key]
        match step.action:
            case AddMember(member):
                self._joins(step.key, member)
            case RemoveMember(member):
                self._owners.pop((member.queue, member.interface), None)
                self._is_ours(step.key, member.queue, member.interface)
            case PauseMember(queue, interface, paused, _):
                # at the desk that its agent has left a member stays until it may go, and is kept as its agent is
                left = {interface_of(key) for key in self._directory.given}
                self._is_ours(step.key, queue, interface_of(step.key) if interface in left else interface)
                if not paused and desired(subject, SIP).members[queue].paused:
                    self.faults.append(f"{interface} is unpaused in {queue}, and should be paused")

    def _joins(self, key: EndpointId, member: Member) -> None:
        subject = self._directory.given[key]
        wanted = desired(subject, SIP).members
        if member != wanted.get(member.queue):
            self.faults.append(f"{member} joins, and should be {wanted.get(member.queue)}")
        self._is_ours(key, member.queue, member.interface)
        if subject.carried is None:
            return
        twice = [place for place, owner in self._owners.items() if owner == subject.carried.id]
        if any(queue == member.queue and interface != member.interface for queue, interface in twice):
            self.faults.append(f"agent {subject.carried.id} is in {member.queue} twice: {twice}, {member}")
        self._owners[member.queue, member.interface] = subject.carried.id

    def gone(self, queue: QueueName, interface: Interface) -> None:
        self._owners.pop((queue, interface), None)

    def _is_ours(self, key: EndpointId, queue: QueueName, interface: Interface) -> None:
        if queue not in self._directory.queues or interface != interface_of(key):
            self.faults.append(f"{interface} in {queue} is not ours")


class _WorldListener(NoListener):
    """Marks what Asterisk tells, as the daemon does."""

    def __init__(self, world: World) -> None:
        self._world = world

    def key_drifted(self, key: EndpointId) -> None:
        self._world.reconciler.mark([key], Cause.EVENT)

    def member_autopaused(self, key: EndpointId, queue: QueueName) -> None:
        self._world.reconciler.autopaused(key, queue)

    def asterisk_stale(self) -> None:
        self._world.stale.set()


class World(RuleBasedStateMachine):
    """People change the directory, others change Asterisk, things break; the loop runs beside them."""

    def __init__(self) -> None:
        super().__init__()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
        self.unread: set[EndpointId] = set()
        """changes that nobody has read yet"""
        self.unread_pauses: set[EndpointId] = set()
        """pauses of sessions that nobody has read yet, since their hints are slow"""
        self.hints_are_slow = False
        self.loop = JumpingLoop()
        self.loop.run(self._build())

    async def _build(self) -> None:
        self.directory = DirectoryInMemory(set(QUEUES), self._hinted, self._hinted_pauses)
        self.watch = Watch(self.directory)
        self.asterisk = AsteriskInMemory([*QUEUES, THEIRS], _WorldListener(self), self.watch.written)
        self.reconciler = Reconciler(
            self.directory,
            self.asterisk,
            Pace(self._depth, clock=self.loop.time),
            sip=SIP,
            limit=Limit(),
            clock=self.loop.time,
        )
        self.reconciler.hinted("1:1:")
        self.stale = asyncio.Event()
        self.looking = False
        self.stale.set()
        self.tasks = [self.loop.create_task(self._follow()), self.loop.create_task(self.reconciler.run())]

    async def _depth(self) -> int:
        await asyncio.sleep(0)
        return 0

    async def _follow(self) -> None:
        """As the daemon does: read everything when it may have changed, then look at everything."""
        while True:
            await self.stale.wait()
            self.stale.clear()
            self.looking = True
            try:
                await self.asterisk.read_all()
                await self.reconciler.resync()
            except Unavailable:
                await asyncio.sleep(0.5)
                self.stale.set()
            self.looking = False

    def _settled(self) -> bool:
        return not self.stale.is_set() and not self.looking and self.reconciler.is_settled

    def _hinted(self, touched: Iterable[EndpointId]) -> None:
        # a hint of anything else is read with all changes that wait
        keys = {*touched, *self.unread_pauses}
        self.unread_pauses.clear()
        if self.directory.up:
            self.reconciler.mark(keys, Cause.CHANGE)
        else:
            self.unread |= keys

    def _hinted_pauses(self, touched: Iterable[EndpointId]) -> None:
        self.unread_pauses |= set(touched)
        if not self.hints_are_slow:
            self._read_pauses()

    def _read_pauses(self) -> None:
        """As the daemon does: what is there by now, and whole where that does not tell all."""
        found = {key: self.directory.session_pause(key) for key in self.unread_pauses}
        if self.directory.up:
            pauses = {key: pause for key, pause in found.items() if pause is not None}
            for key, pause in pauses.items():
                self._given(key, pause)
            self.reconciler.mark_pauses(pauses)
            self.reconciler.mark(found.keys() - pauses.keys(), Cause.CHANGE)
        else:
            self.unread |= found.keys()
        self.unread_pauses.clear()

    def _given(self, key: EndpointId, pause: SessionPause) -> None:
        """Notes that nothing but this was read of the key; a pass that is at work on it does not know it."""
        subject = None if self.reconciler.work.is_in_work(key) else self.directory.given.get(key)
        if subject is not None and subject.carried is not None and subject.carried.session is not None:
            session = replace(subject.carried.session, paused=pause.paused, reason=pause.reason)
            carried = replace(subject.carried, session=session)
            self.directory.given[key] = replace(subject, carried=carried)

    def _database_is_back(self) -> None:
        """What changed meanwhile is read from where the last look ended, as the daemon does."""
        self.directory.up = True
        self.reconciler.mark(self.unread | self.unread_pauses, Cause.CHANGE)
        self.unread.clear()
        self.unread_pauses.clear()
        self.stale.set()

    @initialize()
    def begins(self) -> None:
        for desk in DESKS:
            self.directory.add_telephone(desk)
        self.asterisk.add_by_hand(_member(QUEUES[0], FOREIGN))
        self.asterisk.add_by_hand(_member(THEIRS, interface_of(EndpointId("1001"))))
        self.asterisk.objects[ObjectKind.ENDPOINT, EndpointId("trunk")] = {"context": "callers"}
        self.directory.put(agent(1001, queues=QUEUES, session=Session()))
        self.directory.put(agent(10033, queues=QUEUES, hot_desk=True, session=Session(telephone=DESKS[0])))
        self.loop.run(until(self._settled, within=HEALED_WITHIN))

    # ------------------------------------------------------------ the directory changes

    @rule(number=agents, hot_desk=st.booleans(), members=st.sets(queues))
    def an_agent_is_made_or_edited(self, number: AgentId, hot_desk: bool, members: set[QueueName]) -> None:
        was = self.directory.agents.get(number)
        if was is None or was.hot_desk != hot_desk:
            self.directory.put(agent(number, hot_desk=hot_desk, queues=sorted(members)))

    @rule(number=agents)
    def an_agent_is_deleted(self, number: AgentId) -> None:
        if number in self.directory.agents:
            self.directory.delete(number)

    @rule(number=agents, desk=desks, paused=st.booleans())
    def an_agent_logs_in_or_moves(self, number: AgentId, desk: EndpointId, paused: bool) -> None:
        found = self.directory.agents.get(number)
        if found is None or any(a.device == desk for a in self.directory.agents.values()):
            return
        session = replace(found.session or Session(paused=paused, reason="login" if paused else ""))
        self.directory.change(number, session=replace(session, telephone=desk if found.hot_desk else None))

    @rule(desks=st.lists(desks, min_size=2, max_size=4), pauses=st.integers(0, 12))
    def an_agent_hurries_from_desk_to_desk(self, desks: list[EndpointId], pauses: int) -> None:
        for desk in desks:
            self.an_agent_logs_in_or_moves(AgentId(10033), desk, False)
            self.loop.run(turns(pauses))

    @rule(number=agents)
    def an_agent_logs_out(self, number: AgentId) -> None:
        if number in self.directory.agents:
            self.directory.change(number, session=None)

    @rule(number=agents, reason=reasons)
    def an_agent_pauses(self, number: AgentId, reason: str) -> None:
        if self._logged_in(number):
            self.directory.pause(number, reason)

    @rule(number=agents)
    def an_agent_unpauses(self, number: AgentId) -> None:
        if self._logged_in(number):
            self.directory.unpause(number)

    @rule(number=agents, queue=queues, reason=reasons)
    def an_agent_pauses_in_one_queue(self, number: AgentId, queue: QueueName, reason: str) -> None:
        if self._logged_in(number):
            self.directory.pause_in(number, queue, reason)

    @rule(number=agents, members=st.sets(queues), penalty=st.integers(0, 2))
    def an_agents_queues_change(self, number: AgentId, members: set[QueueName], penalty: int) -> None:
        if number in self.directory.agents:
            memberships = tuple(Membership(queue=queue, penalty=penalty) for queue in sorted(members))
            self.directory.change(number, memberships=memberships)

    @rule(number=agents, name=st.sampled_from(["Ann", 'Ann "x"', "آن", "n" * 200]))
    def an_agent_is_renamed(self, number: AgentId, name: str) -> None:
        if number in self.directory.agents:
            self.directory.change(number, display_name=name)

    @rule(number=agents, internal=st.sampled_from([EndpointId("2001"), None]))
    def an_agents_number_changes(self, number: AgentId, internal: EndpointId | None) -> None:
        wanted = internal or EndpointId(str(number))
        taken = any(a.internal == wanted for a in self.directory.agents.values())
        if number in self.directory.agents and not taken:
            self.directory.change(number, internal=wanted)

    @rule(number=agents, active=st.booleans())
    def an_agent_is_deactivated_or_not(self, number: AgentId, active: bool) -> None:
        if number in self.directory.agents:
            self.directory.change(number, active=active)

    def _logged_in(self, number: AgentId) -> bool:
        found = self.directory.agents.get(number)
        return found is not None and found.session is not None

    # ------------------------------------------------------------ others change Asterisk

    @rule(key=keys, queue=queues)
    def a_member_is_added_by_hand(self, key: EndpointId, queue: QueueName) -> None:
        if (queue, interface_of(key).lower()) not in self.asterisk.members:
            self.asterisk.add_by_hand(_member(queue, interface_of(key)))

    @rule(key=keys, queue=queues)
    def a_member_is_removed_by_hand(self, key: EndpointId, queue: QueueName) -> None:
        self.asterisk.remove_by_hand(queue, interface_of(key))
        self.watch.gone(queue, interface_of(key))

    @rule(key=keys, queue=queues, paused=st.booleans())
    def a_member_is_paused_by_hand(self, key: EndpointId, queue: QueueName, paused: bool) -> None:
        if paused:
            self.asterisk.pause_by_hand(queue, interface_of(key), "fun")
        else:
            self.asterisk.unpause_by_hand(queue, interface_of(key))

    @rule(key=keys, queue=queues)
    def a_member_does_not_answer(self, key: EndpointId, queue: QueueName) -> None:
        self.asterisk.no_answer(queue, interface_of(key))

    @rule()
    def the_policy_is_wiped(self) -> None:
        self.asterisk.wipe_policy()

    @rule(key=keys, kind=st.sampled_from([ObjectKind.AOR, ObjectKind.AUTH, ObjectKind.ENDPOINT]))
    def an_object_is_deleted_by_hand(self, key: EndpointId, kind: ObjectKind) -> None:
        self.asterisk.objects.pop((kind, key), None)

    # ------------------------------------------------------------ things break

    @rule(key=keys)
    def asterisk_refuses_a_key(self, key: EndpointId) -> None:
        self.asterisk.faults.refuse.add(key)

    @rule()
    def asterisk_refuses_nothing(self) -> None:
        self.asterisk.faults.refuse.clear()

    @rule(writes=st.integers(0, 6))
    def the_link_will_be_lost(self, writes: int) -> None:
        self.asterisk.faults.lose_link_in = writes

    @rule(lost=st.booleans())
    def events_are_lost(self, lost: bool) -> None:
        self.asterisk.faults.lose_events = lost

    @precondition(lambda self: not self.asterisk.up)
    @rule()
    def the_link_comes_back(self) -> None:
        self.asterisk.faults.lose_link_in = None
        self.asterisk.restore_link()

    @rule()
    def the_database_goes(self) -> None:
        self.directory.up = False
        self.loop.run(turns(1))
        self.reconciler.suspend()

    @rule()
    def the_database_comes_back(self) -> None:
        self._database_is_back()

    @rule(slow=st.booleans())
    def hints_of_pauses_are_slow_or_not(self, slow: bool) -> None:
        self.hints_are_slow = slow
        self._read_pauses()

    # ------------------------------------------------------------ time passes

    @rule(number=st.integers(1, 40))
    def some_turns_pass(self, number: int) -> None:
        self.loop.run(turns(number))

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.run(asyncio.sleep(seconds))

    @rule()
    def it_heals(self) -> None:
        self.asterisk.faults = Faults()
        self._database_is_back()
        self.asterisk.restore_link()
        self.loop.run(until(self._settled, within=HEALED_WITHIN))
        self._is_as_the_directory_says()

    def _is_as_the_directory_says(self) -> None:
        everything = {EndpointId(name) for name in ("1001", "1002", "10033", "2001", *DESKS)}
        wanted = {key: desired(self.directory.subject(key), SIP) for key in everything}
        self.loop.run(self.asterisk.read_all())
        left = plan(wanted, self.asterisk, self.directory.queues)
        # what was added by hand for nobody of the directory is not ours
        ours = [step for step in left.steps if wanted[step.key] or not _is_by_hand(step)]
        assert not ours, ours
        assert not self.reconciler.failed
        stated = {key: self.directory.outcomes[key].error for key, state in wanted.items() if state}
        assert set(stated.values()) <= {""}

    # ------------------------------------------------------------ always

    @invariant()
    def nothing_was_written_that_must_not_be(self) -> None:
        assert not self.watch.faults, self.watch.faults
        assert not self.asterisk.offences, self.asterisk.offences

    @invariant()
    def the_loop_lives(self) -> None:
        for task in self.tasks:
            if task.done():
                task.result()

    @invariant()
    def what_is_not_ours_is_untouched(self) -> None:
        foreign = self.asterisk.members.get((QUEUES[0], Interface(FOREIGN.lower())))
        theirs = self.asterisk.members.get((THEIRS, Interface("pjsip/1001")))
        trunk = self.asterisk.objects.get((ObjectKind.ENDPOINT, EndpointId("trunk")))
        if self.directory.telephones:
            assert foreign == _member(QUEUES[0], FOREIGN)
            assert theirs == _member(THEIRS, interface_of(EndpointId("1001")))
            assert trunk == {"context": "callers"}

    def teardown(self) -> None:
        try:
            self.it_heals()
        finally:
            self.loop.end()
            structlog.reset_defaults()


class WorldOfBigPasses(World):
    """The same, and each pass works as one over very many keys does: slice by slice."""

    def __init__(self) -> None:
        self._patched = pytest.MonkeyPatch()
        self._patched.setattr(reconciler, "BIG", 0)
        self._patched.setattr(filling, "SLICE", 2)
        self._patched.setattr(memory, "give_back", lambda: None)
        super().__init__()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self._patched.undo()


def _is_by_hand(step: Step) -> bool:
    return isinstance(step.action, RemoveMember) and step.action.member.name == BY_HAND


def _member(queue: QueueName, interface: Interface) -> Member:
    return Member(queue=queue, interface=interface, name=BY_HAND, state_interface=interface)


World.TestCase.settings = WorldOfBigPasses.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
TestConvergence = World.TestCase
TestConvergenceOfBigPasses = WorldOfBigPasses.TestCase
