"""A node does what a plan says and sees what is there: the one in memory and a real Asterisk alike."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest
import pytest_asyncio

from agentbridge.asterisk.ami.link import Account
from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.drivers.new_aors import STORED
from agentbridge.asterisk.drivers.pjsip_fields import FAMILIES
from agentbridge.asterisk.listener import NoListener
from agentbridge.asterisk.node import Node
from agentbridge.desired.caller_id import member_text
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import desired
from agentbridge.errors import Refused
from agentbridge.model import (
    AUTOPAUSE,
    Action,
    AddMember,
    Agent,
    AgentId,
    DeleteObject,
    DeletePolicy,
    EndpointId,
    Interface,
    Line,
    Member,
    ObjectKind,
    ObservedState,
    PauseMember,
    PutObject,
    PutPolicy,
    QueueName,
    RemoveMember,
    SetPenalty,
    SetRingInUse,
    SipType,
    Step,
    Subject,
    Telephone,
    Typology,
)
from agentbridge.plan.difference import plan
from agentbridge.reconcile.ports import Asterisk as NodeLike
from lab.asterisk import Asterisk
from lab.phones import Farm, Ring
from lab.processes import until
from tests.contract.ami_links import QUICK
from tests.unit.asterisk_in_memory import AsteriskInMemory

QUEUES: dict[str, dict[str, str]] = {
    "sales": {},
    "support": {},
    # calls a member for one second, then pauses it
    "hasty": {"autopause": "yes", "timeout": "1", "ringinuse": "yes"},
}
SALES, SUPPORT, HASTY = map(QueueName, QUEUES)
KEY = EndpointId("1001")
ME = Interface("PJSIP/1001")
LIMIT = 5.0
SIP = SipDefaults()


@dataclass
class Told(NoListener):
    """What the node told its listener."""

    changed: list[EndpointId] = field(default_factory=list)
    autopaused: list[tuple[EndpointId, QueueName]] = field(default_factory=list)
    stale: int = 0

    def key_drifted(self, key: EndpointId) -> None:
        self.changed.append(key)

    def member_autopaused(self, key: EndpointId, queue: QueueName) -> None:
        self.autopaused.append((key, queue))

    def asterisk_stale(self) -> None:
        self.stale += 1


class Reads(NodeLike, Protocol):
    async def read_all(self) -> None: ...


class Target(Protocol):
    """A node, and what an administrator and a caller do beside it."""

    node: Reads
    told: Told

    async def add_by_hand(self, queue: QueueName, interface: Interface, name: str) -> None: ...
    async def pause_by_hand(self, queue: QueueName, interface: Interface, reason: str) -> None: ...
    async def remove_by_hand(self, queue: QueueName, interface: Interface) -> None: ...
    async def wipe_policy(self) -> None: ...
    async def reload_queues(self) -> None: ...
    async def no_answer(self, queue: QueueName, key: EndpointId) -> None: ...
    async def clear(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.told = Told()
        self.node = AsteriskInMemory(QUEUES, self.told)

    async def add_by_hand(self, queue: QueueName, interface: Interface, name: str) -> None:
        self.node.add_by_hand(replace(member(queue, interface=interface), name=name))

    async def pause_by_hand(self, queue: QueueName, interface: Interface, reason: str) -> None:
        self.node.pause_by_hand(queue, interface, reason)

    async def remove_by_hand(self, queue: QueueName, interface: Interface) -> None:
        self.node.remove_by_hand(queue, interface)

    async def wipe_policy(self) -> None:
        self.node.wipe_policy()

    async def reload_queues(self) -> None:
        self.node.reload_queues()

    async def no_answer(self, queue: QueueName, key: EndpointId) -> None:
        self.node.no_answer(queue, Interface(f"PJSIP/{key}"))

    async def clear(self) -> None:
        pass


class Real:
    def __init__(self, asterisk: Asterisk, node: Node, told: Told, ari: Ari) -> None:
        self.asterisk = asterisk
        self.node = node
        self.told = told
        self._ari = ari

    async def add_by_hand(self, queue: QueueName, interface: Interface, name: str) -> None:
        answer = await self.asterisk.cli(
            f'queue add member {interface} to {queue} penalty 0 as "{name}" state_interface {interface}'
        )
        assert "Added interface" in answer

    async def pause_by_hand(self, queue: QueueName, interface: Interface, reason: str) -> None:
        answer = await self.asterisk.cli(f"queue pause member {interface} queue {queue} reason {reason}")
        assert "paused interface" in answer

    async def remove_by_hand(self, queue: QueueName, interface: Interface) -> None:
        assert "Removed interface" in await self.asterisk.cli(f"queue remove member {interface} from {queue}")

    async def wipe_policy(self) -> None:
        await self.asterisk.cli("database deltree agentbridge")

    async def reload_queues(self) -> None:
        await self.asterisk.cli("module reload app_queue.so")

    async def no_answer(self, queue: QueueName, key: EndpointId) -> None:
        async with Farm((self.asterisk.host, self.asterisk.sip_port), audio=False) as farm:
            [phone] = await farm.register({key: "secret"})
            phone.behaviour = Ring()
            caller = await farm.phone(self.asterisk.caller_user, self.asterisk.caller_secret)
            call = caller.dial(queue)
            await phone.rings(LIMIT)
            await shows(lambda: bool(self.told.autopaused))
            await call.hangup(LIMIT)

    async def clear(self) -> None:
        for queue in QUEUES:
            for interface in await self._members(queue):
                await self.asterisk.cli(f"queue remove member {interface} from {queue}")
        await self.wipe_policy()
        for kind in (ObjectKind.ENDPOINT, ObjectKind.AUTH, ObjectKind.AOR):
            for key in (KEY, "desk7"):
                await self._ari.delete_object(kind, key)

    async def _members(self, queue: str) -> set[str]:
        return set(re.findall(r"(?:PJSIP|Local)/[\w@-]+", await self.asterisk.cli(f"queue show {queue}")))


async def shows(true: Callable[[], bool]) -> None:
    """Returns when it is so; LabError when that takes too long."""

    async def holds() -> bool:
        return true()

    await until(holds, within=LIMIT, what="what the node should have been told")


@pytest_asyncio.fixture(scope="module")
async def pbx() -> AsyncIterator[Asterisk]:
    async with Asterisk(queues=QUEUES) as server:
        yield server


@asynccontextmanager
async def running(asterisk: Asterisk, *, clear: bool = True) -> AsyncIterator[Real]:
    told = Told()
    url = f"http://{asterisk.host}:{asterisk.ari_port}/ari"
    async with Ari(url, asterisk.ari_user, asterisk.ari_secret) as ari, asyncio.TaskGroup() as group:
        account = Account(asterisk.host, asterisk.ami_port, asterisk.ami_user, asterisk.ami_secret)
        node = Node(account, ari, told, timing=QUICK)
        links = group.create_task(node.run())
        target = Real(asterisk, node, told, ari)
        try:
            if clear:
                await target.clear()
            await node.read_all()
            yield target
        finally:
            links.cancel()


@pytest_asyncio.fixture(params=["in memory", "real"])
async def target(request: pytest.FixtureRequest, pbx: Asterisk) -> AsyncIterator[Target]:
    if request.param == "real":
        async with running(pbx) as real:
            real.told.changed.clear()
            yield real
    else:
        memory = InMemory()
        await memory.node.read_all()
        yield memory


def member(queue: QueueName = SALES, *, name: str = "Ann", interface: Interface = ME) -> Member:
    return Member(queue=queue, interface=interface, name=name, state_interface=interface, ring_in_use=False)


async def do(target: Target, *actions: Action) -> None:
    for action in actions:
        await target.node.apply(Step(KEY, action))


async def found(target: Target, key: EndpointId = KEY) -> ObservedState:
    """What is there, read anew; it must be what was seen before."""
    seen = target.node.state(key)
    await target.node.read_all()
    read = target.node.state(key)
    # of an object a read also has the fields that were not written
    objects = {kind: fields.items() & read.objects[kind].items() for kind, fields in seen.objects.items()}
    assert {kind: dict(fields) for kind, fields in objects.items()} == seen.objects
    # a phone may come and go meanwhile
    assert replace(read, objects={}, contacts=frozenset()) == replace(seen, objects={}, contacts=frozenset())
    return seen


# ---------------------------------------------------------------- members


async def test_a_member_is_added_changed_and_removed(target: Target) -> None:
    await do(target, AddMember(member()))
    assert (await found(target)).members == {SALES: member()}
    await do(target, PauseMember(SALES, ME, True, "lunch"), SetPenalty(SALES, ME, 7))
    paused = replace(member(), paused=True, reason="lunch", penalty=7)
    assert (await found(target)).members == {SALES: paused}
    await do(target, PauseMember(SALES, ME, True, "meeting"))
    assert (await found(target)).members == {SALES: replace(paused, reason="meeting")}
    await do(target, PauseMember(SALES, ME, False, ""))
    assert (await found(target)).members == {SALES: replace(member(), penalty=7)}
    await do(target, RemoveMember(member()))
    assert not await found(target)
    assert target.told.changed == [], "what the node does itself is no change to look at"


async def test_a_member_joins_paused_with_its_reason(target: Target) -> None:
    paused = replace(member(), paused=True, reason="login", penalty=3)
    await do(target, AddMember(paused))
    assert (await found(target)).members == {SALES: paused}


async def test_the_queues_of_an_agent_are_apart(target: Target) -> None:
    await do(target, AddMember(member(SALES)), AddMember(member(SUPPORT)))
    await do(target, PauseMember(SUPPORT, ME, True, "training"))
    members = (await found(target)).members
    assert [members[SALES].paused, members[SUPPORT].paused] == [False, True]
    await do(target, RemoveMember(member(SALES)))
    assert (await found(target)).members.keys() == {SUPPORT}


async def test_a_name_changes_by_joining_anew(target: Target) -> None:
    await do(target, AddMember(member(name="Ann")))
    await do(target, RemoveMember(member(name="Ann")), AddMember(member(name="Ann-Marie")))
    assert (await found(target)).members[SALES].name == "Ann-Marie"


NAMES = ['Ann "Lee"', "Zoë Ünal", "آن لي", r"back\slash", "n" * 300, "ü" * 300, "a (b) <c> & 100%", "a;b,c|d", " "]


@pytest.mark.parametrize("name", [member_text(name) or "PJSIP/1001" for name in NAMES])
async def test_a_name_is_seen_as_it_was_given(target: Target, name: str) -> None:
    await do(target, AddMember(member(name=name)))
    assert (await found(target)).members[SALES].name == name


async def test_ring_in_use_is_the_members_own_and_seen_by_event_and_by_reading(target: Target) -> None:
    """The queue `hasty` says yes, `sales` no; QueueAdd can't say it."""
    for queue in (SALES, HASTY):
        for wanted in (False, True):
            await do(target, AddMember(replace(member(queue), ring_in_use=wanted)))
            assert target.node.state(KEY).members[queue].ring_in_use is wanted
            await do(target, SetRingInUse(queue, ME, not wanted))
            assert target.node.state(KEY).members[queue].ring_in_use is not wanted
            assert (await found(target)).members[queue].ring_in_use is not wanted
            await do(target, RemoveMember(member(queue)))


async def test_a_member_without_calls_is_not_engaged(target: Target) -> None:
    await do(target, AddMember(member()))
    assert await target.node.engaged([(SALES, ME), (SUPPORT, ME)], [(SALES, ME)]) == {}
    assert await target.node.reserve([(SALES, ME), (SUPPORT, ME)]) == set()
    assert not target.node.state(KEY).members[SALES].paused, "no customer waits"


async def test_who_is_there_already_is_seen_as_he_is(target: Target) -> None:
    await target.add_by_hand(SALES, ME, "Ann")
    await shows(lambda: SALES in target.node.state(KEY).members)
    await do(target, AddMember(replace(member(), name="Beth", penalty=9)))
    assert (await found(target)).members == {SALES: member(name="Ann")}


async def test_who_has_left_already_is_no_error(target: Target) -> None:
    await do(target, RemoveMember(member()), PauseMember(SALES, ME, True, "lunch"))
    assert not await found(target)


async def test_an_unknown_queue_is_refused_by_name(target: Target) -> None:
    nowhere = QueueName("nowhere")
    with pytest.raises(Refused, match="No such queue"):
        await do(target, AddMember(member(nowhere)))
    assert not target.node.knows_queue(nowhere)
    assert all(target.node.knows_queue(queue) for queue in (SALES, SUPPORT, HASTY))


async def test_a_penalty_of_nobody_is_refused(target: Target) -> None:
    with pytest.raises(Refused):
        await do(target, SetPenalty(SALES, ME, 4))


# ---------------------------------------------------------------- what others do


async def test_a_member_changed_by_hand_is_told_and_seen(target: Target) -> None:
    await do(target, AddMember(member()))
    await target.pause_by_hand(SALES, ME, "fun")
    await shows(lambda: target.told.changed == [KEY])
    seen = target.node.state(KEY).members[SALES]
    assert seen == replace(member(), paused=True, reason="fun")
    await target.remove_by_hand(SALES, ME)
    await shows(lambda: target.told.changed == [KEY, KEY])
    assert not await found(target)


async def test_a_member_that_is_no_endpoint_is_nobody_of_ours(target: Target) -> None:
    local = Interface("Local/5@from-sip")
    await target.add_by_hand(SALES, local, "Local")
    await target.node.read_all()
    assert target.told.changed == []
    await target.remove_by_hand(SALES, local)


async def test_a_reload_of_the_queues_says_look_at_everything(target: Target) -> None:
    before = target.told.stale
    await target.reload_queues()
    await shows(lambda: target.told.stale > before)


async def test_a_pause_that_the_queue_decided_is_told_apart(target: Target) -> None:
    await do(target, *_pushed(target, agent()), AddMember(member(HASTY)))
    await target.no_answer(HASTY, KEY)
    await shows(lambda: target.told.autopaused == [(KEY, HASTY)])
    there = (await found(target)).members[HASTY]
    assert (there.paused, there.reason) == (True, AUTOPAUSE)


# ---------------------------------------------------------------- policy


async def test_policy_is_put_changed_deleted_and_survives_a_second_reading(target: Target) -> None:
    await do(target, PutPolicy("agent/1001/id", "1"), PutPolicy("agent/1001/record", "wav"))
    await do(target, PutPolicy("agent/1001/record", ""), PutPolicy("agent/1001/device", "1001"))
    assert (await found(target)).policy == {
        "agent/1001/id": "1", "agent/1001/record": "", "agent/1001/device": "1001"
    }  # fmt: skip
    assert set(target.node.owned()) == {KEY}
    assert set(target.node.carriers("1")) == {KEY}
    await do(target, *(DeletePolicy(f"agent/1001/{name}") for name in ("id", "record", "device", "never")))
    assert not await found(target)
    assert not target.node.owned()


async def test_a_telephone_carries_the_agent_that_it_names(target: Target) -> None:
    await do(target, PutPolicy("agent/1001/id", "1"), PutPolicy("telephone/desk7/agent", "1001"))
    assert EndpointId("desk7") in target.node.carriers("1")
    assert set(target.node.owned()) == {KEY, EndpointId("desk7")}


async def test_policy_that_was_wiped_is_missed_at_the_next_reading(target: Target) -> None:
    await do(target, PutPolicy("agent/1001/id", "1"))
    await target.wipe_policy()
    await target.node.read_all()
    assert not target.node.state(KEY).policy


# ---------------------------------------------------------------- PJSIP objects


def agent(name: str = "Ann", **line: object) -> Subject:
    fields = {"secret": "secret", "codecs": ("ulaw",)} | line
    return Subject(
        key=KEY,
        agent=Agent(
            id=AgentId(1),
            username="ann",
            internal=KEY,
            display_name=name,
            typology=Typology.EXTERNAL,
            line=Line(**fields),  # type: ignore[arg-type]
        ),
    )


def _pushed(target: Target, subject: Subject) -> Iterable[Action]:
    for kind, fields in target.node.expressible(desired(subject, SIP)).objects.items():
        yield PutObject(kind, subject.key, fields)


ANY_LINE: dict[str, Subject] = {
    "a plain one": agent(),
    "several codecs": agent(codecs=("opus", "g722", "alaw", "ulaw", "gsm")),
    "g729": agent(codecs=("g729",)),
    "a browser": agent(transports=("wss",), codecs=("opus", "ulaw")),
    "tcp behind nat": agent(transports=("tcp",), nat=("force_rport", "comedia")),
    "nat yes": agent(nat=("yes",)),
    "called only": agent(sip_type=SipType.PEER),
    "calls only": agent(sip_type=SipType.USER),
    "groups": agent(call_group="3,1,5-8", pickup_group="63,0"),
    "a short registration": agent(sip_expires=60),
    "a secret with everything": agent(secret="a:b;c,d|e\"f\\g h'ü"),
    "a caller id": agent(caller_id='"Sales" <800>'),
    "a caller id without quotes": agent(caller_id="Sales <800>"),
    "a caller id that is a number": agent(caller_id="0612345678"),
    "a caller id of an international number": agent(caller_id="+390612345678"),
    "a caller id that is a name": agent(caller_id="Sales Team"),
    "a caller id in angles": agent(caller_id="<800>"),
    "quotes in the name": agent('Ann "the boss" Lee'),
    "Arabic": agent("آن لي"),
    "accents": agent("Zoë Ünal"),
    "a backslash": agent("Ann\\Lee\\"),
    "angles and a comma": agent("Lee, Ann <x@y>; |z"),
    "an apostrophe": agent("Ann O'Neill"),
    "spaces": agent("  Ann   Lee "),
    "a caller id with spaces": agent(caller_id=' "Sales (EU)"  < +39 (06) 12.34-5 > '),
    "a caller id with escapes": agent(caller_id=r'"A \"b\" \\" <1>'),
    "a long caller id": agent(caller_id=f'"{"ü" * 60}" <{"1" * 100}>'),
    "a long caller id without a number": agent(caller_id="ü" * 300),
    "a quote inside a caller id": agent(caller_id='Ann "the boss" Lee'),
    "many quotes in the name": agent('"' * 20 + "\\" * 20),
    "a long name": agent("n" * 300),
    "a long name of wide letters": agent("ü" * 300),
    "no name but spaces": agent("   "),
    "a telephone": Subject(key=KEY, telephone=Telephone(name=KEY, line=Line(secret="x"))),
}  # fmt: skip


FIXED_HOSTS = {
    "a fixed host": agent(host="192.0.2.7"),
    "a fixed host of IPv6": agent(host="2001:db8::7"),
    "a fixed host written long": agent(host="2001:0DB8:0:0::0007"),
    "another fixed host": agent(host="192.0.2.8"),
}  # fmt: skip


@pytest.mark.parametrize("subject", ANY_LINE.values(), ids=ANY_LINE)
async def test_an_endpoint_reads_back_as_it_was_wanted(target: Target, subject: Subject) -> None:
    await _reconcile(target, subject)


async def test_every_line_can_become_any_other(target: Target) -> None:
    """A PUT merges: what the former line had and the next one has not must be taken back."""
    for subject in ANY_LINE.values():
        await _reconcile(target, subject)
    await _reconcile(target, agent())
    await _reconcile(target, Subject(key=KEY))
    assert not target.node.state(KEY)


@pytest.mark.parametrize("subject", FIXED_HOSTS.values(), ids=FIXED_HOSTS)
async def test_a_fixed_host_reads_back_as_it_was_wanted(target: Target, subject: Subject) -> None:
    await _reconcile(target, agent())
    await _reconcile(target, subject)
    await _reconcile(target, agent())


async def test_a_fixed_host_can_become_any_other(target: Target) -> None:
    """PJSIP adds to a list of contacts or addresses: the former one must be taken back."""
    for subject in FIXED_HOSTS.values():
        await _reconcile(target, subject)


async def _reconcile(target: Target, subject: Subject) -> None:
    """Asterisk is made as it should be, and then a second look finds nothing to do."""
    wanted = {subject.key: target.node.expressible(desired(subject, SIP))}
    for step in plan(wanted, target.node, [SALES]).steps:
        await target.node.apply(step)
    await target.node.read_all()
    assert plan(wanted, target.node, [SALES]).steps == ()


async def test_fields_are_merged_and_an_object_is_deleted(target: Target) -> None:
    await do(target, *_pushed(target, agent()))
    await do(target, PutObject(ObjectKind.ENDPOINT, KEY, {"context": "elsewhere"}))
    fields = (await found(target)).objects[ObjectKind.ENDPOINT]
    assert (fields["context"], fields["callerid"]) == ("elsewhere", '"Ann" <1001>')
    for kind in (ObjectKind.ENDPOINT, ObjectKind.AUTH, ObjectKind.AOR):
        await do(target, DeleteObject(kind, KEY), DeleteObject(kind, KEY))
    assert not await found(target)


# ---------------------------------------------------------------- new AORs, many at once


async def test_new_aors_are_made_together_and_one_that_can_not_be_is_named(target: Target) -> None:
    desk = EndpointId("desk7")
    failed = await target.node.put_new_aors({KEY: {"max_contacts": "1"}, desk: {"max_contacts": "1\n"}})
    assert failed.keys() == {desk}
    assert "max_contacts" in failed[desk]
    assert (await found(target)).objects == {ObjectKind.AOR: {"max_contacts": "1"}}


async def test_a_phone_of_aors_made_together_can_be_rung(pbx: Asterisk) -> None:
    async with running(pbx) as real:
        await real.node.put_new_aors({KEY: {"max_contacts": "1", "remove_existing": "yes"}})
        await _can_be_rung(real)


async def test_aors_of_a_daemon_that_was_killed_before_the_reload_are_taken_in(pbx: Asterisk) -> None:
    async with running(pbx) as real:
        await pbx.cli(f'database put {FAMILIES[ObjectKind.AOR]} aor/{KEY} {{\\"max_contacts\\":\\"1\\"}}')
        async with _with_a_phone(real) as shown:
            assert await shown() == "Unavailable", "PJSIP does not look there by itself"
    async with running(pbx, clear=False) as real, _with_a_phone(real) as shown:
        assert await shown() == "Unavailable"
    await pbx.cli(f"dialplan set global {STORED} 1")
    async with running(pbx, clear=False) as real:
        await real.node.finish_new_aors()
        await _can_be_rung(real)
        assert f"{STORED}=1" not in await pbx.cli("dialplan show globals")


@asynccontextmanager
async def _with_a_phone(real: Real) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """With a phone that has registered at the AOR; gives a function that returns the state of the endpoint."""

    async def shown() -> str:
        [state] = re.findall(
            rf"(?m)^ Endpoint:  {KEY}\S* +(.+?)  +\d+ of", await real.asterisk.cli(f"pjsip show endpoint {KEY}")
        )
        return str(state)

    await do(real, *[action for action in _pushed(real, agent()) if action.kind is not ObjectKind.AOR])
    async with Farm((real.asterisk.host, real.asterisk.sip_port), audio=False) as farm:
        await farm.register({KEY: "secret"})
        yield shown


async def _can_be_rung(real: Real) -> None:
    """Waits until Asterisk takes a phone that registers at the AOR for one that may be called."""
    async with _with_a_phone(real) as shown:

        async def free() -> bool:  # the state follows the answer to the REGISTER
            return await shown() == "Not in use"

        await until(free, within=5, what="the endpoint being free")
