"""Signals that end or reload the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

import structlog

from agentbridge import logs
from agentbridge.errors import ConfigError
from agentbridge.service import systemd
from agentbridge.settings import Settings

log = structlog.get_logger()

AS_BEFORE = "the daemon goes on with the old configuration"


class Signals:
    """SIGTERM and SIGINT stop, SIGHUP reloads; each is kept until `settings_to_go_on_with` takes it."""

    def __init__(self) -> None:
        self._received: asyncio.Queue[signal.Signals] = asyncio.Queue(maxsize=16)
        loop = asyncio.get_running_loop()
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(which, self._note, which)
        # one that came before this waits since the process began, see agentbridge/__main__.py
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _note(self, which: signal.Signals) -> None:
        with contextlib.suppress(asyncio.QueueFull):  # sixteen reloads are on their way already
            self._received.put_nowait(which)

    async def settings_to_go_on_with(
        self, serving: asyncio.Task[None], reload: Callable[[], Settings]
    ) -> Settings | None:
        """Waits for a signal or the end of `serving`. Returns None to stop, and the new settings after SIGHUP.

        A configuration that is wrong is logged and waited past: the daemon goes on with the old one.
        """
        while True:
            received = asyncio.create_task(self._received.get())
            await asyncio.wait((serving, received), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                received.cancel()
                return None  # with the fault that ended it, for the caller to raise
            if received.result() is not signal.SIGHUP:
                systemd.stopping()
                return None
            try:
                fresh = reload()
            except ConfigError as error:
                log.error("config.refused", reason=str(error), meanwhile=AS_BEFORE, cure="correct it, then reload")
                continue
            systemd.reloading()
            logs.configure(fresh.log, fresh.node.name)
            log.info("config.reloaded")
            return fresh
