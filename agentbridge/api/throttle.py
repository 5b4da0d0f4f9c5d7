"""Lets requests that try a password in at a pace, so that a storm of them slows nobody else's requests.

It stands before everything else: a request that is turned away costs no body, no JSON and no row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from agentbridge.api.guessing import Buckets, Guesses, place_of
from agentbridge.api.problems import Problem

log = structlog.get_logger()

LET_IN_SECONDS = 0.01
"""between two requests of a lane: argon2, in two threads, looks at fewer passwords than that"""
LONGEST_WAIT_SECONDS = 0.5
AT_ONCE, ADDRESS_SECONDS = 30, 0.1
"""what one address may send at once, as many people behind one router do, and then one in so many seconds"""
REFUSE_SECONDS = 0.005
"""between two answers to requests that are turned away: whoever guesses waits for them, so that a storm costs as much
as its answers, however many take part"""
LONGEST_HELD_SECONDS = 5.0
SUM_SECONDS = 60.0
MOST_ADDRESSES = 10_000
GUESSES = (("POST", "/v1/session"), ("POST", "/v1/password-resets"), ("PUT", "/v1/password-resets/"))
"""method and path, or the beginning of a path that ends with a slash, of what tries a password or a link's token"""


class Lane:
    """A line of requests, of which one is let in every `seconds`; a place that is further away is not given.

    longest: the seconds that a request waits at most. clock: seconds, monotonic.
    """

    def __init__(self, seconds: float, longest: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._longest = longest
        self._clock = clock
        self._free_at = float("-inf")

    def wait_seconds(self) -> float | None:
        """Takes the next place; returns the seconds until its turn, or None where the line is too long."""
        now = self._clock()
        turn = max(now, self._free_at)
        if turn - now > self._longest:
            return None
        self._free_at = turn + self._seconds
        return turn - now


class Refusals:
    """Counts refused guesses and logs their sum once a minute: one line each would be a flood of its own."""

    def __init__(self) -> None:
        self._count = 0
        self._addresses: set[str] = set()

    def add(self, address: str) -> None:
        """Counts a refusal; the first one starts the minute whose sum is logged at its end."""
        self._count += 1
        if len(self._addresses) < MOST_ADDRESSES:
            self._addresses.add(address)
        if self._count == 1:
            asyncio.get_running_loop().call_later(SUM_SECONDS, self._tell)

    def _tell(self) -> None:
        reason = "too many tries of passwords: these were turned away, and lock nobody"
        addresses, seconds = len(self._addresses), int(SUM_SECONDS)
        log.warning("guesses.refused", count=self._count, addresses=addresses, seconds=seconds, reason=reason)
        self._count = 0
        self._addresses.clear()


class Throttle:
    """ASGI layer: requests that try a password wait for their turn, or are answered 429 where too many wait.

    Addresses where somebody has lately logged in have a lane of their own, so that strangers keep nobody out.
    """

    def __init__(self, app: ASGIApp, guesses: Guesses, refusals: Refusals, clock: Callable[[], float]) -> None:
        self._app = app
        self._guesses = guesses
        self._refusals = refusals
        self._addresses = Buckets(AT_ONCE, ADDRESS_SECONDS, clock)
        self._known = Lane(LET_IN_SECONDS, LONGEST_WAIT_SECONDS, clock)
        self._strangers = Lane(LET_IN_SECONDS, LONGEST_WAIT_SECONDS, clock)
        self._refused = Lane(REFUSE_SECONDS, LONGEST_HELD_SECONDS, clock)
        self._refusal = Problem(
            429,
            "too many people log in at this moment; try again in a second",
            headers={"Retry-After": "1"},
        ).response()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request on: at once where it tries no password, else when its turn comes."""
        if not _is_guess(scope):
            await self._app(scope, receive, send)
            return
        address = scope["client"][0] if scope["client"] else ""
        wait = self._wait_seconds(address)
        if wait is None:
            self._refusals.add(address)
            await asyncio.sleep(self._refused.wait_seconds() or 0.0)
            await self._refusal(scope, receive, send)
            return
        if wait:
            await asyncio.sleep(wait)
        await self._app(scope, receive, send)

    def _wait_seconds(self, address: str) -> float | None:
        """Returns the seconds until a request from this address is let in, or None for one that is turned away."""
        if self._guesses.is_known(address):
            return self._known.wait_seconds()
        place = place_of(address)
        if self._addresses.wait_seconds(place):
            return None
        wait = self._strangers.wait_seconds()
        if wait is not None:
            self._addresses.take(place)
        return wait


def _is_guess(scope: Scope) -> bool:
    """Whether the request tries a password, or a token of a forgotten one."""
    if scope["type"] != "http":
        return False
    method, path = scope["method"], scope["path"]
    return any(
        method == known and (path.startswith(place) if place.endswith("/") else path == place)
        for known, place in GUESSES
    )
