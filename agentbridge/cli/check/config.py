"""Findings about the configuration file itself."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from agentbridge.cli.check.findings import Finding
from agentbridge.settings import read_toml, secrets_in


def findings(path: Path) -> Iterator[Finding]:
    content = read_toml(path)
    files = [path] if secrets_in(content) else []
    files += [Path(file) for group in content.values() if isinstance(group, dict) for file in _secret_files(group)]
    for file in files:
        if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            yield Finding(
                "config.readable",
                f"{file} holds a secret and is open to others than its owner and group",
                f"chmod 640 {file}, or give the secrets as systemd credentials",
            )


def _secret_files(group: dict[str, object]) -> Iterator[str]:
    return (str(group[key]) for key in ("secret_file", "password_file") if group.get(key))
