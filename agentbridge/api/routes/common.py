"""What the routes have in common: registration, answers, pages, versions and `Prefer: wait`."""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from agentbridge.api.gate import Asking, Directory, GatedRoute
from agentbridge.api.operations import OPERATIONS, Operation
from agentbridge.api.problems import TYPE, Problem, ProblemBody
from agentbridge.api.waiting import Waiting

Handler = TypeVar("Handler", bound=Callable[..., Any])
PREFIX = "/v1"
JSON = "application/json"
LONGEST_WAIT_SECONDS = 30.0
_PREFER = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")

Search = Annotated[str, Query(max_length=100, description="only those with this text in them")]
Sort = Annotated[str, Query(max_length=64, description="a field, with - before it for downwards")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str, Query(max_length=2000, pattern="^[A-Za-z0-9_-]*$", description="`next` of the page before")]


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of a list a request asks for, and in which order."""

    q: str
    sort: str
    limit: int
    cursor: str


async def _paging(q: Search = "", sort: Sort = "", limit: Limit = 100, cursor: Cursor = "") -> Paging:
    """Returns what a list is asked with. A coroutine: FastAPI would run a plain function in a thread."""
    return Paging(q, sort, limit, cursor)


Asked = Annotated[Paging, Depends(_paging)]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", max_length=100, description="the ETag that the change is made from, or *")
]
Prefer = Annotated[
    str | None, Header(max_length=100, description="`wait=SECONDS`: answer when Asterisk has it, up to 30 s")
]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}}}
    return {status: {"description": f"A problem ({status})", "content": content} for status in sorted(statuses)}


class Routes:
    """Registers a handler as a route of an operation: `@routes("agents.list", "GET", "/agents",
    Page[AgentSummary])`."""

    def __init__(self) -> None:
        self.router = APIRouter(prefix=PREFIX, route_class=GatedRoute)

    def __call__(
        self,
        operation: str,
        method: str,
        path: str,
        model: Any = None,
        *,
        status: int = 200,
        also: dict[int | str, dict[str, Any]] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Returns the decorator that registers a handler for this operation.

        also: other answers than `model` and problems.
        """
        known = OPERATIONS[operation]
        usual = {400, 422, 429, 503}
        if not known.public:
            usual |= {401, 403}
        if method != "GET":
            usual |= {403, 404, 409, 413, 415, 423, 507}
        if "{" in path:
            usual |= {404}

        def register(handler: Handler) -> Handler:
            """Adds the route with what its line in the table of operations says, and returns the handler as it is."""
            versioned = {412, 428} if "if_match" in inspect.signature(handler).parameters else set()
            self.router.add_api_route(
                path,
                handler,
                methods=[method],
                operation_id=operation,
                status_code=status,
                response_model=None,
                response_class=Response,
                responses={**problems(*usual, *versioned), **_answer(status, model), **(also or {})},
                summary=(handler.__doc__ or "").strip().split("\n")[0],
                openapi_extra=_body(known),
                tags=[operation.partition(".")[0]],
            )
            return handler

        return register


def _answer(status: int, model: Any) -> dict[int | str, dict[str, Any]]:
    """Returns the OpenAPI description of an answer."""
    if model is None:
        return {status: {"description": "Done"}}
    return {status: {"description": "As asked", "model": model}}


def _body(operation: Operation) -> dict[str, Any] | None:
    """Returns the OpenAPI description of a body that is no JSON, which the handler reads itself; None for JSON."""
    if operation.body == JSON:
        return None
    schema = {"type": "string"} if operation.body == "text/csv" else {"type": "string", "format": "binary"}
    return {
        "requestBody": {"required": True, "content": {kind: {"schema": schema} for kind in operation.body.split(", ")}}
    }


# ---------------------------------------------------------------- answers


def answer(text: str, status: int = 200, etag: str | None = None) -> Response:
    """JSON as PostgreSQL wrote it."""
    return Response(text, status, {"ETag": etag} if etag else None, media_type=JSON)


def document(value: Any, status: int = 200, etag: str | None = None) -> Response:
    return answer(json.dumps(value, ensure_ascii=False, default=str), status, etag)


def record(text: str, status: int = 200) -> Response:
    """Makes the response from the SQL layer's {etag, record}: the record, with its ETag as header."""
    found = json.loads(text)
    return document(found["record"], status, found["etag"])


def nothing() -> Response:
    return Response(status_code=204)


def place(cursor: str) -> str | None:
    """Decodes a page's cursor; returns the SQL layer's place in the list as JSON, None for no cursor.

    Raises a Problem (422) for a cursor that this server did not make.
    """
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        json.loads(text)
    except ValueError:
        raise Problem(422, "cursor: was not made by this server; ask for the first page again", code="AB001") from None
    return text


def numbered_place(cursor: str) -> str | None:
    """Decodes the cursor of a list whose rows have numbers, as `place` does. Raises a Problem (422) for another
    list's."""
    text = place(cursor)
    if text is None:
        return None
    found = json.loads(text)
    if not isinstance(found, dict) or not isinstance(found.get("id"), int):
        raise Problem(422, "cursor: is not of this list; ask for its first page again", code="AB001")
    return text


def given(body: BaseModel, *without: str) -> str:
    """The fields that were sent, as JSON."""
    return body.model_dump_json(exclude_unset=True, exclude=set(without))


def needed(if_match: str | None) -> str:
    """Returns the ETag in If-Match. Raises a Problem (428) for a request without one."""
    if if_match is None:
        raise Problem(428, "If-Match: send the ETag of the record that the change is made from")
    return if_match


async def changed(
    database: Directory, caller: Asking, kind: str, key: str, fields: str, if_match: str | None
) -> Response:
    """Changes fields of a record and answers with the new record.

    Raises a Problem: 412, with both versions, where somebody else has changed it since `if_match`.
    """
    try:
        text = await database.call("api_change", caller.proof, kind, key, fields, needed(if_match))
    except Problem as problem:
        if problem.status == 412:
            now = json.loads(await database.call("api_read", caller.proof, kind, key))
            problem.more |= {"current": now["record"], "yours": json.loads(fields)}
            problem.own_headers["ETag"] = now["etag"]
        raise
    return record(text)


# ---------------------------------------------------------------- Prefer: wait


def wait_seconds(prefer: str | None) -> float:
    match = _PREFER.search(prefer or "")
    return min(float(match[1]), LONGEST_WAIT_SECONDS) if match else 0.0


async def carry_out(request: Request, prefer: str | None, verb: str, username: str, *arguments: object) -> Response:
    """Calls a verb's SQL function and answers: 200 when Asterisk has it, else 202 with what is known; waits as `prefer`
    asks."""
    seconds = wait_seconds(prefer)
    waiting: Waiting = request.app.state.waiting
    found = await waiting.carry_out(verb, request.state.caller.proof, username, *arguments, seconds=seconds)
    headers = {"Preference-Applied": f"wait={seconds:g}"} if seconds else {}
    body: dict[str, Any] = {"changed": found["changed"]}
    if found["applied_at"] is not None and not found["pending"]:
        return Response(json.dumps(body | {"applied_at": found["applied_at"]}), 200, headers, media_type=JSON)
    body |= {"error": found["error"]} if found["error"] else {"pending": True}
    return Response(json.dumps(body), 202, headers, media_type=JSON)


async def listed(database: Directory, caller: Asking, kind: str, page: Paging, *, available: bool = False) -> Response:
    """Answers with a page of the records of a kind. available: of telephones only those that are free."""
    found = await database.call(
        "api_list", caller.proof, kind, page.q, page.sort, page.limit, place(page.cursor), available
    )
    return answer(found)
