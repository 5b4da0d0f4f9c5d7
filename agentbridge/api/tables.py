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
from agentbridge.directory import cells
from agentbridge.errors import Refused

ROWS = 20_000
ERRORS = 100
COLUMNS = 200
LISTS = ("transport", "nat", "codecs", "teams")
_YES, _NO = frozenset({"yes", "true", "1", "on"}), frozenset({"no", "false", "0", "off"})
Row = dict[str, Any]


def written(records: Iterable[Row]) -> Iterator[str]:
    """Yields the lines of a CSV file with these agents, in which no spreadsheet finds a formula."""
    names: list[str] = []
    for record in records:
        if not names:
            names = [*(name for name in AgentFields.model_fields if name in record), "queues", "teams"]
            yield cells.line(names)
        yield cells.line([cells.safe(_text(record[name])) for name in names])
    if not names:
        yield cells.line([*AgentFields.model_fields, "queues", "teams"])


def _text(value: Any) -> str:
    """Returns a value as text for a cell."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return cells.listed_names([str(item) for item in value])
        case dict():
            return cells.listed_names([f"{name}:{penalty}" for name, penalty in value.items()])
        case _:
            return str(value)


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
    for texts in reader:
        line, begins = begins, reader.line_num + 1
        if len(rows) >= ROWS:
            raise Problem(413, f"a file may have at most {ROWS} agents")
        try:
            rows.append(_row(line, texts))
        except ValueError as error:
            errors.append({"line": line, "detail": str(error)})
            if len(errors) >= ERRORS:
                break
    return rows, errors


def _row(line: int, texts: dict[str, Any]) -> Row:
    """Parses the cells of one line. Raises ValueError, naming each field that is wrong."""
    if texts.pop("", None):
        raise ValueError("more fields than the first line names")
    values: Row = {}
    wrong: list[str] = []
    for name, text in texts.items():
        try:
            values |= {name: _value(name, cells.without_guard(text))} if text else {}
        except (ValueError, Refused) as error:
            wrong.append(str(error))
    try:
        agent = NewAgent.model_validate(values)
    except ValidationError as error:
        wrong += [
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}"
            for one in error.errors(include_input=False, include_url=False)
        ]
    if wrong:
        raise ValueError("; ".join(wrong))
    return {**json.loads(agent.model_dump_json(exclude_unset=True)), "line": line}


def _value(name: str, text: str) -> Any:
    """Converts a cell to the type of its field. Raises ValueError or Refused."""
    if name == "queues":
        return dict(_membership(part) for part in cells.names_in(name, text))
    if name in LISTS:
        return cells.names_in(name, text)
    field = AgentFields.model_fields.get(name)
    if field is not None and field.annotation in (int, Port | None) and re.fullmatch("[0-9]{1,10}", text):
        return int(text)
    if field is not None and field.annotation is bool:
        word = text.strip().lower()
        if word not in _YES | _NO:
            raise ValueError(f"{name}: must be yes or no")
        return word in _YES
    return text


def _membership(part: str) -> tuple[str, int]:
    """Splits `sales:3` into queue and penalty; no queue's name has a colon. Raises ValueError."""
    name, colon, penalty = part.partition(":")
    if colon and not re.fullmatch("[0-9]{1,7}", penalty):
        raise ValueError("queues: must be as in sales:0,support")
    return name, int(penalty or 0)
