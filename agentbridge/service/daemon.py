"""The daemon: the only place that builds things and says who tells whom."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import structlog

from agentbridge import __version__, logs, metrics
from agentbridge.asterisk.ami.link import Account
from agentbridge.asterisk.ari.channels import Channels
from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.ari.events import AriEvents
from agentbridge.asterisk.calls.watch import CallWatch
from agentbridge.asterisk.node import Hooks, Node
from agentbridge.asterisk.observed.contacts import ContactHooks
from agentbridge.desired.state import SipDefaults
from agentbridge.directory.changes import Changes, Pulse
from agentbridge.directory.lineage import Memory
from agentbridge.directory.live import LiveTables
from agentbridge.directory.postgres import Directory, Heartbeat
from agentbridge.directory.recordings import CallLedger
from agentbridge.directory.requests import RequestDesk
from agentbridge.directory.telephones import PhoneDesk, Telephones
from agentbridge.errors import ConfigError, Unavailable
from agentbridge.model import ALL_KEYS, EndpointId, QueueName, Reading
from agentbridge.phone.registrations import Registrations
from agentbridge.phone.service import APP, PhoneService
from agentbridge.plan.limit import Limit
from agentbridge.reconcile.pace import Pace
from agentbridge.reconcile.reconciler import Reconciler
from agentbridge.reconcile.resync import Resync
from agentbridge.reconcile.work_queue import Cause
from agentbridge.service import systemd
from agentbridge.service.http import Addresses, Readiness
from agentbridge.settings import Settings

log = structlog.get_logger()

STOP_SECONDS = 8.0
"""systemd and the administrator wait 10"""
OVERDUE_STATUS = 70
"""the exit status of a daemon of which a part did not stop; systemd starts it again"""
HEARTBEAT_SECONDS = 2.0
LOOK_SECONDS = 0.25
PRUNE_SECONDS = 60.0
PRUNE_AGAIN_SECONDS = 1.0
READY_WITHIN_SECONDS = 15.0
"""after that the service counts as started, though a server is still away: it will come"""
LATELY_SECONDS = 60.0
"""beyond two intervals: a comparison of thousands of endpoints takes its time"""
STUCK_SECONDS = 300.0
"""a pass that stands still this long is a bug, and systemd's watchdog may end it"""


class Bridge:
    """One PostgreSQL, one Asterisk, and the loop between them, for one set of settings."""

    def __init__(self, settings: Settings, directory: Directory, ari: Ari) -> None:
        self._settings = settings
        self._directory = directory
        self._registrations = Registrations(
            Telephones(directory.transaction, settings.node.name),
            settings.hot_desk,
            is_telephone=lambda key: self._node.is_telephone(key),
            active=lambda: self._changes.up,
            clock=time.monotonic,
        )
        self._node = Node(
            Account(
                host=settings.ami.host,
                port=settings.ami.port,
                username=settings.ami.username,
                secret=settings.ami.password(),
            ),
            ari,
            Hooks(
                changed=self._drifted,
                autopaused=self._autopaused,
                stale=lambda: self._resync.now(),
                contacts=ContactHooks(
                    changed=self._registrations.changed,
                    turned_away=self._registrations.turned_away,
                    all_read=self._registrations.all_read,
                    unknown=self._registrations.unknown,
                ),
                call=lambda event: self._calls.on_event(event),
                policy=lambda path, value: self._calls.on_policy(path, value),
            ),
        )
        channels = Channels(ari)
        self._requests = RequestDesk(
            directory,
            settings.database.url(),
            node=settings.node.name,
            deadline=settings.database.statement_seconds,
        )
        self._calls = CallWatch(
            self._node,
            CallLedger(directory, node=settings.node.name),
            LiveTables(directory, node=settings.node.name),
            self._requests,
            channels,
            active=lambda: self._changes.up,
            resume_after=settings.recording.resume_after_seconds,
            settled=lambda: not self._reconciler.work,
        )
        self._desk = PhoneDesk(directory.transaction)
        self._changes = Changes(
            settings.database.url(),
            node=settings.node.name,
            on_keys=self._hinted,
            on_up=self._obeyed,
            on_down=self._frozen,
            on_applied=self._desk.look,
            memory=Memory(_state_file(), time.monotonic),
            pulse=Pulse(poll_seconds=settings.database.poll_seconds, deadline_seconds=settings.database.probe_seconds),
        )
        self._reconciler = Reconciler(
            directory,
            self._node,
            Pace(self._node.depth, clock=time.monotonic, ceiling=settings.pace.ceiling),
            sip=SipDefaults(realm=settings.sip.realm, qualify_seconds=settings.sip.qualify_seconds),
            limit=Limit(share=settings.limits.removals_share, at_least=settings.limits.removals_at_least),
            clock=time.monotonic,
        )
        self._phone = PhoneService(self._desk, channels, settings.phone)
        self._phone_events = AriEvents(
            settings.ari.url,
            settings.ari.username,
            settings.ari.password(),
            app=APP,
            wanted=lambda: self._settings.phone.enabled and self._changes.up,
            on_event=self._phone.event,
            on_up=self._phone.up,
            on_down=self._phone.down,
        )
        self._resync = Resync(
            self._look_again,
            wanted=lambda: self._changes.up,
            every=settings.resync.seconds,
            clock=time.monotonic,
        )
        self._addresses = Addresses(settings.http.bind, self)
        self._started_at = datetime.now(UTC)

    async def run(self) -> None:
        """Until it is cancelled. A part that ends by itself is a fault and ends the rest."""
        async with asyncio.TaskGroup() as parts:
            for name, part in {
                "changes": self._changes.run(),
                "asterisk": self._node.run(),
                "reconcile": self._reconciler.run(),
                "resync": self._resync.run(),
                "heartbeat": self._heartbeat(),
                "prune": self._prune(),
                "watchdog": self._watchdog(),
                "calls": self._calls.run(),
                "requests": self._requests.listen(self._calls.requests.look),
                "telephones": self._registrations.run(),
                "phone": self._phone.run(),
                "phone_events": self._phone_events.run(),
                "addresses": self._addresses.run(),
            }.items():
                parts.create_task(_for_ever(name, part), name=name)
            parts.create_task(self._ready(), name="ready")

    # ------------------------------------------------------------ who tells whom

    def _hinted(self, keys: set[EndpointId], reading: Reading | None) -> None:
        self._directory.hinted = self._changes.snapshot
        if ALL_KEYS in keys:
            self._reconciler.everything_changed()
            self._resync.now()
        self._reconciler.mark(keys - {ALL_KEYS}, Cause.CHANGE, reading)

    def _drifted(self, key: EndpointId) -> None:
        self._reconciler.mark([key], Cause.EVENT)

    def _autopaused(self, key: EndpointId, queue: QueueName) -> None:
        self._reconciler.autopaused(key, queue)

    def _obeyed(self) -> None:
        self._directory.obey(self._changes.lineage)
        self._directory.hinted = self._changes.snapshot
        self._resync.now()

    def _frozen(self, _reason: str) -> None:
        """Without the directory Asterisk stays as it is."""
        self._reconciler.suspend()
        self._directory.obey(None)

    # ------------------------------------------------------------ what goes on for ever

    async def _look_again(self) -> None:
        since = self._reconciler.token()
        await self._node.read_all()
        await self._reconciler.resync(since)
        self._calls.look_again()

    async def _heartbeat(self) -> None:
        """At intervals, and soon when the state changes, so that `status` does not tell of what is over."""
        sent, told = 0.0, ""
        while True:
            now, state = time.monotonic(), self._summary()
            if state != told or now - sent >= HEARTBEAT_SECONDS:
                with contextlib.suppress(Unavailable):  # the changes' connection says that the database is lost
                    await self._directory.heartbeat(self._beat())
                systemd.status(state)
                sent, told = now, state
            await asyncio.sleep(LOOK_SECONDS)

    def _beat(self) -> Heartbeat:
        return Heartbeat(
            started_at=self._started_at,
            snapshot=self._changes.snapshot,
            asterisk_up=self._node.up,
            lag_seconds=self._changes.lag_seconds,
            pending=self._pending(),
            failed=len(self._reconciler.failed),
            version=__version__,
            lacks=tuple(self._node.lacks),
            taken=tuple(sorted(self._reconciler.taken)),
        )

    def _pending(self) -> int:
        """A look at everything that could not be taken counts as one: what it would find is not known."""
        return len(self._reconciler.work) + bool(self._resync.postponed)

    def _summary(self) -> str:
        asterisk = "up" if self._node.up else "away"
        counts = f"{self._pending()} pending, {len(self._reconciler.failed)} failed"
        return f"database {self._database_state()}, Asterisk {asterisk}, {counts}"

    def _database_state(self) -> str:
        changes = self._changes
        return "up" if changes.up else "standby" if changes.standby else "older" if changes.older else "away"

    # ------------------------------------------------------------ what the addresses tell

    def readiness(self) -> Readiness:
        lately = 2 * self._settings.resync.seconds + LATELY_SECONDS
        old = time.monotonic() - self._resync.done_at > lately
        return Readiness(
            directory=self._database_state(),
            asterisk="up" if self._node.up else "away",
            comparison=self._resync.postponed or ("not lately" if old else "done"),
        )

    def turns(self) -> bool:
        return self._reconciler.stuck_seconds() < STUCK_SECONDS

    def measure(self) -> None:
        metrics.PENDING_KEYS.set(self._pending())
        metrics.FAILED_KEYS.set(len(self._reconciler.failed))
        metrics.set_database_state(self._database_state())
        metrics.BUILD_INFO.labels(__version__).set(1)

    # ------------------------------------------------------------ start and watchdog

    async def _prune(self) -> None:
        """Small steps, soon one after the other while there is more."""
        more = False
        while True:
            await asyncio.sleep(PRUNE_AGAIN_SECONDS if more else PRUNE_SECONDS)
            more = False
            with contextlib.suppress(Unavailable):
                await self._directory.prune_changes()
                await self._directory.prune_taken_away()
                more = await self._directory.prune_old()

    async def _ready(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN_SECONDS):
                await self._resync.done.wait()
        systemd.ready()
        log.info("daemon.ready", state=self._summary())

    async def _watchdog(self) -> None:
        """Fed from progress: that this runs shows that the event loop does, and no pass may be stuck."""
        every = systemd.watchdog_seconds()
        if every is None:
            await asyncio.Event().wait()
            return
        while self._reconciler.stuck_seconds() < STUCK_SECONDS:
            systemd.watchdog()
            await asyncio.sleep(every / 3)
        log.critical("pass.stuck", seconds=round(self._reconciler.stuck_seconds()))


async def _for_ever(name: str, part: Coroutine[Any, Any, object]) -> NoReturn:
    """A part of the daemon: one that returns is a fault, since the others would go on without it."""
    await part
    raise RuntimeError(f"the part {name} of the daemon has ended by itself")


def _state_file() -> Path | None:
    """In the folder that systemd gives (StateDirectory=); without one the daemon forgets at its end."""
    folder = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(folder, "database") if folder else None


@contextlib.asynccontextmanager
async def built(settings: Settings) -> AsyncIterator[Bridge]:
    """A bridge with its connections, which are closed after it."""
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
        yield Bridge(settings, directory, ari)


async def run(
    settings: Settings, reload: Callable[[], Settings], *, abandon: Callable[[int], object] = os._exit
) -> int:
    """Serves until SIGTERM or SIGINT; returns 0. SIGHUP builds everything anew from `reload()`.

    Asterisk is left as it is at a stop and at a reload: only differences are ever sent, so that building
    anew costs it nothing. abandon: ends the process at once, where a part of it does not stop.
    """
    signals = _Signals()
    gc.freeze()  # what is loaded stays: with 10,000 agents a collection that walks it too takes 25 ms
    while True:
        log.info("daemon.started", version=__version__)
        async with built(settings) as bridge:
            serving = asyncio.create_task(bridge.run(), name="bridge")
            settings, go_on = await _until_signal(serving, signals, settings, reload)
            if not await _ended(serving):
                # one that does not stop may still write, and two must never work on one Asterisk
                log.critical("daemon.stop_overdue", seconds=STOP_SECONDS)
                await asyncio.sleep(0.1)  # for the line to be written
                abandon(OVERDUE_STATUS)
        if not go_on:
            log.info("daemon.stopped")
            return 0


class _Signals:
    """SIGTERM and SIGINT stop, SIGHUP reloads."""

    def __init__(self) -> None:
        self.wanted: asyncio.Queue[signal.Signals] = asyncio.Queue(maxsize=16)
        loop = asyncio.get_running_loop()
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(which, self._note, which)
        # one that came before this waits since the process began, see agentbridge/__main__.py
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _note(self, which: signal.Signals) -> None:
        with contextlib.suppress(asyncio.QueueFull):  # sixteen reloads are on their way already
            self.wanted.put_nowait(which)


async def _until_signal(
    serving: asyncio.Task[None], signals: _Signals, settings: Settings, reload: Callable[[], Settings]
) -> tuple[Settings, bool]:
    """The settings to go on with, and whether to go on."""
    while True:
        wanted = asyncio.create_task(signals.wanted.get())
        await asyncio.wait((serving, wanted), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            wanted.cancel()
            return settings, False  # with the fault that ended it, which _ended raises
        if wanted.result() is not signal.SIGHUP:
            systemd.stopping()
            return settings, False
        try:
            fresh = reload()
        except ConfigError as error:
            log.error("config.refused", reason=str(error))
            continue
        systemd.reloading()
        logs.configure(fresh.log, fresh.node.name)
        log.info("config.reloaded")
        return fresh, True


async def _ended(serving: asyncio.Task[None]) -> bool:
    """Stops it; False when it is still there after STOP_SECONDS. Raises the fault with which it ended."""
    serving.cancel()
    done, _ = await asyncio.wait((serving,), timeout=STOP_SECONDS)
    if done and not serving.cancelled() and (fault := serving.exception()):
        raise fault
    return bool(done)
