"""All that `check` looks at, in its order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from agentbridge.cli.check import (
    ami,
    ari,
    config,
    database,
    files,
    modules,
    nodes,
    queues_and_dialplan,
    recordings,
    sip,
    versions,
    webrtc,
)
from agentbridge.cli.check.daemon_user import DaemonUser
from agentbridge.cli.check.findings import Finding, not_seen
from agentbridge.cli.check.inspection import Inspection
from agentbridge.errors import AgentbridgeError
from agentbridge.settings import Settings

CAUGHT = (AgentbridgeError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""what an area may meet when a server goes away or refuses in the middle of it; anything else is a bug of ours"""


async def findings(
    path: Path, settings: Settings, etc: Path | None = None, daemon: DaemonUser | None = None
) -> AsyncIterator[Finding]:
    """Runs all checks and yields their findings; what can't be looked at is a finding too, and the other checks go on.

    etc: Asterisk's configuration folder; None asks Asterisk for it. daemon: as whom the folder of recordings is looked
    at; None takes the user that the systemd unit names.
    """
    async for finding in _looked("configuration", config.findings(path, settings)):
        yield finding
    async for finding in _looked("database", database.findings(settings)):
        yield finding
    try:
        manager = await ami.Manager.connect(settings.ami)
    except AgentbridgeError as error:
        yield ami.unreachable(settings.ami, error, etc)
        yield not_seen("asterisk", "AMI let nobody in", "mend that, and run `agentbridge check` again")
        return
    try:
        async for finding in _asterisk(manager, settings, etc, daemon):
            yield finding
    finally:
        manager.close()


async def _asterisk(
    manager: ami.Manager, settings: Settings, etc: Path | None, daemon: DaemonUser | None
) -> AsyncIterator[Finding]:
    """Runs the checks of Asterisk, area by area; what can't be looked at is a finding too."""
    try:
        wanted = await database.wanted(settings)
    except CAUGHT as error:
        wanted = database.Wanted()
        yield not_seen(
            "wiring", f"what the directory asks of Asterisk could not be read ({_line(error)})", "mend the database"
        )
    inspection = await Inspection.of(manager, settings, wanted, etc)
    if not manager.has_console:
        yield not_seen(
            "console",
            "the AMI account may not give commands: modules, dialplan, SIP, WebRTC, log levels, spool",
            f"in manager.conf, section [{settings.ami.username}]: write = {','.join(ami.WRITE)}; then `manager reload`",
        )
    for area, found in (
        ("ami", ami.findings(manager, settings.ami)),
        ("modules", modules.findings(inspection)),
        ("versions", versions.findings(inspection)),
        ("ari", ari.findings(inspection)),
        ("queues and dialplan", queues_and_dialplan.findings(inspection)),
        ("sip", sip.findings(inspection)),
        ("nodes", nodes.findings(inspection)),
        ("webrtc", webrtc.findings(inspection)),
        ("files", files.findings(inspection)),
        ("recordings", recordings.findings(inspection, daemon)),
    ):
        async for finding in _looked(area, found):
            yield finding


async def _looked(area: str, found: AsyncIterator[Finding]) -> AsyncIterator[Finding]:
    """Yields an area's findings; an error while looking becomes a finding."""
    try:
        async for finding in found:
            yield finding
    except CAUGHT as error:
        yield not_seen(area, f"not all of it, for {_line(error)}", "mend that, and run `agentbridge check` again")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
