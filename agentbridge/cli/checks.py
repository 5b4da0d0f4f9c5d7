"""All that `check` looks at, in its order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from agentbridge.cli import check_ami, check_ari, check_config, check_database, check_wiring
from agentbridge.cli.findings import Finding
from agentbridge.errors import AgentbridgeError
from agentbridge.settings import Settings


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
    async for finding in check_wiring.findings(manager, await _wanted(settings), etc):
        yield finding


async def _wanted(settings: Settings) -> check_database.Wanted:
    try:
        return await check_database.wanted(settings)
    except AgentbridgeError:
        return check_database.Wanted()  # that the database is away is a finding already
