"""`agentbridge recording`: the recordings of agents' calls, those that run and those that are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from agentbridge.asterisk.ami.connection import Account, AmiConnection, OnEvent
from agentbridge.asterisk.ami.wire import Fields, Message
from agentbridge.asterisk.calls.recorder import Recorder
from agentbridge.cli import output
from agentbridge.cli.options import ConfigPath, Json, Limit, Offset, acting_user, connected, in_directory, settings_of
from agentbridge.directory import authority, recordings
from agentbridge.directory.connecting import translated
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId
from agentbridge.settings import Settings

T = TypeVar("T")
CONNECT_SECONDS = 10.0

app = typer.Typer(help="Recordings of agents' calls.", no_args_is_help=True)
Agent = Annotated[str, typer.Argument(metavar="AGENT", help="A username or an internal number.")]


@app.command()
def pause(agent: Agent, config: ConfigPath = None) -> None:
    """Write silence from now on; the file's timeline stays, and it goes on by itself after a while."""
    found = _act(config, agent, lambda recorder, internal: recorder.pause(internal))
    seconds = settings_of(config).recording.resume_after_seconds
    output.message(f"{agent}: {_files(len(found))} paused, for {seconds:g} s at most")


@app.command()
def resume(agent: Agent, config: ConfigPath = None) -> None:
    """End the pause of a recording."""
    found = _act(config, agent, lambda recorder, internal: recorder.resume(internal))
    output.message(f"{agent}: {_files(len(found))} going on")


@app.command()
def start(agent: Agent, config: ConfigPath = None) -> None:
    """Record the running call of an agent that may record by hand; prints the file, below Asterisk's spool."""
    output.line(_act(config, agent, lambda recorder, internal: recorder.start(internal)))


@app.command()
def stop(agent: Agent, config: ConfigPath = None) -> None:
    """End the recordings of the running call."""
    found = _act(config, agent, lambda recorder, internal: recorder.stop(internal))
    output.message(f"{agent}: {_files(len(found))} ended")


@app.command("list")
def list_recordings(
    agent: Annotated[str, typer.Argument(metavar="[AGENT]", help="Of this agent; else of all.")] = "",
    limit: Limit = 100,
    offset: Offset = 0,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """The recordings that are kept, the newest first."""
    manager = acting_user()
    rows = in_directory(
        config,
        lambda connection: recordings.listed(connection, agent, limit=limit, offset=offset, manager=manager),
    )
    output.records(rows, as_json=as_json)


def _files(count: int) -> str:
    return "1 recording is" if count == 1 else f"{count} recordings are"


def _act(config: Path | None, agent: str, act: Callable[[Recorder, EndpointId], Awaitable[T]]) -> T:
    return asyncio.run(_acted(settings_of(config), agent, act))


async def _acted(settings: Settings, agent: str, act: Callable[[Recorder, EndpointId], Awaitable[T]]) -> T:
    internal = await _internal(settings, agent)
    async with _link(settings) as link:
        return await act(Recorder(link, now=lambda: datetime.now(UTC)), internal)


async def _internal(settings: Settings, agent: str) -> EndpointId:
    """A running call can be paused without the directory as well, by the number."""
    try:
        async with connected(settings) as connection:
            with translated():
                found = await recordings.agent_of(connection, agent)
                if found is not None:
                    await authority.must_manage(connection, acting_user(), [found[0]])
    except Unavailable:
        if agent.isascii() and agent.isdigit():
            return EndpointId(agent)
        raise
    if found is None:
        raise Refused(f"{agent}: there is no agent with this username or number")
    return EndpointId(found[1])


@asynccontextmanager
async def _link(settings: Settings) -> AsyncIterator[_Link]:
    account = Account(
        host=settings.ami.host,
        port=settings.ami.port,
        username=settings.ami.username,
        secret=settings.ami.password(),
    )
    connection = await AmiConnection.connect(account, name="cli", within=CONNECT_SECONDS)
    try:
        await connection.wait_booted(CONNECT_SECONDS)
        yield _Link(connection)
    finally:
        await connection.close()


class _Link:
    """A session of our own: the daemon may be down."""

    def __init__(self, connection: AmiConnection) -> None:
        self.action = connection.action
        self._connection = connection

    async def action_list(
        self, action: str, fields: Fields = (), *, timeout: float, on_item: OnEvent | None = None
    ) -> list[Message]:
        return await self._connection.action_list(action, fields, timeout=timeout, on_item=on_item)

    async def command(self, line: str, *, timeout: float) -> str:
        return (await self.action("Command", {"Command": line}, timeout=timeout)).output
