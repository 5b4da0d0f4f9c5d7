"""ARI's push configuration: PJSIP objects written, read and deleted one at a time.

Everything is checked to be text before the request: a number or null as attribute or value makes Asterisk
crash (strlen(NULL) in its JSON parsing; seen with 16.28 and 22.10).
"""

import base64
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from agentbridge.errors import InvalidValue, Refused, Unavailable
from agentbridge.model import ObjectKind

CONFIG_CLASS = "res_pjsip"

BODY_BYTES = 40_960  # what Asterisk reads of a request's body
CONNECTIONS = 8  # more don't go faster: Asterisk has one thread that writes AstDB
ID = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,80}")  # a path segment of its own, and never `..`


class Ari:
    """A client of ARI over HTTP: reads, writes and deletes PJSIP objects, and sends other requests.

    `async with Ari(url, user, secret) as ari`; `url` as in http://127.0.0.1:8088/ari. Every request has `deadline`
    seconds in all. Methods raise Refused with Asterisk's message for a 4xx, Unavailable for a 5xx, no connection or no
    answer.
    """

    def __init__(self, url: str, user: str, secret: str, *, deadline: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}
        self._deadline = deadline
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Opens the HTTP session; each request has the deadline as its limit."""
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=self._deadline),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def info(self) -> dict[str, Any]:
        """Returns Asterisk's version, build and `status.startup_time`; the last differs after a restart."""
        _, answer = await self.request("GET", "/asterisk/info")
        return dict(answer)

    async def put_object(self, kind: ObjectKind, object_id: str, fields: Mapping[str, str]) -> None:
        """Creates the object, or changes these fields of it: one left out keeps its value. Raises Refused or
        Unavailable.

        A field that Asterisk doesn't know or can't parse is Refused without its name; that is only in Asterisk's log.
        The answer means that the object is visible, not that it is on disk.
        """
        await self.request("PUT", _object_path(kind, object_id), body_of(fields))

    async def get_object(self, kind: ObjectKind, object_id: str) -> dict[str, str] | None:
        """Returns every field of the object, defaults included; None where there is no such object."""
        status, answer = await self.request("GET", _object_path(kind, object_id), missing_ok=True)
        if status == HTTPStatus.NOT_FOUND:
            return None
        return {item["attribute"]: item["value"] for item in answer}

    async def delete_object(self, kind: ObjectKind, object_id: str) -> None:
        """Deletes an object; one that is not there is as good as deleted."""
        await self.request("DELETE", _object_path(kind, object_id), missing_ok=True)

    async def request(
        self, method: str, path: str, body: bytes | None = None, *, missing_ok: bool = False
    ) -> tuple[int, Any]:
        """Sends a request for `path` below the base URL; returns the status and the decoded JSON, None for an empty
        body.

        missing_ok: a 404 is returned too. Raises Refused or Unavailable for other errors.
        """
        if self._session is None:
            raise RuntimeError("Ari is used outside its `async with`")
        headers = {"Content-Type": "application/json"} if body is not None else None
        try:
            async with self._session.request(
                method, URL(self._url + path, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response:
                return _check_answer(f"{method} {path}", response.status, await response.read(), missing_ok)
        except TimeoutError:
            raise Unavailable(f"ARI {method} {path}: no answer within {self._deadline:g} s") from None
        except aiohttp.ClientError as error:
            raise Unavailable(f"ARI {method} {path}: {error}") from error


def _object_path(kind: ObjectKind, object_id: object) -> str:
    """Returns the URL path of a PJSIP object. Raises InvalidValue for a kind or id that can't exist."""
    if kind not in frozenset(ObjectKind):
        raise InvalidValue(f"kind: {kind!r} is none of {', '.join(ObjectKind)}")
    if not isinstance(object_id, str) or not ID.fullmatch(object_id):
        raise InvalidValue(f"id: {object_id!r} must be 1 to 80 of letters, digits, '_', '.', '-'")
    return f"/asterisk/config/dynamic/{CONFIG_CLASS}/{kind}/{object_id}"


def body_of(fields: Mapping[str, str]) -> bytes:
    """Returns the request body with these fields. Raises InvalidValue, naming the field, for a value that ARI can't
    take."""
    pairs = [{"attribute": _text("attribute", key), "value": _text(key, fields[key])} for key in fields]
    body = json.dumps({"fields": pairs}, ensure_ascii=False).encode()
    if len(body) > BODY_BYTES:
        raise InvalidValue(f"fields: {len(body)} bytes together, Asterisk reads at most {BODY_BYTES}")
    return body


def _text(name: object, value: object) -> str:
    """Returns the value as text. Raises InvalidValue, naming the field, for one that ARI can't take."""
    if not isinstance(value, str):
        raise InvalidValue(f"{name}: must be text, not {type(value).__name__}: Asterisk would crash")
    # C strings end at NUL, and the AstDB wizard keeps what is left; lone surrogates are no UTF-8
    if "\0" in value or value.encode(errors="ignore").decode() != value:
        raise InvalidValue(f"{name}: must not contain NUL, and be text that UTF-8 can carry")
    return value


def _check_answer(what: str, status: int, body: bytes, missing_ok: bool) -> tuple[int, Any]:
    """Returns status and JSON of an answer. Raises Unavailable for an error of the server, Refused for one of the
    request."""
    if missing_ok and status == HTTPStatus.NOT_FOUND:
        return status, None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(f"ARI {what}: {status} {_reason(body)}")
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise Refused(f"ARI {what}: {status} {_reason(body)}")
    try:
        return status, json.loads(body) if body else None
    except ValueError as error:
        raise Unavailable(f"ARI {what}: the answer is not JSON: {error}") from error


def _reason(body: bytes) -> str:
    """Returns the message in the body of an error from ARI; the beginning of the body where its form is not known."""
    try:
        answer = json.loads(body)
    except ValueError:
        return body[:200].decode(errors="replace")
    match answer:
        case {"message": str(message)} | {"error": str(message)}:
            return message
        case _:
            return str(answer)[:200]
