"""`agentbridge agent export|import`: agents as CSV (RFC 4180, UTF-8)."""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from agentbridge.cli import output
from agentbridge.cli.options import ConfigPath, acting_user, in_directory
from agentbridge.directory import admin, authority, bulk, cells
from agentbridge.directory.bulk import MEMBERSHIPS
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT
from agentbridge.errors import Refused

IMPORT_SECONDS = 600.0
ERRORS_SHOWN = 20
PROGRESS_EVERY = 1000
Line: TypeAlias = tuple[int, dict[str, str]]
SAVE_AS = "save it as 'CSV UTF-8 (comma delimited)'"


def register(app: typer.Typer) -> None:
    app.command("export")(export_agents)
    app.command("import")(import_agents)


def export_agents(
    usernames: Annotated[list[str] | None, typer.Argument(metavar="[USERNAME]...", help="Else all.")] = None,
    search: Annotated[str, typer.Option(help="Only those with this text in them.")] = "",
    config: ConfigPath = None,
) -> None:
    """Agents as CSV on standard output: safe to open in a spreadsheet, never with secrets."""

    async def work(connection: Connection) -> tuple[list[str], list[admin.Record]]:
        await authority.must_manage(connection, acting_user(), usernames or [])
        keys = usernames or await _found(connection, search)
        names = [name for name in await admin.fields(connection, AGENT) if name not in AGENT.secret]
        return names, await admin.agents_with_memberships(connection, keys)

    fields, records = in_directory(config, work, deadline=IMPORT_SECONDS)
    sys.stdout.write(as_csv([*fields, *MEMBERSHIPS], records))


async def _found(connection: Connection, search: str) -> list[str]:
    page = admin.Page(search=search, limit=1_000_000, manager=acting_user())
    return [row["username"] for row in await admin.listed(connection, AGENT, page)]


def as_csv(fields: list[str], records: Iterable[admin.Record]) -> str:
    """Returns the records as CSV in which no spreadsheet finds a formula."""
    lines = [fields, *([cells.safe(_cell(name, record[name])) for name in fields] for record in records)]
    return "".join(map(cells.line, lines))


def _cell(name: str, value: Any) -> str:
    return cells.listed_names(value) if name in MEMBERSHIPS else output.told(value)


def import_agents(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, readable=True)],
    config: ConfigPath = None,
) -> None:
    """Make the agents of a CSV file: all of them, or with one error none."""
    rows: list[Line] = []
    too_long: list[tuple[int, str]] = []
    for line, fields in _rows(file):
        if fields is None:
            too_long.append((line, "more fields than the first line names"))
        else:
            rows.append((line, fields))
    in_directory(config, lambda connection: _import(connection, rows, too_long), deadline=IMPORT_SECONDS)
    output.message(f"{len(rows)} agents are made")


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Yields from a CSV file each record's first line number and its fields, None where it has too many; empty ones are
    left out. Raises Refused."""
    reader = csv.reader(io.StringIO(_text_of(file), newline=""), strict=True)
    names: list[str] = []
    line = 1
    try:
        for values in reader:
            first, line = line, reader.line_num + 1
            if not names:
                _check_header(file, values)
                names = values
            elif len(values) > len(names):
                yield first, None
            elif values:
                # a shorter record leaves its last fields out
                yield (
                    first,
                    {name: cells.without_guard(value) for name, value in zip(names, values, strict=False) if value},
                )
    except csv.Error as error:
        raise Refused(f"{file}:{line}: is not CSV as in RFC 4180: {error}") from None
    if not names:
        _check_header(file, names)


def _text_of(file: Path) -> str:
    """Returns the text of the file. Raises Refused, with cause and cure, for what spreadsheets save in another form."""
    content = file.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:100]:
        raise Refused(f"{file}: is UTF-16 ('Unicode text'): {SAVE_AS}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Refused(
            f"{file}:{line}: is not UTF-8, but most likely Windows-1252 ('ANSI', plain 'CSV'): {SAVE_AS}, or "
            f"`iconv -f CP1252 -t UTF-8`"
        ) from None


def _check_header(file: Path, names: Sequence[str]) -> None:
    """Raises Refused where the first line does not name the fields that an import needs."""
    if "username" not in names:
        apart = {";": "semicolons", "\t": "tabs"}
        for sign, word in apart.items():
            if len(names) == 1 and "username" in (name.strip('"') for name in names[0].split(sign)):
                raise Refused(f"{file}:1: its fields are separated by {word}, and must be by commas: {SAVE_AS}")
        raise Refused(f"{file}:1: the first line must name the fields, with commas between them; username is missing")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Refused(f"{file}:1: is named twice: {', '.join(twice)}")


async def _import(connection: Connection, rows: list[Line], too_long: list[tuple[int, str]]) -> None:
    """Creates the agents. Raises Refused, with line and field of each error; the transaction is then rolled back.

    too_long: number and reason of the lines that have more fields than the first line names.
    """

    await authority.must_administer(connection, acting_user(), "import agents")

    def progress(tried: int) -> None:
        if tried % PROGRESS_EVERY == 0:
            output.message(f"{tried} of {len(rows)}")

    found = await bulk.create_agents(connection, rows, at_most=ERRORS_SHOWN, progress=progress)
    errors = sorted([*too_long, *found])[:ERRORS_SHOWN]
    if not errors:
        return
    more = ["and perhaps more; these first"] if len(errors) == ERRORS_SHOWN else []
    raise Refused("\n".join([*(f"line {line}: {error}" for line, error in errors), *more, "nothing was imported"]))
