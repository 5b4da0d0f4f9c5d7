"""The lines of agents' clients, a file for each (A18)."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LEVELS = ("error", "warning", "info", "debug")
"""each includes those before it"""
FILE_BYTES = 5 * 1024 * 1024
KEPT = 3
"""files of one client: the present one and those before it"""
LONGEST_LINE = 4096
_NAME = re.compile(r"[A-Za-z0-9._]{1,80}")


class ClientLogs:
    """Stores what agents' browsers log: a file `<role>-<username>.log` for each agent, in one folder.

    A file that has grown too large is numbered and a new one begun; the oldest is deleted. Nothing reads them here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, role: str, username: str, level: str, content: bytes) -> int:
        """Appends lines of NDJSON that are as grave as `level` or graver to the agent's file; returns how many.

        It blocks: call it in a thread.
        """
        lines = list(_lines(content, level))
        if not lines:
            return 0
        if not (_NAME.fullmatch(role) and _NAME.fullmatch(username)):
            raise ValueError("a name that is none of the directory's")
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{role}-{username}.log"
        if file.exists() and file.stat().st_size > FILE_BYTES:
            self._rotate(file)
        with file.open("a", encoding="utf-8") as target:
            target.write("".join(f"{line}\n" for line in lines))
        return len(lines)

    def _rotate(self, file: Path) -> None:
        """Renames the file and its older ones by one number; the oldest goes."""
        for number in range(KEPT - 1, 0, -1):
            older = file.with_name(f"{file.name}.{number}")
            newer = file if number == 1 else file.with_name(f"{file.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)


def _lines(content: bytes, level: str) -> Iterable[str]:
    """Yields the lines that are as grave as `level` or graver; leaves out what is no JSON."""
    loudest = LEVELS.index(level)
    for raw in content.decode("utf-8", "replace").splitlines():
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("level") in LEVELS[: loudest + 1]:
            yield json.dumps(_plain(found), ensure_ascii=False)[:LONGEST_LINE]


def _plain(value: Any, depth: int = 0) -> Any:
    """Returns the value without control characters, at whatever depth: they would break lines, or move a terminal's
    cursor."""
    match value:
        case str():
            return "".join(c for c in value if unicodedata.category(c)[0] != "C")
        case dict() if depth < 4:
            return {_plain(str(key)): _plain(item, depth + 1) for key, item in value.items()}
        case list() if depth < 4:
            return [_plain(item, depth + 1) for item in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return "…"
