"""Queues, teams, telephones, settings, pause reasons and prefixes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agentbridge.api.models.common import (
    CallerId,
    CallGroup,
    Codecs,
    Context,
    Given,
    Host,
    Long,
    Name,
    Nat,
    PickupGroup,
    SipExpires,
    SipType,
    Text,
    Transports,
    optional,
)


class QueueFields(Given):
    """The fields of a queue that can be set."""

    name: Name = optional("the queue's name in Asterisk")
    channel: Text = optional("`voice`, or another channel whose interactions it has")
    description: Long = optional("for managers")


class NewQueue(QueueFields):
    """A queue to create."""

    name: Name


class QueueSummary(BaseModel):
    """A queue in a list."""

    name: str
    channel: str
    description: str
    members: int


class Queue(BaseModel):
    """A queue with its members and teams, each with its penalty."""

    name: str
    channel: str
    description: str
    created_at: datetime
    members: dict[str, int]
    teams: dict[str, int]


class TeamFields(Given):
    """The fields of a team that can be set."""

    name: Name = optional("unique")
    description: Long = optional("for managers")


class NewTeam(TeamFields):
    """A team to create."""

    name: Name


class TeamSummary(BaseModel):
    """A team in a list."""

    name: str
    description: str
    members: int
    queues: int


class Team(BaseModel):
    """A team with its members, and its queues with their penalties."""

    name: str
    description: str
    members: list[str]
    queues: dict[str, int]


class TelephoneFields(Given):
    """The fields of a hot-desk telephone that can be set."""

    name: Name = optional("unique; also its SIP username")
    description: Long = optional("where it stands")
    transport: Transports = optional()
    host: Host = optional()
    nat: Nat = optional()
    sip_type: SipType = optional()
    codecs: Codecs = optional()
    caller_id: CallerId = optional()
    context: Context = optional()
    call_group: CallGroup = optional()
    pickup_group: PickupGroup = optional()
    sip_expires: SipExpires = optional()


class NewTelephone(TelephoneFields):
    """A hot-desk telephone to create."""

    name: Name


class TelephoneSummary(BaseModel):
    """A hot-desk telephone in a list."""

    name: str
    description: str
    registered: bool
    agent: str | None
    available: bool


class Telephone(TelephoneSummary):
    """A hot-desk telephone with all its fields; those of SIP come as the directory shows them."""

    model_config = ConfigDict(extra="allow")
    created_at: datetime


class SettingFields(Given):
    """The directory's settings; those that are not named here are refused by the directory."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, strict=True)
    internal_from: Annotated[int, Field(strict=True, ge=1, lt=10**16)] = optional(
        "the first number that agents are given"
    )
    internal_to: Annotated[int, Field(strict=True, ge=1, lt=10**16)] = optional("the last one")
    strict_full_name: bool = optional("full names have only ASCII letters, digits, `\\`, `_`, `-` and space")
    security_suite: bool = optional("passwords have eight characters, with lower case, upper case, a digit and a sign")
    lock_after: Annotated[int, Field(strict=True, ge=0, le=1000)] = optional(
        "wrong passwords that lock an agent; 0: none"
    )
    mask_characters: Annotated[int, Field(strict=True, ge=1, le=64)] = optional("how many characters masking hides")
    screen_recording_path: Text = optional("the folder for all screen recordings; empty: each agent's own")


class Settings(BaseModel):
    """The settings that hold for the whole directory."""

    model_config = ConfigDict(extra="allow")
    internal_from: int
    internal_to: int
    strict_full_name: bool
    security_suite: bool
    lock_after: int
    mask_characters: int
    screen_recording_path: str


class PauseReason(Given):
    """A reason that agents can choose for a pause."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    position: Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)] = 0


class PrefixFields(Given):
    """The fields of a prefix that can be set."""

    prefix: Annotated[str, Field(pattern="^[0-9*#]{1,8}$")] = optional("digits, `*` and `#`")
    label: Annotated[str, Field(max_length=80)] = optional("what the agent chooses by")


class NewPrefix(PrefixFields):
    """A prefix to create."""

    prefix: Annotated[str, Field(pattern="^[0-9*#]{1,8}$")]


class Prefix(BaseModel):
    """A prefix that agents choose for outside calls."""

    prefix: str
    label: str
