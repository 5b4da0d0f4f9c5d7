"""ARI's events for our Stasis application, over a websocket that comes back."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

import aiohttp
import structlog

from agentbridge import metrics
from agentbridge.reconnecting import Waits, keep_connected

log = structlog.get_logger()

MEANWHILE = "no feature code works; it is tried again for ever"

HEARTBEAT_SECONDS = 10.0
"""aiohttp closes the websocket when a ping has no answer in half of it: a hung Asterisk is noticed"""
CONNECT_SECONDS = 10.0
WAITS = Waits(first=0.25, longest=10.0)
MESSAGE_BYTES = 1 << 20

Event = Mapping[str, Any]


class StasisListener(Protocol):
    """Is told of the calls in a Stasis application. Called synchronously: a method may not block."""

    def up(self) -> None:
        """The application is ours; no call is in it yet."""
        ...

    def down(self) -> None:
        """The calls that were under way are no longer ours."""
        ...

    def event(self, event: Event) -> None:
        """An event of the application, as ARI sends it."""
        ...


class AriEvents:
    """Receives the events of a Stasis application over ARI's websocket, which is connected again when it is lost.

    While the websocket is up, Asterisk gives the calls of application `app` to us; so it is only opened while
    `wanted()`: a second websocket would take the application away from the first. listener: gets the events; what it
    raises is a bug and ends `run`.
    """

    def __init__(
        self,
        url: str,
        user: str,
        secret: str,
        *,
        app: str,
        wanted: Callable[[], bool],
        listener: StasisListener,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}
        self._app = app
        self._wanted = wanted
        self._listener = listener
        self._heartbeat = heartbeat
        self._last_failure = ""
        self.up = False

    async def run(self) -> NoReturn:
        """Keeps the websocket connected, until it is cancelled."""
        async with aiohttp.ClientSession(headers=self._headers) as http:

            async def session() -> None:
                if self._wanted():
                    await self._listen(http)

            await keep_connected(
                session, WAITS, errors=(aiohttp.ClientError, TimeoutError, OSError), on_failure=self._report
            )

    async def _listen(self, http: aiohttp.ClientSession) -> None:
        """Connects and hands events to the listener until the websocket ends. Raises what aiohttp raises."""
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await http.ws_connect(
                f"{self._url}/events",
                params={"app": self._app},
                heartbeat=self._heartbeat,
                max_msg_size=MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )
        async with socket:
            self.up, self._last_failure = True, ""
            metrics.link_up("ari-events")
            log.info("ari.connected", app=self._app)
            self._listener.up()
            try:
                await self._receive(socket)
            finally:
                self.up = False
                metrics.link_down("ari-events")
                self._listener.down()
        reason = str(socket.exception() or f"closed with {socket.close_code}")
        log.warning("ari.lost", app=self._app, reason=reason, meanwhile=MEANWHILE)

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Hands events to the listener until the websocket ends."""
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and (event := _event(message.data)) is not None:
                self._listener.event(event)

    def _report(self, error: BaseException) -> None:
        """Logs why the websocket could not be opened; the same reason only once."""
        reason = f"{type(error).__name__}: {error}"
        if reason != self._last_failure:  # once, and not at every try of a long outage
            log.warning("ari.unavailable", app=self._app, reason=reason, meanwhile=MEANWHILE)
        self._last_failure = reason


def _event(text: str) -> Event | None:
    """Parses a message of the websocket; returns None for one that is no JSON object."""
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
