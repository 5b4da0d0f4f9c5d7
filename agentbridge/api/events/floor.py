"""The floor: what the directory wishes and what the daemons see, put together to the objects that are shown.

An agent's row may come from several nodes; the one that has most to do with a call counts. A node that is silent knows
nothing: its agents, calls and queues are shown as unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from agentbridge.api.events.hub import Hub
from agentbridge.api.events.viewers import Kind, Viewer

Data = dict[str, Any]
News = tuple[str, str, str, bool, Data]
"""kind, node, key, whether it is gone, columns"""
_RANK = ("talking", "held", "ringing", "wrapup", "ready", "paused", "unreachable", "offline")
"""of two nodes the state further left counts"""
_SUMS = ("waiting", "ready", "paused", "talking", "answered", "abandoned", "in_level")
UNKNOWN = "unknown"


class Floor:
    """Combines the directory's agents and queues with the daemons' live rows into the objects that the hub shows."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._people: dict[str, Data] = {}
        """username → what the directory says"""
        self._numbers: dict[str, str] = {}
        """internal number → username"""
        self._queues: dict[str, Data] = {}
        self._agents_live: dict[str, dict[str, Data]] = {}
        """internal number → node → row"""
        self._calls: dict[tuple[str, str], Data] = {}
        """node and channel → row"""
        self._queues_live: dict[str, dict[str, Data]] = {}
        self._silent: frozenset[str] = frozenset()

    # ------------------------------------------------------------ the directory

    def directory(self, people: Mapping[str, Data], *, whole: bool) -> None:
        """Takes agents of the directory and shows them. whole: all agents that there are."""
        if whole:
            self._people, self._numbers = {}, {}
        self._people.update(people)
        self._numbers.update({data["internal"]: username for username, data in people.items()})
        for username in people:
            self._show_agent(username)
        if whole:
            for kind in (Kind.AGENT, Kind.ME):
                self._hub.replace(kind, self._people)
            for identity in self._calls:
                self._show_call(*identity)

    def queues(self, queues: Mapping[str, Data]) -> None:
        """Takes all queues of the directory and shows them."""
        self._queues = dict(queues)
        for name in queues:
            self._show_queue(name)
        self._hub.replace(Kind.QUEUE, queues)

    # ------------------------------------------------------------ the daemons

    def live(self, news: Iterable[News], *, whole: bool) -> None:
        """Takes live rows and shows the agents, queues and calls that they concern. whole: all rows that there are."""
        before = self._shown_before(whole=whole)
        changed = before | {self._take(*item, whole=whole) for item in news}
        for kind, key in changed:
            match kind:
                case "agent":
                    self._show_agent(self._numbers.get(key, ""))
                case "queue":
                    self._show_queue(key)
                case _:
                    node, _, channel = key.partition("\0")
                    self._show_call(node, channel)

    def _shown_before(self, *, whole: bool) -> set[tuple[str, str]]:
        """With `whole` forgets all live rows and returns what was shown of them, by kind and key; else returns
        nothing."""
        if not whole:
            return set()
        known = {("agent", key) for key in self._agents_live} | {("queue", key) for key in self._queues_live}
        known |= {("call", f"{node}\0{channel}") for node, channel in self._calls}
        self._agents_live, self._calls, self._queues_live = {}, {}, {}
        return known

    def _take(self, kind: str, node: str, key: str, gone: bool, data: Data, *, whole: bool) -> tuple[str, str]:
        """Stores a live row, or its end; returns what has to be shown again, by kind and key."""
        match kind:
            case "agent":
                _note(self._agents_live.setdefault(key, {}), node, None if gone else data)
            case "queue":
                _note(self._queues_live.setdefault(key, {}), node, None if gone else data)
            case _:
                elsewhere = data.pop("answered_elsewhere", False)
                if gone:
                    known = self._calls.pop((node, key), None)
                    # a short call may be over before it was ever read; in a look at everything it is old news
                    if not elsewhere:
                        self._missed(known if whole else data)
                else:
                    self._calls[node, key] = data
                return "call", f"{node}\0{key}"
        return kind, key

    def silent(self, nodes: Collection[str]) -> None:
        """Takes the nodes whose daemons are not heard of, and shows what they said before as unknown."""
        now = frozenset(nodes)
        if now == self._silent:
            return
        differing, self._silent = now ^ self._silent, now
        for internal, rows in self._agents_live.items():
            if not differing.isdisjoint(rows):
                self._show_agent(self._numbers.get(internal, ""))
        for name, rows in self._queues_live.items():
            if not differing.isdisjoint(rows):
                self._show_queue(name)
        for node, channel in self._calls:
            if node in differing:
                self._show_call(node, channel)

    def _missed(self, call: Data | None) -> None:
        """Sends the agent a notice when the call that ended rang and nobody answered it."""
        if call is None or call["direction"] != "in" or call["answered_at"] is not None:
            return
        username = call["username"]

        def of_this_agent(viewer: Viewer) -> bool:
            return bool(username) and viewer.agent == username

        self._hub.notify_shown("call.missed", of_this_agent, Kind.CALL, call)

    # ------------------------------------------------------------ objects

    def _show_agent(self, username: str) -> None:
        """Puts the agent's present data into the hub, for those who may see it and for the agent itself."""
        person = self._people.get(username)
        if person is None:
            return
        data = person | self._state(person)
        self._hub.put(Kind.AGENT, username, data, queues=person["queues"])
        self._hub.put(Kind.ME, username, data, agent=username)

    def _state(self, person: Data) -> Data:
        """Returns the agent's live state over all nodes; unknown where none of its nodes is heard of."""
        rows = self._agents_live.get(person["internal"], {})
        heard = [row for node, row in rows.items() if node not in self._silent]
        if not heard:
            if not rows:
                return {"device": None, "contact": None, "calls": 0, "node": None}
            return {"state": UNKNOWN, "since": None, "device": None, "contact": None, "calls": 0, "node": None}
        best = min(heard, key=lambda row: _RANK.index(row["state"]) if row["state"] in _RANK else len(_RANK))
        return {name: best[name] for name in ("state", "since", "device", "contact", "calls", "node")}

    def _show_call(self, node: str, channel: str) -> None:
        """Puts a call and its recording into the hub, or drops them when they are over."""
        call = self._calls.get((node, channel))
        if call is None:
            self._hub.drop(Kind.CALL, channel)
            self._hub.drop(Kind.RECORDING, channel)
            return
        username = call["username"] or self._numbers.get(call["internal"], "")
        person = self._people.get(username)
        queues = {*(person["queues"] if person else ()), *((call["queue"],) if call["queue"] else ())}
        data = call | {"agent": username, "stale": node in self._silent}
        self._hub.put(Kind.CALL, channel, data, agent=username, queues=queues)
        if call["recording"] == "none":
            self._hub.drop(Kind.RECORDING, channel)
            return
        recording = {
            "agent": username,
            "internal": call["internal"],
            "linkedid": call["linkedid"],
            "state": UNKNOWN if node in self._silent else call["recording"],
            "parts": call["parts"],
        }
        self._hub.put(Kind.RECORDING, channel, recording, agent=username, queues=queues)

    def _show_queue(self, name: str) -> None:
        """Puts a queue into the hub, with its figures added up over the nodes that are heard of."""
        queue = self._queues.get(name)
        if queue is None:
            return
        rows = self._queues_live.get(name, {})
        heard = [row for node, row in rows.items() if node not in self._silent]
        data: Data = queue | {"known": len(heard) == len(rows) and bool(rows)}
        if heard:
            data |= {field: sum(row[field] for row in heard) for field in _SUMS}
            waits = [row["longest_since"] for row in heard if row["longest_since"]]
            served = data["answered"] + data["abandoned"]
            data |= {
                "longest_since": min(waits, default=None),
                "level_seconds": max(row["level_seconds"] for row in heard),
                "service_level": round(data["in_level"] / served, 4) if served else None,
            }
        self._hub.put(Kind.QUEUE, name, data, queues=(name,))


def _note(rows: dict[str, Data], node: str, data: Data | None) -> None:
    """Sets a node's row, or removes it with None."""
    if data is None:
        rows.pop(node, None)
    else:
        rows[node] = data
