"""Requests about running calls: for the daemon that carries them out, and for whoever asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from agentbridge.directory.connecting import Connection, connect, translated
from agentbridge.directory.postgres import Directory
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId
from agentbridge.model.requests import Request, Verb
from agentbridge.reconnecting import Waits, keep_connected

ASKED, ANSWERED = "agentbridge_request", "agentbridge_answer"
"""channels of NOTIFY, with an empty payload"""
_OPEN = "SELECT * FROM agentbridge.open_requests($1)"
_TAKE = "SELECT agentbridge.take_request($1, $2)"
_FINISH = "SELECT agentbridge.finish_request($1, $2, $3, $4)"
_DECLINE = "SELECT agentbridge.decline_request($1, $2, $3)"
_RESULT = "SELECT agentbridge.request_result($1)"
WAITS = Waits(first=0.2, longest=3.0)
PROBE_SECONDS = 5.0
"""between two signs of life of the listening connection; also how late a request may be seen behind a pooler"""
LOOK_EVERY_SECONDS = 0.5
"""how often the one who asked looks without a notification: the deadline has none"""


class RequestDesk:
    """The requests about running calls that one node's daemon may take, and their results."""

    def __init__(self, directory: Directory, dsn: str, *, node: str, deadline: float) -> None:
        self._directory = directory
        self._dsn, self._node, self._deadline = dsn, node, deadline

    async def open(self) -> Sequence[Request]:
        """Returns the requests that this node may still take, the oldest first. Raises Unavailable."""
        async with self._directory.statement() as connection:
            rows = await connection.fetch(_OPEN, self._node)
        return [
            Request(
                id=row["id"],
                verb=Verb(row["verb"]),
                internal=EndpointId(row["internal"]),
                arguments=json.loads(row["arguments"]),
                seconds_left=row["seconds_left"],
            )
            for row in rows
        ]

    async def take(self, request: int) -> bool:
        """True once at most, among all nodes."""
        return bool(await self._directory.call(_TAKE, request, self._node))

    async def finish(self, request: int, result: Mapping[str, str | int] | None, reason: str) -> None:
        text = json.dumps(dict(result)) if result is not None else None
        await self._directory.call(_FINISH, request, self._node, text, reason)

    async def decline(self, request: int, reason: str) -> None:
        await self._directory.call(_DECLINE, request, self._node, reason)

    async def listen(self, on_asked: Callable[[], None]) -> NoReturn:
        """Calls `on_asked` whenever a request is made, on a connection of its own that is opened again when it is
        lost."""

        async def session() -> None:
            """Listens on one connection until that is lost; looks once at its beginning."""
            name = f"agentbridge {self._node} requests"
            connection = await connect(self._dsn, deadline=self._deadline, name=name)
            try:
                with translated():
                    await connection.add_listener(ASKED, lambda *_: on_asked())
                on_asked()
                await self._until_lost(connection)
            finally:
                connection.terminate()

        await keep_connected(session, WAITS, errors=Unavailable)

    async def _until_lost(self, connection: Connection) -> None:
        """Probes the connection at intervals; returns when it is lost."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                with translated():
                    await connection.execute("SELECT 1")
            except Unavailable:
                return


async def answer_to(connection: Connection, request: int) -> dict[str, Any]:
    """Waits for the result of a request and returns it.

    Raises Refused with the reason when it was refused, or when no daemon answered by the deadline.
    """
    answered = asyncio.Event()
    with translated():
        await connection.add_listener(ANSWERED, lambda *_: answered.set())
        while True:
            found = json.loads(await connection.fetchval(_RESULT, request))
            match found["state"]:
                case "done":
                    return dict(found)
                case "refused":
                    raise Refused(found["reason"])
                case "timed out":
                    raise Refused(_late(found))
                case _:
                    await _until(answered)


def _late(found: Mapping[str, Any]) -> str:
    """Returns the message about a request that was not answered in time."""
    if found["node"]:
        return f"timed out: node {found['node']} took it and did not answer in time; it may have been done"
    return f"timed out: no daemon that has {found['username']}'s call or device answered in time"


async def _until(answered: asyncio.Event) -> None:
    """Waits for the notification, but not long: behind a pooler there is none."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_EVERY_SECONDS):
            await answered.wait()
    answered.clear()
