"""The cells of a CSV file of agents: what command line and HTTP API write, and read of each other."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from agentbridge.errors import Refused

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""and a text that looks like one that was made safe, so that reading takes away only what writing has put there"""


def safe(text: str) -> str:
    """Returns a cell with an apostrophe before it where a spreadsheet would run it as a formula; `without_guard`
    removes it."""
    return f"'{text}" if _FORMULA.match(text) else text


def without_guard(text: str) -> str:
    """Returns a cell without the apostrophe that `safe` has put before it."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def line(cells: Sequence[str]) -> str:
    """Returns the cells as a line of CSV with its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def listed_names(names: Sequence[str]) -> str:
    """Joins names with commas; a name that holds a comma or a quote is put in quotes, a quote in it doubled."""
    return line(names).removesuffix("\r\n")


def names_in(field: str, text: str) -> list[str]:
    """Splits a list of names at its commas, see `listed_names`. Raises Refused where a quote is not closed."""
    try:
        parts = next(csv.reader([text], strict=True, skipinitialspace=True), [])
    except csv.Error:
        raise Refused(f"{field}: a name in quotes must end with a quote (got {text})") from None
    return [part.strip() for part in parts if part.strip()]
