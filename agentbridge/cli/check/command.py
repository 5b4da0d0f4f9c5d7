"""`agentbridge check`: everything that must be right before the daemon can do its work."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.check.findings import Finding
from agentbridge.cli.options import ConfigPath, Json
from agentbridge.settings import chosen_path, load


def register(app: typer.Typer) -> None:
    app.command()(check)


def check(
    config: ConfigPath = None,
    as_json: Json = False,
    asterisk_etc: Annotated[
        Path | None, typer.Option(help="Asterisk's configuration; else Asterisk is asked for it.")
    ] = None,
) -> None:
    """Look at everything and say what is to be done: 0 when nothing is, 1 with findings."""
    # the other commands don't wait for what it imports
    from agentbridge.cli.check.everything import findings

    async def all_of(path: Path) -> list[Finding]:
        return [finding async for finding in findings(path, load(path), asterisk_etc)]

    found = asyncio.run(all_of(chosen_path(config)))
    if as_json:
        output.document([asdict(finding) for finding in found])
    else:
        _print(found)
    raise typer.Exit(1 if found else 0)


def _print(found: list[Finding]) -> None:
    for finding in found:
        for line in str(finding).splitlines():
            output.line(line)
    output.message(f"{len(found)} findings" if found else "all is well")
