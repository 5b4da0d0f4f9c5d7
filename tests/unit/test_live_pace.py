"""How soon what goes on is written and handed out: at once after a silence, together in a busy centre."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentbridge.api.events import hub as hubs
from agentbridge.api.events.hub import Hub, Outbox, Wish
from agentbridge.api.events.reading import DIRECTORY_REST_SECONDS, Reader
from agentbridge.api.events.viewers import KINDS, Kind, Viewer
from agentbridge.asterisk.calls.board import LONGEST_REST_SECONDS, WRITE_EVERY_SECONDS, Board
from agentbridge.model import EndpointId
from agentbridge.model.live import LiveAgent
from tests.unit.loop_clock import JumpingLoop
from tests.unit.test_recordings_memory import Around, Link, Store, policy

TICK = 0.001


@pytest.fixture
def loop() -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.end()


class Slow(Store):
    """A directory in which a write takes so many seconds; `began` are the moments."""

    def __init__(self, takes: float) -> None:
        super().__init__()
        self._takes = takes
        self.began: list[float] = []

    async def write(self, agents: Sequence[LiveAgent], *_: Any, **__: Any) -> None:
        if agents:
            self.began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._takes)


def written(loop: JumpingLoop, takes: float, events: Sequence[float]) -> list[float]:
    """Returns when writes began, seconds after the first of the events, which come at these moments."""

    async def live() -> list[float]:
        store = Slow(takes)
        board = Board(
            Link(Path()),  # type: ignore[arg-type]
            store,
            policy,
            Around(),
            agents=lambda: [EndpointId("1001")],
            active=lambda: True,
            now=lambda: datetime.now(UTC),
            clock=loop.time,
        )
        board.look_again()
        running = asyncio.ensure_future(board.run())
        await asyncio.sleep(2.0)
        store.began.clear()
        began = loop.time()
        for moment in events:
            await asyncio.sleep(began + moment - loop.time())
            board.on_device(EndpointId("1001"))
        await asyncio.sleep(0.6)
        running.cancel()
        return [moment - began for moment in store.began]

    return loop.run(live())


def test_the_first_event_after_a_silence_is_written_at_once_and_what_follows_together(loop: JumpingLoop) -> None:
    burst = [0.0, 0.001, 0.01, 0.02, 0.039]
    assert written(loop, 0.002, burst) == pytest.approx([0.0, WRITE_EVERY_SECONDS], abs=TICK)


def test_a_slow_directory_is_written_to_more_seldom(loop: JumpingLoop) -> None:
    busy = [number * 0.005 for number in range(80)]
    assert written(loop, 0.02, busy)[:4] == pytest.approx([n * 2 * 0.02 for n in range(4)], abs=TICK)


def test_the_slowest_directory_is_written_to_again_after_a_while(loop: JumpingLoop) -> None:
    assert written(loop, 0.25, [0.0, 0.01]) == pytest.approx([0.0, 0.25 + LONGEST_REST_SECONDS], abs=TICK)


def test_what_the_daemons_say_is_handed_out_at_once_and_the_directory_goes_along(loop: JumpingLoop) -> None:
    async def live() -> list[tuple[float, int]]:
        """When frames were handed out, and with how many objects."""
        frames: list[tuple[float, int]] = []

        class Seen(Outbox):
            def offer(self, frame: str, objects: tuple[Any, ...]) -> None:  # noqa: ARG002 - as the real one is called
                frames.append((loop.time(), len(objects)))

        hub = Hub()
        hub.join(Viewer(sees_all=True), Wish(KINDS), Seen())
        running = asyncio.ensure_future(hub.run())
        hub.put(Kind.AGENT, "ana", {"paused": True})
        await asyncio.sleep(0.01)
        hub.put(Kind.AGENT, "ben", {"state": "paused"})
        hub.hasten()  # at 0.01: with the directory's change
        await asyncio.sleep(0.002)
        hub.put(Kind.AGENT, "ben", {"state": "ready"})
        hub.hasten()  # the next one rests first
        await asyncio.sleep(1.0)
        hub.put(Kind.AGENT, "ana", {"paused": False})  # no daemon says anything
        await asyncio.sleep(1.0)
        running.cancel()
        return frames

    frames = loop.run(live())
    assert [objects for _, objects in frames] == [2, 1, 1]
    expected = [0.01, 0.01 + hubs.REST_SECONDS, 1.012 + hubs.FLUSH_SECONDS]
    assert [moment for moment, _ in frames] == pytest.approx(expected, abs=TICK)


def test_many_changes_of_the_directory_are_read_together(loop: JumpingLoop) -> None:
    async def live() -> int:
        """How often the directory was read in a second in which it was changed all the time."""
        reads = 0

        class Directory:
            async def rows(self, function: str, *_: object) -> list[tuple[str, list[str]]]:
                nonlocal reads
                reads += function == "api_changes"
                return [("", [])] if function == "api_changes" else []

        reader = Reader(Directory(), Hub())  # type: ignore[arg-type]
        running = asyncio.ensure_future(reader.run())
        for _ in range(200):
            reader.directory_changed()
            await asyncio.sleep(0.005)
        running.cancel()
        return reads

    assert loop.run(live()) == pytest.approx(1 / DIRECTORY_REST_SECONDS, abs=2)
