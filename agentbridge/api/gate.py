"""What every request passes before its body is read: is it from here, who asks, may they, what is the body."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Message

from agentbridge.api.database import Database
from agentbridge.api.operations import OPERATIONS, Operation
from agentbridge.api.problems import Problem

COOKIE = "__Host-agentbridge"
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
KEPT_SECONDS = 5.0
"""how long it is remembered who a token is; the SQL layer looks anew at each call"""
KEPT = 10_000
BODY_SECONDS = 30.0
"""for all of a body: who sends a byte a second is not waited for"""
_TOKEN = re.compile(r"ab_(?P<id>[a-z0-9]{8})_(?P<secret>[A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: name, roles, scopes. `proof` is the hash by which the SQL layer finds them."""

    proof: bytes
    kind: str = ""
    name: str = ""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    session: int | None = None

    @property
    def is_person(self) -> bool:
        return self.kind in ("user", "agent")


NOBODY = Caller(b"")


def digest(token: str) -> bytes:
    """Returns the hash of a token, which is all that is kept of it."""
    return hashlib.sha256(token.encode()).digest()


def proof_of(connection: HTTPConnection) -> bytes | None:
    """Returns the hash of the token in the cookie or the header; None where the request has neither.

    Raises a Problem where it has both, or a header that holds something else.
    """
    header = connection.headers.get("authorization")
    cookie = connection.cookies.get(COOKIE)
    if header is None:
        return digest(cookie) if cookie else None
    if cookie:
        raise Problem(401, "Authorization: send a machine's token or a session's cookie, not both")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or _TOKEN.fullmatch(token.strip()) is None:
        raise _unknown("Authorization: must be as in Bearer ab_<id>_<secret>")
    return digest(token.strip())


def _unknown(detail: str) -> Problem:
    return Problem(401, detail, code="AB011", headers={"WWW-Authenticate": "Bearer"})


class Callers:
    """Finds whom a token belongs to, and remembers it for seconds, so that a desk's requests don't ask twice each."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    async def find(self, proof: bytes) -> Caller:
        """Returns the caller with this proof. Raises a Problem (401) when the session is over."""
        at, caller = self._known.get(proof, (float("-inf"), NOBODY))
        if self._clock() - at < KEPT_SECONDS:
            return caller
        caller = _caller(proof, json.loads(await self._database.call("api_session", proof)))
        self._known[proof] = (self._clock(), caller)
        self._known.move_to_end(proof)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return caller

    def forget(self, session: int) -> None:
        for proof in [proof for proof, (_, caller) in self._known.items() if caller.session == session]:
            del self._known[proof]

    def forget_all(self) -> None:
        self._known.clear()


def _caller(proof: bytes, found: dict[str, Any]) -> Caller:
    """Returns who asks, from the row that the database has of the proof."""
    return Caller(
        proof,
        found["kind"],
        found["name"],
        frozenset(found["roles"]),
        frozenset(found["scopes"] or ()),
        found["session"],
    )


# ---------------------------------------------------------------- where the request comes from


def is_loopback(connection: HTTPConnection) -> bool:
    """Whether the request comes from this machine."""
    try:
        return connection.client is not None and ipaddress.ip_address(connection.client.host).is_loopback
    except ValueError:
        return False


def must_be_private(connection: HTTPConnection) -> None:
    """Raises a Problem for a request that others on the network could read: neither over TLS nor from this machine."""
    if connection.url.scheme in ("http", "ws") and not is_loopback(connection):
        raise Problem(403, "over plain HTTP people log in from this machine only; use https")


def is_own_origin(connection: HTTPConnection, origins: frozenset[str]) -> bool:
    """Whether the Origin header names this server, as configured or, without that, as the Host header says."""
    origin = connection.headers.get("origin")
    if origin is None:
        return False
    if origins:
        return origin in origins
    scheme = {"ws": "http", "wss": "https"}.get(connection.url.scheme, connection.url.scheme)
    return urlsplit(origin).scheme == scheme and origin == f"{scheme}://{connection.headers.get('host', '')}"


def must_be_from_here(connection: HTTPConnection, origins: frozenset[str]) -> None:
    """Raises a Problem for a request that a page of another site may have caused.

    Such a page can make a browser send the cookie, but not the headers that are asked for here.
    """
    site = connection.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise Problem(403, "Sec-Fetch-Site: must be same-origin for a request that changes something")
    if "origin" in connection.headers and not is_own_origin(connection, origins):
        raise Problem(403, "Origin: is another site's")
    if site is None and "origin" not in connection.headers:
        raise Problem(
            403, "Origin: a request that changes something must send this server's, or Sec-Fetch-Site: same-origin"
        )


# ---------------------------------------------------------------- the gate


async def admitted(connection: HTTPConnection, operation: Operation, *, changes: bool) -> Caller:
    """Returns who makes the request. Raises a Problem unless they may ask for this operation in this way."""
    state = connection.app.state
    proof = proof_of(connection)
    by_cookie = "authorization" not in connection.headers
    if changes and by_cookie:
        must_be_from_here(connection, state.origins)
    if operation.public:
        return NOBODY
    if proof is None:
        raise _unknown("session: there is none; log in")
    if by_cookie:
        must_be_private(connection)
    callers: Callers = state.callers
    caller = await callers.find(proof)
    if caller.is_person != by_cookie:
        raise _unknown("session: there is none; log in")
    if not operation.allows(caller.roles, caller.scopes):
        raise Problem(403, f"operation: {caller.name} may not do {operation.name}", code="AB004")
    return caller


def _check_body(request: Request, operation: Operation) -> None:
    """Raises a Problem for a body that is too large, or of a type that the operation does not take."""
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length) > operation.most_bytes:
        raise _too_large(operation)
    has_body = length != "0" or "transfer-encoding" in request.headers
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and kind not in operation.body.split(", "):
        raise Problem(415, f"Content-Type: must be {operation.body}")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "Content-Encoding: must not be sent; bodies are taken uncompressed")


def _too_large(operation: Operation) -> Problem:
    return Problem(413, f"the body may have at most {operation.most_bytes} bytes", headers={"Connection": "close"})


class GatedRoute(APIRoute):
    """A route that admits only who may ask for its operation: `operation_id` names a line of the table of
    operations."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the route's handler, which first checks who asks and bounds the body."""
        handle = super().get_route_handler()
        operation = OPERATIONS[str(self.operation_id)]

        async def gated(request: Request) -> Response:
            changes = request.method in CHANGES
            request.state.caller = await admitted(request, operation, changes=changes)
            if changes:
                _check_body(request, operation)
            response: Response = await handle(_bounded(request, operation))
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return gated


def _bounded(request: Request, operation: Operation) -> Request:
    """Returns the request with a body that raises a Problem when it is too long or comes too slowly."""
    taken = 0
    deadline = time.monotonic() + BODY_SECONDS

    async def receive() -> Message:
        """Returns the next part of the body. Raises a Problem for one that is too long or comes too slowly."""
        nonlocal taken
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                message = await request.receive()
        except TimeoutError:
            raise Problem(400, "the body did not come in time", headers={"Connection": "close"}) from None
        taken += len(message.get("body", b""))
        if taken > operation.most_bytes:
            raise _too_large(operation)
        return message

    return Request(request.scope, receive)


# coroutines, although they wait for nothing: FastAPI calls a plain function in another thread, which on a busy machine
# costs each request more than all the rest
async def _current(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


Asking = Annotated[Caller, Depends(_current)]
Directory = Annotated[Database, Depends(_database)]
