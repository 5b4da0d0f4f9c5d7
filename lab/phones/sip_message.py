"""SIP messages as values: parse, build, answer. No I/O, no clock, no randomness (RFC 3261)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus

COMPACT_NAMES = {"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "l": "Content-Length"}
Headers = tuple[tuple[str, str], ...]

REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    202: "Accepted",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    600: "Busy Everywhere",
    603: "Decline",
}
MAX_HEAD = 65_536


class SipSyntaxError(ValueError):
    """The bytes are no SIP message; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class NameAddr:
    """The parts of a header such as `"Display" <sip:user@host>;tag=x`; `params` are the header's, not the URI's."""

    display: str
    uri: str
    params: dict[str, str]

    @property
    def user(self) -> str:
        before_host, at, _ = self.uri.partition(":")[2].partition("@")
        return before_host.partition(";")[0] if at else ""

    @property
    def tag(self) -> str:
        return self.params.get("tag", "")


@dataclass(frozen=True, slots=True)
class _Message:
    """Base class of requests and responses: headers and body."""

    headers: Headers
    body: bytes

    def first(self, name: str) -> str:
        """The first header of that name, or an empty string."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        wanted = name.lower()
        return [value for key, value in self.headers if key.lower() == wanted]

    @property
    def call_id(self) -> str:
        return self.first("Call-ID")

    @property
    def sender(self) -> NameAddr:
        return parse_name_addr(self.first("From"))

    @property
    def receiver(self) -> NameAddr:
        return parse_name_addr(self.first("To"))

    @property
    def branch(self) -> str:
        """The branch of the top Via: what names the transaction."""
        return _params(self.first("Via").partition(",")[0].partition(";")[2]).get("branch", "")

    @property
    def cseq_number(self) -> int:
        return int(self.first("CSeq").partition(" ")[0])

    @property
    def cseq_method(self) -> str:
        return self.first("CSeq").partition(" ")[2].strip()

    def _encode(self, start: str) -> bytes:
        """Returns the message as bytes, with this start line."""
        lines = [start, *(f"{name}: {value}" for name, value in self.headers)]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


@dataclass(frozen=True, slots=True)
class Request(_Message):
    """A SIP request."""

    method: str
    uri: str

    def encode(self) -> bytes:
        return self._encode(f"{self.method} {self.uri} SIP/2.0")

    def answer(self, status: int, *, tag: str = "", headers: Headers = (), body: bytes = b"") -> Response:
        """Makes a response to this request; `tag` is added to the To header where it has none yet."""
        to = self.first("To")
        if tag and not self.receiver.tag:
            to = f"{to};tag={tag}"
        copied = [(name, value) for name in ("Via", "Record-Route") for value in self.all(name)]
        copied += [("From", self.first("From")), ("To", to), ("Call-ID", self.call_id), ("CSeq", self.first("CSeq"))]
        return Response((*copied, *headers), body, status, reason(status))


@dataclass(frozen=True, slots=True)
class Response(_Message):
    """A SIP response."""

    status: int
    reason: str

    def encode(self) -> bytes:
        return self._encode(f"SIP/2.0 {self.status} {self.reason}")

    @property
    def final(self) -> bool:
        return self.status >= 200

    @property
    def success(self) -> bool:
        return 200 <= self.status < 300


def reason(status: int) -> str:
    """Returns the reason phrase of a status."""
    if status in REASONS:
        return REASONS[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def acknowledge_refusal(invite: Request, refusal: Response) -> Request:
    """Makes the ACK of a refused INVITE, with the same Via and branch (RFC 3261, 17.1.1.3)."""
    kept = [(name, value) for name, value in invite.headers if name in {"Via", "Max-Forwards", "From", "Call-ID"}]
    kept += [("To", refusal.first("To")), ("CSeq", f"{invite.cseq_number} ACK")]
    return Request(tuple(kept), b"", "ACK", invite.uri)


def cancel(invite: Request) -> Request:
    """Makes the CANCEL of an INVITE that has no final answer yet (RFC 3261, 9.1)."""
    kept = [(name, v) for name, v in invite.headers if name in {"Via", "Max-Forwards", "From", "To", "Call-ID"}]
    return Request((*kept, ("CSeq", f"{invite.cseq_number} CANCEL")), b"", "CANCEL", invite.uri)


def parse_name_addr(value: str) -> NameAddr:
    """Parses a From, To or Contact header."""
    display, bracket, rest = value.partition("<")
    if not bracket:
        uri, _, params = value.partition(";")
        return NameAddr("", uri.strip(), _params(params))
    uri, _, params = rest.partition(">")
    return NameAddr(display.strip().strip('"'), uri, _params(params.lstrip(" ;")))


def _params(text: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in text.split(";") if part.strip())
    return {name.lower(): value for name, _, value in pairs}


def parse(data: bytes) -> Request | Response:
    """Parses one whole message, as a datagram carries it. Raises SipSyntaxError."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        raise SipSyntaxError("no empty line after the headers")
    start, *lines = head.decode("utf-8", "replace").split("\r\n")
    headers = tuple(_header(line) for line in _unfold(lines))
    return _start_line(start, headers, body)


def _start_line(start: str, headers: Headers, body: bytes) -> Request | Response:
    """Parses the start line and makes the request or response. Raises SipSyntaxError."""
    first, _, rest = start.partition(" ")
    second, _, third = rest.partition(" ")
    if first == "SIP/2.0" and second.isdigit():
        return Response(headers, body, int(second), third)
    if third != "SIP/2.0" or not first:
        raise SipSyntaxError(f"neither a request nor a response: {start[:80]!r}")
    return Request(headers, body, first, second)


def _unfold(lines: list[str]) -> list[str]:
    """Joins header lines that go on in the next line."""
    unfolded: list[str] = []
    for line in lines:
        if line[:1] in {" ", "\t"} and unfolded:
            unfolded[-1] += " " + line.strip()
        else:
            unfolded.append(line)
    return unfolded


def _header(line: str) -> tuple[str, str]:
    """Splits a header line into name and value. Raises SipSyntaxError."""
    name, colon, value = line.partition(":")
    if not colon:
        raise SipSyntaxError(f"a header without a colon: {line[:80]!r}")
    name = name.strip()
    return COMPACT_NAMES.get(name.lower(), name), value.strip()


class StreamParser:
    """Cuts a TCP stream into messages by their Content-Length."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Request | Response]:
        """Takes received bytes; returns the messages that are whole now. Raises SipSyntaxError for what can't become
        one."""
        self._buffer += data
        messages: list[Request | Response] = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Request | Response | None:
        """Takes the next whole message off the buffer; None while there is none. Raises SipSyntaxError."""
        self._buffer = self._buffer.lstrip(b"\r\n")  # keep-alives between messages
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            if len(head) > MAX_HEAD:
                raise SipSyntaxError("headers without an end")
            return None
        message = parse(head + blank)
        length = int(message.first("Content-Length") or 0)
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return replace(message, body=rest[:length])
