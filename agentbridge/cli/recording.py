"""`agentbridge recording`: the recordings of agents' calls, those that run and those that are kept."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.asking import Agent, ask
from agentbridge.cli.options import (
    ConfigPath,
    Json,
    Limit,
    Offset,
    acting_user,
    directory_settings_of,
    in_directory,
    log_to_stderr,
)

app = typer.Typer(help="Recordings of agents' calls.", no_args_is_help=True)


@app.command()
def pause(agent: Agent, config: ConfigPath = None) -> None:
    """Write silence from now on; the file's timeline stays, and it goes on by itself after a while."""
    found = ask(config, "recording_pause", [agent])
    seconds = directory_settings_of(config).recording.resume_after_seconds
    output.message(f"{agent}: {_files(found['files'])} paused, for {seconds:g} s at most")


@app.command()
def resume(agent: Agent, config: ConfigPath = None) -> None:
    """End the pause of a recording."""
    found = ask(config, "recording_resume", [agent])
    output.message(f"{agent}: {_files(found['files'])} going on")


@app.command()
def start(agent: Agent, config: ConfigPath = None) -> None:
    """Record the running call into one more file; prints it, below Asterisk's spool.

    For an agent that may record by hand, or whose calls are recorded anyway.
    """
    output.line(ask(config, "recording_start", [agent])["file"])


@app.command()
def stop(agent: Agent, config: ConfigPath = None) -> None:
    """End the recordings of the running call."""
    found = ask(config, "recording_stop", [agent])
    output.message(f"{agent}: {_files(found['files'])} ended")


@app.command("list")
def list_recordings(
    agent: Annotated[str, typer.Argument(metavar="[AGENT]", help="Of this agent; else of all.")] = "",
    limit: Limit = 100,
    offset: Offset = 0,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """The recordings that are kept, the newest first."""
    # the other commands don't need what it imports
    from agentbridge.directory import recordings

    log_to_stderr()
    manager = acting_user()
    rows = in_directory(
        config,
        lambda connection: recordings.listed(connection, agent, limit=limit, offset=offset, manager=manager),
    )
    output.records(rows, as_json=as_json)


def _files(count: int) -> str:
    return "1 recording is" if count == 1 else f"{count} recordings are"
