"""What the API does beside answering: listening to the database, and sending e-mails."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import structlog
from fastapi import FastAPI

from agentbridge.api.events.reading import Reader
from agentbridge.api.listening import Listener
from agentbridge.api.problems import Problem

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """Runs the API's background tasks inside the block: listening to the database, reading live rows, sending
    e-mails."""
    state = app.state
    listener = Listener(state.database.dsn, deadline=state.settings.statement_seconds)
    listener.on("agentbridge_applied", lambda _: state.waiting.woken())
    listener.on("agentbridge_sessions", lambda text: _session_ended(app, text))
    reader = Reader(state.database, state.hub)
    checks: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected
    listener.on("agentbridge", lambda _: reader.directory_changed())
    listener.on("agentbridge_live", lambda _: reader.live_changed())
    listener.on("agentbridge_answer", lambda _: state.waiting.woken())
    listener.on("agentbridge_events", lambda text: _event(app, text))
    listener.on_up(reader.all_changed)
    listener.on_up(lambda: checks.add(asyncio.create_task(_look_for_an_administrator(app))))
    listener.on_up(state.callers.forget_all)
    state.listener, state.reader = listener, reader
    tasks = [
        asyncio.create_task(listener.run(), name="listener"),
        asyncio.create_task(state.resets.run(), name="resets"),
        asyncio.create_task(reader.run(), name="reader"),
        asyncio.create_task(state.hub.run(), name="hub"),
    ]
    for task in tasks:
        task.add_done_callback(_exit_on_end)
    try:
        yield
    finally:
        for task in (*tasks, *checks):
            task.cancel()
        await asyncio.gather(*tasks, *checks, return_exceptions=True)


def _event(app: FastAPI, text: str) -> None:
    """Sends an event about one agent to that agent's own streams."""
    try:
        told = json.loads(text)
        name, agent = str(told.pop("event")), str(told.pop("agent"))
    except (ValueError, KeyError, AttributeError):
        return  # somebody else's notification
    if name == "telephone.taken_over":
        name, told = "session.taken_over", {"by": told.get("taken_by"), "telephone": told.get("telephone")}
    app.state.hub.notify(name, lambda viewer: viewer.agent == agent, **told)


async def _look_for_an_administrator(app: FastAPI) -> None:
    """Logs what to do as long as no administrator can log in."""
    with contextlib.suppress(Problem):
        if not await app.state.database.call("api_has_administrator"):
            cure = "agentbridge user create NAME role=admin; agentbridge user password NAME"
            log.warning("api.no_administrator", meanwhile="nobody can log in to the console", cure=cure)


def _session_ended(app: FastAPI, text: str) -> None:
    """Closes the streams of a session that has ended; without its id all streams check theirs."""
    if text.isdigit():
        app.state.callers.forget(int(text))
        app.state.streams.session_ended(int(text))
    else:
        app.state.callers.forget_all()
        app.state.streams.doubt_all()


def _exit_on_end(task: asyncio.Task[None]) -> None:
    """Ends the process when a background task ends by itself, which is a fault; systemd starts it again."""
    if not task.cancelled():
        log.critical("api.part_ended", part=task.get_name(), exc_info=task.exception())
        import os
        import signal

        os.kill(os.getpid(), signal.SIGTERM)
