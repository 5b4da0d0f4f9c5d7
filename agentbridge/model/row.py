"""The fields of one object in little memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from agentbridge.model.keys import Fields


class Row(Mapping[str, str]):
    """The fields of one object, which do not change: its values alone, the names once for all objects that have them.

    A cold start has the endpoints of all agents in its plan, and a dictionary each would be three times as much.
    """

    __slots__ = ("_places", "_values")
    _known: ClassVar[dict[tuple[str, ...], Mapping[str, int]]] = {}
    """names → the place of each among the values"""

    def __init__(self, fields: Fields) -> None:
        names = tuple(fields)
        places = self._known.get(names)
        if places is None:
            places = self._known[names] = {name: place for place, name in enumerate(names)}
        self._places = places
        self._values = tuple(fields.values())

    def __getitem__(self, name: str) -> str:
        return self._values[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))
