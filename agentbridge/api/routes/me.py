"""The agent's own: what its client needs, and nothing of anybody else's."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import secrets

from fastapi import Request, Response

from agentbridge.api.gate import Asking, Directory
from agentbridge.api.models.agents import Channel, Login, Number, Pause, Switch
from agentbridge.api.models.common import Applied, Changed, Items, Name
from agentbridge.api.models.me import Colleague, Kept, Me, PickableTelephone, Profile, SipSession, SipSessionWish
from agentbridge.api.models.people import OwnPassword
from agentbridge.api.problems import Problem
from agentbridge.api.routes.agents import LATER, NOT_CHANGED, PICTURE, avatar_of, profile_of, set_avatar_of
from agentbridge.api.routes.common import Prefer, Routes, Search, answer, carry_out, document, nothing, problems
from agentbridge.api.routes.records import set_password
from agentbridge.api.routes.session import guess

routes = Routes()
SECRET_BYTES = 24
SIP_WAIT_SECONDS = 5.0
LOGS_AT_ONCE, LOG_SECONDS = 20, 3.0
"""bodies of a client's log at once, and then one in so many seconds"""


@routes("me.read", "GET", "/me", Me)
async def me(caller: Asking, database: Directory) -> Response:
    """Who I am, my queues and their pauses, and what became of my last change."""
    return answer(await database.call("api_me", caller.proof))


@routes("me.login", "PUT", "/me/session", Applied, also=LATER)
async def login(request: Request, caller: Asking, body: Login | None = None, prefer: Prefer = None) -> Response:
    """Log in for calls; a hot-desk agent names a telephone."""
    body = body or Login()
    return await carry_out(request, prefer, "api_login", caller.name, body.telephone, body.steal)


@routes("me.logout", "DELETE", "/me/session", Applied, also=LATER)
async def logout(request: Request, caller: Asking, prefer: Prefer = None) -> Response:
    """Log out of calls: no queue rings me any more."""
    return await carry_out(request, prefer, "api_logout", caller.name)


@routes("me.pause", "PUT", "/me/pause", Applied, also=LATER)
async def pause(request: Request, caller: Asking, body: Pause | None = None, prefer: Prefer = None) -> Response:
    """Pause in all queues, or in one."""
    body = body or Pause()
    return await carry_out(request, prefer, "api_pause", caller.name, body.reason, body.queue)


@routes("me.unpause", "DELETE", "/me/pause", Applied, also=LATER)
async def unpause(request: Request, caller: Asking, queue: Name | None = None, prefer: Prefer = None) -> Response:
    """End the pause, in all queues or in one."""
    return await carry_out(request, prefer, "api_unpause", caller.name, queue)


@routes("me.profile.read", "GET", "/me/profile", Profile, also=NOT_CHANGED)
async def profile(request: Request, caller: Asking, database: Directory) -> Response:
    """What my client is set to; versioned by its ETag."""
    return await profile_of(request, caller, database, caller.name)


@routes("me.avatar.read", "GET", "/me/avatar", also={**PICTURE, **problems(404)})
async def avatar(request: Request, caller: Asking, database: Directory) -> Response:
    """My picture."""
    return await avatar_of(request, caller, database, caller.name)


@routes("me.avatar.set", "PUT", "/me/avatar", status=204)
async def set_avatar(request: Request, caller: Asking, database: Directory) -> Response:
    """A PNG or JPG of at most 8 MB as my picture."""
    return await set_avatar_of(request, caller, database, caller.name)


@routes("me.avatar.delete", "DELETE", "/me/avatar", status=204)
async def delete_avatar(caller: Asking, database: Directory) -> Response:
    """Take my picture away."""
    await database.call("api_set_avatar", caller.proof, caller.name, None, None)
    return nothing()


@routes("me.queues", "GET", "/me/queues", dict[str, int])
async def queues(caller: Asking, database: Directory) -> Response:
    """My queues with my penalties, those of my teams too."""
    return answer(await database.call("api_my_part", caller.proof, "queues"))


@routes("me.teams", "GET", "/me/teams", list[str])
async def teams(caller: Asking, database: Directory) -> Response:
    """My teams."""
    return answer(await database.call("api_my_part", caller.proof, "teams"))


@routes("me.modules", "GET", "/me/modules", list[str])
async def modules(caller: Asking, database: Directory) -> Response:
    """The modules that are on for me."""
    return answer(await database.call("api_my_part", caller.proof, "modules"))


@routes("me.channels", "GET", "/me/channels", dict[str, Channel])
async def channels(caller: Asking, database: Directory) -> Response:
    """My capacity and automatic answer of each channel; one that is not here is unlimited."""
    return answer(await database.call("api_my_part", caller.proof, "channels"))


@routes("me.password.set", "PUT", "/me/password", status=204)
async def new_password(request: Request, caller: Asking, database: Directory, body: OwnPassword) -> Response:
    """A new password, by the old one; all my sessions in browsers end."""
    guess(request, caller.name)
    rows = await database.rows("api_login_of", caller.name, "agent")
    if not rows or not await request.app.state.hashing.verify(rows[0]["password_hash"], body.old):
        raise Problem(403, "old: is not your present password")
    await set_password(request, caller, database, "agent", caller.name, body.password)
    return nothing()


@routes("me.forward.set", "PUT", "/me/forward", Changed)
async def forward(caller: Asking, database: Directory, body: Number) -> Response:
    """My forwarding number, where I may; empty: none."""
    return document({"changed": await database.call("api_set_forward", caller.proof, body.number)})


@routes("me.do-not-disturb.set", "PUT", "/me/do-not-disturb", Changed)
async def do_not_disturb(caller: Asking, database: Directory, body: Switch) -> Response:
    """Whether direct calls stay away while I am on pause, where I may change my settings (P6, W7)."""
    return document({"changed": await database.call("api_set_do_not_disturb", caller.proof, body.on)})


@routes("me.telephones", "GET", "/me/telephones", Items[PickableTelephone])
async def telephones(caller: Asking, database: Directory) -> Response:
    """The telephones that a hot-desk agent may pick, each with why not."""
    return answer(await database.call("api_my_telephones", caller.proof))


@routes("me.colleagues", "GET", "/me/colleagues", Items[Colleague])
async def colleagues(caller: Asking, database: Directory, q: Search = "") -> Response:
    """Whom to call and to transfer to; at most 200."""
    return answer(await database.call("api_colleagues", caller.proof, q))


@routes("me.sip-session", "POST", "/me/sip-session", SipSession, status=201)
async def sip_session(
    request: Request, caller: Asking, database: Directory, body: SipSessionWish | None = None
) -> Response:
    """What my browser's phone registers with: a new secret each time, told once as a digest."""
    body = body or SipSessionWish()
    settings, realm = request.app.state.settings, request.app.state.realm
    secret = secrets.token_urlsafe(SECRET_BYTES)
    found = json.loads(await database.call("api_sip_session", caller.proof, secret, body.page, body.again))
    applied = await request.app.state.waiting.applied(caller.proof, caller.name, SIP_WAIT_SECONDS)
    host = request.url.hostname or "localhost"
    scheme = "wss" if request.url.scheme == "https" else "ws"
    ha1 = hashlib.md5(f"{found['internal']}:{realm}:{secret}".encode()).hexdigest()  # noqa: S324 - SIP's own digest
    return document(
        {
            "uri": f"sip:{found['internal']}@{host}",
            "display_name": found["name"],
            "username": found["internal"],
            "realm": realm,
            "ha1": ha1,
            "wss": settings.wss or f"{scheme}://{request.headers.get('host', host)}/ws",
            "ice_servers": settings.ice_servers,
            "expires": found["expires"],
            "applied": not applied["pending"] and not applied["error"],
        },
        201,
    )


@routes("me.client-log", "POST", "/me/client-log", Kept, also=problems(429))
async def client_log(request: Request, caller: Asking, database: Directory) -> Response:
    """Lines of my client's log as NDJSON, each with `level` and what else there is; `on` says whether they are kept."""
    buckets = request.app.state.log_buckets
    if wait := buckets.wait_seconds(caller.name):
        raise Problem(429, "too many lines of a log; wait a moment", headers={"Retry-After": str(math.ceil(wait))})
    buckets.take(caller.name)
    content = await request.body()
    found = json.loads(await database.call("api_client_log", caller.proof) or "null")
    if found is None:
        return document({"on": False, "kept": 0})
    logs = request.app.state.client_logs
    kept = await asyncio.to_thread(logs.append, found["role"], found["username"], found["level"], content)
    return document({"on": True, "level": found["level"], "kept": kept})
