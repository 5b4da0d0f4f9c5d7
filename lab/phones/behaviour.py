"""What a phone does with a call that reaches it."""

from __future__ import annotations

from dataclasses import dataclass

from lab.phones.sip_message import NameAddr, Request, parse_name_addr


@dataclass(frozen=True, slots=True)
class Answer:
    """Pick up; with `after` seconds, ring until then."""

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Ring:
    """Ring until the test answers, rejects, or the caller gives up; with `talk`, until that SIP event says so too."""

    talk: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuses the call with that status."""

    status: int = 486


@dataclass(frozen=True, slots=True)
class Ignore:
    """Answer nothing at all, not even to a CANCEL, as without network. The INVITE still counts."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Forward the call to a number by itself: 302 with that number as the contact."""

    user: str


Behaviour = Answer | Ring | Reject | Ignore | Redirect


@dataclass(frozen=True, slots=True)
class Invite:
    """A new call that reached the phone; `at` is time.monotonic(). Retransmissions don't count again."""

    at: float
    request: Request

    @property
    def caller(self) -> NameAddr:
        return self.request.sender

    @property
    def asserted(self) -> NameAddr | None:
        """P-Asserted-Identity, where there is one."""
        value = self.request.first("P-Asserted-Identity")
        return parse_name_addr(value) if value else None

    @property
    def call_info(self) -> list[str]:
        return self.request.all("Call-Info")

    @property
    def alert_info(self) -> list[str]:
        return self.request.all("Alert-Info")
