"""What a phone does with a call that reaches it."""

from __future__ import annotations

from dataclasses import dataclass

from lab.phones.sip_message import NameAddr, Request, parse_name_addr


@dataclass(frozen=True, slots=True)
class Answer:
    """Answers the call; with `after` seconds, rings until then."""

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Ring:
    """Rings until the test answers or rejects, or the caller gives up; with `talk`, also until the SIP event talk
    comes."""

    talk: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuses the call with that status."""

    status: int = 486


@dataclass(frozen=True, slots=True)
class Ignore:
    """Answers nothing at all, not even a CANCEL, as without network. The INVITE still counts."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Forwards the call itself, with 302 and that number as the contact."""

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
        """The P-Asserted-Identity, None where there is none."""
        value = self.request.first("P-Asserted-Identity")
        return parse_name_addr(value) if value else None

    @property
    def call_info(self) -> list[str]:
        return self.request.all("Call-Info")

    @property
    def alert_info(self) -> list[str]:
        return self.request.all("Alert-Info")
