"""Logging in and out of the API, and forgotten passwords."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from fastapi import Request, Response

from agentbridge.api.database import Database
from agentbridge.api.gate import COOKIE, Asking, Directory, digest, must_be_private, proof_of
from agentbridge.api.models.common import Changed
from agentbridge.api.models.people import Credentials, NewPassword, ResetRequest, Session
from agentbridge.api.problems import Problem
from agentbridge.api.routes.common import Routes, document, nothing, problems
from agentbridge.directory.passwords import hash_password, verify_password

Result = TypeVar("Result")
routes = Routes()
HASHES_AT_ONCE = 2
"""argon2 takes tens of milliseconds of a core and 64 MB: a storm of log-ins must not stall anybody"""
HASHES_WAITING = 100
"""more than these are sent away: whoever waits longer is gone, and its password is looked at all the same"""
BUSY_SECONDS = 5


class Hashing:
    """Runs argon2 in two threads with low priority. Raises a Problem (429) when too many wait."""

    def __init__(self) -> None:
        self._waiting = 0
        self._threads = ThreadPoolExecutor(HASHES_AT_ONCE, "argon2", initializer=_yield_to_others)

    async def verify(self, stored: str | None, password: str) -> bool:
        return await self._in_turn(verify_password, stored, password)

    async def hash(self, password: str) -> str:
        return await self._in_turn(hash_password, password)

    async def _in_turn(self, work: Callable[..., Result], *arguments: str | None) -> Result:
        """Runs the work in a thread of its own, a few at a time. Raises a Problem (429) where too many wait."""
        if self._waiting >= HASHES_WAITING:
            raise Problem(
                429,
                "too many people log in at this moment; try again in a few seconds",
                headers={"Retry-After": str(BUSY_SECONDS)},
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1


def _yield_to_others() -> None:
    """Lowers the priority of the calling thread; Linux has a niceness for each, which argon2's own threads inherit."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def guess(request: Request, name: str) -> None:
    """Counts a try at a password, with this name and from the caller's address.

    Raises a Problem (429), uncounted, where either has no try left.
    """
    wait = request.app.state.guesses.wait_seconds(address_of(request), name.lower())
    if wait:
        request.app.state.refusals.add(address_of(request))
        raise Problem(429, "too many tries; wait a moment", headers={"Retry-After": str(math.ceil(wait))})


@routes("session.create", "POST", "/session", Session, status=201, also=problems(401))
async def log_in(request: Request, body: Credentials, database: Directory) -> Response:
    """Log in; the session is a cookie."""
    must_be_private(request)
    guess(request, body.username)
    person, usable = await _check_login(request, body, database)
    if not usable:
        raise Problem(423, f"username: {body.username} is deactivated or locked", code="AB005")
    request.app.state.guesses.succeeded(address_of(request), body.username.lower())
    settings = request.app.state.settings
    token = secrets.token_urlsafe(32)
    old = proof_of(request)
    found = await database.call(
        "api_open_session",
        person,
        body.username,
        digest(token),
        timedelta(seconds=settings.idle_seconds),
        timedelta(seconds=settings.session_seconds),
        address_of(request),
    )
    if old is not None:  # whoever logs in again is somebody else from now on
        await database.call("api_close_session", old)
    response = document({name: value for name, value in json.loads(found).items() if name != "session"}, 201)
    response.set_cookie(
        COOKIE, token, secure=True, httponly=True, samesite="strict", path="/", max_age=int(settings.session_seconds)
    )
    return response


async def _check_login(request: Request, body: Credentials, database: Database) -> tuple[str, bool]:
    """Checks the password; returns whether it is a user or an agent, and whether the login is allowed.

    Raises a Problem (401), the same for every reason.
    """
    rows = await database.rows("api_login_of", body.username, body.kind)
    stored = rows[0]["password_hash"] if rows else None
    if await request.app.state.hashing.verify(stored, body.password):
        return rows[0]["person"], rows[0]["usable"]
    # asked in any case: the time of the answer must not tell who is an agent
    is_agent = bool(rows) and rows[0]["person"] == "agent"
    await database.call("api_password_failed", body.username if is_agent else "")
    raise Problem(401, "username and password don't go together")


@routes("session.read", "GET", "/session", Session)
async def who_am_i(caller: Asking) -> Response:
    """Who is logged in."""
    return document(
        {
            "kind": caller.kind,
            "name": caller.name,
            "roles": sorted(caller.roles),
            "scopes": None if caller.is_person else sorted(caller.scopes),
        }
    )


@routes("session.delete", "DELETE", "/session", status=204)
async def log_out(request: Request, caller: Asking, database: Directory) -> Response:
    """End the session that asks: its cookie is void and its streams close. An agent stays logged in for calls."""
    await database.call("api_close_session", caller.proof)
    request.app.state.callers.forget_all()
    response = nothing()
    if caller.is_person:
        response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict", path="/")
    return response


# ---------------------------------------------------------------- forgotten passwords


@routes("password-resets.create", "POST", "/password-resets", status=202)
async def ask_for_reset(request: Request, body: ResetRequest) -> Response:
    """Mail a link to the agents of an address; the answer is the same for every address."""
    guess(request, body.email)
    request.app.state.resets.ask(body.email)
    return Response(status_code=202)


@routes("password-resets.use", "PUT", "/password-resets/{token}", Changed)
async def use_reset(request: Request, token: str, body: NewPassword) -> Response:
    """Set a new password with the token of the link; it works once."""
    guess(request, "password reset")
    await request.app.state.resets.use(token, body.password)
    return document({"changed": True})
