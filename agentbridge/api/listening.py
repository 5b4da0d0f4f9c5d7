"""Notifications of PostgreSQL, over one connection that comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import structlog

from agentbridge.directory.connecting import connect, translated
from agentbridge.errors import Unavailable
from agentbridge.reconnecting import Waits, keep_connected

log = structlog.get_logger()

WAITS = Waits(first=0.2, longest=5.0)
PROBE_SECONDS = 5.0
"""between two signs of life: a server that hangs does not end the connection by itself"""


class Listener:
    """Listens to PostgreSQL's notifications on one connection, which is opened again, and calls who asked for a
    channel.

    `on` before `run`. Callbacks are called in the event loop; so is `on_up` after each connect, since earlier
    notifications are lost.
    """

    def __init__(self, dsn: str, *, deadline: float) -> None:
        self._dsn = dsn
        self._deadline = deadline
        self._heard: dict[str, Callable[[str], None]] = {}
        self._on_up: list[Callable[[], None]] = []
        self._lost_told = False
        self.up = False

    def on(self, channel: str, heard: Callable[[str], None]) -> None:
        """Has `heard` called with the text of each notification of the channel, in place of who was called before."""
        self._heard[channel] = heard

    def on_up(self, came_up: Callable[[], None]) -> None:
        self._on_up.append(came_up)

    async def run(self) -> NoReturn:
        await keep_connected(self._session, WAITS, errors=Unavailable, on_failure=self._tell_lost)

    async def _session(self) -> None:
        """Listens on one connection until it is lost. Raises Unavailable where it was never up."""
        connection = await connect(self._dsn, deadline=self._deadline, name="agentbridge api listener")
        gone = asyncio.Event()
        connection.add_termination_listener(lambda *_: gone.set())
        try:
            with translated():
                for channel in self._heard:
                    await connection.add_listener(channel, self._dispatch)
            self._came_up()
            while not gone.is_set():
                try:
                    async with asyncio.timeout(PROBE_SECONDS):
                        await gone.wait()
                except TimeoutError:
                    with translated():
                        await connection.execute("select", timeout=self._deadline)
        except Unavailable as lost:
            if not self.up:
                raise
            self._tell_lost(lost)
        finally:
            self.up = False
            connection.terminate()

    def _came_up(self) -> None:
        """Calls `on_up`, since the connection listens from now on."""
        log.info("database.connected")
        self.up, self._lost_told = True, False
        for came_up in self._on_up:
            came_up()

    def _tell_lost(self, reason: BaseException) -> None:
        """Logs that the connection is lost, once for each outage."""
        if not self._lost_told:
            log.warning(
                "database.lost", reason=str(reason), meanwhile="the HTTP API hears of no change, and tries again"
            )
        self._lost_told = True

    def _dispatch(self, _connection: Any, _process: int, channel: str, payload: Any) -> None:
        self._heard[channel](str(payload))
