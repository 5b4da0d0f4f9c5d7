"""The PJSIP objects of one kind, as last seen, in little memory. No I/O."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from agentbridge.model import EndpointId, Fields, Row

Names = tuple[str, ...]
Values = tuple[str, ...]

_NOTHING: Mapping[EndpointId, Fields] = {}

WRITTEN = 0


class _Row(NamedTuple):
    """The fields of an object, or of many equal ones."""

    names: Names
    values: Values
    text: int
    """the hash of the text that was decoded into these fields; WRITTEN for fields that we wrote"""

    def fields(self) -> dict[str, str]:
        return dict(zip(self.names, self.values, strict=True))

    def is_within(self, other: _Row) -> bool:
        """Whether all fields of this row have the same values in the other."""
        there = other.fields()
        return all(there.get(name) == value for name, value in zip(self.names, self.values, strict=True))


class ObjectTable(Mapping[EndpointId, Fields]):
    """The fields of all PJSIP objects of one kind by endpoint id, as a mapping that needs little memory.

    Ten thousand endpoints are most of what the daemon holds, and a dictionary each would be four times as much: stored
    are their values alone, the names once for all, and equal objects, as most AORs are, once too.
    """

    def __init__(self, objects: Mapping[EndpointId, Fields] = _NOTHING) -> None:
        self._rows: dict[EndpointId, _Row] = {}
        self._names: dict[Names, Names] = {}
        self._rows_of_many: dict[_Row, _Row] = {}
        for key, fields in objects.items():
            self.put(key, fields)

    def __getitem__(self, key: EndpointId) -> Fields:
        return self._rows[key].fields()

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[EndpointId]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, key: EndpointId, fields: Fields) -> None:
        """Sets an object's fields; fields that are not among these are dropped."""
        values = fields.packed if isinstance(fields, Row) else tuple(fields.values())
        self._put(key, _Row(self._named(fields), values, WRITTEN))

    def put_read(self, key: EndpointId, text: int, decode: Callable[[], Fields], known: ObjectTable) -> None:
        """Sets an object's fields as they are stored; where the known table has them from the same text already, they
        are not decoded again. text: its hash."""
        row = known._rows.get(key)
        if row is None or row.text != text:
            fields = decode()
            row = _Row(self._named(fields), tuple(fields.values()), text)
        self._put(key, row)

    def _named(self, fields: Fields) -> Names:
        """Returns the names of the fields, one object for all that have these."""
        names = tuple(fields)
        return self._names.setdefault(names, names)

    def _put(self, key: EndpointId, row: _Row) -> None:
        if key not in row.values:  # an object that names its key has no equal
            row = self._rows_of_many.setdefault(row, row)
        self._rows[EndpointId(sys.intern(key))] = row

    def drop(self, key: EndpointId) -> None:
        """Forgets an object; one that is not there is no error."""
        self._rows.pop(key, None)

    def changed_in(self, fresh: ObjectTable) -> list[EndpointId]:
        """Returns whose objects are in one of the tables alone, or have another value in the fresh one in a field that
        is known here.

        What was read has all fields of an object, what was written only ours.
        """
        gone_or_other = [
            key
            for key, row in self._rows.items()
            if (there := fresh._rows.get(key)) is not row and (there is None or not row.is_within(there))
        ]
        return gone_or_other + [key for key in fresh._rows if key not in self._rows]

    def take_over(self, keys: Iterable[EndpointId], other: ObjectTable) -> None:
        """Takes the objects of these keys from the other table; removes those that are not there."""
        for key in keys:
            if key in other:
                self._rows[key] = other._rows[key]
            else:
                self.drop(key)
