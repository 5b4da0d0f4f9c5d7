"""`agentbridge agent login|logout|pause|unpause`: what agents do, and whether Asterisk has it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentbridge.cli import output
from agentbridge.cli.directory.agents import Username
from agentbridge.cli.options import ConfigPath, acting_user, awaited, connected, settings_of
from agentbridge.directory import authority
from agentbridge.directory.connecting import Connection, transaction, translated
from agentbridge.errors import Unavailable

if TYPE_CHECKING:
    from agentbridge.settings import Settings

LOOK_SECONDS = 0.5
"""without a notification, as behind a pooler: what a lost one costs at most"""
Source = Annotated[
    Literal["web", "phonebar", "phone", "admin"], typer.Option(help="As whom: an administrator may always act.")
]
Wait = Annotated[bool, typer.Option("--wait", help="End when Asterisk has it.")]
Timeout = Annotated[float, typer.Option(min=0.1, max=600, help="Seconds to wait at most.")]
Queue = Annotated[str | None, typer.Option(help="In this queue alone.")]


@dataclass(frozen=True, slots=True)
class Verb:
    """A call of one of the directory's SQL functions for an agent: `call` takes the username as $1, then `arguments`.

    `done` is what is printed afterwards.
    """

    call: str
    arguments: tuple[str | None, ...]
    done: str
    """what is so afterwards"""


def register(app: typer.Typer) -> None:
    for command in (login, logout, pause, unpause):
        app.command()(command)


def login(
    username: Username,
    telephone: Annotated[str | None, typer.Option(help="The telephone of a hot-desk agent.")] = None,
    source: Source = "admin",
    steal: Annotated[bool, typer.Option("--steal", help="Take the telephone from another agent.")] = False,
    wait: Wait = False,
    timeout: Timeout = 10.0,
    config: ConfigPath = None,
) -> None:
    """Log an agent in."""
    call = f"agentbridge.login($1, $2, $3, steal => {'true' if steal else 'false'})"
    _run(config, username, Verb(call, (telephone, source), "logged in"), timeout if wait else None)


def logout(
    username: Username, source: Source = "admin", wait: Wait = False, timeout: Timeout = 10.0, config: ConfigPath = None
) -> None:
    """Log an agent out."""
    verb = Verb("agentbridge.logout($1, $2)", (source,), "logged out")
    _run(config, username, verb, timeout if wait else None)


def pause(
    username: Username,
    reason: Annotated[str | None, typer.Option(help="Why, as reports show it.")] = None,
    queue: Queue = None,
    source: Source = "admin",
    wait: Wait = False,
    timeout: Timeout = 10.0,
    config: ConfigPath = None,
) -> None:
    """Put an agent on pause, in all queues or in one."""
    verb = Verb("agentbridge.pause($1, $2, $3, $4)", (reason, queue, source), "on pause")
    _run(config, username, verb, timeout if wait else None)


def unpause(
    username: Username,
    queue: Queue = None,
    source: Source = "admin",
    wait: Wait = False,
    timeout: Timeout = 10.0,
    config: ConfigPath = None,
) -> None:
    """End an agent's pause."""
    verb = Verb("agentbridge.unpause($1, $2, $3)", (queue, source), "not on pause")
    _run(config, username, verb, timeout if wait else None)


def _run(config: Path | None, username: str, verb: Verb, wait_seconds: float | None) -> None:
    awaited(_act(settings_of(config), username, verb, wait_seconds))


async def _act(settings: Settings, username: str, verb: Verb, wait_seconds: float | None) -> None:
    """Calls the verb's function, prints what it did and, if asked to, waits until Asterisk has it. Raises Refused or
    Unavailable."""
    async with connected(settings) as connection:
        with translated():
            async with transaction(connection, deadline=settings.database.statement_seconds):
                await authority.must_manage(connection, acting_user(), [username])
                changed = await connection.fetchval(f"select {verb.call}", username, *verb.arguments)
            output.message(f"{username} is {verb.done}" if changed else f"{username} was {verb.done} already")
            if wait_seconds is not None:
                took = await _wait_until_applied(connection, username, wait_seconds)
                output.message(f"Asterisk has it, after {took * 1000:.0f} ms")


async def _wait_until_applied(connection: Connection, username: str, wait_seconds: float) -> float:
    """Waits until every node has carried out the agent's changes; returns the seconds. Raises Unavailable with what is
    known."""
    import asyncio

    from agentbridge.directory.listening import APPLIED_CHANNEL

    began = time.monotonic()
    news = asyncio.Event()
    await connection.add_listener(APPLIED_CHANNEL, lambda *_: news.set())
    while (waited := time.monotonic() - began) < wait_seconds:
        news.clear()
        row = await connection.fetchrow(
            "select applied_at, error, waits_for from agentbridge.agent_status where username = $1", username
        )
        if row is not None and row["applied_at"] is not None:
            return waited
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(LOOK_SECONDS, max(0.0, wait_seconds - waited))):
                await news.wait()
    why = (row and (row["error"] or row["waits_for"])) or await _ill(connection)
    raise Unavailable(f"it is in the directory, but not in Asterisk within {wait_seconds:g} s: {why}")


async def _ill(connection: Connection) -> str:
    """Returns which nodes are not well, and why; what else to look at where all are."""
    rows = await connection.fetch("select node, trouble from agentbridge.node_status where trouble <> '' order by node")
    told = "; ".join(f"node {row['node']}: {row['trouble']}" for row in rows)
    return told or "no daemon has done it; `agentbridge status` tells more"
