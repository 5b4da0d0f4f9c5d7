"""The schema in the database: tables by migrations, functions and rights by files that are applied when they change.

`schema/migrations/NNNN_name.sql` go forward only. Each file of `schema/functions/` states functions, views and triggers
in their one current text, with CREATE OR REPLACE; `schema/grants.sql` says who may use them. All that is to be done is
done in one transaction. A database of before version 0.2, whose thirteen migrations held everything, is recognised: its
rows are taken over by `move`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentbridge.directory import schema_files
from agentbridge.directory.connecting import Connection, translated
from agentbridge.directory.schema_files import Migration, checksum, folder
from agentbridge.errors import AgentbridgeError, Refused

# "abridge" in ASCII: two migrations at a time would both try the same step
LOCK = 0x61627269646765
LOCK_WAIT_SECONDS = 30
OLD_SCHEMA = "agentbridge_old"
OLD_VERSION = 13
_GRANTS = "grants"
_RESTORE = "restore the file; a change of the schema is a new migration"
_ENCODING = (
    "it must be UTF8, or names would be cut and changed; make one with `createdb --encoding=UTF8 --template=template0`"
    " and restore a dump of this one there"
)
_MOVE = "stop the daemon, back the database up with pg_dump, then run `agentbridge db move`"


class SchemaError(AgentbridgeError):
    """The database's schema does not fit this program; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """How the database's schema compares with what this program needs. `problem` is empty when they are the same.

    pending: migrations that were not applied yet. changed: files of functions and rights whose text differs from what
    was applied.
    """

    current: int
    wanted: int
    pending: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    problem: str = ""

    @property
    def too_old(self) -> bool:
        """`migrate` brings it up to date."""
        return bool(self.pending or self.changed)

    @property
    def too_new(self) -> bool:
        return self.current > self.wanted


@dataclass(frozen=True, slots=True)
class _Applied:
    """What was applied to the database: migrations and files with their checksums, and which of our roles exist."""

    migrations: dict[int, str]
    files: dict[str, str]
    roles: frozenset[str]
    encoding: str

    @property
    def old_numbering(self) -> bool:
        return bool(self.migrations) and not self.files


async def status(connection: Connection) -> SchemaStatus:
    """Compares the database's schema with what this program needs; only reads the schema's own tables."""
    with translated():
        return _compare(await _read_applied(connection))


async def migrate(connection: Connection, on_step: Callable[[str], None]) -> list[str]:
    """Brings the schema up to date in one transaction; returns the names of the steps that were done.

    SchemaError when a recorded migration has changed, or the database is newer or of the old numbering; then nothing is
    done. on_step is called for each step after the commit.
    """
    with translated():
        async with connection.transaction():
            await _lock(connection)
            done = await _migrate(connection)
    for step in done:
        on_step(step)
    return done


async def missing_roles(connection: Connection) -> list[str]:
    """Returns the roles of grants.sql that this server does not have."""
    with translated():
        there = (await _read_applied(connection)).roles
    return [role for role in schema_files.roles() if role not in there]


def making_roles(missing: Sequence[str]) -> str:
    """Returns the SQL by which a superuser creates these roles and lets the schema's owner hand them on."""
    created = "".join(f"CREATE ROLE {role} LOGIN; " for role in missing)
    return f"{created}GRANT {', '.join(missing)} TO agentbridge WITH ADMIN OPTION;"


async def grant(connection: Connection, role: str, group: str) -> None:
    """Makes a role a member of one of our groups, so that it gets the rights of that one in grants.sql.

    Raises Refused when either does not exist, or the owner may not hand the group on; the message says what to run.
    """
    import asyncpg

    with translated():
        missing = await missing_roles(connection)
        if group in missing:
            sql = f"{making_roles(missing)} and then `agentbridge db migrate`"
            raise Refused(f"the server has no role {group}: run as a superuser: {sql}")
        statement = await connection.fetchval(
            "SELECT format('GRANT %I TO %I', $2::text, rolname) FROM pg_roles WHERE rolname = $1", role, group
        )
        if statement is None:
            raise Refused(f"there is no role {role}: create it with CREATE ROLE, or its login with createuser")
        try:
            await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError as error:
            raise Refused(f"{error}: run as a superuser: {statement};") from error


async def move(connection: Connection) -> dict[str, int]:
    """Moves the rows of a database of the old numbering into the new schema, in one transaction; returns the rows of
    each table.

    The old schema stays beside the new one, as `agentbridge_old`. Raises SchemaError when there is nothing to move.
    """
    with translated():
        async with connection.transaction():
            await _lock(connection)
            applied = await _read_applied(connection)
            if not applied.old_numbering:
                raise SchemaError("there is nothing to move: this database is not of a version before 0.2")
            if max(applied.migrations) < OLD_VERSION:
                raise SchemaError("the database lacks some of the old migrations: apply them with version 0.1")
            if await connection.fetchval("SELECT to_regnamespace($1)", OLD_SCHEMA) is not None:
                raise SchemaError(f"the schema {OLD_SCHEMA} is there from an earlier move: drop or rename it first")
            await connection.execute(f"ALTER SCHEMA agentbridge RENAME TO {OLD_SCHEMA}")
            await _migrate(connection)
            await connection.execute((folder() / "move.sql").read_text("utf-8"))
            rows = await connection.fetch("SELECT name, copied FROM pg_temp.moved ORDER BY name")
            await connection.execute("DROP TABLE pg_temp.moved")
            return {row["name"]: row["copied"] for row in rows}


async def _lock(connection: Connection) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)


async def _migrate(connection: Connection) -> list[str]:
    """Brings the schema up to date in the running transaction; returns the names of what was applied."""
    applied = await _read_applied(connection)
    found = _compare(applied)
    if found.problem and not found.too_old:
        raise SchemaError(found.problem)
    if not found.too_old:
        return []
    await connection.execute(_GROUND)
    existing = await _create_roles(connection, applied.roles)
    done = [
        await _apply_migration(connection, step)
        for step in schema_files.migrations()
        if step.version not in applied.migrations
    ]
    files = schema_files.functions()
    if not done:  # after a migration each is applied: a new table may change what a file makes
        files = {name: text for name, text in files.items() if name in found.changed}
    # functions may name what a later file makes
    await connection.execute("SET LOCAL check_function_bodies = off")
    for name, text in files.items():
        await _apply_file(connection, name, text)
    # what is new belongs to everybody until it is taken away
    await _apply_file(connection, _GRANTS, _grants_for(existing))
    return [*done, *files, _GRANTS]


async def _create_roles(connection: Connection, existing: frozenset[str]) -> frozenset[str]:
    """Creates our missing roles as far as the owner may; returns those that exist then."""
    if set(schema_files.roles()) <= existing or not await connection.fetchval(
        "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    ):
        return existing
    for role in schema_files.roles():
        # roles are the server's: somebody may make the same one beside us in another database
        await connection.execute(
            f"DO $$ BEGIN CREATE ROLE {role} LOGIN;"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    return frozenset(schema_files.roles())


async def _apply_migration(connection: Connection, migration: Migration) -> str:
    """Runs a migration and notes it; returns its title."""
    await connection.execute(migration.sql)
    await connection.execute(
        "INSERT INTO agentbridge.migrations (version, name, checksum) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.checksum,
    )
    return migration.title


async def _apply_file(connection: Connection, name: str, text: str) -> None:
    """Runs a file of functions or grants and notes the checksum of its text."""
    await connection.execute(text)
    await connection.execute(
        "INSERT INTO agentbridge.schema_files (name, checksum) VALUES ($1, $2)"
        " ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, applied_at = clock_timestamp()",
        name,
        checksum(text),
    )


async def _read_applied(connection: Connection) -> _Applied:
    """Reads what was applied to the database; nothing for one that has no schema of ours."""
    there = await connection.fetchrow(
        "SELECT to_regclass('agentbridge.migrations') IS NOT NULL AS migrations,"
        " to_regclass('agentbridge.schema_files') IS NOT NULL AS files,"
        " array(SELECT rolname::text FROM pg_roles WHERE rolname = any($1::text[])) AS roles,"
        " current_setting('server_encoding') AS encoding",
        list(schema_files.roles()),
    )
    assert there is not None  # noqa: S101 - a query without FROM has one row
    steps: dict[int, str] = {}
    files: dict[str, str] = {}
    if there["migrations"]:
        rows = await connection.fetch("SELECT version, checksum FROM agentbridge.migrations")
        steps = {row["version"]: row["checksum"] for row in rows}
    if there["files"]:
        rows = await connection.fetch("SELECT name, checksum FROM agentbridge.schema_files")
        files = {row["name"]: row["checksum"] for row in rows}
    return _Applied(steps, files, frozenset(there["roles"]), there["encoding"])


def _compare(applied: _Applied) -> SchemaStatus:
    """Compares what was applied with what this program needs."""
    known = {migration.version: migration for migration in schema_files.migrations()}
    current, wanted = max(applied.migrations, default=0), max(known)
    if applied.encoding != "UTF8":
        return SchemaStatus(current, wanted, problem=f"the database's encoding is {applied.encoding}: {_ENCODING}")
    if applied.old_numbering:
        return SchemaStatus(current, wanted, problem=f"the database is of before version 0.2 of agentbridge: {_MOVE}")
    if current > wanted:
        return SchemaStatus(
            current,
            wanted,
            problem=f"the database's schema is at version {current} and this agentbridge knows only {wanted}: "
            "install the newer agentbridge",
        )
    for version, applied_sum in sorted(applied.migrations.items()):
        if version in known and known[version].checksum != applied_sum:
            text = f"migration {known[version].title} was applied with another content: {_RESTORE}"
            return SchemaStatus(current, wanted, problem=text)
    pending = tuple(known[version].title for version in sorted(known) if version not in applied.migrations)
    changed = _changed(applied)
    return SchemaStatus(current, wanted, pending, changed, _to_do(current, wanted, pending, changed))


def _changed(applied: _Applied) -> tuple[str, ...]:
    """Returns the names of the files of functions and grants whose text the database does not have."""
    files = {**schema_files.functions(), _GRANTS: _grants_for(applied.roles)}
    return tuple(name for name, text in files.items() if applied.files.get(name) != checksum(text))


def _to_do(current: int, wanted: int, pending: tuple[str, ...], changed: tuple[str, ...]) -> str:
    """Returns what the administrator has to do about the schema; '' where it is up to date."""
    if pending:
        return f"the database's schema is at version {current}, {wanted} is needed: run `agentbridge db migrate`"
    if changed:
        return f"the database has another text of {', '.join(changed)}: run `agentbridge db migrate`"
    return ""


def _grants_for(existing: frozenset[str]) -> str:
    """Without the sections of roles that the server has not got."""
    return "".join(text for role, text in schema_files.grants().items() if not role or role in existing)


_GROUND = """
CREATE SCHEMA IF NOT EXISTS agentbridge;
CREATE TABLE IF NOT EXISTS agentbridge.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS agentbridge.schema_files (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
