"""The daemon as a process of its own, as systemd runs it, beside a lab's Asterisk and PostgreSQL."""

import json
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import agentbridge
from lab.asterisk import SPOOL_GROUP, Asterisk
from lab.ports import free_port
from lab.postgres import DAEMON, as_role
from lab.processes import LabError, Process, Server, run, until

STOP_WITHIN_S = 12.0
DAEMON_USER = 64117
"""The user and group that the daemon has when root runs the lab, as its unit gives it one without rights. No account
needs to have this number. What a daemon run by root can read says nothing about the one that is shipped."""
UNIT = Path(__file__).parents[1] / "systemd/agentbridge.service"
Sections = Mapping[str, Mapping[str, object]]


def unit_groups() -> tuple[int, ...]:
    """Returns the group ids that the shipped unit gives the daemon besides its own, as the lab has them.

    Debian's `asterisk`, whose spool the recordings are in, is SPOOL_GROUP there. Raises LabError for another group.
    """
    lines = [line.partition("=") for line in UNIT.read_text().splitlines()]
    names = [name for key, _, value in lines if key == "SupplementaryGroups" for name in value.split()]
    if strange := set(names) - {"asterisk"}:
        raise LabError(f"{UNIT.name} gives groups that the lab does not have: {', '.join(sorted(strange))}")
    return (SPOOL_GROUP,) * len(names)


class Bridge(Server):
    """Runs the daemon as a process of its own, beside a lab's Asterisk and PostgreSQL; its folder lasts as long as the
    block.

    dsn: the owner's, for commands; the daemon has its own role. sections: settings over the configuration that this lab
    needs. ami_port, ari_port: of a proxy before Asterisk. groups: besides the daemon's own; left out, those of the
    unit.
    """

    def __init__(
        self,
        asterisk: Asterisk,
        dsn: str,
        *,
        name: str = "lab",
        ami_port: int | None = None,
        ari_port: int | None = None,
        sections: Sections | None = None,
        groups: Sequence[int] | None = None,
    ) -> None:
        self._groups = unit_groups() if groups is None else groups
        self.dir = Path(tempfile.mkdtemp(prefix="agentbridge-daemon-"))
        self.config = self.dir / "agentbridge.toml"
        self.log = self.dir / "daemon.out"
        self.name = name
        self.http_port = free_port()
        self._process = Process("agentbridge", self.dir / "daemon.log")
        ami_file, ari_file = self._secret("ami", asterisk.ami_secret), self._secret("ari", asterisk.ari_secret)
        self.sections: dict[str, dict[str, object]] = {
            "node": {"name": name},
            "database": {"dsn": as_role(dsn, DAEMON), "owner_dsn": dsn},
            "ami": {
                "host": "127.0.0.1" if ami_port else asterisk.host,
                "port": ami_port or asterisk.ami_port,
                "username": asterisk.ami_user,
                "secret_file": ami_file,
            },
            "ari": {
                "url": f"http://{'127.0.0.1' if ari_port else asterisk.host}:{ari_port or asterisk.ari_port}/ari",
                "username": asterisk.ari_user,
                "secret_file": ari_file,
            },
            "log": {"format": "json"},
            "http": {"bind": f"127.0.0.1:{self.http_port}"},
        }
        for section, values in (sections or {}).items():
            self.sections.setdefault(section, {}).update(values)
        self.write_config(self.sections)
        _give(self.dir)

    def write_config(self, sections: Sections) -> None:
        """Writes the configuration file with these sections."""
        lines: list[str] = []
        for section, values in sections.items():
            # JSON's strings, numbers and lists are TOML's as well
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self.config.write_text("\n".join(lines) + "\n")

    async def start(
        self, *, wait: str = "daemon.ready", within: float = 60.0, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Starts the daemon, with that in its environment; returns when it has logged an event with the name `wait`, or
        at once for ''. Raises LabError."""
        before = len(self.lines())
        as_by_systemd = {"HOME": "/", "STATE_DIRECTORY": str(self.dir)}
        given = [f"{name}={value}" for name, value in {**as_by_systemd, **environment}.items()]
        command = ("env", *given, sys.executable, "-m", "agentbridge", "run", "--config", str(self.config))
        await self._process.start(*self._as_daemon(), *command)
        if wait:

            async def told() -> bool:
                return any(wait in line for line in self.lines()[before:])

            await self._process.wait_ready(told, within)

    def _as_daemon(self) -> tuple[str, ...]:
        """Returns the command that runs what follows with the rights that systemd would give the daemon."""
        # the death signal: the daemon must not outlive a lab that was killed
        if os.geteuid() != 0:
            return ("setpriv", "--pdeathsig=KILL")
        groups = f"--groups={','.join(map(str, self._groups))}" if self._groups else "--clear-groups"
        user = f"--reuid={DAEMON_USER}" if _daemon_user() == DAEMON_USER else "--bounding-set=-all"
        return ("setpriv", user, f"--regid={DAEMON_USER}", groups, "--pdeathsig=KILL")

    async def stop(self) -> bool:
        """Sends SIGTERM; returns whether the daemon ended by it."""
        self.send(signal.SIGTERM)
        return await self._process.gone(STOP_WITHIN_S)

    async def cli(self, *words: str, within: float = 60.0) -> str:
        """What `agentbridge …` printed; LabError when its exit status is not 0."""
        return await run(sys.executable, "-m", "agentbridge", *words, "--config", str(self.config), within=within)

    # ------------------------------------------------------------ the log

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def forget(self) -> None:
        """Empties the log; the daemon writes on at its end."""
        if self.log.exists():
            os.truncate(self.log, 0)

    def events(self, name: str = "", *, since: int = 0, **fields: object) -> list[dict[str, Any]]:
        """Returns the daemon's log lines as JSON, from line `since` on, with that event name and those fields."""
        parsed = (json.loads(line) for line in self.lines()[since:] if line.startswith("{"))
        return [line for line in parsed if _matches(line, name, fields)]

    async def logged(self, name: str, *, within: float = 5.0, since: int = 0, **fields: object) -> dict[str, Any]:
        """Waits for the first log line with that event name and those fields, and returns it. Raises LabError."""

        async def there() -> bool:
            return bool(self.events(name, since=since, **fields))

        await self._until(there, within, f"the log line {name} {fields}")
        return self.events(name, since=since, **fields)[0]

    async def line_with(self, text: str, *, within: float = 10.0) -> str:
        """Waits for the first log line that contains the text, in whatever format, and returns it. Raises LabError."""

        async def there() -> bool:
            return any(text in line for line in self.lines())

        await self._until(there, within, f"a log line with {text}")
        return next(line for line in self.lines() if text in line)

    async def _until(self, there: Callable[[], Awaitable[bool]], within: float, what: str) -> None:
        """Waits until the condition holds. Raises LabError, with the end of the log, after `within` seconds."""
        try:
            await until(there, within=within, what=what)
        except LabError as late:
            raise LabError("\n".join((str(late), "the log ends in:", *self.lines()[-20:]))) from None

    def _secret(self, name: str, secret: str) -> str:
        """Writes a secret to a file that only the daemon may read; returns its path."""
        file = self.dir / f"{name}.secret"
        file.write_text(secret)
        file.chmod(0o600)
        _give(file)
        return str(file)


def _daemon_user() -> int:
    """Returns the user id as which root runs the daemon.

    Of a program in a folder that is root's alone, such as /root, it is root without the rights that make it root: it
    reads what root owns and nothing else.
    """
    programs = (Path(sys.executable), Path(sys.executable).resolve(), Path(agentbridge.__file__).resolve())
    folders = {folder for path in programs for folder in path.parents}
    return DAEMON_USER if all(folder.stat().st_mode & stat.S_IXOTH for folder in folders) else 0


def _give(path: Path) -> None:
    """Makes the daemon's user the owner of the path, where root runs the lab."""
    if os.geteuid() == 0:
        os.chown(path, _daemon_user(), DAEMON_USER)


def _matches(line: Mapping[str, Any], name: str, fields: Mapping[str, object]) -> bool:
    return (not name or line["event"] == name) and all(line.get(key) == value for key, value in fields.items())
