"""One viewer's stream, whatever carries it: first frames, then what is new, with a mark in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agentbridge.api.database import Database
from agentbridge.api.events.hub import Audience, Hub, Outbox, Wish
from agentbridge.api.events.viewers import Viewer
from agentbridge.api.problems import Problem

MARK_SECONDS = 15.0
SEND_SECONDS = 30.0
"""for one frame: a reader that takes longer is cut off"""
SESSION_OVER, SLOW_READER = 4401, 4429
Send = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Look:
    """The viewer of a live stream, and the session on which the right to view depends."""

    proof: bytes
    viewer: Viewer
    session: int | None


async def look(database: Database, proof: bytes) -> Look:
    """Finds out what this caller may view. Raises a Problem when the session is over or may see nothing."""
    found = json.loads(await database.call("api_viewer", proof))
    return Look(proof, Viewer.of(found), found["session"])


class Stream:
    """The live stream to one viewer: first everything, then what changes, with a mark when nothing does.

    `run` sends until the stream ends.
    """

    def __init__(self, hub: Hub, database: Database, seen_by: Look, wish: Wish, cursor: str, send: Send) -> None:
        self._hub = hub
        self._database = database
        self._look = seen_by
        self._wish = wish
        self._cursor = cursor
        self._send = send
        self.outbox = Outbox()
        self._group: Audience | None = None
        self._doubted = False
        """its rights may have changed"""
        self._looked_at = asyncio.get_running_loop().time()

    @property
    def session(self) -> int | None:
        return self._look.session

    def doubt(self) -> None:
        self._doubted = True
        self.outbox.ready.set()

    async def run(self) -> int:
        """Sends the stream; returns the code with which the websocket is to be closed, also for a viewer that reads too
        slowly."""
        group = self._group = self._hub.join(self._look.viewer, self._wish, self.outbox)
        try:
            for frame in self._hub.first(group, self._cursor):
                await self._send_in_time(frame)
            while True:
                if (code := await self._next()) != 0:
                    return code
        except TimeoutError:
            return SLOW_READER
        finally:
            if self._group is not None:
                self._hub.leave(self._group, self.outbox)

    async def _next(self) -> int:
        """Waits for something to send and sends it, or a mark after MARK_SECONDS; returns 0 to go on, else the code to
        close with."""
        outbox = self.outbox
        try:
            async with asyncio.timeout(MARK_SECONDS):
                await outbox.ready.wait()
        except TimeoutError:
            self._doubted = True
            await self._send_in_time(self._hub.mark())
        if outbox.close_code:
            return outbox.close_code
        # a busy floor never falls silent, and sessions and tokens expire without a word
        self._doubted |= asyncio.get_running_loop().time() - self._looked_at >= MARK_SECONDS
        if self._doubted and not await self._still_allowed():
            return SESSION_OVER
        snapshot, frame, objects, notices = outbox.take()
        assert self._group is not None  # noqa: S101 - for the type checker
        if snapshot:
            for text in self._hub.first(self._group, ""):
                await self._send_in_time(text)
        if frame or objects:
            await self._send_in_time(frame or self._hub.fresh(self._group, objects))
        for text in notices:
            await self._send_in_time(text)
        return 0

    async def _still_allowed(self) -> bool:
        """Asks again what the viewer may see; returns False when the session is over. Other rights take effect at once.

        While the database is away the rights stay as they were.
        """
        self._doubted = False
        self._looked_at = asyncio.get_running_loop().time()
        try:
            await self._database.call("api_session", self._look.proof)
            again = await look(self._database, self._look.proof)
        except Problem as problem:
            return problem.status == 503  # with the database away nobody's rights have changed
        if again.viewer != self._look.viewer:
            self._move(again)
        return True

    def _move(self, again: Look) -> None:
        """Moves the stream to the audience of its new rights, and sends what it sees differently now."""
        assert self._group is not None  # noqa: S101 - for the type checker
        seen = set(self._group.shown)
        self._hub.leave(self._group, self.outbox)
        self._look = again
        self._group = self._hub.join(again.viewer, self._wish, self.outbox)
        # what it saw and may not see any more is null; what is new to it comes along
        self.outbox.note(seen | self._hub.visible_to(self._group))

    async def _send_in_time(self, text: str) -> None:
        """Sends a text. Raises TimeoutError where the viewer does not take it in time."""
        if not text:
            return
        self.outbox.sending = True
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send(text)
        finally:
            self.outbox.sending = False


class Streams:
    """The live streams of this process, with whose they are."""

    def __init__(self) -> None:
        self._streams: dict[Stream, str] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Stream, name: str) -> None:
        """Adds a stream. name: whose it is."""
        self._streams[stream] = name

    def discard(self, stream: Stream) -> None:
        self._streams.pop(stream, None)

    def full_for(self, name: str, most: int, most_each: int) -> bool:
        return len(self._streams) >= most or sum(one == name for one in self._streams.values()) >= most_each

    def session_ended(self, session: int) -> None:
        """Closes the streams of that session."""
        for stream in self._streams:
            if stream.session == session:
                stream.outbox.close(SESSION_OVER)

    def doubt_all(self) -> None:
        """Makes every stream ask again what its viewer may see, since somebody's rights changed."""
        for stream in self._streams:
            stream.doubt()
