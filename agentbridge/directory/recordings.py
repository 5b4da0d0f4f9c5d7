"""The rows of recordings and of listening."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any

from agentbridge.directory.connecting import Connection
from agentbridge.directory.postgres import Directory
from agentbridge.directory.queries import parse
from agentbridge.model.calls import RecordingEnd, RecordingStart, RecordingTrouble, SpyAttempt

SQL = parse((resources.files("agentbridge.directory") / "recordings.sql").read_text("utf-8"))


class CallLedger:
    """Writes one node's recordings and attempts to listen into the directory. Methods are safe to repeat, and raise
    Unavailable."""

    def __init__(self, directory: Directory, *, node: str) -> None:
        self._directory = directory
        self._node = node

    async def start(self, rows: Sequence[RecordingStart]) -> set[str]:
        """Makes a row for each recording, at most one for a file and for each part of a call; returns the paths that
        got none."""
        files = [row.file for row in rows]
        async with self._directory.statement() as connection:
            rejected = await connection.fetch(
                SQL["start_recordings"],
                self._node,
                [file.internal for file in files],
                [file.linkedid for file in files],
                [file.part for file in files],
                [file.path for file in files],
                [file.format for file in files],
                [row.channel for row in rows],
                [row.at for row in rows],
            )
        return {row["file"] for row in rejected}

    async def finish(self, rows: Sequence[RecordingEnd]) -> None:
        """Writes the ends of these recordings."""
        await self._execute(
            "finish_recordings",
            [row.path for row in rows],
            [row.at for row in rows],
            [row.bytes for row in rows],
            [row.joined for row in rows],
        )

    async def unknown(self, paths: Sequence[str]) -> set[str]:
        """Returns those of these paths that have no row."""
        async with self._directory.statement() as connection:
            rows = await connection.fetch(SQL["unknown_recordings"], self._node, list(paths))
        return {row["file"] for row in rows}

    async def unfinished(self, after: str, limit: int) -> Mapping[str, str]:
        """Returns recordings without an end, from path to the Uniqueid that each ends with; at most `limit` paths,
        beyond `after`."""
        async with self._directory.statement() as connection:
            rows = await connection.fetch(SQL["unfinished_recordings"], self._node, after, limit)
        return {row["file"]: row["channel"] for row in rows}

    async def listed_at(self) -> datetime | None:
        """Returns when this node's whole folder was last compared with its rows; None for never."""
        async with self._directory.statement() as connection:
            found: datetime | None = await connection.fetchval(SQL["recordings_listed_at"], self._node)
        return found

    async def note_listed(self, at: datetime) -> None:
        async with self._directory.statement() as connection:
            await connection.execute(SQL["note_recordings_listed"], self._node, at)

    async def note_trouble(self, trouble: RecordingTrouble) -> bool:
        """Writes what is wrong with recordings, for `status`; returns False while this node has no row there yet."""
        async with self._directory.statement() as connection:
            done = await connection.execute(
                SQL["note_recording_trouble"],
                self._node,
                trouble.unmeasured,
                trouble.silent,
                json.dumps(dict(trouble.closed)),
            )
        return done == "UPDATE 1"

    async def note_spying(self, attempts: Sequence[SpyAttempt]) -> None:
        """Writes attempts to listen, at most one row for a channel and a time."""
        fields = ("channel", "at", "spyer", "target", "mode", "allowed", "reason", "started_at", "ended_at", "ending")
        columns = [[getattr(attempt, field) for attempt in attempts] for field in fields]
        await self._execute("note_spying", *columns)

    async def unended_spying(self) -> Sequence[SpyAttempt]:
        """Returns this node's attempts to listen that have no end in the directory."""
        async with self._directory.statement() as connection:
            rows = await connection.fetch(SQL["unended_spying"], self._node)
        return [SpyAttempt(**row) for row in rows]

    async def _execute(self, query: str, *columns: Sequence[object]) -> None:
        async with self._directory.statement() as connection:
            await connection.execute(SQL[query], self._node, *columns)


async def listed(
    connection: Connection, agent: str, *, limit: int, offset: int, manager: str | None = None
) -> list[dict[str, Any]]:
    """Returns the recordings of an agent, by username or number, newest first; of all agents when it is empty.

    manager: only those of agents whom this user manages.
    """
    return [dict(row) for row in await connection.fetch(SQL["list_recordings"], agent, limit, offset, manager)]


async def agent_of(connection: Connection, agent: str) -> tuple[str, str] | None:
    """Returns username and internal number of the agent who has this username or number; None where there is none."""
    row = await connection.fetchrow(SQL["agent_of"], agent)
    return (row["username"], row["internal"]) if row else None
