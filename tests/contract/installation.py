"""A configuration for `agentbridge check`, on the servers that a test gives it."""

from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from agentbridge.cli.check.daemon_user import DaemonUser
from agentbridge.cli.check.everything import findings
from agentbridge.cli.check.findings import Finding
from agentbridge.settings import load
from lab.asterisk import Asterisk
from lab.postgres import DAEMON, as_role


@dataclass
class Installation:
    """A configuration for check, on the servers that a test gives it."""

    folder: Path
    asterisk: Asterisk
    dsn: str
    ami: dict[str, object] = field(default_factory=dict)
    ari: dict[str, object] = field(default_factory=dict)
    more: str = ""
    """sections of the configuration besides"""
    daemon: DaemonUser = field(default_factory=lambda: DaemonUser("root", 0, 0))
    """as whom the daemon runs"""
    etc: Path | None = None
    """Asterisk's folder, where `check` is told it"""
    unseen: set[str] = field(default_factory=set)
    """what the last check could not look at"""
    lacking: set[str] = field(default_factory=set)
    """what it said that this version of Asterisk has not"""

    def write(self) -> Path:
        """Writes the configuration; returns its path."""
        ami = {"port": self.asterisk.ami_port, "secret": self.asterisk.ami_secret} | self.ami
        ari = {
            "url": f"http://127.0.0.1:{self.asterisk.ari_port}/ari",
            "secret": self.asterisk.ari_secret,
        } | self.ari
        database = {"dsn": as_role(self.dsn, DAEMON), "owner_dsn": self.dsn, "connect_seconds": 3}
        sections = {"database": database, "ami": ami, "ari": ari}
        lines = []
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {value!r}" for key, value in values.items())]
        file = self.folder / "agentbridge.toml"
        file.write_text("\n".join(lines) + "\n" + self.more)
        file.chmod(0o640)
        return file

    async def check(self) -> dict[str, Finding]:
        """Runs all checks; returns the findings by name."""
        file = self.write()
        found = [finding async for finding in findings(file, load(file), self.etc, self.daemon)]
        assert all(finding.to_do for finding in found)
        self.unseen = {finding.name for finding in found if finding.is_unseen}
        self.lacking = {finding.name for finding in found if not (finding.is_fault or finding.is_unseen)}
        return {finding.name: finding for finding in found if finding.is_fault}


async def execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
