"""`agentbridge api` as a process of its own, and a client that behaves like a browser."""

import asyncio
import base64
import contextlib
import itertools
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from lab.bridge import Sections
from lab.ports import free_port
from lab.processes import Process, Server

COOKIE = "__Host-agentbridge"
STOP_WITHIN_S = 12.0
_browsers = itertools.count(1)


class Api(Server):
    """Runs `agentbridge api` as a process of its own inside `async with Api(dsn) as api`.

    dsn: with the API's own role. sections: settings over the configuration that this lab needs.
    """

    def __init__(self, dsn: str, *, sections: Sections | None = None) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="agentbridge-api-"))
        self.config = self.dir / "agentbridge.toml"
        self.log = self.dir / "api.log"
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self._process = Process("agentbridge api", self.log)
        self.sections: dict[str, dict[str, object]] = {
            "api": {
                "bind": f"127.0.0.1:{self.port}",
                "dsn": dsn,
                "spool": str(self.dir / "spool"),
                "cache": str(self.dir / "cache"),
                "logs": str(self.dir / "logs"),
            },
            "log": {"format": "json"},
        }
        for section, values in (sections or {}).items():
            self.sections.setdefault(section, {}).update(values)
        lines: list[str] = []
        for section, values in self.sections.items():
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self.config.write_text("\n".join(lines) + "\n")

    async def _begin(self) -> None:
        await self.start()

    async def start(self) -> None:
        """Starts the process; returns when it answers. Raises LabError."""
        await self._process.start(
            "setpriv", "--pdeathsig=KILL", sys.executable, "-m", "agentbridge", "api", "--config", str(self.config)
        )
        await self._process.wait_ready(self._answers, 90.0)

    async def stop(self) -> bool:
        """Sends SIGTERM; returns whether the process ended by it."""
        self.send(signal.SIGTERM)
        return await self._process.gone(STOP_WITHIN_S)

    async def _answers(self) -> bool:
        """Whether the process answers HTTP."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.origin}/openapi.json") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


class Browser:
    """An HTTP client that behaves as a browser: it keeps cookies and sends a browser's headers; with `token` as a
    machine."""

    def __init__(self, api: Api, *, token: str = "", origin: str | None = None, address: str = "") -> None:
        self.api = api
        self.cookie = ""
        self._token = token
        number = next(_browsers)
        self.address = address or f"127.1.{number // 250}.{number % 250 + 1}"
        self._origin = api.origin if origin is None else origin
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Opens the HTTP session, from an address of 127.0.0.0/8 of its own."""
        self._session = aiohttp.ClientSession(
            # each from an address of its own: tries of passwords are counted by it
            connector=aiohttp.TCPConnector(local_addr=(self.address, 0), limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=60),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use it as a context"
        return self._session

    def headers(self) -> dict[str, str]:
        """Returns the headers that each request carries."""
        if self._token:
            return {"Authorization": f"Bearer {self._token}"}
        found = {"Origin": self._origin, "Sec-Fetch-Site": "same-origin"} if self._origin else {}
        return found | ({"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {})

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[int, Any]:
        """Sends a request; returns status and answer: decoded where it is JSON, else bytes, None for an empty one."""
        async with self.session.request(
            method,
            f"{self.api.origin}{path}",
            json=body,
            headers=self.headers() | (headers or {}),
            allow_redirects=False,
            **more,
        ) as answer:
            if COOKIE in answer.cookies:
                self.cookie = answer.cookies[COOKIE].value
            self.last = answer.headers
            content = await answer.read()
            if answer.content_type.endswith("json"):
                return answer.status, json.loads(content) if content else None
            return answer.status, content or None

    async def log_in(self, username: str, password: str, kind: str | None = None) -> Any:
        """Logs in and returns the answer. Raises AssertionError where that is refused."""
        given = {"username": username, "password": password} | ({"kind": kind} if kind else {})
        status, body = await self.ask("POST", "/v1/session", given)
        assert status == 201, (status, body)
        return body


@contextlib.asynccontextmanager
async def deaf_socket(api: Api, headers: Mapping[str, str]) -> AsyncIterator[None]:
    """Keeps a websocket that subscribes to all events and reads nothing of them. Raises OSError or EOFError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1024)
    try:
        asked = {
            "Host": f"127.0.0.1:{api.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        } | dict(headers)
        lines = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
        writer.write(f"GET /v1/events HTTP/1.1\r\n{lines}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        wanted = b'{"op":"subscribe"}'
        writer.write(bytes([0x81, 0x80 | len(wanted)]) + bytes(4) + wanted)  # masked with zeros
        yield
    finally:
        writer.transport.abort()
