"""Agents as CSV (RFC 4180, UTF-8): out for a spreadsheet, and in again."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from agentbridge.api.models.agents import AgentFields, NewAgent
from agentbridge.api.models.common import Port
from agentbridge.api.problems import Problem

ROWS = 20_000
ERRORS = 100
COLUMNS = 200
LISTS = ("transport", "nat", "codecs", "teams")
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""and a text that looks like one that was made safe, so that reading takes away only what writing has put there"""
_YES, _NO = frozenset({"yes", "true", "1", "on"}), frozenset({"no", "false", "0", "off"})
Row = dict[str, Any]


def written(records: Iterable[Row]) -> Iterator[str]:
    """Yields the lines of a CSV file with these agents, in which no spreadsheet finds a formula."""
    names: list[str] = []
    for record in records:
        if not names:
            names = [*(name for name in AgentFields.model_fields if name in record), "queues", "teams"]
            yield _line(names)
        yield _line([_safe(_text(record[name])) for name in names])
    if not names:
        yield _line([*AgentFields.model_fields, "queues", "teams"])


def _line(cells: list[str]) -> str:
    """Returns the cells as a line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def _text(value: Any) -> str:
    """Returns a value as text for a cell."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ",".join(_quoted(str(item)) for item in value)
        case dict():
            return ",".join(f"{_quoted(name)}:{penalty}" for name, penalty in value.items())
        case _:
            return str(value)


def _quoted(name: str) -> str:
    """Returns a name for a list of names: in quotes where it holds a comma or a colon."""
    return json.dumps(name, ensure_ascii=False) if re.search(r'[,:"]', name) else name


def _safe(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _unsafe(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


# ---------------------------------------------------------------- in


def read(content: bytes) -> tuple[list[Row], list[Row]]:
    """Parses a CSV file of agents; returns the rows, and the errors, each with its line. Raises a Problem (422) for no
    such file."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(422, f"file: is not UTF-8 at byte {error.start}; save it as CSV UTF-8", code="AB001") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restkey="")
    try:
        _check_header(list(reader.fieldnames or ()))
        return _rows(reader)
    except csv.Error as error:
        raise Problem(422, f"file: line {reader.line_num}: is not CSV: {error}", code="AB001") from None


def _check_header(names: list[str]) -> None:
    """Raises a Problem where the first line does not name the fields that an import needs."""
    if len(names) > COLUMNS:
        raise Problem(422, f"file: the first line names more than {COLUMNS} fields", code="AB001")
    if "username" not in names:
        hint = "; the fields must have commas between them" if len(names) == 1 else ""
        raise Problem(
            422, f"username: the first line must name the fields, and username among them{hint}", code="AB001"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Problem(422, f"{twice[0]}: is named twice in the first line", code="AB001")


def _rows(reader: csv.DictReader[str]) -> tuple[list[Row], list[Row]]:
    """Parses the lines; returns the agents, and number and reason of the lines that are wrong."""
    rows: list[Row] = []
    errors: list[Row] = []
    begins = reader.line_num + 1
    for cells in reader:
        line, begins = begins, reader.line_num + 1
        if len(rows) >= ROWS:
            raise Problem(413, f"a file may have at most {ROWS} agents")
        try:
            rows.append(_row(line, cells))
        except ValueError as error:
            errors.append({"line": line, "detail": str(error)})
            if len(errors) >= ERRORS:
                break
    return rows, errors


def _row(line: int, cells: dict[str, Any]) -> Row:
    """Parses the cells of one line. Raises ValueError, naming the field."""
    if cells.pop("", None):
        raise ValueError("more fields than the first line names")
    values = {name: _value(name, _unsafe(text)) for name, text in cells.items() if text}
    try:
        agent = NewAgent.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}") from None
    return {**json.loads(agent.model_dump_json(exclude_unset=True)), "line": line}


def _value(name: str, text: str) -> Any:
    """Converts a cell to the type of its field. Raises ValueError."""
    if name == "queues":
        return dict(_membership(part) for part in _parts(text))
    if name in LISTS:
        return [_bare(part) for part in _parts(text)]
    field = AgentFields.model_fields.get(name)
    if field is not None and field.annotation in (int, Port | None) and re.fullmatch("[0-9]{1,10}", text):
        return int(text)
    if field is not None and field.annotation is bool:
        word = text.strip().lower()
        if word not in _YES | _NO:
            raise ValueError(f"{name}: must be yes or no")
        return word in _YES
    return text


def _parts(text: str) -> list[str]:
    """Returns the parts of a text between its commas; commas in quotes divide nothing."""
    return [part.strip() for part in re.findall(r'(?:"(?:\\.|[^"\\])*"|[^,"])+', text) if part.strip()]


def _membership(part: str) -> tuple[str, int]:
    """Splits `sales:3` into queue and penalty. Raises ValueError."""
    match = re.fullmatch(r'(?P<name>"(?:\\.|[^"\\])*"|.*?)(?::(?P<penalty>[0-9]{1,7}))?', part)
    if match is None:
        raise ValueError("queues: must be as in sales:0,support")
    return _bare(match["name"]), int(match["penalty"] or 0)


def _bare(name: str) -> str:
    """Returns a name without its quotes. Raises ValueError where they are not closed."""
    if name.startswith('"'):
        try:
            return str(json.loads(name))
        except ValueError:
            raise ValueError(f"{name[:60]}: has a quote without its end") from None
    return name
