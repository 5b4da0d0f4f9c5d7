"""Findings about the configuration file itself."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from agentbridge.cli.check.findings import Finding
from agentbridge.errors import ConfigError
from agentbridge.settings import Settings, read_toml, secrets_in


async def findings(path: Path, settings: Settings) -> AsyncIterator[Finding]:
    """Checks the configuration's files: yields secrets that others can read, and files that are missing."""
    content = read_toml(path)
    files = [path] if secrets_in(content) else []
    files += [Path(file) for group in content.values() if isinstance(group, dict) for file in _secret_files(group)]
    for file in files:
        for finding in _check_rights(file):
            yield finding
    if settings.mail.host:
        try:
            settings.mail.log_in_password()
        except ConfigError as error:
            yield Finding(
                "mail.password",
                f"{error}: no link for a new password can be sent",
                "make that file, with nothing but the password, readable for whoever runs `agentbridge agent reset`",
            )


def _check_rights(file: Path) -> Iterator[Finding]:
    """Yields a finding where others can read this file with a secret."""
    try:
        mode = file.stat().st_mode
    except OSError as error:
        # one that is needed at the start was read already; the mail server's password is read when it is used
        yield Finding(
            "config.missing_file",
            f"{file}, which agentbridge.toml names for a secret, can't be read: {error.strerror}",
            f"make it (`umask 077`, with nothing but the secret), or take the line out of agentbridge.toml: {file}",
        )
        return
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        yield Finding(
            "config.readable",
            f"{file} holds a secret and is open to others than its owner and group",
            f"chmod 640 {file}, or give the secrets as systemd credentials",
        )


def _secret_files(group: dict[str, object]) -> Iterator[str]:
    return (str(group[key]) for key in ("secret_file", "password_file") if group.get(key))
