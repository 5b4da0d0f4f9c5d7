"""Two devices with one secret are told of; a phone that is moved or comes from new ports is not."""

from agentbridge.asterisk.observed.displacements import WINDOW_SECONDS, Displacements
from agentbridge.model import EndpointId

KEY = EndpointId("1001")


class Registrar:
    """An AOR of one contact: who registers pushes out who is there."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seen = Displacements(lambda: self.now)
        self.there: frozenset[str] = frozenset()
        self.told = 0

    def register(self, uri: str, *, after: float = 60.0) -> None:
        self.now += after
        if uri in self.there:
            return
        self.told += self.seen.came(KEY, uri, self.there)
        for other in self.there:
            self.seen.went(KEY, other)
        self.there = frozenset({uri})

    def unregister(self) -> None:
        for uri in self.there:
            self.seen.went(KEY, uri)
        self.there = frozenset()


def test_two_devices_that_push_each_other_out_are_told_once_with_both_addresses() -> None:
    registrar = Registrar()
    for _ in range(10):
        registrar.register("sip:a")
        registrar.register("sip:b")
    assert registrar.told == 1
    assert set(registrar.seen.pair(KEY)) == {"sip:a", "sip:b"}


def test_devices_that_refresh_once_an_hour_are_found_as_well() -> None:
    registrar = Registrar()
    for _ in range(4):
        registrar.register("sip:a", after=1800)
        registrar.register("sip:b", after=1800)
    assert registrar.told == 1


def test_it_is_over_when_one_of_them_has_stayed_away() -> None:
    registrar = Registrar()
    for uri in ("sip:a", "sip:b") * 3:
        registrar.register(uri)
    assert registrar.seen.pair(KEY)
    registrar.now += WINDOW_SECONDS
    assert registrar.seen.pair(KEY) == ()


def test_a_phone_that_comes_from_a_new_port_each_time_is_one_device() -> None:
    registrar = Registrar()
    for port in range(50):
        registrar.register(f"sip:a:{port}")
    assert registrar.told == 0


def test_a_phone_that_is_moved_there_and_back_is_none() -> None:
    registrar = Registrar()
    for uri in ("sip:desk", "sip:home", "sip:desk"):
        registrar.register(uri)
    assert registrar.told == 0


def test_a_phone_that_is_switched_off_and_on_is_none() -> None:
    registrar = Registrar()
    for _ in range(9):
        registrar.register("sip:a")
        registrar.unregister()
        registrar.register("sip:b")
        registrar.unregister()
    assert registrar.told == 0


def test_who_gets_the_number_next_starts_anew() -> None:
    registrar = Registrar()
    for uri in ("sip:a", "sip:b") * 3:
        registrar.register(uri)
    registrar.seen.forget(KEY)
    assert registrar.seen.pair(KEY) == ()
