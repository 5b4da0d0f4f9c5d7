"""Requests about running calls: asked for in the directory, carried out by the daemon that has the call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentbridge.cli.options import acting_user, awaited, connected, directory_settings_of, log_to_stderr
from agentbridge.directory.connecting import Connection, translated
from agentbridge.errors import Refused

if TYPE_CHECKING:
    from agentbridge.settings import DirectorySettings

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="A username or an internal number.")]


def ask(config: Path | None, verb: str, agents: list[str], *values: str) -> dict[str, Any]:
    """Requests `verb` for these agents' calls from the daemon that has them, and waits; returns the result.

    agents: usernames or numbers. Raises Refused with the reason when it was refused or no daemon answered in time, or
    Unavailable.
    """
    return awaited(_ask(directory_settings_of(config), verb, agents, values))


async def _ask(settings: DirectorySettings, verb: str, agents: list[str], values: tuple[str, ...]) -> dict[str, Any]:
    """Requests `verb` for these agents' calls and waits; returns the result. Raises Refused or Unavailable."""
    # the other commands don't need what it imports
    from agentbridge.directory.requests import answer_to

    log_to_stderr()
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
    from agentbridge.directory import recordings

    with translated():
        found = await recordings.agent_of(connection, agent)
    if found is None:
        raise Refused(f"{agent}: there is no agent with this username or number")
    return found[0]
