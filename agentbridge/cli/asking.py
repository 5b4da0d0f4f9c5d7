"""Requests about running calls: asked for in the directory, carried out by the daemon that has the call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from agentbridge.cli.options import acting_user, connected, directory_settings_of
from agentbridge.directory import recordings
from agentbridge.directory.connecting import Connection, translated
from agentbridge.directory.requests import answer_to
from agentbridge.errors import Refused
from agentbridge.settings import DirectorySettings

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="A username or an internal number.")]


def ask(config: Path | None, verb: str, agents: list[str], *values: str) -> dict[str, Any]:
    """Requests `verb` for these agents' calls from the daemon that has them, and waits; returns the result.

    agents: usernames or numbers. Raises Refused with the reason when it was refused or no daemon answered in time, or
    Unavailable.
    """
    return asyncio.run(_ask(directory_settings_of(config), verb, agents, values))


async def _ask(settings: DirectorySettings, verb: str, agents: list[str], values: tuple[str, ...]) -> dict[str, Any]:
    """Requests `verb` for these agents' calls and waits; returns the result. Raises Refused or Unavailable."""
    async with connected(settings) as connection:
        names = [await _username(connection, agent) for agent in agents]
        arguments = [*names, *values]
        places = ", ".join(f"${number}" for number in range(1, len(arguments) + 1))
        # the verb is one of ours, and what it is given are arguments
        query = f"SELECT agentbridge.{verb}({places}, actor => ${len(arguments) + 1})"
        with translated():
            request = await connection.fetchval(query, *arguments, acting_user() or "")
        found = await answer_to(connection, request)
    result = found["result"]
    return dict(result) if isinstance(result, dict) else {}


async def _username(connection: Connection, agent: str) -> str:
    """Returns the username of the agent with this username or number. Raises Refused where there is none."""
    with translated():
        found = await recordings.agent_of(connection, agent)
    if found is None:
        raise Refused(f"{agent}: there is no agent with this username or number")
    return found[0]
