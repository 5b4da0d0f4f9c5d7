"""Running calls: what an agent has, and requests about them, which the daemon of the right node carries out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import Request, Response

from agentbridge.api.database import Database
from agentbridge.api.events.viewers import Kind, Viewer
from agentbridge.api.gate import Asking, Caller, Directory
from agentbridge.api.models.agents import Number
from agentbridge.api.models.calls import Asked, MyCalls, MyRecordingWish, RecordingWish, RequestResult, Spy
from agentbridge.api.problems import Problem
from agentbridge.api.routes.common import Prefer, Routes, answer, document, wait_seconds

routes = Routes()
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Asked; look at it under /requests/{id}", "model": Asked}
}
RECORDING = {"running": "recording_resume", "paused": "recording_pause", "stopped": "recording_stop"}
UNFINISHED = ("asked", "taken")
MOST_OF_TODAY = 500


async def _outcome(
    request: Request, database: Database, caller: Caller, asked: int, prefer: str | None, done: int = 200
) -> Response:
    """Answers a request about a call: 202 with its id, or with `Prefer: wait` its result, if that comes in time."""
    clock = asyncio.get_running_loop().time
    until = clock() + wait_seconds(prefer)
    while True:
        news = request.app.state.waiting.news()
        found = json.loads(await database.call("api_request_result", caller.proof, asked))
        left = until - clock()
        if found["state"] not in UNFINISHED or left <= 0:
            break
        await request.app.state.waiting.soon(news, left)
    if not wait_seconds(prefer) or found["state"] in UNFINISHED:
        return document({"id": asked, "state": found["state"]}, 202)
    if found["state"] == "refused":
        raise Problem(409, found["reason"] or "it was refused", code="AB013")
    if found["state"] == "timed out":
        raise Problem(409, "no daemon carried it out in time; is one running? try again", code="AB013")
    return document(found, done)


@routes("requests.read", "GET", "/requests/{id}", RequestResult)
async def read_request(caller: Asking, database: Directory, id: int) -> Response:  # noqa: A002 - the address's word
    """What became of a request."""
    return answer(await database.call("api_request_result", caller.proof, _number(id)))


def _number(text: int) -> int:
    """Returns the id. Raises a Problem (404) for a number that no row can have."""
    if not 0 < text < 2**63:
        raise Problem(404, "id: there is no such request", code="AB003")
    return text


@routes("agents.recording.set", "PUT", "/agents/{username}/recording", RequestResult, also=ACCEPTED)
async def set_recording(
    request: Request,
    caller: Asking,
    database: Directory,
    username: str,
    body: RecordingWish,
    prefer: Prefer = None,
) -> Response:
    """Start, pause, resume or stop the recording of the agent's call."""
    verb = {**RECORDING, "started": "recording_start"}[body.state]
    asked = await database.call("api_request", caller.proof, verb, username)
    return await _outcome(request, database, caller, asked, prefer)


@routes("agents.spy", "PUT", "/agents/{username}/spy", RequestResult, also=ACCEPTED)
async def spy(
    request: Request, caller: Asking, database: Directory, username: str, body: Spy, prefer: Prefer = None
) -> Response:
    """Listen to the agent: the supervisor's own device rings."""
    asked = await database.call("api_spy", caller.proof, username, body.mode, body.listener)
    return await _outcome(request, database, caller, asked, prefer)


@routes("agents.dial", "PUT", "/agents/{username}/dial", RequestResult, also=ACCEPTED)
async def dial(
    request: Request, caller: Asking, database: Directory, username: str, body: Number, prefer: Prefer = None
) -> Response:
    """Ring the agent's device, then call the number as if the agent had dialled it."""
    asked = await database.call("api_request", caller.proof, "dial", username, body.number)
    return await _outcome(request, database, caller, asked, prefer)


@routes("agents.hangup", "PUT", "/agents/{username}/hangup", RequestResult, also=ACCEPTED)
async def hangup(
    request: Request, caller: Asking, database: Directory, username: str, prefer: Prefer = None
) -> Response:
    """End the agent's call."""
    asked = await database.call("api_request", caller.proof, "hangup", username)
    return await _outcome(request, database, caller, asked, prefer)


@routes("agents.answer", "PUT", "/agents/{username}/answer", RequestResult, also=ACCEPTED)
async def answer_call(
    request: Request, caller: Asking, database: Directory, username: str, prefer: Prefer = None
) -> Response:
    """Make the agent's ringing telephone answer, where it knows how."""
    asked = await database.call("api_request", caller.proof, "answer", username)
    return await _outcome(request, database, caller, asked, prefer)


# ---------------------------------------------------------------- me


@routes("me.calls", "GET", "/me/calls", MyCalls)
async def my_calls(request: Request, caller: Asking, database: Directory) -> Response:
    """My calls right now and those of today, with the missed ones; masked where they are for me."""
    viewer = Viewer.of(json.loads(await database.call("api_viewer", caller.proof)))
    hub = request.app.state.hub
    calls = hub.own(Kind.CALL, caller.name)
    over = json.loads(await database.call("api_my_calls", caller.proof, MOST_OF_TODAY))
    return document(
        {
            "items": [{"id": key, **viewer.shown(Kind.CALL, data)} for key, data in calls],
            "today": [viewer.shown(Kind.CALL, call) for call in over],
        }
    )


def _must_be_mine(request: Request, caller: Caller, call: str) -> None:
    """Raises a Problem unless the agent who asks has this call; `call` is its id in /me/calls, or its linkedid."""
    calls = request.app.state.hub.own(Kind.CALL, caller.name)
    if not any(call in (key, data["linkedid"]) for key, data in calls):
        raise Problem(404, f"id: there is no call {call[:60]} of yours", code="AB003")


@routes("me.calls.recording", "PUT", "/me/calls/{id}/recording", RequestResult, also=ACCEPTED)
async def my_recording(
    request: Request,
    caller: Asking,
    database: Directory,
    id: str,  # noqa: A002 - the address's word
    body: MyRecordingWish,
    prefer: Prefer = None,
) -> Response:
    """Pause, resume or stop the recording of my call."""
    _must_be_mine(request, caller, id)
    asked = await database.call("api_request", caller.proof, RECORDING[body.state], caller.name)
    return await _outcome(request, database, caller, asked, prefer)


@routes("me.calls.files", "POST", "/me/calls/{id}/recording/files", RequestResult, status=201, also=ACCEPTED)
async def my_next_file(
    request: Request,
    caller: Asking,
    database: Directory,
    id: str,  # noqa: A002 - the address's word
    prefer: Prefer = None,
) -> Response:
    """Begin a recording, or the second file of one; a third is refused with 409."""
    _must_be_mine(request, caller, id)
    asked = await database.call("api_request", caller.proof, "recording_start", caller.name)
    return await _outcome(request, database, caller, asked, prefer or "wait=5", 201)


@routes("me.dial", "PUT", "/me/dial", RequestResult, also=ACCEPTED)
async def my_dial(
    request: Request, caller: Asking, database: Directory, body: Number, prefer: Prefer = None
) -> Response:
    """Click to dial: my device rings, then the number is called."""
    asked = await database.call("api_request", caller.proof, "dial", caller.name, body.number)
    return await _outcome(request, database, caller, asked, prefer)


@routes("me.hangup", "PUT", "/me/hangup", RequestResult, also=ACCEPTED)
async def my_hangup(request: Request, caller: Asking, database: Directory, prefer: Prefer = None) -> Response:
    """End my call."""
    asked = await database.call("api_request", caller.proof, "hangup", caller.name)
    return await _outcome(request, database, caller, asked, prefer)


@routes("me.answer", "PUT", "/me/answer", RequestResult, also=ACCEPTED)
async def my_answer(request: Request, caller: Asking, database: Directory, prefer: Prefer = None) -> Response:
    """Make my ringing telephone answer, where it knows how."""
    asked = await database.call("api_request", caller.proof, "answer", caller.name)
    return await _outcome(request, database, caller, asked, prefer)
