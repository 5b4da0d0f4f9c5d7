"""What two ends of a call agree on to name it, and the requests within it (RFC 3261, 12)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from lab.phones.sip_message import Headers, Request, Response, parse_name_addr
from lab.phones.user_agent import ALLOW, UserAgent


@dataclass(slots=True)
class Dialog:
    """The state of a SIP dialog: Call-ID, both ends, the other end's address and the sequence number.

    `local` and `remote` are whole From/To values; the remote tag comes with the first answer. `routes`: the proxies
    between both ends, the one next to us first.
    """

    call_id: str
    local: str
    remote: str
    target: str
    cseq: int = 0
    routes: tuple[str, ...] = ()

    @classmethod
    def outgoing(cls, agent: UserAgent, user: str, display: str) -> Dialog:
        """Makes the dialog of a call to `user`, before its INVITE."""
        me = f'"{display}" ' if display else ""
        me += f"<{agent.uri(agent.credentials.user)}>;tag={secrets.token_hex(8)}"
        target = agent.uri(user)
        return cls(secrets.token_hex(12), me, f"<{target}>", target)

    @classmethod
    def incoming(cls, invite: Request) -> Dialog:
        local = f"{invite.first('To')};tag={secrets.token_hex(8)}"
        target = parse_name_addr(invite.first("Contact")).uri
        routes = tuple(invite.all("Record-Route"))
        return cls(invite.call_id, local, invite.first("From"), target, routes=routes)

    @property
    def local_tag(self) -> str:
        return parse_name_addr(self.local).tag

    @property
    def remote_tag(self) -> str:
        return parse_name_addr(self.remote).tag

    def learn(self, message: Request | Response) -> None:
        """Takes the other end's tag and address from an answer or a target refresh."""
        if isinstance(message, Response) and message.receiver.tag:
            if not self.remote_tag:
                self.routes = tuple(reversed(message.all("Record-Route")))
            self.remote = message.first("To")
        if contact := message.first("Contact"):
            self.target = parse_name_addr(contact).uri

    def request(self, agent: UserAgent, method: str, headers: Headers = (), body: bytes = b"") -> Request:
        """Makes the next request of this dialog; an ACK gets the number of its INVITE."""
        if method != "ACK":
            self.cseq += 1
        fixed = (
            ("Via", agent.via()),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self.cseq} {method}"),
            ("Contact", agent.contact),
            ("Allow", ALLOW),
            *(("Route", route) for route in self.routes),
        )
        typed = (("Content-Type", "application/sdp"),) if body else ()
        return Request((*fixed, *headers, *typed), body, method, self.target)

    def replaces(self) -> str:
        """The value for a Replaces by which the other end may give this call to a third (RFC 3891)."""
        return f"{self.call_id};to-tag={self.remote_tag};from-tag={self.local_tag}"
