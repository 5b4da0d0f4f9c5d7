"""Our family in Asterisk's AstDB, by endpoint id and by agent. No I/O."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, KeysView
from typing import TypeAlias

from agentbridge.asterisk.observed.packing import Packer, Shape
from agentbridge.model import EndpointId, Fields

_NOTHING: Fields = {}
QUEUE = "queue/"
"""how the path of what is said of a queue begins"""
_OWN = frozenset({"agent//id", "agent//callerid"})
"""what hardly two agents have alike, by its path without the endpoint id"""
_Entries: TypeAlias = tuple[Shape, *tuple[str, ...]]
"""what is said of an endpoint id: its shape, and its own values"""


class PolicyTree:
    """The entries of our family in Asterisk's AstDB, such as `agent/1001/device`, found by endpoint id and by agent."""

    def __init__(self, paths: Fields = _NOTHING) -> None:
        self._entries: dict[EndpointId, _Entries] = {}
        """what is said of each endpoint id"""
        self._packer = Packer(_OWN)
        self._internals: dict[str, tuple[EndpointId, ...]] = {}
        """the numbers under which an agent's row id is known; two in the midst of a change of number"""
        self._telephones: dict[str, tuple[EndpointId, ...]] = {}
        """the telephones that name a number as their agent"""
        self._queues: dict[str, str] = {}
        """what is said of queues, by its path: a queue is no endpoint"""
        for path, value in paths.items():
            self.put(path, value)

    # ------------------------------------------------------------ questions

    def get(self, path: str) -> str | None:
        """Returns the value at the path; None where there is no such entry."""
        if path.startswith(QUEUE):
            return self._queues.get(path)
        key, form = _split(path)
        return self._said(key).get(form)

    def _said(self, key: EndpointId) -> dict[str, str]:
        """Returns what is said of an endpoint id, by its path without the id: those are few, and the paths are
        many."""
        if key not in self._entries:
            return {}
        shape, *own = self._entries[key]
        return shape.unpacked(key, own)

    def queues(self) -> Fields:
        """What is said of queues, by its path."""
        return dict(self._queues)

    def of(self, key: EndpointId) -> Fields:
        return {_path(form, key): value for form, value in self._said(key).items()}

    def keys(self) -> KeysView[EndpointId]:
        """The endpoint ids that are ours."""
        return self._entries.keys()

    def agents(self) -> Iterator[EndpointId]:
        """The internal numbers of our agents that Asterisk has, by our AstDB family."""
        return (internal for internals in self._internals.values() for internal in internals)

    def agent_of(self, key: EndpointId) -> str:
        """Returns the row id of the agent whose number this is, or who is logged in at this telephone; '' for none."""
        own = self.get(f"agent/{key}/id")
        if own is None and (internal := self.get(f"telephone/{key}/agent")):
            own = self.get(f"agent/{internal}/id")
        return own or ""

    def carriers(self, agent: str) -> Collection[EndpointId]:
        """Returns the endpoint ids that take this agent's calls: its device, and every telephone that names it. agent:
        the row id."""
        found: set[EndpointId] = set()
        for internal in self._internals.get(agent, ()):
            found.add(EndpointId(self.get(f"agent/{internal}/device") or internal))
            found.update(self._telephones.get(internal, ()))
        return found

    # ------------------------------------------------------------ changes

    def put(self, path: str, value: str) -> None:
        """Sets the value at the path."""
        if path.startswith(QUEUE):
            self._queues[path] = value
            return
        key, form = _split(path)
        values = self._said(key)
        self._unindex(key, form, values.get(form, ""))
        self._say(key, {**values, form: value})
        if value and (index := self._index(form)) is not None:
            index[value] = (*index.get(value, ()), EndpointId(sys.intern(key)))

    def drop(self, path: str) -> None:
        """Removes the entry at the path, if there is one."""
        self._queues.pop(path, None)
        key, form = _split(path)
        values = self._said(key)
        if (value := values.pop(form, None)) is not None:
            self._unindex(key, form, value)
            self._say(key, values)

    def _unindex(self, key: EndpointId, form: str, value: str) -> None:
        """Takes a value that goes out of the index that it is in; '' is in none."""
        if value and (index := self._index(form)) is not None:
            others = tuple(other for other in index[value] if other != key)
            if others:
                index[value] = others
            else:
                del index[value]

    def _say(self, key: EndpointId, values: Fields) -> None:
        """Sets all that is said of an endpoint id."""
        if values:
            # in one order, whoever put them in which: so what is equal has one shape
            shape, own = self._packer.packed(key, dict(sorted(values.items())))
            self._entries[EndpointId(sys.intern(key))] = shape, *own
        else:
            del self._entries[key]

    def changed_in(self, fresh: PolicyTree) -> set[EndpointId]:
        """Returns the endpoint ids of which the fresh tree says something else, or of which only one says anything."""
        keys = self._entries.keys() | fresh._entries.keys()
        return {key for key in keys if self._entries.get(key) != fresh._entries.get(key)}

    def take_over(self, paths: Iterable[str], other: PolicyTree) -> None:
        """Takes the values at these paths from the other tree."""
        for path in paths:
            if (value := other.get(path)) is None:
                self.drop(path)
            else:
                self.put(path, value)

    def _index(self, form: str) -> dict[str, tuple[EndpointId, ...]] | None:
        """Returns the index that changes with the entry of this form: `_internals` for agent//id, `_telephones` for
        telephone//agent, else None."""
        match form:
            case "agent//id":
                return self._internals
            case "telephone//agent":
                return self._telephones
            case _:
                return None


def _split(path: str) -> tuple[EndpointId, str]:
    """Returns the endpoint id in a path, and the path without it: `agent//id` for `agent/1001/id`."""
    family, key, *rest = path.split("/", 2)
    return EndpointId(key), sys.intern("/".join((family, "", *rest)))


def _path(form: str, key: EndpointId) -> str:
    return form.replace("/", f"/{key}", 1)
