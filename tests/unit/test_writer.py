"""Many new AORs go to Asterisk together where that is quicker; all others one by one, by the pace."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import pytest

from agentbridge.asterisk.drivers.new_aors import too_many
from agentbridge.asterisk.listener import NoListener
from agentbridge.errors import Unavailable
from agentbridge.model import (
    ABSENT,
    EndpointId,
    Fields,
    Interface,
    Member,
    ObjectKind,
    PauseMember,
    PutObject,
    QueueName,
    Step,
)
from agentbridge.reconcile.pace import Pace
from agentbridge.reconcile.work_queue import Cause
from agentbridge.reconcile.writer import Writer
from tests.unit.asterisk_in_memory import AsteriskInMemory

FIELDS: Fields = {"max_contacts": "1"}
KEYS = [EndpointId(f"{number}") for number in range(1001, 1006)]
NEW = [Step(key, PutObject(ObjectKind.AOR, key, FIELDS), was=ABSENT) for key in KEYS[:3]]
CHANGED = [Step(key, PutObject(ObjectKind.AOR, key, FIELDS), was="max_contacts=2") for key in KEYS[3:]]


class Together(AsteriskInMemory):
    """Takes from two new AORs on together."""

    def __init__(self, *, refuses: Mapping[EndpointId, str] | None = None, gone: bool = False) -> None:
        super().__init__({}, NoListener())
        self.together: list[set[EndpointId]] = []
        self._refuses, self._gone = refuses or {}, gone

    def takes_together(self, aors: int) -> bool:
        return aors >= 2

    async def put_new_aors(self, aors: Mapping[EndpointId, Fields]) -> Mapping[EndpointId, str]:
        self.together.append(set(aors))
        if self._gone:
            raise Unavailable("a reload is under way")
        for key in aors.keys() - self._refuses.keys():
            self.seen.object_put(ObjectKind.AOR, key, aors[key])
        return self._refuses


async def empty() -> int:
    return 0


async def written(asterisk: Together, steps: Sequence[Step]) -> dict[EndpointId, str]:
    """Returns the failures of these steps, each followed by one for the key's auth."""
    await asterisk.read_all()
    auths = [Step(step.key, PutObject(ObjectKind.AUTH, step.key, {"username": step.key}), was=ABSENT) for step in steps]
    writer = Writer(asterisk, Pace(empty, clock=time.monotonic), time.monotonic)
    result = await writer.write([*steps, *auths], dict.fromkeys(KEYS, Cause.CHANGE), lambda: None)
    return result.failures


def kinds(asterisk: Together) -> dict[EndpointId, set[ObjectKind]]:
    return {key: set(asterisk.state(key).objects) for key in KEYS if asterisk.state(key).objects}


BOTH = {ObjectKind.AOR, ObjectKind.AUTH}
SALES = QueueName("sales")
ME = Interface("PJSIP/1001")


async def test_the_same_pause_of_one_member_is_written_once_whoever_wants_it() -> None:
    """An agent who moves from one telephone to another has two keys."""
    asterisk = AsteriskInMemory([SALES], NoListener())
    asterisk.add_by_hand(Member(queue=SALES, interface=ME, name="Ann", state_interface=ME))
    await asterisk.read_all()
    steps = [Step(key, PauseMember(SALES, ME, True, "lunch")) for key in KEYS]
    writer = Writer(asterisk, Pace(empty, clock=time.monotonic), time.monotonic)
    result = await writer.write(steps, dict.fromkeys(KEYS, Cause.CHANGE), lambda: None)
    assert result.failures == {}
    assert asterisk.offences == []  # one more would be a pause that changes nothing
    member = asterisk.member(SALES, ME)
    assert member is not None
    assert member.paused


async def test_writes_that_are_not_done_give_their_room_back() -> None:
    """Else nothing could be written any more after some lost links."""
    asterisk = Together()
    await asterisk.read_all()
    pace = Pace(empty, clock=time.monotonic)
    writer = Writer(asterisk, pace, time.monotonic)
    steps = [Step(key, PauseMember(SALES, ME, True, "lunch")) for key in KEYS]

    def lost() -> None:
        raise Unavailable("the link was lost")

    for _ in range(200):
        with pytest.raises(Unavailable, match="the link was lost"):
            await writer.write(steps, dict.fromkeys(KEYS, Cause.CHANGE), lost)
    async with asyncio.timeout(5):
        assert await pace.take(1000) > 1


async def test_new_ones_go_together_and_changed_ones_one_by_one() -> None:
    asterisk = Together()
    assert await written(asterisk, NEW + CHANGED) == {}
    assert asterisk.together == [set(KEYS[:3])]
    assert kinds(asterisk) == dict.fromkeys(KEYS, BOTH)


async def test_one_alone_goes_as_ever() -> None:
    asterisk = Together()
    assert await written(asterisk, NEW[:1] + CHANGED) == {}
    assert asterisk.together == []
    assert kinds(asterisk) == dict.fromkeys([KEYS[0], *KEYS[3:]], BOTH)


async def test_one_that_can_not_be_made_keeps_no_other() -> None:
    asterisk = Together(refuses={KEYS[1]: "too long"})
    assert await written(asterisk, NEW) == {KEYS[1]: "too long"}
    assert kinds(asterisk) == dict.fromkeys([KEYS[0], KEYS[2]], BOTH), "what failed gets no further step"


async def test_all_wait_where_no_reload_is_possible() -> None:
    asterisk = Together(gone=True)
    assert await written(asterisk, NEW + CHANGED) == dict.fromkeys(KEYS[:3], "a reload is under way")
    assert kinds(asterisk) == dict.fromkeys(KEYS[3:], BOTH)


@pytest.mark.parametrize(
    ("aors", "endpoints", "together"),
    [(10_000, 0, False), (6, 10_000, False), (7, 10_000, True), (600, 1_000, False), (700, 1_000, True)],
)
def test_a_reload_pays_where_the_walks_take_longer(aors: int, endpoints: int, together: bool) -> None:
    assert too_many(aors, endpoints) is together
