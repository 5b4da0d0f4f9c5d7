"""This program's schema, as its files in `schema/` say it: migrations, functions and grants."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

_MIGRATION = re.compile(r"(?P<version>[0-9]{4})_(?P<name>[a-z_]+)\.sql")
_SECTION = re.compile(r"^-- role (?P<role>[a-z_]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the tables' schema: its number, name and SQL."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return checksum(self.sql)

    @property
    def title(self) -> str:
        return f"{self.version:04} {self.name}"


@cache
def migrations() -> tuple[Migration, ...]:
    """Returns this program's migrations, in order."""
    found = [
        Migration(int(match["version"]), match["name"], file.read_text("utf-8"))
        for file in (folder() / "migrations").iterdir()
        if (match := _MIGRATION.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


@cache
def functions() -> dict[str, str]:
    """Returns the text of each file of SQL functions by its name without the ending, in the order of the names."""
    files = sorted((folder() / "functions").iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in files if file.name.endswith(".sql")}


@cache
def grants() -> dict[str, str]:
    """Returns the sections of grants.sql: under "" what PUBLIC loses, then each role's text under its name."""
    first, *rest = _SECTION.split((folder() / "grants.sql").read_text("utf-8"))
    return {"": first, **dict(zip(rest[::2], rest[1::2], strict=True))}


def roles() -> tuple[str, ...]:
    """The roles that grants.sql gives rights to."""
    return tuple(role for role in grants() if role)


def folder() -> Traversable:
    return resources.files("agentbridge.directory") / "schema"


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
