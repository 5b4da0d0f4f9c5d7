"""A whole contact centre for one test: directory, Asterisk, the daemon between them, and phones."""

import itertools
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import asyncpg

from lab import versions
from lab.asterisk import Asterisk, Queues, version_of
from lab.bridge import Bridge, Sections
from lab.manager import Seen, members
from lab.phones import Farm, Phone
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.wire import Wire

QUEUES: Queues = {"sales": {}, "support": {}, "billing": {}}
WITHIN_S = 10.0
_numbers = itertools.count(1)


class Centre:
    """A contact centre for a test: PostgreSQL with the directory and its queues, Asterisk, the daemon, and phones.

    wired: the daemon speaks to Asterisk through `wire`, which counts. started: the daemon runs.
    """

    def __init__(
        self,
        postgres: Postgres,
        *,
        queues: Queues = QUEUES,
        numbers: range = range(1000, 1050),
        sections: Sections | None = None,
        extra: Mapping[str, str] | None = None,
        wired: bool = False,
        started: bool = True,
        audio: bool = True,
    ) -> None:
        self.postgres = postgres
        self._queues, self._numbers, self._sections, self._extra = queues, numbers, sections, extra
        self._wired, self._started, self._audio = wired, started, audio
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def _open(self, stack: AsyncExitStack) -> None:
        """Starts everything, to be ended by the stack."""
        self.dsn = await self.postgres.create_directory(f"centre_{next(_numbers)}", self._numbers)
        self.db = await asyncpg.connect(self.dsn)
        stack.callback(lambda: self.db.terminate())
        self.asterisk = await stack.enter_async_context(Asterisk(queues=self._queues, extra=self._extra))
        self.farm = await stack.enter_async_context(
            Farm((self.asterisk.host, self.asterisk.sip_port), audio=self._audio)
        )
        self.wire = await stack.enter_async_context(Wire(self.asterisk))
        self.bridge = await stack.enter_async_context(self.daemon())
        await self.db.execute("INSERT INTO agentbridge.queues (name) SELECT unnest($1::text[])", [*self._queues])
        if self._started:
            await self.bridge.start()

    def daemon(self, *, sections: Sections | None = None) -> Bridge:
        """Makes a daemon of this centre, which is not started."""
        ports = {"ami_port": self.wire.ami_port, "ari_port": self.wire.ari_port} if self._wired else {}
        return Bridge(self.asterisk, self.dsn, sections={**(self._sections or {}), **(sections or {})}, **ports)

    @property
    def version(self) -> str:
        return version_of(self.asterisk.root)

    def has(self, feature: str) -> bool:
        """Whether its Asterisk has what `lab.versions` calls so; a test says what is seen where it has not."""
        return versions.has(self.version, feature)

    async def reconnect(self) -> None:
        """Opens this test's own database connection again, after the database was gone."""
        self.db.terminate()
        self.db = await asyncpg.connect(self.dsn)

    # ------------------------------------------------------------ the directory

    async def agent(self, username: str, *queues: str, penalty: int = 0, **columns: Any) -> str:
        """Creates an agent that is in those queues; returns its internal number."""
        columns = {"username": username, "full_name": username.title(), **columns}
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        row = await self.db.fetchrow(
            f"INSERT INTO agentbridge.agents ({', '.join(columns)}) VALUES ({places}) RETURNING id, internal",
            *columns.values(),
        )
        assert row is not None
        await self.db.execute(
            "INSERT INTO agentbridge.queue_members (agent_id, queue_id, penalty) "
            "SELECT $1, id, $3 FROM agentbridge.queues WHERE name = ANY ($2)",
            row["id"],
            [*queues],
            penalty,
        )
        return str(row["internal"])

    async def login(self, *usernames: str) -> None:
        for username in usernames:
            await self.db.fetchval("SELECT agentbridge.login($1, source => 'admin')", username)

    async def logout(self, username: str) -> None:
        await self.db.fetchval("SELECT agentbridge.logout($1, source => 'admin')", username)

    async def pause(self, username: str, reason: str = "lunch", queue: str | None = None) -> None:
        await self.db.fetchval("SELECT agentbridge.pause($1, $2, $3, source => 'admin')", username, reason, queue)

    async def unpause(self, username: str, queue: str | None = None) -> None:
        await self.db.fetchval("SELECT agentbridge.unpause($1, $2, source => 'admin')", username, queue)

    async def healed(self, username: str, within: float = WITHIN_S) -> None:
        """Waits until the agent's state is in Asterisk, whatever went wrong before."""

        async def there() -> bool:
            status = await self.status(username)
            return status["error"] is None and status["applied_at"] is not None

        await until(there, within=within, what=f"{username} being all in Asterisk")

    async def status(self, username: str) -> asyncpg.Record:
        """Returns the agent's row of agent_status."""
        row = await self.db.fetchrow("SELECT * FROM agentbridge.agent_status WHERE username = $1", username)
        assert row is not None
        return row

    async def settled(self, within: float = WITHIN_S) -> None:
        """Waits until every agent's state is in Asterisk, or is known to have failed."""
        query = "SELECT bool_and(applied_at IS NOT NULL OR error IS NOT NULL)"

        async def all_there() -> bool:
            return bool(await self.db.fetchval(f"{query} FROM agentbridge.agent_status"))

        try:
            await until(all_there, within=within, what="everything of the directory being in Asterisk")
        except Exception as late:
            late.add_note("\n".join(("the log ends in:", *self.bridge.lines()[-20:])))
            raise

    async def emptied(self, within: float = WITHIN_S) -> None:
        """Removes all agents, telephones and phones, and waits until their endpoints are gone."""
        await self.farm.dismissed()
        # a DELETE that leaves no agent at all would be held where there are many
        await self.db.execute("DELETE FROM agentbridge.agents WHERE id <> (SELECT max(id) FROM agentbridge.agents)")
        await self.db.execute("DELETE FROM agentbridge.agents")
        await self.db.execute("DELETE FROM agentbridge.telephones")

        async def gone() -> bool:
            return (await self.asterisk.cli("database show agentbridge")).startswith("0 results")

        try:
            await until(gone, within=within, what="the last agent being gone from Asterisk")
        except Exception as late:
            late.add_note(await self.asterisk.cli("database show agentbridge"))
            late.add_note("\n".join(("the log ends in:", *self.bridge.lines()[-20:])))
            raise

    async def forget(self) -> None:
        """Dismisses the phones, waits until the directory knows, and removes what tells of calls, also in the log."""
        await self.farm.dismissed()

        async def written() -> bool:
            return not await self.db.fetchval(
                "SELECT EXISTS (SELECT FROM agentbridge.live_running_calls)"
                " OR EXISTS (SELECT FROM agentbridge.recordings WHERE ended_at IS NULL)"
                " OR EXISTS (SELECT FROM agentbridge.spy_audit WHERE started_at NOTNULL AND ended_at IS NULL)"
                " OR EXISTS (SELECT FROM agentbridge.telephones WHERE registered)"
            )

        await until(written, within=WITHIN_S, what="the ends of all calls and registrations in the directory")
        for table in ("recordings", "spy_audit", "ended_calls"):
            await self.db.execute(f"DELETE FROM agentbridge.{table}")
        for file in (self.asterisk.spool / "monitor").rglob("*.*"):
            file.unlink()
        self.bridge.forget()

    # ------------------------------------------------------------ Asterisk

    async def members(self, *queues: str) -> dict[tuple[str, str], Seen]:
        return await members(self.asterisk, queues)

    async def member(self, queue: str, internal: str) -> Seen | None:
        return (await self.members(queue)).get((queue, f"PJSIP/{internal}"))

    async def until_member(self, queue: str, internal: str, within: float = WITHIN_S, **wanted: object) -> None:
        """Waits until the agent is a member of the queue with these values."""

        async def there() -> bool:
            seen = await self.member(queue, internal)
            return seen is not None and all(getattr(seen, name) == value for name, value in wanted.items())

        try:
            await until(there, within=within, what=f"{internal} in {queue} with {wanted}")
        except Exception as late:
            late.add_note(f"it is {await self.member(queue, internal)}")
            raise

    async def until_members(self, wanted: Mapping[tuple[str, str], Seen], within: float = WITHIN_S) -> None:
        """Waits until these and no others are members."""

        async def same() -> bool:
            return await self.members() == wanted

        try:
            await until(same, within=within, what="the members as they should be")
        except Exception as late:
            late.add_note(f"they are {await self.members()}, wanted {dict(wanted)}")
            raise

    # ------------------------------------------------------------ phones

    async def phone(self, username: str) -> Phone:
        """Returns the agent's phone, registered with the endpoint that the daemon pushed."""
        (phone,) = await self.phones([username])
        return phone

    async def phones(self, usernames: Iterable[str]) -> list[Phone]:
        """Returns the registered phones of these agents."""
        rows = await self.db.fetch(
            "SELECT internal, sip_secret FROM agentbridge.agents WHERE username = ANY ($1) ORDER BY id", [*usernames]
        )
        return await self.farm.register({row["internal"]: row["sip_secret"] for row in rows})

    async def caller(self) -> Phone:
        """A customer's phone; it calls a queue by its name."""
        return await self.farm.phone(self.asterisk.caller_user, self.asterisk.caller_secret)
