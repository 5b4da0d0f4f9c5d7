"""Tokens, nodes, the plan, the audit, and interactions of the other channels."""

from __future__ import annotations

import json
import secrets
import string
from datetime import UTC
from typing import Annotated

from fastapi import Query, Request, Response

from agentbridge.api.gate import Asking, Directory, digest
from agentbridge.api.models.common import Changed, Name, Page
from agentbridge.api.models.people import NewToken, Token, TokenOnce
from agentbridge.api.models.watching import AuditLine, Confirmation, Confirmed, Granted, Interaction, Nodes, Plan
from agentbridge.api.routes.common import (
    Asked,
    Routes,
    answer,
    document,
    listed,
    nothing,
    numbered_place,
)

routes = Routes()
_ID_LETTERS = string.ascii_lowercase + string.digits


@routes("tokens.list", "GET", "/tokens", Page[Token])
async def list_tokens(caller: Asking, database: Directory, page: Asked) -> Response:
    """The machines' tokens, without their secrets."""
    return await listed(database, caller, "tokens", page)


@routes("tokens.create", "POST", "/tokens", TokenOnce, status=201)
async def create_token(caller: Asking, database: Directory, body: NewToken) -> Response:
    """A new token for a machine; its secret is told this once."""
    token_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(8))
    token = f"ab_{token_id}_{secrets.token_urlsafe(32)}"
    expires = body.expires_at if body.expires_at.tzinfo else body.expires_at.replace(tzinfo=UTC)
    text = await database.call(
        "api_create_token", caller.proof, token_id, digest(token), body.name, list(dict.fromkeys(body.scopes)), expires
    )
    return document(json.loads(text) | {"token": token}, 201)


@routes("tokens.delete", "DELETE", "/tokens/{id}", status=204)
async def delete_token(request: Request, caller: Asking, database: Directory, id: str) -> Response:  # noqa: A002 - the address's word
    """Take a machine's token back: requests with it are refused. 404 where there is none of that id."""
    await database.call("api_delete", caller.proof, "tokens", [id])
    request.app.state.callers.forget_all()
    return nothing()


@routes("nodes.list", "GET", "/nodes", Nodes)
async def nodes(caller: Asking, database: Directory) -> Response:
    """The daemons, and what each said of itself last."""
    return answer(await database.call("api_nodes", caller.proof))


@routes("plan.read", "GET", "/plan", Plan)
async def plan(caller: Asking, database: Directory) -> Response:
    """What Asterisk does not have yet, what failed and why, and what waits for a confirmation."""
    return answer(await database.call("api_plan", caller.proof))


@routes("plan.confirm", "POST", "/plan/confirm", Confirmed)
async def confirm(caller: Asking, database: Directory, body: Confirmation) -> Response:
    """Confirm removals that were held back since they are many; for ten minutes the daemon may make them."""
    return document({"confirmed": await database.call("api_confirm", caller.proof, body.node, body.code)})


@routes("audit.list", "GET", "/audit", Page[AuditLine])
async def audit(caller: Asking, database: Directory, page: Asked) -> Response:
    """Who changed what, the newest first. q: an actor, an action or an object."""
    return answer(
        await database.call("api_audit", caller.proof, page.q, page.limit, numbered_place(page.cursor), page.sort)
    )


@routes("interactions.claim", "PUT", "/channels/{channel}/interactions", Granted)
async def claim(caller: Asking, database: Directory, channel: str, body: Interaction) -> Response:
    """Take a place of the agent's capacity for this interaction (O1)."""
    text = await database.call(
        "api_interaction", caller.proof, body.username, channel, body.interaction, True, body.follow_up
    )
    return answer(text)


@routes("interactions.release", "DELETE", "/channels/{channel}/interactions", Changed)
async def release(
    caller: Asking,
    database: Directory,
    channel: str,
    username: Annotated[Name, Query()],
    interaction: Annotated[str, Query(min_length=1, max_length=255)],
) -> Response:
    """Give the place of an interaction back."""
    return answer(await database.call("api_interaction", caller.proof, username, channel, interaction, False))
