"""Queues, teams, telephones, users, settings, pause reasons: lists and records, as they are in SQL."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import Body, Query, Request, Response

from agentbridge.api.gate import Asking, Directory
from agentbridge.api.models.common import Changed, Name, Page, Penalty, Words
from agentbridge.api.models.people import NewPassword, NewUser, User, UserFields
from agentbridge.api.models.records import (
    NewPrefix,
    NewQueue,
    NewTeam,
    NewTelephone,
    PauseReason,
    Prefix,
    PrefixFields,
    Queue,
    QueueFields,
    QueueSummary,
    SettingFields,
    Settings,
    Team,
    TeamFields,
    TeamSummary,
    Telephone,
    TelephoneFields,
    TelephoneSummary,
)
from agentbridge.api.problems import Problem
from agentbridge.api.routes.common import (
    Asked,
    Cursor,
    IfMatch,
    Limit,
    Paging,
    Routes,
    Sort,
    answer,
    changed,
    document,
    given,
    listed,
    nothing,
    record,
)
from agentbridge.directory.passwords import check_password
from agentbridge.errors import InvalidValue

routes = Routes()


async def _one(database: Directory, caller: Asking, kind: str, key: str) -> Response:
    return record(await database.call("api_read", caller.proof, kind, key))


async def _new(database: Directory, caller: Asking, kind: str, fields: str) -> Response:
    return record(await database.call("api_create", caller.proof, kind, fields), 201)


async def _gone(database: Directory, caller: Asking, kind: str, key: str, if_match: str | None) -> Response:
    await database.call("api_delete", caller.proof, kind, [key], if_match or "*")
    return nothing()


# ---------------------------------------------------------------- queues


@routes("queues.list", "GET", "/queues", Page[QueueSummary])
async def list_queues(caller: Asking, database: Directory, page: Asked) -> Response:
    """The queues, page by page."""
    return await listed(database, caller, "queues", page)


@routes("queues.create", "POST", "/queues", Queue, status=201)
async def create_queue(caller: Asking, database: Directory, body: NewQueue) -> Response:
    """A new queue."""
    return await _new(database, caller, "queues", given(body))


@routes("queues.read", "GET", "/queues/{name}", Queue)
async def read_queue(caller: Asking, database: Directory, name: str) -> Response:
    """One queue, with its members."""
    return await _one(database, caller, "queues", name)


@routes("queues.update", "PATCH", "/queues/{name}", Queue)
async def change_queue(
    caller: Asking, database: Directory, name: str, body: QueueFields, if_match: IfMatch = None
) -> Response:
    """Set fields of a queue."""
    return await changed(database, caller, "queues", name, given(body), if_match)


@routes("queues.delete", "DELETE", "/queues/{name}", status=204)
async def delete_queue(caller: Asking, database: Directory, name: str, if_match: IfMatch = None) -> Response:
    """Delete a queue from the directory."""
    return await _gone(database, caller, "queues", name, if_match)


# ---------------------------------------------------------------- teams


@routes("teams.list", "GET", "/teams", Page[TeamSummary])
async def list_teams(caller: Asking, database: Directory, page: Asked) -> Response:
    """The teams, page by page."""
    return await listed(database, caller, "teams", page)


@routes("teams.create", "POST", "/teams", Team, status=201)
async def create_team(caller: Asking, database: Directory, body: NewTeam) -> Response:
    """A new team."""
    return await _new(database, caller, "teams", given(body))


@routes("teams.read", "GET", "/teams/{name}", Team)
async def read_team(caller: Asking, database: Directory, name: str) -> Response:
    """One team, with its members and queues."""
    return await _one(database, caller, "teams", name)


@routes("teams.update", "PATCH", "/teams/{name}", Team)
async def change_team(
    caller: Asking, database: Directory, name: str, body: TeamFields, if_match: IfMatch = None
) -> Response:
    """Set fields of a team."""
    return await changed(database, caller, "teams", name, given(body), if_match)


@routes("teams.delete", "DELETE", "/teams/{name}", status=204)
async def delete_team(caller: Asking, database: Directory, name: str, if_match: IfMatch = None) -> Response:
    """Delete a team; its agents leave its queues."""
    return await _gone(database, caller, "teams", name, if_match)


@routes("teams.queues.set", "PUT", "/teams/{name}/queues", dict[str, int])
async def set_team_queues(
    caller: Asking, database: Directory, name: str, body: Annotated[dict[Name, Penalty], Body(max_length=1000)]
) -> Response:
    """The queues of a team with their penalties, exactly these."""
    return answer(await database.call("api_set_team_queues", caller.proof, name, json.dumps(body)))


# ---------------------------------------------------------------- telephones


@routes("telephones.list", "GET", "/telephones", Page[TelephoneSummary])
async def list_telephones(
    caller: Asking,
    database: Directory,
    page: Asked,
    available: Annotated[bool, Query(description="only those that are registered and bound to nobody")] = False,
) -> Response:
    """The telephones, page by page."""
    return await listed(database, caller, "telephones", page, available=available)


@routes("telephones.create", "POST", "/telephones", Telephone, status=201)
async def create_telephone(caller: Asking, database: Directory, body: NewTelephone) -> Response:
    """A new telephone."""
    return await _new(database, caller, "telephones", given(body))


@routes("telephones.read", "GET", "/telephones/{name}", Telephone)
async def read_telephone(caller: Asking, database: Directory, name: str) -> Response:
    """One telephone, and who sits there."""
    return await _one(database, caller, "telephones", name)


@routes("telephones.update", "PATCH", "/telephones/{name}", Telephone)
async def change_telephone(
    caller: Asking, database: Directory, name: str, body: TelephoneFields, if_match: IfMatch = None
) -> Response:
    """Set fields of a telephone."""
    return await changed(database, caller, "telephones", name, given(body), if_match)


@routes("telephones.delete", "DELETE", "/telephones/{name}", status=204)
async def delete_telephone(caller: Asking, database: Directory, name: str, if_match: IfMatch = None) -> Response:
    """Delete a telephone; whoever sits there is logged out."""
    return await _gone(database, caller, "telephones", name, if_match)


@routes("telephones.free", "DELETE", "/telephones/{name}/agent", Changed)
async def free_telephone(caller: Asking, database: Directory, name: str) -> Response:
    """Log out whoever sits there."""
    return document({"changed": await database.call("api_free_telephone", caller.proof, name)})


# ---------------------------------------------------------------- users


@routes("users.list", "GET", "/users", Page[User])
async def list_users(caller: Asking, database: Directory, page: Asked) -> Response:
    """The users of the console, page by page."""
    return await listed(database, caller, "users", page)


@routes("users.create", "POST", "/users", User, status=201)
async def create_user(caller: Asking, database: Directory, body: NewUser) -> Response:
    """A new user; set its password next."""
    return await _new(database, caller, "users", given(body))


@routes("users.read", "GET", "/users/{username}", User)
async def read_user(caller: Asking, database: Directory, username: str) -> Response:
    """One user."""
    return await _one(database, caller, "users", username)


@routes("users.update", "PATCH", "/users/{username}", User)
async def change_user(
    caller: Asking, database: Directory, username: str, body: UserFields, if_match: IfMatch = None
) -> Response:
    """Set fields of a user."""
    return await changed(database, caller, "users", username, given(body), if_match)


@routes("users.delete", "DELETE", "/users/{username}", status=204)
async def delete_user(caller: Asking, database: Directory, username: str, if_match: IfMatch = None) -> Response:
    """Delete a user; its sessions end."""
    return await _gone(database, caller, "users", username, if_match)


@routes("users.queues.set", "PUT", "/users/{username}/queues", list[str])
async def set_user_queues(caller: Asking, database: Directory, username: str, body: Words) -> Response:
    """The queues that are enabled for a user, exactly these."""
    return answer(await database.call("api_set_user_queues", caller.proof, username, list(body)))


@routes("users.password.set", "PUT", "/users/{username}/password", status=204)
async def set_user_password(
    request: Request, caller: Asking, database: Directory, username: str, body: NewPassword
) -> Response:
    """A new password; the user's other sessions end."""
    await set_password(request, caller, database, "user", username, body.password)
    return nothing()


async def set_password(
    request: Request, caller: Asking, database: Directory, kind: str, username: str, password: str
) -> None:
    """Hashes a user's or agent's new password and sets it. Raises a Problem for one that breaks the rule (A15)."""
    suite = await database.call("api_security_suite")
    try:
        check_password(password, security_suite=suite)
    except InvalidValue as error:
        raise Problem(422, str(error), code="AB001") from None
    await database.call(
        "api_set_password", caller.proof, kind, username, await request.app.state.hashing.hash(password)
    )


# ---------------------------------------------------------------- settings, pause reasons and prefixes


@routes("settings.read", "GET", "/settings", Settings)
async def read_settings(caller: Asking, database: Directory) -> Response:
    """The directory's settings."""
    return await _one(database, caller, "settings", "true")


@routes("settings.update", "PATCH", "/settings", Settings)
async def change_settings(
    caller: Asking, database: Directory, body: SettingFields, if_match: IfMatch = None
) -> Response:
    """Set some of the settings."""
    return await changed(database, caller, "settings", "true", given(body), if_match)


@routes("pause-reasons.list", "GET", "/pause-reasons", Page[PauseReason])
async def list_pause_reasons(
    caller: Asking, database: Directory, sort: Sort = "position", limit: Limit = 100, cursor: Cursor = ""
) -> Response:
    """The reasons to choose from."""
    return await listed(database, caller, "pause-reasons", Paging("", sort, limit, cursor))


@routes("pause-reasons.create", "POST", "/pause-reasons", PauseReason, status=201)
async def create_pause_reason(caller: Asking, database: Directory, body: PauseReason) -> Response:
    """A new reason."""
    return await _new(database, caller, "pause-reasons", given(body))


@routes("pause-reasons.delete", "DELETE", "/pause-reasons/{name}", status=204)
async def delete_pause_reason(caller: Asking, database: Directory, name: str) -> Response:
    """Delete a reason; pauses that have it keep it."""
    return await _gone(database, caller, "pause-reasons", name, None)


@routes("prefixes.list", "GET", "/prefixes", Page[Prefix])
async def list_prefixes(caller: Asking, database: Directory, page: Asked) -> Response:
    """The prefixes that an agent chooses from, with their labels (A19)."""
    return await listed(database, caller, "prefixes", page)


@routes("prefixes.create", "POST", "/prefixes", Prefix, status=201)
async def create_prefix(caller: Asking, database: Directory, body: NewPrefix) -> Response:
    """A new prefix."""
    return await _new(database, caller, "prefixes", given(body))


@routes("prefixes.read", "GET", "/prefixes/{prefix}", Prefix)
async def read_prefix(caller: Asking, database: Directory, prefix: str) -> Response:
    """One prefix, with its label."""
    return await _one(database, caller, "prefixes", prefix)


@routes("prefixes.update", "PATCH", "/prefixes/{prefix}", Prefix)
async def change_prefix(
    caller: Asking, database: Directory, prefix: str, body: PrefixFields, if_match: IfMatch = None
) -> Response:
    """Set fields of a prefix."""
    return await changed(database, caller, "prefixes", prefix, given(body), if_match)


@routes("prefixes.delete", "DELETE", "/prefixes/{prefix}", status=204)
async def delete_prefix(caller: Asking, database: Directory, prefix: str, if_match: IfMatch = None) -> Response:
    """Delete a prefix: agents can't dial it any more."""
    return await _gone(database, caller, "prefixes", prefix, if_match)
