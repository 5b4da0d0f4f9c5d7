"""What the resources have in common: bounded values, pages, and the answers of verbs."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _no_number(value: object) -> object:
    """Returns the value. Raises ValueError for a number, which pydantic takes for the seconds since 1970."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d", value.strip()):
        raise ValueError("must be a date and time as in RFC 3339, such as 2026-03-02T09:00:00Z")
    return value


Moment = Annotated[datetime, BeforeValidator(_no_number)]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Text = Annotated[str, Field(max_length=255)]
Long = Annotated[str, Field(max_length=2000)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Seconds = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647)]
Penalty = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Typology = Literal["phonebar", "external", "webrtc"]
Transport = Literal["udp", "tcp", "ws", "wss"]
Words = Annotated[list[Annotated[str, Field(max_length=80)]], Field(max_length=100)]
Transports = Annotated[
    list[Transport],
    Field(description="in order of preference; phonebar: udp, tcp; webrtc: wss; others: udp, tcp, or else ws, wss"),
]
Host = Annotated[Text, Field(description="`dynamic`, or the one IP address where the phone is")]
Nat = Annotated[
    Words, Field(description="`yes`, `no`, `force_rport`, `comedia`, `never`, `route`, as in Asterisk's chan_sip")
]
SipType = Annotated[
    Literal["friend", "user", "peer"],
    Field(description="`friend` calls and is called, `user` only calls, `peer` is only called"),
]
Codecs = Annotated[
    Words,
    Field(description="ulaw, alaw, gsm, g722, g729, opus, in order of preference; no g729 for phonebars and browsers"),
]
CallerId = Annotated[Text, Field(description="the number shown to those whom this phone calls")]
Context = Annotated[Text, Field(description="the dialplan context where its calls start")]
CallGroup = Annotated[Text, Field(description="numbers and ranges of 0 to 63, as in `1,3-5`")]
PickupGroup = Annotated[Text, Field(description="the call groups whose calls it may pick up, as in `1,3-5`")]
SipExpires = Annotated[Seconds, Field(description="the longest registration, in seconds")]
Item = TypeVar("Item")


def _unset() -> Any:
    """A field left out stays as it is, or gets the database's default: it has none here."""
    return None


def optional(description: str = "") -> Any:
    """Returns the default of a field that may be left out. description: else that of its type."""
    if description:
        return Field(default_factory=_unset, description=description)
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
