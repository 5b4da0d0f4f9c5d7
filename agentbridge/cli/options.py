"""What commands have in common: --config, --json, pages, and the connection to the directory.

What takes long to import is imported where it is used: `--version`, `--help` and completion don't wait for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from agentbridge.directory import authority
from agentbridge.directory.connecting import Connection, connect, transaction, translated
from agentbridge.errors import Refused, Unavailable

if TYPE_CHECKING:
    from agentbridge.settings import DirectorySettings, Settings

T = TypeVar("T")
_user: ContextVar[str | None] = ContextVar("user", default=None)


def _or_the_one_before_the_command(context: typer.Context, given: Path | None) -> Path | None:
    outer: Path | None = context.find_root().params.get("config")
    return given or outer


ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The configuration; else AGENTBRIDGE_CONFIG, else /etc/agentbridge/agentbridge.toml.",
        callback=_or_the_one_before_the_command,
    ),
]
User = Annotated[
    list[str] | None,
    typer.Option(
        "--user",
        metavar="NAME",
        help="Do only what this user of the directory may (agents, queues); else you may do everything. Once, and not "
        "beside --config or AGENTBRIDGE_USER, which does the same.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Search = Annotated[str, typer.Argument(help="Only those with this text in them.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="Leave out the first so many.")]
Sort = Annotated[str, typer.Option(help="By this field; with - before it the other way round.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
FIELDS_HELP = "As field=value; `show` lists the fields. Lists with commas: codecs=ulaw,alaw"
Fields = Annotated[list[str] | None, typer.Argument(help=FIELDS_HELP, metavar="[FIELD=VALUE]...")]
ALL_QUEUES = "*"


def acting_user() -> str | None:
    """Whom the command is run for, as `--user` before it says."""
    return _user.get()


def act_as(users: Sequence[str], config: Path | None) -> None:
    """Sets the user for whom the command runs. Raises Refused for more than one: a rule of sudo names the first."""
    if len(users) > 1:
        raise Refused(f"--user: name one user (got {', '.join(users)})")
    _user.set(users[0] if users else None)
    _must_not_choose(config)


def _must_not_choose(config: Path | None) -> None:
    """Raises Refused where an acting user also names a configuration.

    It may name a database in which that user is what it likes.
    """
    if config is not None and acting_user() is not None:
        raise Refused("--config: not beside --user; whoever may choose the configuration sets AGENTBRIDGE_CONFIG")


def gate(operation: str, config: Path | None) -> None:
    """Raises Refused where the acting user may not run the operation. Without such a user everything is allowed."""
    user = acting_user()
    if user is None:
        return
    _must_not_choose(config)
    in_directory(None, lambda connection: authority.must(connection, user, operation))


def settings_of(config: Path | None) -> Settings:
    from agentbridge.settings import chosen_path, load

    return load(chosen_path(config))


def directory_settings_of(config: Path | None) -> DirectorySettings:
    """Returns the settings for a command that asks the directory alone."""
    from agentbridge.settings import chosen_path, load_directory

    return load_directory(chosen_path(config))


@asynccontextmanager
async def connected(settings: Settings | DirectorySettings, *, as_daemon: bool = False) -> AsyncIterator[Connection]:
    """Opens a connection to the directory with the rights of the schema's owner, or with the daemon's. Raises
    Unavailable."""
    url = settings.database.url() if as_daemon else settings.database.owner_url()
    try:
        connection = await connect(url, deadline=settings.database.connect_seconds, name="agentbridge cli")
    except Unavailable as error:
        if as_daemon:
            raise
        owner = settings.database.owner_dsn is not None or "dsn" not in settings.database.model_fields_set
        key = "database.owner_dsn" if owner else "database.dsn"
        raise Unavailable(
            f"{error}; look at {key} in the configuration, and at what `agentbridge check` says"
        ) from error
    try:
        with _schema_errors():
            yield connection
    finally:
        # close() waits for a server that may hang
        connection.terminate()


@contextmanager
def _schema_errors() -> Iterator[None]:
    """Turns PostgreSQL's errors about a schema that does not fit into Refused, with what to do."""
    import asyncpg

    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError) as error:
        raise Refused(f"{error}: the schema is not this program's; see `agentbridge db status`") from error
    except asyncpg.InvalidSchemaNameError as error:
        raise Refused(f"{error}: run `agentbridge db migrate`") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise Refused(f"{error}: use the database's owner, or grant its role what is missing") from error


def in_directory(
    config: Path | None, work: Callable[[Connection], Awaitable[T]], *, deadline: float | None = None
) -> T:
    """Runs `work` with a connection in one transaction, and returns its result. Raises Refused or Unavailable."""
    settings = settings_of(config)

    async def done() -> T:
        seconds = deadline or settings.database.statement_seconds
        async with connected(settings) as connection:
            with translated():
                async with transaction(connection, deadline=seconds):
                    return await work(connection)

    return awaited(done())


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` in an event loop of its own, and returns its result."""
    import asyncio

    return asyncio.run(work)


def log_to_stderr(level: Literal["warning", "error"] = "warning") -> None:
    """Makes the daemon's parts log to standard error, which is not the result: for a command that uses such parts."""
    from agentbridge import logs
    from agentbridge.settings import Log

    logs.configure(Log(level=level), "cli")


def assignments(given: list[str] | None) -> dict[str, str]:
    """Parses arguments `field=value`; returns the values by field. Raises BadParameter for others."""
    pairs = [item.partition("=") for item in given or ()]
    for name, sign, _ in pairs:
        if not sign:
            raise typer.BadParameter(f"{name}: must be as in field=value")
    return {name.strip(): value for name, _, value in pairs}
