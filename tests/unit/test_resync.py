"""When everything is looked at again; the clock jumps."""

import asyncio
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from agentbridge.errors import Unavailable
from agentbridge.reconcile.resync import LAST_RETRY_SECONDS, Resync
from tests.unit.loop_clock import JumpingLoop

EVERY, LONGEST = 60.0, 300.0


class Looks:
    """What a resync does, and when it did."""

    def __init__(self) -> None:
        self.loop = JumpingLoop()
        self.at: list[float] = []
        """when each comparison at once began"""
        self.stale: list[bool] = []
        """whether Asterisk was read first"""
        self.begun: list[float] = []
        self.through: list[float] = []
        """when each look little by little began and when it had ended"""
        self.fault: str = ""
        self.wanted = True
        self.keys = 0
        self.loop.run(self._build())

    async def _build(self) -> None:
        self.resync = Resync(
            self._look, self._look_through, wanted=lambda: self.wanted, every=LONGEST, clock=self.loop.time
        )
        self._task = self.loop.create_task(self.resync.run())

    async def _look(self, is_stale: bool) -> int:
        self.at.append(self.loop.time())
        self.stale.append(is_stale)
        if self.fault:
            raise Unavailable(self.fault)
        return self.keys

    async def _look_through(self, seconds: float) -> int:
        self.begun.append(self.loop.time())
        await asyncio.sleep(seconds)
        if self.fault:
            raise Unavailable(self.fault)
        self.through.append(self.loop.time())
        return self.keys

    def pass_time(self, seconds: float) -> None:
        self.loop.run(asyncio.sleep(seconds))


@pytest.fixture
def looks() -> Iterator[Looks]:
    looks = Looks()
    yield looks
    looks.loop.end()


def test_a_look_is_taken_at_once_when_it_is_due_and_then_little_by_little(looks: Looks) -> None:
    looks.pass_time(1)
    assert looks.begun == []  # before the first there is nothing to go by
    looks.resync.now()
    looks.pass_time(2.5 * EVERY)
    assert looks.at == [1]
    assert looks.through == pytest.approx([1 + EVERY, 1 + 2 * EVERY], abs=0.01)
    assert looks.resync.done.is_set()
    assert looks.resync.done_at == looks.through[-1]


@pytest.mark.parametrize(
    ("keys", "interval"), [(100, EVERY), (2000, EVERY), (5000, 150), (10_000, 300), (90_000, LONGEST)]
)
def test_what_costs_more_is_looked_through_more_slowly(looks: Looks, keys: int, interval: float) -> None:
    looks.keys = keys
    looks.resync.now()
    looks.pass_time(2.5 * interval)
    assert looks.through == pytest.approx([interval, 2 * interval], abs=0.01)


def test_a_look_at_once_ends_the_one_that_goes_on_and_it_begins_anew_after_it(looks: Looks) -> None:
    looks.resync.now()
    looks.pass_time(EVERY / 2)
    looks.resync.now()
    looks.pass_time(EVERY + 1)
    assert looks.at == [0, EVERY / 2]
    assert looks.through == pytest.approx([EVERY / 2 + EVERY], abs=0.01)


def test_asterisk_is_not_read_where_only_the_directory_has_changed(looks: Looks) -> None:
    looks.resync.now()
    looks.pass_time(1)
    looks.resync.directory_changed()
    looks.pass_time(2)
    looks.resync.directory_changed()
    looks.resync.now()
    looks.pass_time(2)
    assert looks.stale == [True, False, True]
    looks.fault = "Asterisk is away"
    looks.resync.directory_changed()
    looks.pass_time(3)
    assert looks.stale[3:] == [False, True, True]  # what is known of it may be old by now


def test_what_the_directory_asks_for_again_and_again_is_compared_once_a_second(looks: Looks) -> None:
    looks.resync.now()
    looks.pass_time(3)
    for _ in range(14):
        looks.resync.directory_changed()
        looks.pass_time(0.2)
    assert looks.at == pytest.approx([0, 3, 4, 5], abs=0.01)
    looks.resync.directory_changed()
    looks.pass_time(0.1)
    looks.resync.now()  # does not wait with it
    looks.pass_time(0.1)
    assert len(looks.at) == 5
    assert looks.stale == [True, False, False, False, True]


def test_a_look_little_by_little_that_fails_is_followed_by_one_at_once(looks: Looks) -> None:
    looks.resync.now()
    looks.pass_time(1)
    looks.fault = "Asterisk is away"
    looks.pass_time(EVERY)
    assert looks.resync.postponed == looks.fault
    assert looks.stale == [True, True]


def test_one_that_can_not_be_taken_is_told_once_and_tried_ever_more_seldom(looks: Looks) -> None:
    looks.fault = "the row of the settings is gone"
    looks.resync.now()
    with capture_logs() as lines:
        looks.pass_time(300)
    assert [(line["event"], line["reason"]) for line in lines] == [("resync.postponed", looks.fault)]
    assert looks.resync.postponed == looks.fault
    waits = [later - sooner for sooner, later in zip(looks.at, looks.at[1:], strict=False)]
    assert waits[:3] == pytest.approx([0.5, 1, 2], abs=0.01)
    assert max(waits) == pytest.approx(LAST_RETRY_SECONDS, abs=0.01)
    looks.fault = ""
    looks.pass_time(LAST_RETRY_SECONDS)
    assert looks.resync.postponed == ""


def test_who_is_back_is_not_kept_waiting_for_the_next_try(looks: Looks) -> None:
    looks.fault = "Asterisk is away"
    looks.resync.now()
    looks.pass_time(100)
    looks.fault, count = "", len(looks.at)
    looks.resync.now()
    looks.pass_time(0.1)
    assert len(looks.at) == count + 1


def test_a_standby_looks_at_nothing(looks: Looks) -> None:
    looks.wanted = False
    looks.resync.now()
    looks.pass_time(3 * EVERY)
    assert (looks.at, looks.begun) == ([], [])
    assert not looks.resync.done.is_set()
