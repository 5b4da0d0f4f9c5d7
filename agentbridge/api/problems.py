"""Errors as RFC 9457 problems, with the field and the rule that was broken."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

TYPE = "application/problem+json"
_FIELD = re.compile(r"^(?P<field>[A-Za-z][A-Za-z0-9_.-]{0,63}): (?P<rule>.+)$", re.DOTALL)
STATUS = {
    "AB001": 422,  # a value breaks a rule
    "AB002": 409,  # the name or number is taken
    "AB003": 404,
    "AB004": 403,
    "AB005": 423,  # deactivated or locked
    "AB006": 409,  # the telephone is taken, or not registered
    "AB007": 409,  # not logged in
    "AB008": 507,  # no free internal number
    "AB009": 422,
    "AB010": 409,
    "AB011": 401,
    "AB012": 412,
    "AB013": 409,  # a request about a running call was refused
}
"""SQLSTATE of a refusal → status"""
TITLES = {
    400: "The request is not understood",
    401: "Log in first",
    403: "Not allowed",
    404: "There is no such thing",
    405: "This method is not there",
    409: "It does not go with what is there",
    412: "It was changed meanwhile",
    413: "Too large",
    415: "Not this type of content",
    416: "There is no such range",
    422: "A value breaks a rule",
    423: "Deactivated or locked",
    428: "If-Match is missing",
    429: "Too many tries",
    500: "A fault of the server",
    503: "Not available now",
    507: "No internal number is free",
}
MEANINGS = {
    400: "the request is broken, or its body did not come in time",
    401: "there is no session or token, or it is over (AB011); or username and password don't go together",
    403: "this role or scope may not do it (AB004), or the request does not come from the own pages",
    404: "there is none, or it is not for this person to see (AB003)",
    409: "the name or number is taken (AB002), the telephone is taken or not registered (AB006), the agent is not "
    "logged in (AB007) or on pause in all queues (AB010), or a request about a running call was refused (AB013)",
    412: "somebody else has changed the record meanwhile (AB012): `current` and `yours` show both",
    413: "the body is larger than this operation takes",
    415: "the body is not of the type that this operation takes",
    416: "the recording has no such bytes",
    422: "a value breaks a rule (AB001, for a hot-desk agent's telephone AB009): `field` and `rule` say which",
    423: "the agent or user is deactivated or locked (AB005)",
    428: "the request needs `If-Match`",
    429: "too many tries; wait as `Retry-After` says",
    503: "the database is away; try again as `Retry-After` says",
    507: "the range of internal numbers is full (AB008)",
}
"""status → what it says of a request, and the codes that come with it"""


class ProblemBody(BaseModel):
    """RFC 9457. `code` is the SQLSTATE of a rule of the directory; `field` and `rule` are what broke it."""

    type: str
    title: str
    status: int
    detail: str
    code: str | None = None
    field: str | None = None
    rule: str | None = None
    current: dict[str, Any] | None = Field(default=None, description="with 412: the record as it is now")
    yours: dict[str, Any] | None = Field(default=None, description="with 412: what was to be set")
    errors: list[dict[str, Any]] | None = Field(default=None, description="with 422: each value that is wrong")


class Problem(HTTPException):
    """An error that ends the request with this status, as an RFC 9457 body.

    It is an HTTPException since FastAPI lets that through also while it reads a body.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        self.own_headers = dict(headers or {})
        super().__init__(status, detail, self.own_headers)
        self.status = status
        self.code = code
        self.more = more

    def response(self) -> Response:
        """Returns the HTTP response, as RFC 9457 describes it."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
        }
        if self.code:
            body["code"] = self.code
        if match := _FIELD.match(self.detail):
            body |= match.groupdict()
        return Response(
            json.dumps(body | self.more),
            self.status,
            {"Cache-Control": "no-store", **self.own_headers},
            media_type=TYPE,
        )


def refused(code: str, message: str) -> Problem:
    """Returns the answer to a refusal of the directory's rules."""
    return Problem(STATUS.get(code, 422), message, code=code)


async def on_problem(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101 - registered for this class alone
    return problem.response()


async def on_invalid(_: Request, error: Exception) -> Response:
    """Answers a request that does not fit the schema with 422: each wrong value by its place and rule, never the
    value."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    errors = [{"field": _place(item["loc"]), "rule": item["msg"]} for item in error.errors()[:50]]
    first = errors[0]
    return Problem(422, f"{first['field']}: {first['rule']}", code="AB001", errors=errors).response()


def _place(location: Sequence[Any]) -> str:
    """Returns the path of a value in the request, without `body` or `query` before it."""
    parts = [str(part) for part in location]
    return ".".join(parts[1:] or parts)[:64]


async def on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    return Problem(error.status_code, str(error.detail), headers=error.headers).response()
