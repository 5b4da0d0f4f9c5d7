"""The daemon's own three addresses: /healthz, /readyz and /metrics. They hold no secret and change nothing."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import NoReturn, Protocol

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from agentbridge import metrics
from agentbridge.settings.http import split_address

log = structlog.get_logger()

UNWATCHED = "goes on without /healthz, /readyz and /metrics; tries again"

RETRY_SECONDS = 5.0
"""until the address is tried again when somebody else has it"""
SHUTDOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Each part that must be well before this daemon counts as ready, and what is not."""

    directory: str
    """`up`, or `standby`, `older`, `away`"""
    asterisk: str
    """`up` or `away`"""
    comparison: str
    """`done`, or why directory and Asterisk have not been compared lately"""

    @property
    def ready(self) -> bool:
        return (self.directory, self.asterisk, self.comparison) == ("up", "up", "done")


class Served(Protocol):
    """What the addresses tell of."""

    def readiness(self) -> Readiness: ...

    def turns(self) -> bool:
        """False when a pass stands still, so that only a restart helps."""
        ...

    def measure(self) -> None:
        """Brings the gauges of agentbridge.metrics up to date."""
        ...


class Addresses:
    """`run` serves on `bind` until it is cancelled. An address that is taken is reported and tried again: calls do
    not depend on it."""

    def __init__(self, bind: str, served: Served) -> None:
        self._bind = bind
        self._served = served
        self._told = ""

    async def run(self) -> NoReturn:
        """Serves until it is cancelled, and tries again while the address is taken; without `bind` it only waits."""
        if not self._bind:
            await asyncio.Event().wait()
        app = web.Application()
        app.add_routes(
            [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz), web.get("/metrics", self._metrics)]
        )
        # handlers answer at once; nothing is worth a line a scrape
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        host, port = split_address(self._bind)
        try:
            while not await self._listens(runner, host, port):  # noqa: ASYNC110 - nobody tells when it is free
                await asyncio.sleep(RETRY_SECONDS)
            log.info("http.listening", bind=self._bind)
            while True:
                await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _listens(self, runner: web.AppRunner, host: str, port: int) -> bool:
        """Tries to listen. Returns False where the address is taken, which is logged once."""
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            if str(error) != self._told:
                log.warning(
                    "http.unavailable", bind=self._bind, reason=error.strerror or str(error), meanwhile=UNWATCHED
                )
            self._told = str(error)
            return False
        return True

    async def _healthz(self, _: web.Request) -> web.Response:
        turns = self._served.turns()
        return web.json_response({"turns": turns}, status=200 if turns else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        found = self._served.readiness()
        return web.json_response({"ready": found.ready, **asdict(found)}, status=200 if found.ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        self._served.measure()
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
