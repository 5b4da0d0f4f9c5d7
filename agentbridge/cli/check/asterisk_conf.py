"""Asterisk's configuration files, read with templates, includes and comments as Asterisk reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from asterisk.config import Config  # type: ignore[import-untyped]  # pyst2 has no types

DEEPEST_INCLUDE = 10
_BLOCK_COMMENT = re.compile(r";--(?!-).*?--;", re.DOTALL)
_COMMENT = re.compile(r"(?<!\\);.*")
_INCLUDE = re.compile(r"#(?:try)?include\s+[\"<]?([^\">]+?)[\">]?\s*$")
_SECTION = re.compile(r"\[([^\]]+)\](?:\s*\(([^)]*)\))?")
# pyst2 cuts a line at every semicolon, escaped or not
_SEMICOLON = "\x1a"

Sections = dict[str, dict[str, str]]


def read(file: Path) -> Sections:
    """Parses a configuration file of Asterisk; returns the last value by section and option, the option in lower case.
    Raises OSError."""
    found: Sections = {}
    for category in _Normalised(str(file)).categories:
        options = found.setdefault(category.name, {})
        for item in category.items:
            options[item.name.lower()] = item.value.strip().replace(_SEMICOLON, ";")
    return found


def unknown_templates(file: Path) -> list[tuple[str, str]]:
    """Returns section and template for each section that uses a template not defined above it. Raises OSError.

    Asterisk then refuses the whole file.
    """
    known: set[str] = set()
    unknown: list[tuple[str, str]] = []
    for line in _lines(file, 0):
        if section := _SECTION.match(line):
            parents = (part.strip() for part in (section[2] or "").split(","))
            unknown += [(section[1], parent) for parent in parents if parent not in {"", "!", "+"} | known]
            known.add(section[1])
    return unknown


class _Normalised(Config):  # type: ignore[misc]  # pyst2 has no types, so its class is Any
    """pyst2's parser, given plain sections and options, which it understands."""

    def load(self) -> None:
        self.raw_lines = list(_expand_templates(_lines(Path(self.filename), 0)))


def _lines(file: Path, depth: int) -> Iterator[str]:
    """Yields the lines of a file without comments, and in place of an #include those of the included files. Raises
    OSError."""
    text = _BLOCK_COMMENT.sub("", file.read_text("utf-8", errors="replace"))
    for raw in text.splitlines():
        line = _COMMENT.sub("", raw).replace("\\;", _SEMICOLON).strip()
        if included := _INCLUDE.fullmatch(line):
            yield from _included_lines(file.parent, included[1], depth + 1)
        elif line.startswith("[") or "=" in line:
            yield line


def _included_lines(folder: Path, pattern: str, depth: int) -> Iterator[str]:
    """Yields the lines of the files that an #include names."""
    if depth > DEEPEST_INCLUDE:
        return
    base, name = (Path("/"), pattern[1:]) if pattern.startswith("/") else (folder, pattern)
    for file in sorted(base.glob(name)):
        yield from _lines(file, depth)


def _expand_templates(lines: Iterable[str]) -> Iterator[str]:
    """Yields the lines with templates' options written out in the sections that use them; templates are left out."""
    options: dict[str, list[str]] = {}
    templates: set[str] = set()
    current = ""
    for line in lines:
        if section := _SECTION.match(line):
            current = section[1]
            parents = [part.strip() for part in (section[2] or "").split(",")]
            if "!" in parents:
                templates.add(current)
            inherited = [option for parent in parents for option in options.get(parent, ())]
            options.setdefault(current, []).extend(inherited)
        elif current:
            options[current].append(line)
    for name in options.keys() - templates:
        yield f"[{name}]"
        yield from options[name]
