"""A private PostgreSQL server on 127.0.0.1, with its data in a folder that goes with it."""

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import asyncpg

from agentbridge.directory import migrate
from lab.ports import free_port
from lab.processes import LabError, Process, Server, alive, children, run, until

OWNER = "agentbridge"
DAEMON = "agentbridge_daemon"
APPLICATION = "agentbridge_app"
API = "agentbridge_api"
ROLES = "; ".join(
    (
        *(f"CREATE ROLE {role} LOGIN" for role in (OWNER, DAEMON, APPLICATION, API)),
        f"GRANT {DAEMON}, {APPLICATION}, {API} TO {OWNER} WITH ADMIN OPTION",
    )
)
"""as docs/installing.md makes them"""
READY_WITHIN_S = 30.0
MEMORY = Path("/dev/shm")  # noqa: S108 - as mkdtemp makes folders there
ROOM = 4 * 2**30
"""bytes that must be free there"""
TEMPLATE = "template_agentbridge"
NUMBERS = range(1000, 1050)
"""internal numbers: few, for a quick first start"""
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
StopMode = Literal["smart", "fast", "immediate"]


def server_programs() -> Path:
    """Returns the folder with initdb and postgres of the newest server on this machine. Raises LabError without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    if on_path := shutil.which("postgres"):
        return Path(on_path).parent
    raise LabError("no PostgreSQL server on this machine: run lab/setup")


def _memory() -> Path | None:
    """Returns the folder whose files are in memory, where it has room for the databases of a run of tests.

    On ext4 each new database costs up to ten times as much, the more of them were dropped just before.
    """
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    return MEMORY if roomy else None


def as_role(dsn: str, role: str) -> str:
    """The owner's DSN with another role in it."""
    return dsn.replace(f"//{OWNER}@", f"//{role}@", 1)


class Postgres(Server):
    """A private PostgreSQL server that runs inside `async with Postgres() as server` and is gone afterwards.

    fsync=False makes tests faster and a power cut fatal; a server that was only killed recovers all the same. settings:
    of postgresql.conf, over the lab's.
    """

    def __init__(self, *, fsync: bool = True, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self.dir = Path(tempfile.mkdtemp(prefix="agentbridge-postgres-", dir=None if fsync else _memory()))
        self.log_path = self.dir / "postgres.log"
        self._fsync = fsync
        self._more = settings
        self._programs = server_programs()
        self._process = Process("PostgreSQL", self.log_path)
        self._templates: set[str] = set()
        self._making = asyncio.Lock()

    async def _begin(self) -> None:
        """Makes the cluster with its roles and starts the server."""
        self._give_folder_to_the_server()
        await self._initialise()
        await self.start()
        await self.execute(ROLES)

    def dsn(self, database: str = "postgres", user: str = OWNER) -> str:
        return f"postgresql://{user}@{self.host}:{self.port}/{database}"

    async def create_database(self, name: str, template: str | None = None) -> str:
        """Creates a database that the role agentbridge owns, as a copy of `template` when given; returns its DSN."""
        # copying files costs half of what writing their pages to the log does, where nothing waits for the disk
        how = "WAL_LOG" if self._fsync else "FILE_COPY"
        await self.execute(
            f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE "{template or "template0"}" STRATEGY {how}'
        )
        return self.dsn(name)

    async def template(self, numbers: range | None = None) -> str:
        """Returns the name of an empty directory that is made once, since a copy costs much less than migrating.

        numbers: its internal numbers, where they are not the schema's own.
        """
        plain = await self.template() if numbers else None
        name = f"{TEMPLATE}_{numbers.start}_{numbers.stop}" if numbers else TEMPLATE
        async with self._making:
            if name not in self._templates:
                connection = await asyncpg.connect(await self.create_database(name, plain))
                try:
                    await _make_directory(connection, numbers)
                finally:
                    await connection.close()
                self._templates.add(name)
        return name

    async def create_directory(self, name: str, numbers: range = NUMBERS) -> str:
        """Creates a database with our schema and these internal numbers; returns its DSN."""
        return await self.create_database(name, await self.template(numbers))

    async def drop_database(self, name: str) -> None:
        """Also when somebody is connected to it."""
        await self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def start(self) -> None:
        """Starts the server; returns when it answers queries. Raises LabError."""
        arguments = [f"--{name}={value}" for name, value in self._settings().items()]
        await self._process.start(*self._as_server("postgres", *arguments))
        await self._process.wait_ready(self._answers, READY_WITHIN_S)

    async def stop(self, mode: StopMode = "fast") -> None:
        self.resume()
        await self._process.end(STOP_SIGNALS[mode], within=20.0)

    async def restart(self, mode: StopMode = "fast") -> None:
        await self.stop(mode)
        await self.start()

    async def kill(self) -> None:
        """Kills all of the server's processes at once, as a power cut would; returns when none is left."""
        if not self.running:
            return
        family = [self.pid, *children(self.pid)]
        _signal_all(family, signal.SIGKILL)
        await self._process.gone(10.0)

        async def nobody_left() -> bool:
            return not any(alive(pid) for pid in family)

        # a new server refuses to start while a child of the old one holds the shared memory
        await until(nobody_left, within=10.0, what="the end of PostgreSQL's processes")

    def pause(self) -> None:
        """Stops all of the server's processes, as a hang would: connections stay open and nobody answers."""
        # the postmaster first, so that no child is born that still answers
        self._process.send(signal.SIGSTOP)
        _signal_all(children(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        if self.running:
            _signal_all([*children(self.pid), self.pid], signal.SIGCONT)

    async def _end(self) -> None:
        """Kills the server and removes its folder."""
        try:
            if self.running:
                await self.stop("immediate")
        finally:
            shutil.rmtree(self.dir)

    def _settings(self) -> dict[str, str | int]:
        """Returns the server's settings."""
        return {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": str(self.dir),
            "max_connections": 200,
            "fsync": "on" if self._fsync else "off",
            "logging_collector": "off",
            "log_min_messages": "warning",
            "log_line_prefix": "%m [%p] %u@%d ",
            **self._more,
        }

    def _give_folder_to_the_server(self) -> None:
        """Makes the server's user the owner of its folder, where root runs the lab."""
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.dir, account.pw_uid, account.pw_gid)

    def _as_server(self, program: str, *arguments: str) -> list[str]:
        # PostgreSQL refuses to run as root; and it must not outlive a lab that was killed
        """Returns the command that runs a program of PostgreSQL as the server's user."""
        account = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        command = [str(self._programs / program), "-D", str(self.dir / "data"), *arguments]
        return ["setpriv", *account, "--pdeathsig=INT", "--", *command]

    async def _initialise(self) -> None:
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        await run(*self._as_server("initdb", *options), within=180.0)

    async def _answers(self) -> bool:
        """Whether the server answers a query."""
        try:
            await self.execute("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def execute(self, sql: str) -> None:
        """Runs SQL as the superuser in the database postgres."""
        connection = await asyncpg.connect(self.dsn("postgres", "postgres"), timeout=5.0)
        try:
            await connection.execute(sql, timeout=60.0)
        finally:
            await connection.close(timeout=5.0)


async def _make_directory(connection: "asyncpg.Connection[asyncpg.Record]", numbers: range | None) -> None:
    """Migrates the schema, or sets the numbers of one that is."""
    if numbers is None:
        await migrate.migrate(connection, lambda _: None)
        return
    await connection.execute(
        "UPDATE agentbridge.settings SET internal_from = $1, internal_to = $2", numbers.start, numbers.stop - 1
    )


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    """Sends a signal to these processes; one that is gone is no error."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # ended by itself meanwhile
