"""The API's way to the directory: functions of schema agentbridge, called with the role that may do nothing else."""

from __future__ import annotations

import asyncio
import re
from types import TracebackType
from typing import Any, Self

import asyncpg
import structlog

from agentbridge.api.problems import Problem, refused
from agentbridge.directory.connecting import connect_to_one

log = structlog.get_logger()

RETRY_AFTER_SECONDS = 2
_NAME = re.compile(r"[a-z_]+")
_AWAY = ("08", "28", "53", "57", "58", "25", "40", "55", "3D")
"""SQLSTATE classes: connection, log-in, resources, operator, system, read-only, deadlock, locks, no database"""


class Database:
    """The API's connections to PostgreSQL, which call SQL functions and nothing else.

    `async with Database(…) as database`. It opens without a server; a call then is a Problem with status 503.
    """

    def __init__(self, dsn: str, *, connections: int, deadline: float) -> None:
        self._dsn = dsn
        self._connections = connections
        self._deadline = deadline
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.terminate()  # closing would wait for a server that may hang

    @property
    def dsn(self) -> str:
        return self._dsn

    async def call(self, function: str, *arguments: object, seconds: float | None = None) -> Any:
        """Calls an SQL function that returns one value, and returns that; JSON comes as text. Raises as `rows` does.

        seconds: the limit for what takes longer than usual.
        """
        rows = await self.rows(function, *arguments, seconds=seconds)
        return rows[0][0] if rows else None

    async def rows(self, function: str, *arguments: object, seconds: float | None = None) -> list[asyncpg.Record]:
        """Calls an SQL function that returns rows, and returns those.

        Raises a Problem: with the code of its rule where the directory refuses, 503 while the database is away. Raises
        ValueError for a name that is no function's.
        """
        if _NAME.fullmatch(function) is None:
            raise ValueError(f"{function!r} is no name of a function")
        places = ", ".join(f"${number}" for number in range(1, len(arguments) + 1))
        try:
            pool = await self._open_pool()
            async with pool.acquire(timeout=self._deadline) as connection:
                statement = f"select * from agentbridge.{function}({places})"  # noqa: S608 - checked above
                if seconds is None:
                    return await connection.fetch(statement, *arguments)
                async with connection.transaction():
                    await connection.execute(f"set local statement_timeout = {int(seconds * 1000)}")
                    return await connection.fetch(statement, *arguments, timeout=seconds)
        except asyncpg.PostgresError as error:
            raise _problem(error) from error
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if isinstance(error, asyncpg.DataError | ValueError):
                raise Problem(422, f"value: {error}", code="AB001") from None
            raise away() from error

    async def _open_pool(self) -> asyncpg.Pool[asyncpg.Record]:
        """Returns the pool, which is made at its first use and connects when a connection is taken from it."""
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    connect=connect_to_one,
                    min_size=0,
                    max_size=self._connections,
                    timeout=self._deadline,
                    command_timeout=self._deadline,
                    reset=_leave,
                    server_settings={
                        "application_name": "agentbridge api",
                        "statement_timeout": str(int(self._deadline * 1000)),
                        "lock_timeout": str(int(self._deadline * 1000)),
                    },
                )
            return self._pool


async def _leave(_: object) -> None:
    """Does nothing, in place of asyncpg's reset of a connection: nothing is left behind in a session here."""


def away() -> Problem:
    return Problem(503, "the database is not available; try again", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _problem(error: asyncpg.PostgresError) -> Exception:
    """Converts an error of PostgreSQL to a Problem; returns the error itself where it is a bug."""
    state = error.sqlstate or ""
    match state[:2]:
        case "AB":
            return refused(state, str(error))
        case "22":  # a NUL, a number out of its range, a text that is no date
            return Problem(422, f"value: {str(error).splitlines()[0]}", code="AB001")
        case "23":
            return _constraint(error, state)
        case _ if state.startswith(_AWAY):
            return away()
        case _:
            return error


def _constraint(error: asyncpg.PostgresError, state: str) -> Problem:
    """Converts a violated constraint, whose name is the rule, to a Problem: two did something at the same moment."""
    rule = str(getattr(error, "constraint_name", None) or "a rule of the directory")
    if state in ("23505", "23503"):
        return Problem(409, rule, code="AB002")
    return Problem(422, rule, code="AB001")
