"""What the daemon does when a part of it ends by itself, or does not end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from structlog.testing import capture_logs

from agentbridge.service import daemon
from agentbridge.settings import Settings


async def test_a_part_that_returns_is_a_fault() -> None:
    async def returns() -> None:
        return

    with pytest.raises(RuntimeError, match="the part lamps of the daemon has ended by itself"):
        await daemon._for_ever("lamps", returns())


class Stubborn:
    """A bridge of which a part swallows its cancellation."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.let_go = asyncio.Event()

    async def run(self) -> None:
        self.running.set()
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue


async def test_a_reload_never_leaves_two_bridges_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    bridges: list[Stubborn] = []
    left: list[int] = []

    class AbandonedError(Exception):
        pass

    @asynccontextmanager
    async def built(_settings: Settings) -> AsyncIterator[Stubborn]:
        bridges.append(Stubborn())
        yield bridges[-1]

    class Reload:
        async def settings_to_go_on_with(self, *_: object) -> Settings:
            await bridges[-1].running.wait()
            return cast(Settings, object())

    async def serve(bridge: Stubborn, _settings: Settings) -> None:
        await bridge.run()

    def abandon(status: int) -> None:
        left.append(status)
        raise AbandonedError

    monkeypatch.setattr(daemon, "built", built)
    monkeypatch.setattr(daemon, "serve", serve)
    monkeypatch.setattr(daemon, "Signals", Reload)
    monkeypatch.setattr(daemon, "STOP_SECONDS", 0.1)
    with capture_logs() as lines, pytest.raises(AbandonedError):
        await daemon.run(cast(Settings, object()), lambda: cast(Settings, None), abandon=abandon)
    assert left == [daemon.OVERDUE_STATUS]
    assert len(bridges) == 1
    assert "daemon.stop_overdue" in [line["event"] for line in lines]
    bridges[0].let_go.set()
