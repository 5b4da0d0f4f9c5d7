"""The daemon: runs its parts until a signal, and builds them anew from the configuration at a SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NoReturn

import structlog

from agentbridge import __version__
from agentbridge.asterisk.ari.client import Ari
from agentbridge.directory.postgres import Directory
from agentbridge.errors import Unavailable
from agentbridge.service.health import Health
from agentbridge.service.http import Addresses
from agentbridge.service.parts import Parts, build
from agentbridge.service.signals import Signals
from agentbridge.settings import Settings

log = structlog.get_logger()

COLLECT_AFTER = (5000, 10, 10)
"""of Python's garbage collector: new objects, and collections of newer ones. By its default of 700 new objects a
twelfth of a cold start went into 4,700 collections; by 20,000 the daemon needs 8 MB more"""
STOP_SECONDS = 8.0
"""systemd and the administrator wait 10"""
OVERDUE_STATUS = 70
"""the exit status of a daemon of which a part did not stop; systemd starts it again"""
PRUNE_SECONDS = 60.0
PRUNE_AGAIN_SECONDS = 1.0


async def run(
    settings: Settings, reload: Callable[[], Settings], *, abandon: Callable[[int], object] = os._exit
) -> int:
    """Serves until SIGTERM or SIGINT; returns 0. SIGHUP builds everything anew from `reload()`.

    Asterisk is left as it is at a stop and at a reload: only differences are ever sent, so that building
    anew costs it nothing. abandon: ends the process at once, where a part of it does not stop.
    """
    signals = Signals()
    gc.freeze()  # what is loaded stays: with 10,000 agents a collection that walks it too takes 25 ms
    gc.set_threshold(*COLLECT_AFTER)
    wanted: Settings | None = settings
    while wanted is not None:
        log.info("daemon.started", version=__version__)
        async with built(wanted) as parts:
            serving = asyncio.create_task(serve(parts, wanted), name="bridge")
            wanted = await signals.settings_to_go_on_with(serving, reload)
            if not await _stop(serving):
                # one that does not stop may still write, and two must never work on one Asterisk
                log.critical("daemon.stop_overdue", seconds=STOP_SECONDS, reason="a part did not end: status 70")
                await asyncio.sleep(0.1)  # for the line to be written
                abandon(OVERDUE_STATUS)
    log.info("daemon.stopped")
    return 0


@contextlib.asynccontextmanager
async def built(settings: Settings) -> AsyncIterator[Parts]:
    """The daemon's parts, with connections to directory and ARI that are closed after them."""
    directory = Directory(
        settings.database.url(),
        node=settings.node.name,
        connections=settings.database.pool_size,
        deadline=settings.database.statement_seconds,
    )
    ari = Ari(
        settings.ari.url,
        settings.ari.username,
        settings.ari.password(),
        deadline=settings.ari.deadline_seconds,
    )
    async with directory, ari:
        yield build(settings, directory, ari)


async def serve(parts: Parts, settings: Settings) -> None:
    """Runs the parts until it is cancelled. A part that ends by itself is a fault and ends the rest."""
    health = Health(parts, settings.resync.seconds)
    running: dict[str, Coroutine[Any, Any, object]] = {
        "changes": parts.changes.run(),
        "asterisk": parts.node.run(),
        "reconcile": parts.reconciler.run(),
        "resync": parts.resync.run(),
        "heartbeat": health.beat(),
        "other_nodes": health.look_at_others(),
        "prune": _prune(parts.directory),
        "watchdog": health.watchdog(),
        "calls": parts.calls.run(),
        "requests": parts.requests.listen(parts.calls.requests.look),
        "telephones": parts.registrations.run(),
        "queue_nodes": parts.queue_nodes.run(),
        "locations": parts.locations.run(parts.node),
        "orphans": parts.orphans.run(),
        "trunks": parts.trunks.run(),
        "phone": parts.phone.run(),
        "addresses": Addresses(settings.http.bind, health).run(),
    }
    if settings.phone.enabled:
        running["phone_events"] = parts.phone_events.run()
    async with asyncio.TaskGroup() as tasks:
        for name, part in running.items():
            tasks.create_task(_for_ever(name, part), name=name)
        tasks.create_task(health.ready(), name="ready")


async def _for_ever(name: str, part: Coroutine[Any, Any, object]) -> NoReturn:
    """Runs a part of the daemon. RuntimeError when it returns: the others would go on without it."""
    await part
    raise RuntimeError(f"the part {name} of the daemon has ended by itself")


async def _prune(directory: Directory) -> NoReturn:
    """Deletes what is past its retention, in small steps, soon one after the other while there is more."""
    more = False
    while True:
        await asyncio.sleep(PRUNE_AGAIN_SECONDS if more else PRUNE_SECONDS)
        more = False
        with contextlib.suppress(Unavailable):
            await directory.prune_changes()
            await directory.prune_taken_away()
            more = await directory.prune_old()


async def _stop(serving: asyncio.Task[None]) -> bool:
    """Cancels `serving`; False when it is still there after STOP_SECONDS. Raises the fault with which it ended."""
    serving.cancel()
    done, _ = await asyncio.wait((serving,), timeout=STOP_SECONDS)
    if done and not serving.cancelled() and (fault := serving.exception()):
        raise fault
    return bool(done)
