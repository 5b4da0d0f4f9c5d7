"""A request hidden in another, sent through a real nginx with the snippet: nginx and the API read the same requests.

nginx itself refuses one address, of which the API knows nothing: whoever gets through to it has smuggled.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.api import Api, Browser
from lab.nginx import NAME, Nginx
from tests.integration.api_scene import PASSWORD, Scene

CLOSED = "/v1/agents/ana/lock"


@pytest_asyncio.fixture(scope="module")
async def proxied(api_scene: Scene) -> AsyncIterator[tuple[Api, Nginx]]:
    sections = {"api": {"proxies": ["127.0.0.1"], "origins": [f"https://{NAME}"], "statement_seconds": 20}}
    async with Api(api_scene.api_dsn, sections=sections) as api, Nginx(api.port, closed=CLOSED) as nginx:
        yield api, nginx


async def sent(nginx: Nginx, data: bytes, within: float = 3.0) -> bytes:
    """What comes back until the connection ends, or the time is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", nginx.port, ssl=nginx.tls())
    answer = b""
    try:
        writer.write(data)
        async with asyncio.timeout(within):
            while part := await reader.read(65536):
                answer += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return answer


def _hidden(token: str) -> str:
    return f"PUT {CLOSED} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"


def _attacks(hidden: str) -> dict[str, str]:
    """What is before the hidden request, by its trick; {size} is how long the hidden one is."""
    size, chunk = len(hidden), f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"
    post = f"POST /v1/session HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n"
    get = f"GET /openapi.json HTTP/1.1\r\nHost: {NAME}\r\n"
    chunked, upgrade = "Transfer-Encoding: chunked\r\n", f"{get}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    return {
        "length and chunks, length first": f"{post}Content-Length: {size + 5}\r\n{chunked}\r\n0\r\n\r\n{hidden}",
        "length and chunks, chunks first": f"{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunk}",
        "chunks in other words": f"{post}Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}",
        "chunks twice": f"{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{hidden}",
        "a tab before chunked": f"{post}Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}",
        "a space before the colon": f"{post}Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}",
        "a folded header": f"{post}Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}",
        "two lengths": f"{post}Content-Length: 0\r\nContent-Length: {size}\r\n\r\n{hidden}",
        "a length with a plus": f"{post}Content-Length: +0\r\n\r\n{hidden}",
        "lengths in a list": f"{post}Content-Length: 0, {size}\r\n\r\n{hidden}",
        "a body of a GET": f"{get}Content-Length: {size}\r\n\r\n{hidden}",
        "chunks in a GET": f"{get}Transfer-Encoding: chunked\r\n\r\n{chunk}",
        "a chunk's extension": f"{post}Transfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n{hidden}",
        "a bare line feed in chunks": f"{post}Transfer-Encoding: chunked\r\n\r\n0\n\n{hidden}",
        "a header in a header": f"{get}X-Note: a\rContent-Length: {size}\r\n\r\n{hidden}",
        "a request in the address": f"GET /openapi.json HTTP/1.1%0d%0a%0d%0a{hidden}",
        "an upgrade that is none": f"{get}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n{hidden}",
        "an upgrade to h2c": f"{upgrade}HTTP2-Settings: AAMAAABk\r\n\r\n{hidden}",
        "a version of old with chunks": f"POST /v1/session HTTP/1.0\r\nHost: {NAME}\r\n{chunked}\r\n{chunk}",
        "an address that climbs": _climbing(hidden),
    }


def _climbing(hidden: str) -> str:
    return hidden.replace(CLOSED, "/v1/x/../agents/ana/lock", 1)


async def test_no_request_gets_past_nginx_in_another(proxied: tuple[Api, Nginx], scene: Scene) -> None:
    api, nginx = proxied
    token = await scene.token("admin")
    locked = "select locked_at is not null from agentbridge.agents where username = 'ana'"
    hidden = _hidden(token)
    # straight at the API it works, and nginx refuses it: so the test can tell
    async with Browser(api, token=token) as machine:
        assert (await machine.ask("PUT", CLOSED))[0] == 200
    assert await scene.sql.fetchval(locked)
    await scene.sql.execute("update agentbridge.agents set locked_at = null")
    assert (await sent(nginx, hidden.encode())).startswith(b"HTTP/1.1 403")
    assert b" 200 " in (await sent(nginx, f"GET /openapi.json HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()))[:20]

    attacks = _attacks(hidden)
    answers = dict(
        zip(attacks, await asyncio.gather(*(sent(nginx, one.encode()) for one in attacks.values())), strict=True)
    )
    assert not await scene.sql.fetchval(locked), {name: text[:60] for name, text in answers.items()}


@pytest.mark.parametrize(
    "forged", ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http", "Forwarded: for=203.0.113.9"]
)
async def test_what_a_client_says_of_its_address_is_not_believed(
    proxied: tuple[Api, Nginx], scene: Scene, forged: str
) -> None:
    """The session notes the address that nginx saw, and over TLS a cookie is taken."""
    _, nginx = proxied
    body = f'{{"username": "boss", "password": "{PASSWORD}"}}'
    headers = (
        f"Host: {NAME}\r\nOrigin: https://{NAME}\r\nContent-Type: application/json\r\n{forged}\r\nConnection: close\r\n"
    )
    asked = f"POST /v1/session HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"
    assert (await sent(nginx, asked.encode(), 20)).startswith(b"HTTP/1.1 201")
    address = await scene.sql.fetchval("select address from agentbridge.web_sessions order by id desc limit 1")
    assert address == "127.0.0.1"
