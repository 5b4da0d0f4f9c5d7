"""As whom the daemon runs, and what that user may read: `check` itself is mostly run by root, who may read all."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

UNIT = "agentbridge.service"
NOBODY = 65534
"""stands in for the user that systemd makes up while the unit runs: nobody's files are its own either"""
PROPERTIES = ("LoadState", "User", "Group", "SupplementaryGroups")


@dataclass(frozen=True, slots=True)
class DaemonUser:
    """The system user as whom the daemon runs, to find out what it may read."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @classmethod
    def named(cls, name: str) -> DaemonUser:
        """Returns this account of the machine, with its groups. Raises LookupError."""
        account = pwd.getpwnam(name)
        return cls(name, account.pw_uid, account.pw_gid, tuple(os.getgrouplist(name, account.pw_gid)))

    @classmethod
    def of_unit(cls) -> DaemonUser | None:
        """Returns the user as whom systemd runs the unit; None where there is no such unit, or no systemd."""
        shown = _show()
        if shown.get("LoadState") != "loaded":
            return None
        name = shown.get("User") or "root"
        groups = tuple(_gid(group) for group in shown.get("SupplementaryGroups", "").split())
        try:
            account = cls.named(name)
        except LookupError:
            return cls(name, NOBODY, NOBODY, groups)
        return cls(name, account.uid, account.gid, (*account.groups, *groups))

    @property
    def can_be_asked(self) -> bool:
        """Whether this process may look as that user."""
        return os.geteuid() in (0, self.uid)

    def may(self, path: Path, *, listed: bool) -> bool:
        """Whether this user may enter the folder and, with `listed`, list what is in it. Runs `test` as that user."""
        reading = ("-a", "-r", str(path)) if listed else ()
        command = ("test", "-x", str(path), *reading)
        if os.geteuid() != 0:
            return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - no shell takes part
        as_user = {"user": self.uid, "group": self.gid, "extra_groups": list(self.groups)}
        return subprocess.run(command, check=False, cwd="/", **as_user).returncode == 0  # type: ignore[call-overload,no-any-return]  # noqa: S603


def _show() -> dict[str, str]:
    """Returns the unit's properties by systemctl; {} where there is no systemd."""
    command = ("systemctl", "show", UNIT, *(f"--property={name}" for name in PROPERTIES))
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return {}
    pairs = (line.partition("=") for line in shown.stdout.splitlines())
    return {name: value for name, _, value in pairs}


def _gid(group: str) -> int:
    """Returns the group's number; NOBODY for an unknown group, with which systemd would not start the unit."""
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return NOBODY
