"""`agentbridge db`: the schema in the database."""

from __future__ import annotations

import asyncio

import typer

from agentbridge.cli import output
from agentbridge.cli.options import ConfigPath, Json, connected, settings_of
from agentbridge.directory import migrate as schema
from agentbridge.settings import Settings

MIGRATION_SECONDS = 600.0
"""for one statement of a migration: an index on a large table takes its time"""

app = typer.Typer(help="The schema in the database.", no_args_is_help=True)


@app.command()
def migrate(config: ConfigPath = None) -> None:
    """Bring the schema up to date; safe to repeat."""
    done = asyncio.run(_migrate(settings_of(config)))
    if not done:
        output.message("the schema is up to date")


async def _migrate(settings: Settings) -> list[str]:
    slow = settings.model_copy(
        update={"database": settings.database.model_copy(update={"connect_seconds": MIGRATION_SECONDS})}
    )
    async with connected(slow) as connection:
        return await schema.migrate(connection, lambda step: output.line(f"done: {step}"))


@app.command()
def status(config: ConfigPath = None, as_json: Json = False) -> None:
    """The schema's version, and what is to be done; 0 when it is the one that this program needs."""
    found = asyncio.run(_status(settings_of(config)))
    if as_json:
        output.document({"current": found.current, "wanted": found.wanted, "problem": found.problem})
    else:
        output.line(f"schema {found.current}, needed {found.wanted}")
    if found.problem:
        output.message(found.problem)
        raise typer.Exit(1)


async def _status(settings: Settings) -> schema.SchemaStatus:
    async with connected(settings) as connection:
        return await schema.status(connection)
