"""Who logs in: credentials, sessions, users of the console, and the tokens of machines."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from agentbridge.api.models.common import Given, Moment, Name, optional


class Credentials(Given):
    """Name and password of a user or an agent."""

    username: Name
    password: Annotated[str, Field(min_length=1, max_length=256)]
    kind: Literal["user", "agent"] | None = Field(default=None, description="where both have the name; else found out")


class Session(BaseModel):
    """Who is logged in, and what they may do."""

    kind: Literal["user", "agent", "token"]
    name: str
    roles: list[Literal["admin", "user", "supervisor", "agent", "machine"]]
    scopes: list[str] | None


class NewPassword(Given):
    """A password to set."""

    password: Annotated[str, Field(min_length=1, max_length=256)]


class OwnPassword(NewPassword):
    """A password to set, with the one that it replaces."""

    old: Annotated[str, Field(min_length=1, max_length=256)]


class ResetRequest(Given):
    """Whose password is to be reset."""

    email: Annotated[str, Field(min_length=3, max_length=254)]


class UserFields(Given):
    """The fields of a user that can be set."""

    username: Name = optional("unique among users")
    role: Literal["admin", "user"] = optional("`admin` may do all; `user` what the other fields say")
    agents_permission: bool = optional("manages the agents of the queues that are enabled for it")
    may_spy: bool = optional("listens to the agents of those queues")
    download_recordings: bool = optional("may fetch the recordings of those agents")


class NewUser(UserFields):
    """A user to create."""

    username: Name


class User(BaseModel):
    """Somebody who manages agents, with the queues whose agents those are."""

    username: str
    role: Literal["admin", "user"]
    agents_permission: bool
    may_spy: bool
    download_recordings: bool
    queues: list[str]


class NewToken(Given):
    """A token for an application, to create."""

    name: Name
    scopes: Annotated[
        list[
            Literal["read", "agents", "sessions", "phonebar", "calls", "recordings", "interactions", "events", "admin"]
        ],
        Field(min_length=1, max_length=9),
    ]
    expires_at: Annotated[Moment, Field(strict=False)]


class Token(BaseModel):
    """A token of an application, without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class TokenOnce(Token):
    """A token that was just created, with its secret."""

    token: str = Field(description="told this once")
