"""`agentbridge check`: everything that must be right before the daemon can do its work."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.check.findings import Finding
from agentbridge.cli.options import ConfigPath, Json, awaited, log_to_stderr


def register(app: typer.Typer) -> None:
    app.command()(check)


def check(
    config: ConfigPath = None,
    as_json: Json = False,
    asterisk_etc: Annotated[
        Path | None, typer.Option(help="Asterisk's configuration; else Asterisk is asked for it.")
    ] = None,
    daemon_user: Annotated[
        str | None, typer.Option(help="As whom the daemon runs; else the user that the systemd unit names.")
    ] = None,
) -> None:
    """Look at everything and say what is to be done: 0 when nothing is, 1 with findings.

    What could not be looked at is said as `not_seen`, and is no fault by itself.
    """
    # the other commands don't wait for what it imports
    from agentbridge.cli.check.daemon_user import DaemonUser
    from agentbridge.cli.check.everything import findings
    from agentbridge.settings import chosen_path, load

    log_to_stderr()
    try:
        daemon = DaemonUser.named(daemon_user) if daemon_user else None
    except LookupError:
        raise typer.BadParameter(f"--daemon-user: there is no user {daemon_user} on this machine") from None

    async def all_of(path: Path) -> list[Finding]:
        return [finding async for finding in findings(path, load(path), asterisk_etc, daemon)]

    found = awaited(all_of(chosen_path(config)))
    faults = sum(finding.is_fault for finding in found)
    if as_json:
        output.document([asdict(finding) for finding in found])
    else:
        _print(found, faults)
    raise typer.Exit(1 if faults else 0)


def _print(found: list[Finding], faults: int) -> None:
    """Prints the findings, and how many of them are faults."""
    for finding in found:
        for line in str(finding).splitlines():
            output.line(line)
    told = "1 finding" if faults == 1 else f"{faults} findings"
    if unseen := sum(finding.is_unseen for finding in found):
        things = "1 thing was" if unseen == 1 else f"{unseen} things were"
        output.message(f"{told}; {things} not looked at")
    else:
        output.message(told if faults else "all is well")
