"""What goes on now, as rows: see docs/directory.md, "What goes on now"."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any

from agentbridge.directory.postgres import Directory
from agentbridge.model.live import LiveAgent, LiveCall, LiveQueue

_WRITE = "SELECT agentbridge.live_write($1, $2, $3, $4)"
_KEEP = "SELECT agentbridge.live_keep($1, $2, $3, $4)"
_DAY = "SELECT * FROM agentbridge.live_day($1, $2)"
_COLUMNS = {kind: tuple(field.name for field in fields(kind)) for kind in (LiveAgent, LiveCall, LiveQueue)}


class LiveTables:
    """Writes one node's live rows: its agents, calls and queues as they are now.

    Each write is one statement and a transaction of its own, so that no node waits long for another.
    """

    def __init__(self, directory: Directory, *, node: str) -> None:
        self._directory = directory
        self._node = node

    async def write(
        self,
        agents: Sequence[LiveAgent],
        calls: Sequence[LiveCall],
        queues: Sequence[LiveQueue],
        *,
        gone_agents: Collection[str] = (),
        ended_calls: Sequence[LiveCall] = (),
    ) -> None:
        """Writes these rows, deletes those of `gone_agents`, and moves calls that have ended to the history. Raises
        Unavailable.

        Also with no rows at all: it shows that this node is alive.
        """
        rows = (
            [*map(_row, agents), *({"internal": one, "gone": True} for one in gone_agents)],
            [*map(_row, calls), *(_row(one) | {"gone": True} for one in ended_calls)],
            [*map(_row, queues)],
        )
        await self._directory.call(_WRITE, self._node, *[json.dumps(part, default=_plain) for part in rows])

    async def keep(self, agents: Collection[str], calls: Collection[str], queues: Collection[str]) -> None:
        """What is not named is gone."""
        await self._directory.call(_KEEP, self._node, list(agents), list(calls), list(queues))

    async def counts_of(self, day: date) -> Mapping[str, tuple[int, int, int]]:
        """Returns for each queue what this node counted that day: answered, abandoned, answered within the service
        level."""
        async with self._directory.statement() as connection:
            rows = await connection.fetch(_DAY, self._node, day)
        return {row["queue"]: (row["answered"], row["abandoned"], row["in_level"]) for row in rows}


def _row(row: LiveAgent | LiveCall | LiveQueue) -> dict[str, Any]:
    """Returns a row by column. Not `asdict`, which copies the values too and takes ten times as long."""
    return {name: getattr(row, name) for name in _COLUMNS[type(row)]}


def _plain(value: object) -> object:
    """Converts a value of a live row for JSON. Raises TypeError for a type that there is none for."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is nothing that a live row has")
