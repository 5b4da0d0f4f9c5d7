"""/v1/events as a websocket, and the same as Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect

from agentbridge.api.events.hub import Wish
from agentbridge.api.events.stream import SESSION_OVER, Look, Stream, look
from agentbridge.api.events.viewers import KINDS, Kind
from agentbridge.api.gate import Asking, Directory, admitted, is_own_origin
from agentbridge.api.operations import OPERATIONS
from agentbridge.api.problems import Problem
from agentbridge.api.routes.common import Routes

routes = Routes()
sockets = APIRouter()
SUBSCRIBE_SECONDS = 10.0
STREAMS = 1000
"""of one process, and a hundred of one person"""
STREAMS_EACH = 100
MESSAGES_EACH = 20
"""that a client may send: it subscribes, and that is all"""
REFUSED, BAD_MESSAGE, TOO_MANY = 4403, 4400, 4429


class Subscribe(BaseModel):
    """What the viewer wants to see, and up to where it has seen."""

    model_config = ConfigDict(extra="forbid")
    op: str = Field(pattern="^subscribe$")
    kinds: list[Kind] = Field(default_factory=lambda: sorted(KINDS), max_length=20)
    queues: list[Annotated[str, Field(max_length=80)]] | None = Field(default=None, max_length=1000)
    cursor: str = Field(default="", max_length=64)

    def wish(self) -> Wish:
        return Wish(frozenset(self.kinds), None if self.queues is None else frozenset(self.queues))


@sockets.websocket("/v1/events")
async def events(socket: WebSocket) -> None:
    """Refused before it is open: a foreign Origin, no session, a role that sees nothing."""
    state = socket.app.state
    if "authorization" not in socket.headers and not is_own_origin(socket, state.origins):
        await _deny(socket, Problem(403, "Origin: is another site's"))
        return
    try:
        caller = await admitted(socket, OPERATIONS["events.socket"], changes=False)
        seen_by = await look(state.database, caller.proof)
    except Problem as problem:
        await _deny(socket, problem)
        return
    if state.streams.full_for(caller.name, STREAMS, STREAMS_EACH):
        await _deny(
            socket,
            Problem(429, "too many streams are open; close one, or try again later", headers={"Retry-After": "10"}),
        )
        return
    await socket.accept()
    await _serve(socket, seen_by, caller.name)


async def _deny(socket: WebSocket, problem: Problem) -> None:
    await socket.send_denial_response(problem.response())


async def _serve(socket: WebSocket, seen_by: Look, name: str) -> None:
    """Serves one websocket: waits for what it subscribes to, then streams until a side ends it."""
    state = socket.app.state
    try:
        async with asyncio.timeout(SUBSCRIBE_SECONDS):
            wanted = Subscribe.model_validate_json(await socket.receive_text())
    except (ValidationError, TimeoutError, KeyError):
        await _close(socket, BAD_MESSAGE)
        return
    except WebSocketDisconnect:
        return
    stream = Stream(state.hub, state.database, seen_by, wanted.wish(), wanted.cursor, socket.send_text)
    state.streams.add(stream, name)
    reading = asyncio.create_task(_read(socket, stream))
    try:
        code = await stream.run()
        await _close(socket, code)
    except (WebSocketDisconnect, RuntimeError):
        return  # the other side is gone
    finally:
        reading.cancel()
        state.streams.discard(stream)


async def _read(socket: WebSocket, stream: Stream) -> None:
    """Reads the websocket until the other side closes it, and ends the stream then; a client that sends too much is
    closed."""
    for _ in range(MESSAGES_EACH):
        try:
            message = await socket.receive()
        except RuntimeError:
            return
        if message["type"] == "websocket.disconnect":
            stream.outbox.close(1000)
            return
    stream.outbox.close(BAD_MESSAGE)


async def _close(socket: WebSocket, code: int) -> None:
    """Closes the websocket with the code, if the other side is still there."""
    try:
        async with asyncio.timeout(1.0):
            await socket.close(code)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return


SSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-Sent Events: each `data:` is a message as on the websocket, its `id:` the cursor",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@routes("events.stream", "GET", "/events/stream", also=SSE)
async def stream(
    request: Request,
    caller: Asking,
    database: Directory,
    kinds: Annotated[list[Kind] | None, Query(max_length=20)] = None,
    queues: Annotated[list[str] | None, Query(max_length=100)] = None,
    cursor: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """What goes on, as Server-Sent Events."""
    state = request.app.state
    seen_by = await look(database, caller.proof)
    if state.streams.full_for(caller.name, STREAMS, STREAMS_EACH):
        raise Problem(429, "too many streams are open; close one, or try again later", headers={"Retry-After": "10"})
    wish = Wish(frozenset(kinds or KINDS), None if queues is None else frozenset(queues))
    since = request.headers.get("last-event-id", cursor)[:64]
    frames = _frames(request, seen_by, wish, since, caller.name)
    return StreamingResponse(
        frames, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def _frames(request: Request, seen_by: Look, wish: Wish, cursor: str, name: str) -> AsyncIterator[str]:
    """Yields the stream's frames as Server-Sent Events, one at a time: the stream waits until the server has taken
    each."""
    state = request.app.state
    handed: asyncio.Queue[str] = asyncio.Queue(1)
    one = Stream(state.hub, state.database, seen_by, wish, cursor, handed.put)
    state.streams.add(one, name)
    running = asyncio.create_task(one.run())
    getting: asyncio.Task[str] | None = None
    try:
        while True:
            getting = asyncio.create_task(handed.get())
            await asyncio.wait((getting, running), return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                if running.result() == SESSION_OVER:
                    yield 'event: end\ndata: {"type":"end","reason":"session over"}\n\n'
                return
            text = getting.result()
            found = json.loads(text).get("cursor", "") if '"cursor"' in text[:60] else ""
            yield f"id: {found}\ndata: {text}\n\n" if found else f"data: {text}\n\n"
    finally:
        running.cancel()
        if getting is not None:  # a reader that leaves while nothing happens
            getting.cancel()
        state.streams.discard(one)
