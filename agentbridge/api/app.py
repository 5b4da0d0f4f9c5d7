"""Puts the API together: state, routes, errors, headers, the document."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentbridge import __version__
from agentbridge.api import document, pages
from agentbridge.api.audio import Audio
from agentbridge.api.client_logs import ClientLogs
from agentbridge.api.database import Database
from agentbridge.api.events.hub import Hub
from agentbridge.api.events.stream import Streams
from agentbridge.api.gate import Callers
from agentbridge.api.guessing import Buckets, Guesses
from agentbridge.api.problems import Problem, on_http, on_invalid, on_problem
from agentbridge.api.resets import Resets
from agentbridge.api.routes import agents, calls, events, me, recordings, records, session, watching
from agentbridge.api.routes.session import Hashing
from agentbridge.api.throttle import Refusals, Throttle
from agentbridge.api.waiting import Waiting
from agentbridge.directory.passwords import Mail
from agentbridge.settings import ApiSettings

log = structlog.get_logger()

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Headers:
    """Adds the security headers to every HTTP answer, unless it sets its own."""

    def __init__(self, app: ASGIApp, *, secure: bool, wss: str) -> None:
        self._app = app
        self._headers = {name.encode(): value.encode() for name, value in HEADERS.items()}
        if wss:
            policy = CSP.replace("connect-src 'self'", f"connect-src 'self' {wss.split('?')[0]}")
            self._headers[b"content-security-policy"] = policy.encode()
        if secure:
            self._headers[b"strict-transport-security"] = b"max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Adds the security headers to an HTTP answer, where the answer has none of that name."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in self._headers.items() if name not in there),
                ]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def create(settings: ApiSettings, clock: Callable[[], float] = time.monotonic) -> FastAPI:
    """Builds the ASGI application. It starts without a database, and then answers 503."""
    api = settings.api
    app = FastAPI(
        title="agentbridge",
        version=__version__,
        lifespan=_lifespan,
        openapi_url="/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    state = app.state
    state.settings = api
    state.realm = settings.sip.realm
    state.origins = frozenset(api.origins)
    state.database = Database(api.url(), connections=api.pool_size, deadline=api.statement_seconds)
    state.callers = Callers(state.database, clock)
    state.guesses, state.refusals = Guesses(clock), Refusals()
    state.hashing = Hashing()
    state.audio = Audio(Path(api.spool), Path(api.cache), api.cache_megabytes * 1024 * 1024)
    state.client_logs = ClientLogs(Path(api.logs) / "client")
    state.log_buckets = Buckets(me.LOGS_AT_ONCE, me.LOG_SECONDS, clock)
    state.waiting = Waiting(state.database)
    state.resets = Resets(state.database, _mail(settings), state.hashing)
    state.hub, state.streams = Hub(), Streams()
    # what is asked most comes first, and not by include_router: at each request the routes are tried one by one, and
    # those of an included router twice
    for module in (me, agents, calls, session, events, records, recordings, watching):
        app.router.routes.extend(module.routes.router.routes)
    app.include_router(events.sockets)
    app.include_router(pages.router())
    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, _on_fault)
    app.add_middleware(Throttle, guesses=state.guesses, refusals=state.refusals, clock=clock)
    app.add_middleware(Headers, secure=bool(api.certificate), wss=api.wss)
    app.openapi = _document(app)  # type: ignore[method-assign]  # the way FastAPI documents
    return app


def _mail(settings: ApiSettings) -> Mail | None:
    """Returns the settings of the mail server; None where none is configured."""
    mail = settings.mail
    if not mail.host:
        return None
    return Mail(
        host=mail.host,
        port=mail.port,
        sender=mail.sender,
        link=mail.link,
        encryption=mail.encryption,
        username=mail.username,
        password=mail.log_in_password(),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Runs the background tasks for as long as the server runs."""
    from agentbridge.api.background import running

    async with app.state.database, running(app):
        yield


async def _on_fault(request: Request, error: Exception) -> Response:
    log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    return Problem(500, "a fault of the server; its log has more").response()


def _document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Returns a function that makes the OpenAPI document at its first call."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document.write(app)
        return app.openapi_schema

    return made


Running = Callable[[FastAPI], Awaitable[None]]
