"""The PJSIP objects of one kind, as last seen, in little memory. No I/O."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from agentbridge.asterisk.observed.packing import Packer, Shape
from agentbridge.desired.pjsip import DIGEST
from agentbridge.model import EndpointId, Fields

_NOTHING: Mapping[EndpointId, Fields] = {}

WRITTEN = 0
OWN = frozenset({"callerid", DIGEST})
"""fields that hardly two objects have alike"""

_Row: TypeAlias = tuple[int, Shape, *tuple[str, ...]]
"""An object, or many equal ones: the hash of the text that was decoded into its fields, WRITTEN for fields that we
wrote; its shape; its own values."""


class ObjectTable(Mapping[EndpointId, Fields]):
    """The fields of all PJSIP objects of one kind by endpoint id, as a mapping that needs little memory.

    Ten thousand endpoints are most of what the daemon holds, and a dictionary each would be ten times as much. Equal
    objects, as most AORs are, are kept once.
    """

    def __init__(self, objects: Mapping[EndpointId, Fields] = _NOTHING) -> None:
        self._rows: dict[EndpointId, _Row] = {}
        self._packer = Packer(OWN)
        self._rows_of_many: dict[_Row, _Row] = {}
        for key, fields in objects.items():
            self.put(key, fields)

    def __getitem__(self, key: EndpointId) -> Fields:
        _, shape, *own = self._rows[key]
        return shape.unpacked(key, own)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[EndpointId]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, key: EndpointId, fields: Fields) -> None:
        """Sets an object's fields; fields that are not among these are dropped."""
        self._put(key, self._packed(key, fields, WRITTEN))

    def put_read(self, key: EndpointId, text: int, decode: Callable[[], Fields], known: ObjectTable) -> None:
        """Sets an object's fields as they are stored; where the known table has them from the same text already, they
        are not decoded again. text: its hash."""
        row = known._rows.get(key)
        self._put(key, row if row is not None and row[0] == text else self._packed(key, decode(), text))

    def _packed(self, key: EndpointId, fields: Fields, text: int) -> _Row:
        """Returns the fields of an object as a row."""
        shape, own = self._packer.packed(key, fields)
        return text, shape, *own

    def _put(self, key: EndpointId, row: _Row) -> None:
        _, _, *own = row
        self._rows[EndpointId(sys.intern(key))] = row if own else self._rows_of_many.setdefault(row, row)

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
            if (there := fresh._rows.get(key)) is not row and (there is None or not self._is_within(key, fresh))
        ]
        return gone_or_other + [key for key in fresh._rows if key not in self._rows]

    def _is_within(self, key: EndpointId, other: ObjectTable) -> bool:
        """Whether all fields of an object have the same values in the other table."""
        there = other[key]
        return all(there.get(name) == value for name, value in self[key].items())

    def take_over(self, keys: Iterable[EndpointId], other: ObjectTable) -> None:
        """Takes the objects of these keys from the other table; removes those that are not there."""
        for key in keys:
            if key in other:
                self._rows[key] = other._rows[key]
            else:
                self.drop(key)
