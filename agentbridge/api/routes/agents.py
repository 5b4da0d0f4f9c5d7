"""Agents: records, what belongs to them, and their verbs."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import asyncpg
from fastapi import Body, Request, Response
from starlette.responses import StreamingResponse

from agentbridge.api import tables
from agentbridge.api.gate import Asking, Directory
from agentbridge.api.models.agents import (
    Agent,
    AgentFields,
    AgentSummary,
    Channel,
    Imported,
    Login,
    NewAgent,
    Pause,
    Usernames,
)
from agentbridge.api.models.common import Applied, Changed, Deleted, Name, Page, Penalty, Words
from agentbridge.api.models.me import Profile
from agentbridge.api.models.people import NewPassword
from agentbridge.api.problems import Problem
from agentbridge.api.routes.common import (
    Asked,
    IfMatch,
    Prefer,
    Routes,
    Search,
    answer,
    carry_out,
    changed,
    document,
    given,
    listed,
    nothing,
    record,
)
from agentbridge.api.routes.records import set_password
from agentbridge.directory.avatars import check_avatar
from agentbridge.errors import InvalidValue

routes = Routes()
FILE_SECONDS = 120.0
"""for a file of thousands of agents"""
LATER: dict[int | str, dict[str, Any]] = {
    202: {"description": "Asterisk does not have it yet, or refused it", "model": Applied}
}
NOT_CHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "As you have it"}}


@routes("agents.list", "GET", "/agents", Page[AgentSummary])
async def list_agents(caller: Asking, database: Directory, page: Asked) -> Response:
    """The agents that one may see, page by page."""
    return await listed(database, caller, "agents", page)


@routes("agents.create", "POST", "/agents", Agent, status=201)
async def create_agent(caller: Asking, database: Directory, body: NewAgent) -> Response:
    """A new agent. A user names a queue that is enabled for it."""
    fields = given(body, "queues", "teams")
    text = await database.call("api_create", caller.proof, "agents", fields, json.dumps(body.queues), list(body.teams))
    return record(text, 201)


@routes("agents.delete-many", "POST", "/agents:delete", Deleted)
async def delete_agents(caller: Asking, database: Directory, body: Usernames) -> Response:
    """Delete many agents: all of them or none. Their recordings stay."""
    wanted = list(dict.fromkeys(body.usernames))
    return document({"deleted": await database.call("api_delete", caller.proof, "agents", wanted)})


CSV: dict[int | str, dict[str, Any]] = {
    200: {"description": "RFC 4180, UTF-8, no secrets", "content": {"text/csv": {"schema": {"type": "string"}}}}
}


@routes("agents.export", "GET", "/agents/export", also=CSV)
async def export(caller: Asking, database: Directory, q: Search = "") -> Response:
    """Agents as CSV, safe to open in a spreadsheet."""
    return _file(await database.rows("api_export", caller.proof, q, seconds=FILE_SECONDS))


@routes("agents.export-many", "POST", "/agents:export", also=CSV)
async def export_many(caller: Asking, database: Directory, body: Usernames) -> Response:
    """These agents as CSV (A14); who may not be seen is left out."""
    return _file(await database.rows("api_export", caller.proof, "", list(body.usernames), seconds=FILE_SECONDS))


def _file(rows: list[asyncpg.Record]) -> Response:
    """Returns the agents as a CSV file."""
    lines = tables.written(json.loads(row[0]) for row in rows)
    return StreamingResponse(
        lines, 200, {"Content-Disposition": 'attachment; filename="agents.csv"'}, media_type="text/csv; charset=utf-8"
    )


@routes("agents.import", "POST", "/agents/import", Imported)
async def import_(request: Request, caller: Asking, database: Directory, dry_run: bool = False) -> Response:
    """New agents from CSV: all of them, or none with each line's error.

    The first line names the columns: fields of a new agent, as the export has them. Lists (`transport`, `codecs`,
    `teams`) are separated by commas, `queues` too, each as `name` or `name:penalty`.
    """
    rows, errors = await asyncio.to_thread(tables.read, await request.body())
    only_look = dry_run or bool(errors)
    text = await database.call("api_import", caller.proof, json.dumps(rows), only_look, seconds=FILE_SECONDS)
    if errors:
        found = sorted([*errors, *json.loads(text)["errors"]], key=lambda error: error["line"])
        return document({"created": 0, "errors": found[: tables.ERRORS]})
    return answer(text)


@routes("agents.read", "GET", "/agents/{username}", Agent)
async def read_agent(caller: Asking, database: Directory, username: str) -> Response:
    """One agent: everything but secrets, and what became of the last change."""
    return record(await database.call("api_read", caller.proof, "agents", username))


@routes("agents.update", "PATCH", "/agents/{username}", Agent)
async def change_agent(
    caller: Asking, database: Directory, username: str, body: AgentFields, if_match: IfMatch = None
) -> Response:
    """Set fields of an agent."""
    return await changed(database, caller, "agents", username, given(body), if_match)


@routes("agents.delete", "DELETE", "/agents/{username}", status=204)
async def delete_agent(caller: Asking, database: Directory, username: str, if_match: IfMatch = None) -> Response:
    """Delete an agent. Its recordings stay."""
    await database.call("api_delete", caller.proof, "agents", [username], if_match or "*")
    return nothing()


# ---------------------------------------------------------------- verbs


@routes("agents.login", "PUT", "/agents/{username}/session", Applied, also=LATER)
async def login(
    request: Request,
    username: str,
    body: Login | None = None,
    prefer: Prefer = None,
) -> Response:
    """Log the agent in, or move it to another telephone."""
    body = body or Login()
    return await carry_out(request, prefer, "api_login", username, body.telephone, body.steal)


@routes("agents.logout", "DELETE", "/agents/{username}/session", Applied, also=LATER)
async def logout(request: Request, username: str, prefer: Prefer = None) -> Response:
    """Log the agent out."""
    return await carry_out(request, prefer, "api_logout", username)


@routes("agents.pause", "PUT", "/agents/{username}/pause", Applied, also=LATER)
async def pause(
    request: Request,
    username: str,
    body: Pause | None = None,
    prefer: Prefer = None,
) -> Response:
    """Pause the agent in all queues, or in one."""
    body = body or Pause()
    return await carry_out(request, prefer, "api_pause", username, body.reason, body.queue)


@routes("agents.unpause", "DELETE", "/agents/{username}/pause", Applied, also=LATER)
async def unpause(
    request: Request,
    username: str,
    queue: Name | None = None,
    prefer: Prefer = None,
) -> Response:
    """End the pause, in all queues or in one."""
    return await carry_out(request, prefer, "api_unpause", username, queue)


# ---------------------------------------------------------------- what belongs to an agent


async def _part(database: Directory, caller: Asking, username: str, part: str) -> Response:
    found = json.loads(await database.call("api_read", caller.proof, "agents", username))
    return document(found["record"][part])


@routes("agents.queues.read", "GET", "/agents/{username}/queues", dict[str, int])
async def read_queues(caller: Asking, database: Directory, username: str) -> Response:
    """The agent's queues with its penalties, those of its teams too."""
    return await _part(database, caller, username, "queues")


@routes("agents.queues.set", "PUT", "/agents/{username}/queues", dict[str, int])
async def set_queues(
    caller: Asking, database: Directory, username: str, body: Annotated[dict[Name, Penalty], Body(max_length=1000)]
) -> Response:
    """The agent's own queues with its penalties, exactly these; teams bring theirs."""
    return answer(await database.call("api_set_part", caller.proof, username, "queues", json.dumps(body)))


@routes("agents.teams.read", "GET", "/agents/{username}/teams", list[str])
async def read_teams(caller: Asking, database: Directory, username: str) -> Response:
    """The agent's teams."""
    return await _part(database, caller, username, "teams")


@routes("agents.teams.set", "PUT", "/agents/{username}/teams", list[str])
async def set_teams(caller: Asking, database: Directory, username: str, body: Words) -> Response:
    """The agent's teams, exactly these."""
    return answer(await database.call("api_set_part", caller.proof, username, "teams", json.dumps(list(body))))


@routes("agents.modules.read", "GET", "/agents/{username}/modules", list[str])
async def read_modules(caller: Asking, database: Directory, username: str) -> Response:
    """The modules that are on for the agent."""
    return await _part(database, caller, username, "modules")


@routes("agents.modules.set", "PUT", "/agents/{username}/modules", list[str])
async def set_modules(caller: Asking, database: Directory, username: str, body: Words) -> Response:
    """The modules that are on, exactly these."""
    return answer(await database.call("api_set_part", caller.proof, username, "modules", json.dumps(list(body))))


@routes("agents.channels.read", "GET", "/agents/{username}/channels", dict[str, Channel])
async def read_channels(caller: Asking, database: Directory, username: str) -> Response:
    """Capacity and automatic answer of each channel; one that is not here is unlimited."""
    return await _part(database, caller, username, "channels")


@routes("agents.channels.set", "PUT", "/agents/{username}/channels", dict[str, Channel])
async def set_channels(
    caller: Asking, database: Directory, username: str, body: Annotated[dict[Name, Channel], Body(max_length=20)]
) -> Response:
    """Capacity and automatic answer, exactly of these channels."""
    fields = json.dumps({name: channel.model_dump() for name, channel in body.items()})
    return answer(await database.call("api_set_part", caller.proof, username, "channels", fields))


@routes("agents.password.set", "PUT", "/agents/{username}/password", status=204)
async def new_password(
    request: Request, caller: Asking, database: Directory, username: str, body: NewPassword
) -> Response:
    """A new password for the agent; its sessions in browsers end."""
    await set_password(request, caller, database, "agent", username, body.password)
    return nothing()


@routes("agents.lock.set", "PUT", "/agents/{username}/lock", Changed)
async def lock(caller: Asking, database: Directory, username: str) -> Response:
    """Lock the agent out; it is logged out."""
    return document({"changed": await database.call("api_set_lock", caller.proof, username, True)})


@routes("agents.lock.delete", "DELETE", "/agents/{username}/lock", Changed)
async def unlock(caller: Asking, database: Directory, username: str) -> Response:
    """Let the agent in again, also after too many wrong passwords."""
    return document({"changed": await database.call("api_set_lock", caller.proof, username, False)})


@routes("agents.profile.read", "GET", "/agents/{username}/profile", Profile, also=NOT_CHANGED)
async def profile(request: Request, caller: Asking, database: Directory, username: str) -> Response:
    """The settings that the agent's client needs; versioned by their ETag."""
    return await profile_of(request, caller, database, username)


async def profile_of(request: Request, caller: Asking, database: Directory, username: str) -> Response:
    """Returns the agent's settings that its client needs; 304 where the browser has this version."""
    found = json.loads(await database.call("api_profile", caller.proof, username))
    headers = {"ETag": found["etag"], "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == found["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(json.dumps(found["profile"]), 200, headers, media_type="application/json")


# ---------------------------------------------------------------- avatars

PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/jpeg")},
    },
    **NOT_CHANGED,
}


@routes("agents.avatar.read", "GET", "/agents/{username}/avatar", also=PICTURE)
async def avatar(request: Request, caller: Asking, database: Directory, username: str) -> Response:
    """The agent's picture."""
    return await avatar_of(request, caller, database, username)


async def avatar_of(request: Request, caller: Asking, database: Directory, username: str) -> Response:
    """Returns the agent's picture. Raises a Problem where there is none."""
    rows = await database.rows("api_avatar", caller.proof, username)
    if not rows:
        raise Problem(404, f"username: there is no picture of {username}", code="AB003")
    content: bytes = rows[0]["content"]
    etag = f'"{hash_of(content)}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": "inline",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(content, 200, headers, media_type=rows[0]["type"])


def hash_of(content: bytes) -> str:
    """Returns a short hash of the content, for an ETag."""
    import hashlib

    return hashlib.sha256(content).hexdigest()[:20]


@routes("agents.avatar.set", "PUT", "/agents/{username}/avatar", status=204)
async def set_avatar(request: Request, caller: Asking, database: Directory, username: str) -> Response:
    """A PNG or JPG of at most 8 MB, judged by what is in it."""
    return await set_avatar_of(request, caller, database, username)


async def set_avatar_of(request: Request, caller: Asking, database: Directory, username: str) -> Response:
    """Sets the agent's picture. Raises a Problem (422) for what is none that agents may have."""
    content = await request.body()
    try:
        kind = await asyncio.to_thread(check_avatar, content)
    except InvalidValue as error:
        raise Problem(422, str(error), code="AB001") from None
    await database.call("api_set_avatar", caller.proof, username, content, kind)
    return nothing()


@routes("agents.avatar.delete", "DELETE", "/agents/{username}/avatar", status=204)
async def delete_avatar(caller: Asking, database: Directory, username: str) -> Response:
    """Take the picture away."""
    await database.call("api_set_avatar", caller.proof, username, None, None)
    return nothing()
