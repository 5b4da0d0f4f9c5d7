"""The OpenAPI document: what FastAPI finds in the routes, and what an application developer needs besides."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from agentbridge.api.examples import BODIES, OBJECTS
from agentbridge.api.operations import OPERATIONS, Operation, Role
from agentbridge.api.problems import MEANINGS, TITLES, TYPE, ProblemBody

Part = dict[str, Any]

INTRODUCTION = """Agents, queues, telephones and what goes on in calls.

**Who asks.** People log in with `POST /v1/session` and have a cookie. What changes something (POST, PUT, PATCH,
DELETE) must then come from the own pages: `Sec-Fetch-Site: same-origin`, or an `Origin` that is this server's.
Machines send `Authorization: Bearer ab_<id>_<secret>` with a token of `POST /v1/tokens`, and no cookie. Each
operation names the roles and the tokens' scopes that may ask for it.

**Errors** are problems (RFC 9457, `application/problem+json`): `detail` is a sentence for people; `code` (AB001 …),
`field` and `rule` say which rule of the directory was broken.

**Lists** take `q` (a text to look for), `sort`, `limit` and `cursor`, and answer `{items, next}`: send `next` as
`cursor` until it is null.

**Records** have an `ETag`. A PATCH sends it as `If-Match`, and sets only the fields that it names; 412 shows what
somebody else has made of the record meanwhile.

**Verbs** (log in, pause …) are PUT and DELETE and may be repeated. They commit to the directory, from which Asterisk
is made to match. With `Prefer: wait=5` the answer is 200 once Asterisk has it; 202 says that it does not have it yet
(`pending`), or why it does not take it (`error`).

**Requests about running calls** (`dial`, `hangup`, `spy`, `recording` …) are carried out once at most, by the daemon
that has the call, within five seconds. They answer 202 with an id for `GET /v1/requests/{id}`; with `Prefer: wait=5`
they answer what became of them.

**What goes on right now** comes by the websocket `/v1/events`, or as Server-Sent Events by `GET /v1/events/stream`.
On the websocket send `{"op": "subscribe", "kinds": ["agent", "queue", "call"], "queues": ["sales"], "cursor": ""}`
within ten seconds. First comes `{"type": "snapshot", "cursor": …, "now": …}`, then `{"type": "put", "cursor": …,
"objects": [{"kind": "agent", "key": "ana", "data": {…}}]}` with whole objects (`data` null: it is gone), every 15
seconds `{"type": "mark", "cursor": …, "now": …}`, and `{"type": "notice", "name": "call.missed", …}` for the agent
itself. Who comes back sends the last cursor and gets `{"type": "resumed"}` and only what is newer. The server closes
with 4401 (the session is over), 4429 (nothing could be sent for 30 s), 4400 (not understood) or 1012 (it restarts).

Times are RFC 3339; lengths of time are whole seconds unless a field says otherwise. A username is an agent's or a
user's.
"""
TAGS = {
    "session": "Logging in to this API, and out. An agent logs in for calls by `/v1/me/session`.",
    "password-resets": "A forgotten password: a link by e-mail, which works once and for an hour.",
    "me": "What an agent sees and does itself; for agents alone.",
    "agents": "Agents: their records, what belongs to them, their verbs, and requests about their calls.",
    "requests": "What became of a request about a running call.",
    "events": "What goes on right now.",
    "queues": "Queues of the directory; Asterisk's own queues.conf defines how they ring.",
    "teams": "Teams: their agents are members of their queues.",
    "telephones": "Telephones at desks, of which a hot-desk agent picks one at each login.",
    "users": "People who manage agents or listen to them.",
    "settings": "What holds for the whole directory.",
    "pause-reasons": "The reasons that agents choose from.",
    "prefixes": "Prefixes that agents choose from for calls outside.",
    "tokens": "Tokens for machines.",
    "nodes": "The Asterisk nodes and their daemons.",
    "plan": "What Asterisk does not have yet, and removals that wait for a confirmation.",
    "recordings": "Recorded calls.",
    "audit": "Who changed what, listened to whom, and fetched which recording.",
    "interactions": "Chats, e-mails and other interactions within an agent's capacity.",
}
WHO = {
    Role.ADMIN: "administrators",
    Role.USER: "users, for the agents of their queues",
    Role.SUPERVISOR: "supervisors, for the agents of their queues",
    Role.AGENT: "agents, for themselves",
}
PARAMETERS = {
    "username": "the agent's name, or under `/users` the user's",
    "name": "the record's name; of a queue its address: its name, or `name@channel` where two have the name",
    "id": "the id, as a list or an answer has told it",
    "prefix": "digits, `*` and `#`",
    "token": "what stands in the link after `token=`",
    "channel": "`chat`, `email`, `sms`, `openchannel`, `fax` or `whatsapp`",
    "limit": "how many at most",
    "queue": "this queue alone; left out: all",
    "agent": "only this agent's",
    "linkedid": "only of this call, by Asterisk's linkedid",
    "since": "only what began then or later",
    "until": "only what began before",
    "available": "only telephones that are registered and free",
    "dry_run": "only look whether the file is right",
    "interaction": "the interaction's id, of the application's own choice",
    "kinds": "only these kinds of objects; left out: all that one may see",
    "queues": "only these queues and their agents; left out: all that one may see",
    "cursor": "the last cursor that was told: only what is newer comes",
}
RANGE = {
    "name": "Range",
    "in": "header",
    "description": "`bytes=FIRST-LAST`: this part alone, with 206",
    "schema": {"type": "string"},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "the ETag of the copy that is there already: 304 while it is the same",
    "schema": {"type": "string"},
}
WAITS = (
    "Commits to the directory. With `Prefer: wait=SECONDS` it answers 200 once Asterisk has it, else 202 with "
    "`pending` or `error`; may be repeated."
)
ASKS = (
    "Asks the daemon that has the call, once at most. 202 with the id of the request; with `Prefer: wait=SECONDS` 200 "
    "when it was done, or 409 (AB013) with the reason for which it was not."
)
FROM_VERSION = "`If-Match` must have the record's ETag, or `*` for whichever version there is."
VERSIONED = {"Agent", "Queue", "Team", "Telephone", "User", "Settings", "Prefix", "Profile"}
"""schemas of what has an ETag"""
WITH_HEADERS = {
    401: {"WWW-Authenticate": "how to prove who asks"},
    429: {"Retry-After": "seconds to wait"},
    503: {"Retry-After": "seconds to wait"},
}


def write(app: FastAPI) -> Part:
    """Returns the document of an application."""
    document = get_openapi(title=app.title, version=app.version, description=INTRODUCTION, routes=app.routes)
    document["tags"] = [{"name": name, "description": description} for name, description in TAGS.items()]
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["ProblemBody"] = ProblemBody.model_json_schema()
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own bodies, of which there are none here
        schemas.pop(name, None)
    components["securitySchemes"] = {
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-agentbridge",
            "description": "the cookie that `POST /v1/session` sets",
        },
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "a token of `POST /v1/tokens`, as `ab_<id>_<secret>`",
        },
    }
    components["responses"] = {f"Problem{status}": _problem(status) for status in sorted(MEANINGS)}
    for methods in document["paths"].values():
        for described in methods.values():
            _complete(described)
    return document


def _complete(described: Part) -> None:
    """Adds to an operation who may ask for it, what its parameters are, its errors, and an example of each body."""
    operation = OPERATIONS[described["operationId"]]
    described["security"] = [] if operation.public else _security(operation)
    parameters = described.setdefault("parameters", [])
    if "304" in described["responses"]:
        parameters.append(IF_NONE_MATCH)
    if "206" in described["responses"]:
        parameters.append(RANGE)
    for parameter in parameters:
        parameter.setdefault("description", PARAMETERS.get(parameter["name"]))
    described["description"] = "\n\n".join([described["description"], *_rules(described), _who(operation)])
    for status, response in described["responses"].items():
        if TYPE in response.get("content", {}):
            described["responses"][status] = {"$ref": f"#/components/responses/Problem{status}"}
        else:
            _complete_answer(described["operationId"], status, response)
    for kind, content in described.get("requestBody", {}).get("content", {}).items():
        if operation.name in BODIES or kind == "application/json":
            content["example"] = BODIES.get(operation.name) or OBJECTS[_name_of(content["schema"])]


def _rules(described: Part) -> list[str]:
    """Returns the sentences about headers that change what an operation does."""
    names = {parameter["name"].lower() for parameter in described["parameters"]}
    rules = []
    if "prefer" in names:
        answer = described["responses"]["202"]["content"]["application/json"]["schema"]
        rules.append(ASKS if _name_of(answer) == "Asked" else WAITS)
    if "if-match" in names:
        rules.append(FROM_VERSION)
    return rules


def _who(operation: Operation) -> str:
    """Returns the sentence that says who may ask for an operation."""
    if operation.public:
        return "**Who may:** everybody, without a session; the tries are limited."
    who = [said for role, said in WHO.items() if role in operation.roles]
    if scopes := sorted(operation.scopes):
        who.append("tokens with the scope " + " or ".join(f"`{scope}`" for scope in scopes))
    elif Role.MACHINE in operation.roles:
        who.append("tokens")
    return f"**Who may:** {'; '.join(who)}."


def _security(operation: Operation) -> list[Part]:
    """Returns the ways to prove who asks: for a token its scopes stand beside it."""
    people: list[Part] = [{"session": []}] if operation.roles - {Role.MACHINE} else []
    machines = [{"token": [str(scope)]} for scope in sorted(operation.scopes)]
    if Role.MACHINE in operation.roles:
        machines = [{"token": []}]
    return people + machines


def _problem(status: int) -> Part:
    """Returns the description of the answers with an error status."""
    example = {"type": "about:blank", "title": TITLES[status], "status": status, "detail": MEANINGS[status]}
    found: Part = {
        "description": f"{TITLES[status]}: {MEANINGS[status]}",
        "content": {TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}, "example": example}},
    }
    if headers := WITH_HEADERS.get(status):
        found["headers"] = {name: {"description": said, "schema": {"type": "string"}} for name, said in headers.items()}
    return found


def _complete_answer(operation: str, status: str, response: Part) -> None:
    """Adds to a good answer its example and the headers that it comes with."""
    headers = {}
    for kind, content in response.get("content", {}).items():
        name = _name_of(content["schema"])
        if kind == "application/json":
            content["example"] = (
                BODIES.get(f"{operation} {status}") or OBJECTS.get(f"{name} {status}") or _example(name)
            )
        if name in VERSIONED:
            headers["ETag"] = "the version, for `If-Match` and `If-None-Match`"
    if operation == "session.create":
        headers["Set-Cookie"] = "the session, as the cookie `__Host-agentbridge`"
    if headers:
        response["headers"] = {
            name: {"description": said, "schema": {"type": "string"}} for name, said in headers.items()
        }


def _example(name: str) -> object:
    """Returns the example of a schema; of a page or a list one with a single item."""
    kind, _, item = name.rstrip("_").partition("_")
    if item and kind == "Page":
        return {"items": [OBJECTS[item]], "next": None}
    return {"items": [OBJECTS[item]]} if item else OBJECTS[name]


def _name_of(schema: Part) -> str:
    """Returns the name of the schema that is referred to, also where null may stand in its place; empty for none."""
    if "anyOf" in schema:
        schema = schema["anyOf"][0]
    return str(schema.get("$ref", "")).rpartition("/")[2]
