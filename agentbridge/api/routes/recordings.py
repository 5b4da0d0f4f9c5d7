"""Recordings: which there are, and how they sound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import Query, Request, Response
from starlette.responses import StreamingResponse

from agentbridge.api.gate import Asking, Directory
from agentbridge.api.models.common import Moment, Name, Page
from agentbridge.api.models.watching import RecordingRow
from agentbridge.api.problems import Problem
from agentbridge.api.routes.common import (
    Asked,
    Routes,
    answer,
    nothing,
    numbered_place,
    problems,
)

routes = Routes()
CHUNK = 65536
_CONTENT = {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}
SOUND: dict[int | str, dict[str, Any]] = {
    200: {"description": "All of it", "content": _CONTENT},
    206: {"description": "A part of it", "content": _CONTENT},
    **problems(409, 416),
}


@routes("recordings.list", "GET", "/recordings", Page[RecordingRow])
async def recordings(
    caller: Asking,
    database: Directory,
    page: Asked,
    agent: Name | None = None,
    linkedid: Annotated[str | None, Query(max_length=80)] = None,
    since: Annotated[Moment | None, Query(description="started then or later")] = None,
    until: Annotated[Moment | None, Query(description="started before")] = None,
) -> Response:
    """The recordings that one may hear, the newest first. q: a username, a number or a call."""
    after = numbered_place(page.cursor)
    return answer(
        await database.call(
            "api_recordings",
            caller.proof,
            page.q,
            agent,
            linkedid,
            _zoned(since),
            _zoned(until),
            page.limit,
            after,
            page.sort,
        )
    )


def _zoned(moment: datetime | None) -> datetime | None:
    """A time without a zone is the server's own."""
    return moment.astimezone() if moment is not None and moment.tzinfo is None else moment


@routes("recordings.audio", "GET", "/recordings/{id}/audio", also=SOUND)
async def audio(request: Request, caller: Asking, database: Directory, id: int) -> Response:  # noqa: A002 - the address's word
    """The recording as a browser plays it: PCM in a WAV file, whole or one range of bytes."""
    wanted = request.headers.get("range")
    # a player asks for many ranges: the first is what is noted
    noted = wanted is None or wanted.startswith("bytes=0-")
    row = (await database.rows("api_recording_file", caller.proof, _row_id(id), noted))[0]
    if row["ended_at"] is None:
        raise Problem(409, "the recording is still running; wait until the call has ended")
    path = await request.app.state.audio.playable(id, row["file"], row["format"])
    size = path.stat().st_size
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, no-store"}
    first, last = _range(wanted, size)
    if wanted is None or ((first, last) == (0, size - 1) and not wanted.startswith("bytes=0-")):
        return _streamed(path, 0, size, 200, headers)
    return _streamed(path, first, last - first + 1, 206, headers | {"Content-Range": f"bytes {first}-{last}/{size}"})


def _row_id(number: int) -> int:
    """Returns the id. Raises a Problem (404) for a number that no row can have."""
    if not 0 < number < 2**63:
        raise Problem(404, "id: there is no such recording", code="AB003")
    return number


def _range(wanted: str | None, size: int) -> tuple[int, int]:
    """Parses a Range header; returns the first and last byte. No header, several ranges or a malformed one mean all of
    it."""
    if wanted is None or not wanted.startswith("bytes=") or "," in wanted:
        return 0, size - 1
    start, dash, end = wanted.removeprefix("bytes=").strip().partition("-")
    if not dash or not all(part.isascii() and (part.isdigit() or not part) and len(part) < 16 for part in (start, end)):
        return 0, size - 1
    if not start:
        if not end or int(end) == 0:
            raise _no_range(size)
        return max(0, size - int(end)), size - 1
    first, last = int(start), min(int(end) if end else size - 1, size - 1)
    if first > last:
        raise _no_range(size)
    return first, last


def _no_range(size: int) -> Problem:
    return Problem(416, "Range: begins beyond the end of the recording", headers={"Content-Range": f"bytes */{size}"})


def _streamed(path: Path, first: int, length: int, status: int, headers: dict[str, str]) -> Response:
    """Returns a response that sends `length` bytes of the file, from `first` on."""

    async def parts() -> AsyncIterator[bytes]:
        left = length
        async with await anyio.open_file(path, "rb") as file:
            await file.seek(first)
            while left > 0 and (part := await file.read(min(CHUNK, left))):
                left -= len(part)
                yield part

    return StreamingResponse(parts(), status, headers | {"Content-Length": str(length)}, media_type="audio/wav")


@routes("recordings.delete", "DELETE", "/recordings/{id}", status=204)
async def delete(request: Request, caller: Asking, database: Directory, id: int) -> Response:  # noqa: A002 - the address's word
    """Delete a recording that has ended, its row and its file."""
    row = (await database.rows("api_recording_file", caller.proof, _row_id(id), False))[0]
    await database.call("api_delete_recording", caller.proof, id)
    await request.app.state.audio.delete(id, row["file"], row["format"])
    return nothing()
