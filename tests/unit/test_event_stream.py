"""A reader of the live stream that leaves takes all that was begun for it along."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agentbridge.api.routes import events


class Silent:
    """A stream on which nothing happens."""

    def __init__(self, *_: Any) -> None:
        pass

    async def run(self) -> str:
        await asyncio.Event().wait()
        return ""


async def test_a_reader_that_leaves_while_nothing_happens_leaves_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "Stream", Silent)
    streams = SimpleNamespace(add=lambda *_: None, discard=lambda _: None)
    request: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(hub=None, database=None, streams=streams)))
    before = asyncio.all_tasks()
    wanted: Any = None
    frames: Any = events._frames(request, wanted, wanted, "", "boss")
    reading = asyncio.ensure_future(anext(frames))
    for _ in range(3):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait((reading,))
    await frames.aclose()
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
