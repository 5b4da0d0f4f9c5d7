"""`agentbridge check`: everything that must be right before the daemon can do its work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agentbridge.cli import check_ami, check_ari, check_config, check_database, check_wiring, output
from agentbridge.cli.findings import Finding
from agentbridge.cli.options import ConfigPath, Json
from agentbridge.errors import AgentbridgeError
from agentbridge.settings import Settings, chosen_path, load


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
    path = chosen_path(config)
    found = asyncio.run(_all(path, load(path), asterisk_etc))
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


async def _all(path: Path, settings: Settings, etc: Path | None) -> list[Finding]:
    return [finding async for finding in findings(path, settings, etc)]


async def findings(path: Path, settings: Settings, etc: Path | None = None) -> AsyncIterator[Finding]:
    """What can still be looked at is, whatever else is away."""
    for finding in check_config.findings(path):
        yield finding
    async for finding in check_database.findings(settings):
        yield finding
    try:
        manager = await check_ami.Manager.connect(settings.ami)
    except AgentbridgeError as error:
        yield check_ami.unreachable(settings.ami, error)
        return
    try:
        async for finding in _asterisk(manager, settings, etc):
            yield finding
    finally:
        await manager.connection.close()


async def _asterisk(manager: check_ami.Manager, settings: Settings, etc: Path | None) -> AsyncIterator[Finding]:
    async for finding in check_ami.findings(manager, settings.ami):
        yield finding
    async for finding in check_ari.findings(manager, settings.ari):
        yield finding
    async for finding in check_wiring.findings(manager, await _queues(settings), etc):
        yield finding


async def _queues(settings: Settings) -> list[str]:
    try:
        return await check_database.queues(settings)
    except AgentbridgeError:
        return []  # that the database is away is a finding already
