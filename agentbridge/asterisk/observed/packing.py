"""The fields of many objects in little memory. No I/O.

Objects of one kind differ in their key, which is in some of the values, and in a few values of their own. What they
have alike, a *shape*, is kept once for all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from agentbridge.model import EndpointId, Fields

_KEY = "\0"
"""stands for an object's key in a value"""


class Shape(NamedTuple):
    """The names of the fields of many objects, and the values that they have alike: None for one of their own."""

    names: tuple[str, ...]
    values: tuple[str | None, ...]

    def unpacked(self, key: EndpointId, own: Sequence[str]) -> dict[str, str]:
        """Returns the fields of the object with this key and these values of its own."""
        values = iter(own)
        return {
            name: next(values) if value is None else value.replace(_KEY, key)
            for name, value in zip(self.names, self.values, strict=True)
        }


class Packer:
    """Takes what many objects have alike out of their fields.

    own: the names of fields that hardly two objects have alike.
    """

    def __init__(self, own: Collection[str]) -> None:
        self._own = own
        self._shapes: dict[Shape, Shape] = {}

    def packed(self, key: EndpointId, fields: Fields) -> tuple[Shape, list[str]]:
        """Returns the object's shape, which is one object for all that have it, and its own values."""
        values: list[str | None] = []
        own: list[str] = []
        for name, value in fields.items():
            if name in self._own or _KEY in value:
                own.append(value)
                values.append(None)
            else:
                values.append(value.replace(key, _KEY) if key in value else value)
        shape = Shape(tuple(fields), tuple(values))
        return self._shapes.setdefault(shape, shape), own
