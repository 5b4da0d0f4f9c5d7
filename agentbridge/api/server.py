"""Serves the API with uvicorn, and gives no connection that sends nothing more than its time."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agentbridge.api import app as application
from agentbridge.settings import ApiSettings
from agentbridge.settings.http import split_address

log = structlog.get_logger()

HEADER_SECONDS = 10.0
"""for all of a request's headers: who sends a byte a second is not waited for"""
KEEP_ALIVE_SECONDS = 30
CONNECTIONS = 4000
STOP_SECONDS = 5
WS_MOST_BYTES = 65536


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a limit: a connection whose request's headers take too long is closed."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._waiting = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def on_headers_complete(self) -> None:
        self._waiting.cancel()
        super().on_headers_complete()

    def on_message_begin(self) -> None:
        """Starts the time that the headers of a request may take; after it the connection is closed."""
        super().on_message_begin()
        self._waiting.cancel()
        self._waiting = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.cancel()
        super().connection_lost(exc)

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def serve(settings: ApiSettings) -> int:
    """Serves the API until SIGTERM or SIGINT; returns the exit status."""
    api = settings.api
    host, port = split_address(api.bind)
    config = uvicorn.Config(
        application.create(settings),
        host=host,
        port=port,
        http=LimitedProtocol,
        ws="websockets-sansio",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(api.proxies),
        forwarded_allow_ips=api.proxies or None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        limit_concurrency=CONNECTIONS,
        ws_max_size=WS_MOST_BYTES,
        ws_max_queue=16,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        h11_max_incomplete_event_size=65536,
        ssl_certfile=api.certificate or None,
        ssl_keyfile=api.private_key or None,
    )
    server = uvicorn.Server(config)
    log.info("api.started", bind=api.bind)
    asyncio.run(server.serve())
    log.info("api.stopped")
    return 0 if server.started else 1
