"""`agentbridge db`: the schema in the database."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.options import ConfigPath, Json, awaited, connected, settings_of
from agentbridge.directory import migrate as schema

if TYPE_CHECKING:
    from agentbridge.settings import Settings

MIGRATION_SECONDS = 600.0
"""for one statement of a migration: an index on a large table takes its time"""


class Kind(StrEnum):
    """The groups of grants.sql that a role can be put into."""

    app = "app"
    daemon = "daemon"
    api = "api"


app = typer.Typer(help="The schema in the database.", no_args_is_help=True)


@app.command()
def migrate(config: ConfigPath = None) -> None:
    """Bring the schema up to date; safe to repeat."""
    done, missing = awaited(_migrate(settings_of(config)))
    if not done:
        output.message("the schema is up to date")
    if missing:
        output.message(
            f"the server has no role {', '.join(missing)}, so only the owner may use the schema: run as a superuser: "
            f"{schema.making_roles(missing)} and then db migrate again"
        )


async def _migrate(settings: Settings) -> tuple[list[str], list[str]]:
    """Migrates the schema; returns the applied steps, and which of our roles could not be created."""
    async with connected(_patient(settings)) as connection:
        done = await schema.migrate(connection, lambda step: output.line(f"done: {step}"))
        return done, await schema.missing_roles(connection)


@app.command()
def grant(
    role: Annotated[str, typer.Argument(help="The role that an application logs in with.")],
    kind: Annotated[Kind, typer.Option("--as", help="What it is to be.")] = Kind.app,
    config: ConfigPath = None,
) -> None:
    """Let a role of PostgreSQL use the directory as an application, the daemon or the API does."""
    group = f"agentbridge_{kind.value}"
    awaited(_grant(settings_of(config), role, group))
    output.message(f'{role} may do what {group} may: docs/directory.md, "Roles", has the list')


async def _grant(settings: Settings, role: str, group: str) -> None:
    async with connected(settings) as connection:
        await schema.grant(connection, role, group)


def _patient(settings: Settings) -> Settings:
    database = settings.database.model_copy(update={"connect_seconds": MIGRATION_SECONDS})
    return settings.model_copy(update={"database": database})


@app.command()
def move(config: ConfigPath = None) -> None:
    """Take over a database of before version 0.2: its schema stays beside the new one, as agentbridge_old."""
    copied = awaited(_move(settings_of(config)))
    for table, rows in copied.items():
        output.line(f"{table}: {rows}")
    output.message(f"once all is well, drop the old one: DROP SCHEMA {schema.OLD_SCHEMA} CASCADE")


async def _move(settings: Settings) -> dict[str, int]:
    async with connected(_patient(settings)) as connection:
        return await schema.move(connection)


@app.command()
def status(config: ConfigPath = None, as_json: Json = False) -> None:
    """The schema's version, and what `db migrate` would do; 0 when it is the one that this program needs."""
    found = awaited(_status(settings_of(config)))
    if as_json:
        output.document(
            {
                "current": found.current,
                "wanted": found.wanted,
                "pending": list(found.pending),
                "changed": list(found.changed),
                "problem": found.problem,
            }
        )
    else:
        output.line(f"schema {found.current}, needed {found.wanted}")
        for step in found.pending:
            output.line(f"migration to be applied: {step}")
        for name in found.changed:
            output.line(f"file with another text than applied: {name}")
    if found.problem:
        output.message(found.problem)
        raise typer.Exit(1)


async def _status(settings: Settings) -> schema.SchemaStatus:
    """Compares the database's schema with what this program needs."""
    async with connected(settings) as connection:
        return await schema.status(connection)
