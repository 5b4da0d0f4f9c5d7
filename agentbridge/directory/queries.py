"""The named blocks of queries.sql."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def parse(text: str) -> Mapping[str, str]:
    """Splits the text at lines `-- name: something`; returns each block of SQL by its name."""
    _, *pieces = _NAME.split(text)
    names, blocks = pieces[::2], pieces[1::2]
    if len(set(names)) != len(names):
        raise ValueError("queries.sql: a name is there twice")
    return MappingProxyType({name: block.strip() for name, block in zip(names, blocks, strict=True)})


QUERIES = parse((resources.files("agentbridge.directory") / "queries.sql").read_text("utf-8"))
