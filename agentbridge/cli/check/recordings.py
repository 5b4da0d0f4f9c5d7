"""Findings about the folder of recordings: the daemon measures each file there when its call has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from agentbridge.cli.check.daemon_user import UNIT, DaemonUser
from agentbridge.cli.check.findings import Finding, not_seen
from agentbridge.cli.check.inspection import Inspection, folder

OURS = "agentbridge"


async def findings(inspection: Inspection, given: DaemonUser | None) -> AsyncIterator[Finding]:
    """Checks whether the daemon's user may read the folder of recordings, where it measures each file."""
    spool = folder(inspection.core, "Spool directory")
    if spool is None:
        return  # the console could not be asked, which is said already
    daemon = given or DaemonUser.of_unit()
    if daemon is None:
        yield not_seen(
            "recordings",
            f"whether the daemon may read {spool}/monitor: there is no {UNIT} on this machine",
            "install the unit first, or name the daemon's user: `agentbridge check --daemon-user NAME`",
        )
        return
    if not daemon.can_be_asked:
        yield not_seen(
            "recordings", f"whether {daemon.name} may read {spool}/monitor: only root can", "run `check` as root"
        )
        return
    if closed := _closed(daemon, spool / "monitor" / OURS):
        yield Finding(
            "recordings.closed",
            f"the daemon's user {daemon.name} may not read {closed}: no recording gets an end or a size, and none is "
            "found again after a restart",
            f"`systemctl edit agentbridge`, section [Service]: SupplementaryGroups={_group_of(closed)}; "
            "then `systemctl restart agentbridge`",
        )


def _closed(daemon: DaemonUser, path: Path) -> Path | None:
    """Returns the first folder on the way that this user may not enter, or the last when it may not be listed; else
    None."""
    for step in (*reversed(path.parents), path):
        if not daemon.may(step, listed=step == path):
            return step if _there(step) else None
    return None


def _there(path: Path) -> bool:
    """Whether the path exists; False before the first recording, when Asterisk has not made its folder yet."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _group_of(path: Path) -> str:
    """Returns the name of the group that the path belongs to."""
    try:
        return path.group()
    except (OSError, KeyError):
        return "asterisk"
