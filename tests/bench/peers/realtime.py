"""Realtime: an Asterisk that reads its queue members from PostgreSQL itself (res_config_pgsql), with nothing between.

Nothing carries a change to it: each question about a queue, such as a call that enters it, reads all members of the
queue. So a change is there as soon as it is asked for, and `awaiting` measures what the question costs.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg

from lab.asterisk import Asterisk, Queues
from lab.manager import Manager
from lab.postgres import Postgres
from tests.bench.peers.running import REALTIME, Db

DATABASE = "realtime"
# as Asterisk's own contrib/ has them, without the columns that no row of this bench sets
TABLES = """
CREATE TABLE queue_members (
    queue_name text NOT NULL, interface text NOT NULL, membername text, state_interface text, penalty integer,
    paused integer, uniqueid serial NOT NULL, wrapuptime integer, ringinuse text, PRIMARY KEY (queue_name, interface));
CREATE TABLE ps_endpoints (
    id text PRIMARY KEY, transport text, aors text, auth text, context text, disallow text, allow text,
    direct_media text);
CREATE TABLE ps_auths (id text PRIMARY KEY, auth_type text, username text, password text);
CREATE TABLE ps_aors (id text PRIMARY KEY, max_contacts integer, remove_existing text);
"""
SORCERY = """
[res_pjsip](+)
endpoint = realtime,ps_endpoints
auth = realtime,ps_auths
aor = realtime,ps_aors
"""
READ_WITHIN_S = 60.0


class Realtime:
    """A peer. The change is a row of its own table; the question goes over one connection, one after the other."""

    name = REALTIME

    def __init__(self, asterisk: Asterisk, dsn: str, db: Db) -> None:
        self.asterisk, self.dsn, self.db = asterisk, dsn, db
        self._questions: asyncio.Queue[tuple[str, bool, asyncio.Future[float]]] = asyncio.Queue()

    def go_on(self) -> None:
        pass

    def rest(self) -> None:
        pass

    async def change(self, db: Db, internal: str, paused: bool) -> None:
        await db.execute("BEGIN")
        await db.execute(
            f"UPDATE queue_members SET paused = {int(paused)}"
            f" WHERE queue_name = 'queue0' AND interface = 'PJSIP/{internal}'"
        )

    def awaiting(self, internal: str, paused: bool) -> "asyncio.Future[float]":
        future = asyncio.get_running_loop().create_future()
        self._questions.put_nowait((internal, paused, future))
        return future

    async def answer(self) -> None:
        """Asks for one member after the other until it is as it should be."""
        internal, paused, future = await self._questions.get()
        async with Manager(self.asterisk) as manager:
            while True:
                wanted = "1" if paused else "0"
                # QueueStatus tells of a queue of queues.conf what was read last; this reads, as a call does
                question = {"Variable": f"QUEUE_MEMBER(queue0,paused,PJSIP/{internal})"}
                paused_now = ""
                while paused_now != wanted:
                    paused_now = (await manager.ask("Getvar", question, within=READ_WITHIN_S))[0].get("Value", "")
                future.set_result(time.perf_counter())
                internal, paused, future = await self._questions.get()

    async def fill(self, queue: str, internals: list[str]) -> None:
        """These are members of the queue, and nobody else."""
        await self.db.execute("TRUNCATE queue_members")
        await self.db.execute(
            "INSERT INTO queue_members (queue_name, interface, membername, penalty, paused)"
            " SELECT $1, 'PJSIP/' || n, 'Agent ' || n, 0, 0 FROM unnest($2::text[]) n",
            queue,
            internals,
        )
        await self.db.execute("VACUUM ANALYZE")


@contextlib.asynccontextmanager
async def realtime(postgres: Postgres, queues: Queues) -> AsyncIterator[Realtime]:
    """An Asterisk of its own on that server, with the queues and without members."""
    dsn = await postgres.create_database(DATABASE)
    db: Db = await asyncpg.connect(dsn)
    await db.execute(TABLES)
    server = urlsplit(dsn)
    extra = {
        "extconfig.conf": "".join(
            f"{name} => pgsql,public,{name}\n" for name in ("queue_members", "ps_endpoints", "ps_auths", "ps_aors")
        ),
        "res_pgsql.conf": f"[general]\ndbhost={server.hostname}\ndbport={server.port}\ndbname={DATABASE}\n"
        f"dbuser={server.username}\ndbpass=none\nrequirements=warn\norder_multi_row_results_by_initial_column=yes\n",
        "sorcery.conf": SORCERY,
    }
    async with Asterisk(queues=queues, extra=extra) as asterisk:
        # the lab keeps the module out
        modules = (asterisk.etc / "modules.conf").read_text().replace("noload = res_config_pgsql.so\n", "")
        asterisk.write_config("modules.conf", modules)
        await asterisk.restart()
        peer = Realtime(asterisk, dsn, db)
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(peer.answer(), name="realtime")
            try:
                yield peer
            finally:
                answering.cancel()
                db.terminate()
