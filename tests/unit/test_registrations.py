"""Which telephones are registered: written at once, then not again for a while, and never wrong at the end."""

import itertools
from collections.abc import Collection, Iterator, Mapping

import pytest

from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId
from agentbridge.phone.registrations import Registrations
from agentbridge.settings import Browser, HotDesk
from lab.processes import until
from tests.unit.loop_clock import JumpingLoop

DESK, OTHER, AGENT = EndpointId("desk1"), EndpointId("desk2"), EndpointId("1001")
SETTLE = 5.0


class Rows:
    """The directory's telephones, with each write and when it came."""

    def __init__(self, loop: JumpingLoop) -> None:
        self._loop = loop
        self.registered: dict[EndpointId, bool | None] = {DESK: None, OTHER: None}
        self.writes: list[tuple[float, Mapping[EndpointId, bool]]] = []
        self.away = False
        self.looks = 0

    async def changed(self, registered: Mapping[EndpointId, bool]) -> None:
        self._answer()
        self.writes.append((self._loop.time(), dict(registered)))
        self.registered |= registered

    async def set_registered(self, registered: Collection[EndpointId]) -> None:
        self._answer()
        self.registered = {name: name in registered for name in self.registered}

    async def unknown(self) -> None:
        self._answer()
        self.registered = dict.fromkeys(self.registered)

    async def settle_lost(self, after: float, action: str, back: str) -> list[object]:  # noqa: ARG002
        self._answer()
        self.looks += 1
        return []

    async def settle_lost_browsers(self, after: float, action: str, back: str) -> list[object]:  # noqa: ARG002
        self._answer()
        return []

    async def taken_over(self) -> list[object]:
        self._answer()
        return []

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("the database is away")


class Desk:
    def __init__(self, loop: JumpingLoop) -> None:
        self.loop = loop
        self.rows = Rows(loop)
        self.active = True
        self.deleted: set[EndpointId] = set()
        self.registrations = Registrations(
            self.rows,  # type: ignore[arg-type] - nobody is lost here
            HotDesk(settle_seconds=SETTLE),
            Browser(),
            is_telephone=lambda key: key.startswith("desk") and key not in self.deleted,
            active=lambda: self.active,
            clock=loop.time,
        )
        self.running = loop.create_task(self.registrations.run())

    def becomes(self, wanted: bool | None, device: EndpointId = DESK) -> float:
        """The seconds until the directory says so."""
        began = self.loop.time()
        self.loop.run(until(lambda: self.rows.registered[device] is wanted, within=600))
        return self.loop.time() - began

    def passes(self, seconds: float) -> None:
        end = self.loop.time() + seconds
        self.loop.run(until(lambda: self.loop.time() >= end, within=600))


@pytest.fixture
def desk() -> Iterator[Desk]:
    loop = JumpingLoop()
    yield Desk(loop)
    loop.end()


def test_the_first_change_is_written_at_once(desk: Desk) -> None:
    desk.registrations.changed(DESK, True)
    assert desk.becomes(True) < 0.1


def test_the_next_one_waits_until_it_has_settled(desk: Desk) -> None:
    desk.registrations.changed(DESK, True)
    desk.becomes(True)
    desk.registrations.changed(DESK, False)
    assert SETTLE - 0.1 < desk.becomes(False) < SETTLE + 0.1


def test_one_that_comes_back_meanwhile_is_not_written(desk: Desk) -> None:
    desk.registrations.changed(DESK, True)
    desk.becomes(True)
    for there in (False, True) * 50:
        desk.registrations.changed(DESK, there)
        desk.passes(0.02)
    desk.passes(2 * SETTLE)
    assert [what for _, what in desk.rows.writes] == [{DESK: True}]


def test_flapping_costs_one_write_in_the_time_and_ends_with_what_is_so(desk: Desk) -> None:
    for number in range(300):
        desk.registrations.changed(DESK, number % 2 == 0)
        desk.passes(0.1)
    desk.becomes(False)
    times = [at for at, _ in desk.rows.writes]
    assert len(times) <= 30 / SETTLE + 2
    assert all(later - earlier >= SETTLE - 0.1 for earlier, later in itertools.pairwise(times))


def test_one_that_is_turned_away_is_not_there_at_once_and_costs_two_writes_in_the_time(desk: Desk) -> None:
    desk.registrations.changed(DESK, True)
    desk.becomes(True)
    desk.registrations.turned_away(DESK)
    assert desk.becomes(False) < 0.1
    for _ in range(300):
        desk.registrations.changed(DESK, True)
        desk.registrations.turned_away(DESK)
        desk.passes(0.1)
    assert len(desk.rows.writes) <= 2 * (30 / SETTLE + 2)


def test_telephones_do_not_wait_for_each_other(desk: Desk) -> None:
    desk.registrations.changed(DESK, True)
    desk.becomes(True)
    desk.registrations.changed(DESK, False)
    desk.registrations.changed(OTHER, True)
    assert desk.becomes(True, OTHER) < 0.1


def test_a_full_read_counts_as_the_last_word_before_the_next_event(desk: Desk) -> None:
    desk.registrations.changed(DESK, True)
    desk.becomes(True)
    desk.registrations.all_read(frozenset())
    assert desk.becomes(False) < 0.1
    desk.registrations.changed(DESK, True)
    assert desk.becomes(True) < SETTLE + 0.1


def test_without_asterisk_nothing_is_known_until_it_is_read_again(desk: Desk) -> None:
    desk.registrations.all_read(frozenset({DESK}))
    desk.becomes(True)
    desk.registrations.unknown()
    assert desk.becomes(None) < 0.1
    desk.registrations.all_read(frozenset({DESK}))
    assert desk.becomes(True) < 0.1
    assert desk.rows.registered[OTHER] is False


def test_what_came_while_the_database_was_away_is_written_when_it_is_back(desk: Desk) -> None:
    desk.rows.away = True
    desk.registrations.all_read(frozenset({OTHER}))
    desk.registrations.changed(DESK, True)
    desk.passes(10)
    desk.registrations.changed(DESK, False)
    desk.registrations.changed(DESK, True)
    desk.rows.away = False
    assert desk.becomes(True) < 1.5
    assert desk.rows.registered[OTHER] is True


def test_agents_own_devices_and_a_standby_write_nothing(desk: Desk) -> None:
    desk.registrations.changed(AGENT, True)
    desk.passes(SETTLE)
    desk.active = False
    desk.registrations.changed(DESK, True)
    desk.passes(SETTLE)
    assert desk.rows.writes == []
    desk.active = True
    desk.becomes(True)


@pytest.mark.parametrize("stays", [False, True])
def test_one_that_is_deleted_and_created_anew_is_written_anew(desk: Desk, *, stays: bool) -> None:
    desk.registrations.changed(DESK, True)
    desk.becomes(True)
    desk.deleted.add(DESK)
    desk.registrations.listed(DESK, registered=True)
    if not stays:
        desk.registrations.changed(DESK, False)  # Asterisk's event comes when it is no telephone of ours any more
    desk.passes(1)
    assert desk.rows.registered[DESK] is True
    desk.rows.registered[DESK] = None  # so a new row begins
    desk.deleted.clear()
    desk.registrations.listed(DESK, registered=stays)
    if not stays:
        desk.passes(1)
        assert desk.rows.registered[DESK] is None
        desk.registrations.changed(DESK, True)
    assert desk.becomes(True) < 0.1
    desk.registrations.listed(DESK, registered=True)  # an agent was bound to it
    desk.passes(SETTLE)
    assert len(desk.rows.writes) == 2


def test_an_idle_desk_looks_for_lost_telephones_every_two_seconds_and_no_more(desk: Desk) -> None:
    desk.passes(20)
    assert 9 <= desk.rows.looks <= 12
