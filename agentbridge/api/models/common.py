"""What the resources have in common: bounded values, pages, and the answers of verbs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=80)]
Text = Annotated[str, Field(max_length=255)]
Long = Annotated[str, Field(max_length=2000)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Seconds = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647)]
Penalty = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Typology = Literal["phonebar", "external", "webrtc"]
Transport = Literal["udp", "tcp", "ws", "wss"]
Words = Annotated[list[Annotated[str, Field(max_length=80)]], Field(max_length=100)]
Item = TypeVar("Item")


def _unset() -> Any:
    """A field left out stays as it is, or gets the database's default: it has none here."""
    return None


def optional() -> Any:
    return Field(default_factory=_unset)


class Given(BaseModel):
    """The base of request bodies: an unknown field is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)


class Page(BaseModel, Generic[Item]):
    """One page of a list, with the cursor of the next."""

    items: list[Item]
    next: str | None = Field(description="cursor of the next page; null at the end")


class Items(BaseModel, Generic[Item]):
    """A list that has no pages."""

    items: list[Item]


class Changed(BaseModel):
    """The answer to a change of an agent: whether anything was changed."""

    changed: bool


class Applied(BaseModel):
    """The answer to a change of an agent, with `Prefer: wait` also whether Asterisk has it: then the status is 200."""

    changed: bool
    applied_at: datetime | None = None
    pending: bool | None = None
    error: str | None = None


class Deleted(BaseModel):
    """How many records were deleted."""

    deleted: int
