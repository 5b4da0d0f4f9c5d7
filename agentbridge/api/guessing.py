"""How often somebody may guess a password, before it is looked at.

Two buckets for each try: the address, and the name. A person who has lately logged in from an address has a bucket of
its own there, so that strangers who use up the name's tries keep nobody from working.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

KEPT = 10_000
"""buckets of each sort; the one not used for the longest time goes first"""


def place_of(address: str) -> str:
    """Returns what an address is counted by: itself, or of IPv6 its /64, of which one caller has every address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"


class Buckets:
    """A token bucket for each name: `size` tries at once, then one every `seconds`.

    clock: seconds, monotonic.
    """

    def __init__(self, size: int, seconds: float, clock: Callable[[], float], kept: int = KEPT) -> None:
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._kept = kept
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """name → tries left, and when that was so"""

    def wait_seconds(self, name: str) -> float:
        """Returns 0 when the name has a try left, else the seconds until its next one."""
        left = self._left(name)
        return 0.0 if left >= 1 else (1 - left) * self._seconds

    def take(self, name: str) -> None:
        """Counts a try for the name; above a bound the name used longest ago is forgotten."""
        self._buckets[name] = (self._left(name) - 1, self._clock())
        self._buckets.move_to_end(name)
        while len(self._buckets) > self._kept:
            self._buckets.popitem(last=False)

    def give_back(self, name: str) -> None:
        """Gives the name back a try that was none."""
        self._buckets[name] = (min(self._size, self._left(name) + 1), self._clock())

    def forget(self, name: str) -> None:
        self._buckets.pop(name, None)

    def _left(self, name: str) -> float:
        left, then = self._buckets.get(name, (self._size, 0.0))
        return min(self._size, left + (self._clock() - then) / self._seconds)


class Guesses:
    """Limits how often passwords can be guessed, by name and by address; to be asked before a password is looked at."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._addresses = Buckets(30, 10.0, clock)
        self._names = Buckets(10, 30.0, clock)
        self._known = Buckets(10, 30.0, clock)
        self._places: OrderedDict[str, None] = OrderedDict()
        """name and address where a log-in went well"""
        self._known_addresses: OrderedDict[str, None] = OrderedDict()

    def is_known(self, address: str) -> bool:
        """Whether somebody has lately logged in from this address."""
        return place_of(address) in self._known_addresses

    def wait_seconds(self, address: str, name: str) -> float:
        """Counts a try with that name from that address and returns 0; without a try left returns the seconds to wait,
        uncounted."""
        address = place_of(address)
        place = f"{address} {name}"
        names, key = (self._known, place) if place in self._places else (self._names, name)
        wait = max(self._addresses.wait_seconds(address), names.wait_seconds(key))
        if wait == 0:
            self._addresses.take(address)
            names.take(key)
        return wait

    def succeeded(self, address: str, name: str) -> None:
        """Takes a try back, since the password was right; from now on this address counts apart for this name."""
        address = place_of(address)
        place = f"{address} {name}"
        _remember(self._places, place)
        _remember(self._known_addresses, address)
        self._known.forget(place)
        self._addresses.give_back(address)
        self._names.give_back(name)


def _remember(places: OrderedDict[str, None], place: str) -> None:
    """Notes a place as the newest; above a bound the oldest is forgotten."""
    places[place] = None
    places.move_to_end(place)
    while len(places) > KEPT:
        places.popitem(last=False)
