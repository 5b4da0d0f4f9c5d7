"""Results on standard output: a table on a terminal, plain columns in a pipe, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import typer

Row = Mapping[str, Any]


def document(value: Any) -> None:
    """Prints a value as JSON; times are ISO 8601."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_encoded))


def _encoded(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def message(text: str) -> None:
    """Prints to standard error what is not the result."""
    typer.echo(printable(text), err=True)


def line(text: str) -> None:
    typer.echo(printable(text))


def records(rows: Sequence[Row], *, as_json: bool) -> None:
    """Prints rows: as JSON, as a table on a terminal, else in columns."""
    if as_json:
        document(list(rows))
    elif sys.stdout.isatty():
        _table(rows)
    else:
        _columns(rows)


def record(row: Row, *, as_json: bool) -> None:
    """Prints one record: as JSON, or with one field on each line."""
    if as_json:
        document(row)
        return
    width = max(map(len, row), default=0)
    for name, value in row.items():
        line(f"{name:<{width}}  {told(value)}".rstrip())


def _table(rows: Sequence[Row]) -> None:
    """Prints rows as a table that fits 80 columns: fields that are empty or `no` in all rows are left out, nothing is
    cut off."""
    # a pipe and JSON don't need it
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    names = [name for name in (rows[0] if rows else ()) if any(told(row[name]) not in {"", "no"} for row in rows)]
    table = Table(*(Column(name, overflow="fold") for name in names), box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(printable(_short(row[name]))) for name in names))
    if rows:
        Console().print(table)


def _short(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else told(value)


def _columns(rows: Sequence[Row]) -> None:
    """Prints rows for other programs such as cut and awk: fields separated by tabs, their names in the first line."""
    if rows:
        line("\t".join(rows[0]))
    for row in rows:
        line("\t".join(printable(told(value)) for value in row.values()))


def told(value: Any) -> str:
    """Returns a value as text for people."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(timespec="seconds")
        case list():
            return ",".join(map(told, value))
        case dict():
            return " ".join(f"{key}={told(inner)}" for key, inner in value.items())
        case _:
            return str(value)


def printable(text: str) -> str:
    """Returns a text without control characters, so that a name from the directory can't move the terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)
