"""More of PostgreSQL: a standby that may be behind, and a pooler in transaction mode."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from lab.faults import FaultProxy
from lab.ports import free_port
from lab.postgres import Postgres
from lab.processes import LabError, Process, run, until


class Standby(Postgres):
    """A PostgreSQL standby that follows the primary through `stream`, which can be cut."""

    def __init__(self, primary: Postgres) -> None:
        super().__init__()
        self.follow(primary)

    def follow(self, primary: Postgres) -> None:
        """From its start on it follows that server."""
        self._primary = primary
        self.stream = FaultProxy(primary.port)

    async def _begin(self) -> None:
        await self.stream.__aenter__()
        self._give_folder_to_the_server()
        await self._initialise()
        await self.start()

    async def _initialise(self) -> None:
        source = ("--host=127.0.0.1", f"--port={self.stream.port}", "--username=postgres")
        await run(*self._as_server("pg_basebackup", *source, "--write-recovery-conf", "--checkpoint=fast"), within=60)

    async def _end(self) -> None:
        await super()._end()
        await self.stream.__aexit__(None, None, None)

    async def caught_up(self) -> None:
        """Waits until it has all that the primary has now."""
        wanted = await self._ask(self._primary, "SELECT pg_current_wal_lsn()::text")

        async def there() -> bool:
            return bool(await self._ask(self, f"SELECT pg_last_wal_replay_lsn() >= '{wanted}'"))

        await until(there, within=10, what="the standby having everything")

    async def promote(self) -> None:
        """Makes the standby a primary."""
        await self.execute("SELECT pg_promote()")

        async def done() -> bool:
            return not await self._ask(self, "SELECT pg_is_in_recovery()")

        await until(done, within=20, what="the promotion")

    @staticmethod
    async def _ask(server: Postgres, sql: str) -> object:
        connection = await asyncpg.connect(server.dsn("postgres", "postgres"), timeout=5)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()


class Pooler:
    """PgBouncer in transaction mode at `port`, for every database."""

    def __init__(self, postgres: Postgres) -> None:
        self.port = free_port()
        self.dir = Path(tempfile.mkdtemp(prefix="agentbridge-pooler-"))
        self._postgres = postgres
        self._process = Process("PgBouncer", self.dir / "pgbouncer.log")

    async def __aenter__(self) -> Self:
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise LabError("pgbouncer is missing: run lab/setup")
        config = self.dir / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self._postgres.port} user=agentbridge\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = 4\nlogfile = {self.dir}/log\n"
        )
        account: tuple[str, ...] = ()
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(self.dir, "postgres")
            account = ("--reuid=postgres", "--regid=postgres", "--init-groups")
        await self._process.start("setpriv", *account, "--pdeathsig=KILL", "--", program, "-q", str(config))
        await self._process.wait_ready(self._answers, 10)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._process.end(signal.SIGINT)
        shutil.rmtree(self.dir)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(f"postgresql://agentbridge@127.0.0.1:{self.port}/postgres", timeout=2)
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True
