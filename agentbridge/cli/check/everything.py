"""All that `check` looks at, in its order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from agentbridge.cli.check import ami, ari, config, database, wiring
from agentbridge.cli.check.findings import Finding
from agentbridge.errors import AgentbridgeError
from agentbridge.settings import Settings


async def findings(path: Path, settings: Settings, etc: Path | None = None) -> AsyncIterator[Finding]:
    """What can still be looked at is, whatever else is away."""
    for finding in config.findings(path):
        yield finding
    async for finding in database.findings(settings):
        yield finding
    try:
        manager = await ami.Manager.connect(settings.ami)
    except AgentbridgeError as error:
        yield ami.unreachable(settings.ami, error)
        return
    try:
        async for finding in _asterisk(manager, settings, etc):
            yield finding
    finally:
        await manager.connection.close()


async def _asterisk(manager: ami.Manager, settings: Settings, etc: Path | None) -> AsyncIterator[Finding]:
    async for finding in ami.findings(manager, settings.ami):
        yield finding
    async for finding in ari.findings(manager, settings.ari):
        yield finding
    async for finding in wiring.findings(manager, await _wanted(settings), etc):
        yield finding


async def _wanted(settings: Settings) -> database.Wanted:
    try:
        return await database.wanted(settings)
    except AgentbridgeError:
        return database.Wanted()  # that the database is away is a finding already
