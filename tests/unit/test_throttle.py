"""Requests that try a password are let in at a pace, and none of them is forgotten by the throttle."""

import asyncio
import itertools
from typing import Any

import structlog
from starlette.types import Message, Receive, Scope, Send

from agentbridge.api import throttle
from agentbridge.api.app import create
from agentbridge.api.guessing import Guesses, place_of
from agentbridge.api.operations import OPERATIONS
from agentbridge.api.throttle import Lane, Refusals, Throttle
from agentbridge.settings import ApiSettings
from tests.unit.loop_clock import JumpingLoop

CROWD = 400


class Door:
    """An application behind the throttle, with who got in when; the clock is the loop's."""

    def __init__(self, loop: JumpingLoop) -> None:
        self.guesses = Guesses(loop.time)
        self.entered: list[tuple[float, str]] = []
        self._loop = loop
        self._throttle = Throttle(self._app, self.guesses, Refusals(), loop.time)

    async def _app(self, scope: Scope, _: Receive, send: Send) -> None:
        self.entered.append((self._loop.time(), scope["client"][0]))
        await send({"type": "http.response.start", "status": 401, "headers": []})

    async def ask(self, address: str, method: str = "POST", path: str = "/v1/session") -> int:
        """Sends a request; returns the status of the answer."""
        statuses: list[int] = []

        async def send(message: Message) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        scope = {"type": "http", "method": method, "path": path, "client": (address, 1)}
        await self._throttle(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]  # no body is read
        return statuses[0]

    async def ask_all(self, addresses: list[str]) -> list[int]:
        return await asyncio.gather(*(self.ask(address) for address in addresses))


def run(scene: Any) -> Door:
    """Runs a scene with a door on a loop whose clock jumps."""
    loop = JumpingLoop()
    door = Door(loop)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(scene(door))
    return door


def test_a_lane_lets_one_in_at_a_time_and_gives_no_place_too_far_away() -> None:
    now = 100.0
    lane = Lane(1.0, 2.0, lambda: now)
    assert [lane.wait_seconds() for _ in range(5)] == [0.0, 1.0, 2.0, None, None]
    now = 101.0
    assert [lane.wait_seconds() for _ in range(2)] == [2.0, None]
    now = 200.0
    assert lane.wait_seconds() == 0.0


def test_what_one_address_sends_beyond_its_share_is_turned_away() -> None:
    async def scene(door: Door) -> None:
        statuses = await door.ask_all(["10.0.0.1"] * CROWD)
        assert statuses.count(429) == CROWD - throttle.AT_ONCE
        assert await door.ask("10.0.0.2") == 401, "another one gets in"

    times = [at for at, _ in run(scene).entered]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= throttle.LET_IN_SECONDS / 2


def test_who_has_a_whole_network_of_addresses_counts_as_one() -> None:
    async def scene(door: Door) -> None:
        statuses = await door.ask_all([f"2001:db8::{n:x}" for n in range(CROWD)])
        assert statuses.count(429) == CROWD - throttle.AT_ONCE
        assert await door.ask("2001:db8:0:1::1") == 401, "the neighbouring network gets in"

    run(scene)
    assert place_of("::ffff:192.0.2.1") == place_of("192.0.2.1")


def test_strangers_keep_nobody_out_who_has_logged_in_from_its_address() -> None:
    async def scene(door: Door) -> None:
        door.guesses.succeeded("10.9.9.9", "ana")
        storm = [f"10.0.{n // 250}.{n % 250}" for n in range(CROWD)]
        statuses = await door.ask_all([*storm, "10.9.9.9"])
        assert statuses[-1] == 401
        assert statuses.count(429) > CROWD / 2

    run(scene)


def test_what_tries_no_password_never_waits() -> None:
    async def scene(door: Door) -> None:
        await door.ask_all(["10.0.0.1"] * CROWD)
        for method, path in (("GET", "/v1/session"), ("DELETE", "/v1/session"), ("POST", "/v1/agents")):
            assert await door.ask("10.0.0.1", method, path) == 401

    run(scene)


def test_refusals_are_logged_as_a_sum() -> None:
    async def scene(door: Door) -> None:
        with structlog.testing.capture_logs() as logged:
            await door.ask_all(["10.0.0.1", "10.0.0.2"] * CROWD)
            await asyncio.sleep(2 * throttle.SUM_SECONDS)
        (line,) = logged
        turned_away = 2 * CROWD - len(door.entered)
        assert (line["event"], line["count"], line["addresses"]) == ("guesses.refused", turned_away, 2)

    run(scene)


def test_each_operation_without_a_session_is_behind_the_throttle() -> None:
    """Whatever anybody may ask for tries a password or a link's token: a new one must be told of here too."""
    app = create(ApiSettings.model_validate({"api": {"dsn": "postgresql://127.0.0.1/none"}}))
    found = set()
    for path, methods in app.openapi()["paths"].items():
        for method, described in methods.items():
            if OPERATIONS[described["operationId"]].public:
                scope = {"type": "http", "method": method.upper(), "path": path.replace("{token}", "x")}
                assert throttle._is_guess(scope), path
                found.add(described["operationId"])
    assert found == {"session.create", "password-resets.create", "password-resets.use"}
