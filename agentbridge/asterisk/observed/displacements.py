"""Two devices that register with one secret and push each other out for ever (C8). No I/O.

An AOR holds one contact, so each REGISTER of one device takes away the other's, and neither of them is told. A phone
that comes from another port each time brings a new URI and never one that was there before; two devices bring each
their own again and again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from agentbridge.model import EndpointId

WINDOW_SECONDS = 2 * 3600.0
"""the longest usual registration lasts an hour: so long a displaced device may take to come back"""
RETURNS = 2
"""so many times must a device that was pushed out come back while another is there; once, it may have been moved"""
REMEMBERED = 4


@dataclass(slots=True)
class _Key:
    """What is remembered of one AOR: which contacts went, and when one of them came back."""

    gone: dict[str, float] = field(default_factory=dict)
    """URI: when it went"""
    returns: deque[float] = field(default_factory=lambda: deque(maxlen=RETURNS))
    pair: tuple[str, str] = ("", "")


class Displacements:
    """Recognises two devices that register with one secret and displace one another (C8), by contacts that come and go.

    It keeps a few URIs of each key, and forgets them after the window.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._keys: dict[EndpointId, _Key] = {}

    def came(self, key: EndpointId, uri: str, others: frozenset[str]) -> bool:
        """Notes a new contact of the key, beside `others`; returns True when that shows for the first time that two
        devices compete."""
        now = self._clock()
        seen = self._keys.get(key)
        if seen is None or not others or now - seen.gone.get(uri, -WINDOW_SECONDS) >= WINDOW_SECONDS:
            return False
        before = bool(self.pair(key))
        seen.returns.append(now)
        seen.pair = (uri, min(others))
        return not before and bool(self.pair(key))

    def went(self, key: EndpointId, uri: str) -> None:
        """Notes that a contact of the key is gone."""
        now = self._clock()
        gone = self._keys.setdefault(key, _Key()).gone
        gone.pop(uri, None)
        gone[uri] = now
        for old in [old for old, at in gone.items() if now - at >= WINDOW_SECONDS] + list(gone)[:-REMEMBERED]:
            gone.pop(old, None)

    def pair(self, key: EndpointId) -> tuple[str, ...]:
        """Returns the URIs of the two devices that displace one another; empty where none do."""
        seen = self._keys.get(key)
        if seen is None or len(seen.returns) < RETURNS or self._clock() - seen.returns[0] >= WINDOW_SECONDS:
            return ()
        return seen.pair

    def forget(self, key: EndpointId) -> None:
        """Forgets the name: another device may use it from now on."""
        self._keys.pop(key, None)
