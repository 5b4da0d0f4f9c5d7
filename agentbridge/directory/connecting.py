"""Connections to PostgreSQL, and the one place where its errors become ours.

asyncpg is imported where it is used: `agentbridge --version`, `--help` and completion don't wait for it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from agentbridge.errors import Refused, Unavailable

if TYPE_CHECKING:
    import asyncpg
    import asyncpg.pool

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PooledConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

OUR_REFUSALS = "AB"
# what an application did against a constraint, when two did it at the same moment
_CONSTRAINTS = "23"


@contextmanager
def translated() -> Iterator[None]:
    """Turns errors of PostgreSQL inside the block into ours: Refused for a rule of the directory, Unavailable for all
    else.

    All else is a server that is lost, hung or read-only, but also a missing right or another schema: that is logged and
    tried again, and ends nobody.
    """
    import asyncpg

    try:
        yield
    except asyncpg.PostgresError as error:
        raise _ours(error) from error
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # the internal one: the server ended the session while we stood still, and the driver finds out in midst
        raise Unavailable(f"the database can't be reached: {_text(error)}") from error


def _ours(error: asyncpg.PostgresError) -> Exception:
    """Returns our error for one of PostgreSQL's: Refused for a rule, else Unavailable with what to do."""
    from agentbridge.directory import driver_errors

    code = error.sqlstate or ""
    if code.startswith((OUR_REFUSALS, _CONSTRAINTS)):
        return Refused(_rule(error) or _text(error))
    match code[:2]:
        # connection, authorisation, resources, operator's intervention, system, read-only, deadlock, locks
        case "08" | "28" | "53" | "57" | "58" | "25" | "40" | "55" | "3D":
            return Unavailable(f"the database is not available: {_text(error)}")
        case _ if isinstance(error, driver_errors.POOLER):
            return error  # who connects goes on without prepared statements
        case _:
            first = _text(error).splitlines()[0]
            return Unavailable(f"the database refused a statement (SQLSTATE {code}): {first}{_advice(code)}")


def _advice(code: str) -> str:
    """Returns what to do about this SQLSTATE, for the end of the message: about the schema or the role's rights; else
    ''."""
    match code:
        case "42501":
            return "; use the database's owner, or grant its role what is missing: `agentbridge db grant`"
        case "42P01" | "42703" | "42883" | "3F000":
            return "; the schema is not this program's: see `agentbridge db status`"
        case _:
            return ""


def _rule(error: asyncpg.PostgresError) -> str:
    """Returns the name of our violated constraint, which is written as a rule; '' for others.

    It is shown instead of PostgreSQL's words and the row that breaks it.
    """
    name, column = (getattr(error, of, None) or "" for of in ("constraint_name", "column_name"))
    if error.sqlstate == "23502" and column:
        return f"{column}: must not be empty"
    return name if " " in name else ""


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


STATEMENTS_KEPT = 100
"""prepared in a session that lasts: parsing and planning the big read again would cost more than running it"""


def session_settings(name: str, statements: int, *, deadline: float | None = None) -> dict[str, str]:
    """Returns the server settings with which a session starts.

    statements: how many prepared ones are kept; none behind a pooler, which refuses most settings. deadline: seconds
    after which the server ends a statement, also one whose client is lost. A prepared statement is planned once:
    planning it for the keys of each call takes eight times as long as finding one of them.
    """
    if not statements:
        return {"application_name": name}
    limits = (
        {} if deadline is None else dict.fromkeys(("statement_timeout", "lock_timeout"), f"{deadline * 1000:.0f}ms")
    )
    return {
        "application_name": name,
        "plan_cache_mode": "force_generic_plan",
        # ours are idle for as long as nothing changes, whatever the server's limit for others
        "idle_session_timeout": "0",
        **limits,
    }


async def connect(dsn: str, *, deadline: float, name: str = "agentbridge", statements: int = 0) -> Connection:
    """Connects to PostgreSQL. Raises Refused or Unavailable.

    deadline: seconds for connecting, and then for each query. statements: how many to keep prepared; 0 works behind
    every pooler.
    """
    from agentbridge.directory.driver_errors import POOLER

    with translated():
        try:
            return await _connect(dsn, deadline, name, statements)
        except POOLER:
            if not statements:
                raise
            return await _connect(dsn, deadline, name, 0)


async def _connect(dsn: str, deadline: float, name: str, statements: int) -> Connection:
    """Opens a connection with this deadline for connecting and each query. Raises what asyncpg raises."""
    return await connect_to_one(
        dsn,
        timeout=deadline,
        command_timeout=deadline,
        statement_cache_size=statements,
        server_settings=session_settings(name, statements),
    )


_SERVERS = re.compile(r"(\w+://(?:[^@/?]*@)?)([^/?]*)(.*)", re.DOTALL)
_last: dict[str, str] = {}
"""DSN → that of the server of it which was right the last time"""


async def connect_to_one(dsn: str | None = None, *, timeout: float = 60.0, **given: Any) -> Connection:
    """Connects to the right one of the servers that the DSN names, first to that of the last time. Raises what asyncpg
    raises.

    asyncpg itself has one time for all of them: a first one that hangs, as one whose machine is gone, would use it up,
    and a second one would never be asked. Here each has its share.
    """
    import asyncpg

    from agentbridge.directory.driver_errors import TRY_THE_NEXT

    dsn = dsn or ""  # it may be left out, as the type of a pool's `connect` asks
    servers = sorted(each_server(dsn), key=lambda server: server != _last.get(dsn))
    for number, server in enumerate(servers, 1):
        try:
            connection: Connection = await asyncpg.connect(server, timeout=timeout / len(servers), **given)
        except TRY_THE_NEXT:
            if number == len(servers):
                raise
        else:
            _last[dsn] = server
            return connection
    raise AssertionError("a DSN names one server at least")


def each_server(dsn: str) -> list[str]:
    """Returns a DSN for each of the servers that this one names before its path; one whose servers are listed behind
    it stays as it is."""
    found = _SERVERS.fullmatch(dsn)
    if found is None or "," not in found[2] or "port=" in found[3]:
        return [dsn]
    return [f"{found[1]}{server}{found[3]}" for server in found[2].split(",")]


async def behind_pooler(connection: Connection) -> bool:
    """Whether there is a pooler before the server: it invents the process number that it tells its clients at the
    log-in."""
    return bool(await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid())


@asynccontextmanager
async def transaction(connection: Connection | PooledConnection, *, deadline: float) -> AsyncIterator[None]:
    """Opens a transaction that the server ends by itself after `deadline` seconds, whoever keeps it waiting.

    A hung connection is dropped, not closed: closing waits for the server.
    """
    import asyncpg

    milliseconds = int(deadline * 1000)
    try:
        # set for this transaction alone, since behind PgBouncer the session is somebody else's next
        await connection.execute(
            f"BEGIN; SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = {milliseconds};"
            f" SET LOCAL idle_in_transaction_session_timeout = {2 * milliseconds}"
        )
        yield
        await connection.execute("COMMIT")
    except asyncpg.PostgresError:
        await _roll_back(connection)
        raise
    except BaseException:
        connection.terminate()
        raise


async def _roll_back(connection: Connection | PooledConnection) -> None:
    """Rolls back and ignores errors of that: what made it necessary is the error to tell."""
    import asyncpg

    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
