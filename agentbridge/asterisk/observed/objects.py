"""The PJSIP objects of one kind, as last seen, in little memory. No I/O."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from agentbridge.model import EndpointId, Fields, Row

Names = tuple[str, ...]
Values = tuple[str, ...]

_NOTHING: Mapping[EndpointId, Fields] = {}


def _is_within(row: tuple[Names, Values], other: tuple[Names, Values]) -> bool:
    """Whether all fields of a row have the same values in the other."""
    there = dict(zip(*other, strict=True))
    return all(there.get(name) == value for name, value in zip(*row, strict=True))


class ObjectTable(Mapping[EndpointId, Fields]):
    """The fields of all PJSIP objects of one kind by endpoint id, as a mapping that needs little memory.

    Ten thousand endpoints are most of what the daemon holds, and a dictionary each would be four times as much: stored
    are their values alone, the names once for all, and equal objects, as most AORs are, once too.
    """

    def __init__(self, objects: Mapping[EndpointId, Fields] = _NOTHING) -> None:
        self._rows: dict[EndpointId, tuple[Names, Values]] = {}
        self._names: dict[Names, Names] = {}
        self._rows_of_many: dict[tuple[Names, Values], tuple[Names, Values]] = {}
        for key, fields in objects.items():
            self.put(key, fields)

    def __getitem__(self, key: EndpointId) -> Fields:
        return dict(zip(*self._rows[key], strict=True))

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[EndpointId]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, key: EndpointId, fields: Fields) -> None:
        """Sets an object's fields; fields that are not among these are dropped."""
        names = tuple(fields)
        values = fields.packed if isinstance(fields, Row) else tuple(fields.values())
        row = (self._names.setdefault(names, names), values)
        if key not in row[1]:  # an object that names its key has no equal
            row = self._rows_of_many.setdefault(row, row)
        self._rows[EndpointId(sys.intern(key))] = row

    def drop(self, key: EndpointId) -> None:
        """Forgets an object; one that is not there is no error."""
        self._rows.pop(key, None)

    def changed_in(self, fresh: ObjectTable) -> list[EndpointId]:
        """Returns whose objects are not in the fresh table or have another value there in a field that is known here.

        What was read has all fields of an object, what was written only ours.
        """
        return [
            key
            for key, row in self._rows.items()
            if (there := fresh._rows.get(key)) is None or (there != row and not _is_within(row, there))
        ]

    def take_over(self, keys: Iterable[EndpointId], other: ObjectTable) -> None:
        """Takes the objects of these keys from the other table; removes those that are not there."""
        for key in keys:
            if key in other:
                self._rows[key] = other._rows[key]
            else:
                self.drop(key)
