"""How the daemon serves its Asterisk: sections `[node]`, `[sip]`, `[limits]`, `[pace]`, `[resync]`, `[log]`."""

from __future__ import annotations

import socket
from typing import Annotated, Literal

from pydantic import Field

from agentbridge.settings.section import Section


class Node(Section):
    """Which Asterisk node this daemon serves."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = Field(default_factory=socket.gethostname)
    """Which Asterisk this daemon serves; unique among all daemons of one database. Default: the host's name."""


class Sip(Section):
    """SIP settings that all pushed PJSIP objects have in common."""

    realm: Annotated[str, Field(pattern=r'^[^"\\:\s]+$')] = "asterisk"
    """Part of every stored digest: `default_realm` of pjsip.conf; changing it changes every digest."""
    qualify_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Seconds between Asterisk's OPTIONS to each registered phone; 0 is never, which is what phones behind
    no NAT need."""


class Limits(Section):
    """How much may vanish from the directory before its removal from Asterisk waits for a confirmation.

    What a statement took away (a log-out, a deletion) never counts; only rows that are missing without one do.
    """

    removals_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """When more than this share of what is in Asterisk has vanished, it stays there until a confirmation."""
    removals_at_least: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    """So many or fewer are never held."""


class Pace(Section):
    """How many unfinished tasks the daemon's writes may leave in Asterisk."""

    ceiling: Annotated[int, Field(ge=10, le=450)] = 300
    """Tasks waiting in Asterisk above which the writer stops; at 500 Asterisk drops new calls."""


class Resync(Section):
    """How often directory and Asterisk are compared as a whole."""

    seconds: Annotated[float, Field(ge=1, le=86400, allow_inf_nan=False)] = 300.0
    """Seconds in which directory and Asterisk are compared as a whole, little by little: how soon a change is mended of
    which no event told. Up to 2,000 agents and numbers it is a minute, since there it costs little."""


class Log(Section):
    """Format and level of the log."""

    format: Literal["auto", "console", "logfmt", "json"] = "auto"
    """`auto` is console on a terminal, else logfmt."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least grave level that is written."""
