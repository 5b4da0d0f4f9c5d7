"""The AMI as bytes: encodes actions, cuts what arrives into messages. No I/O, no clock, no log.

Rules are Asterisk's own (main/manager.c): a message is lines that end in CRLF, then an empty line;
the first line of a session is the banner alone. What Asterisk reads is bounded (see `encode`); what it
writes is not, so `Wire` brings its own bound.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agentbridge.errors import InvalidValue, Unavailable

LINE_BYTES = 1024  # with its CRLF; Asterisk cuts what is longer and reads the rest as another header
HEADERS = 128  # with Action and ActionID; Asterisk drops what is above
# One answer is one message: `core show taskprocessors` of 5,000 endpoints is 2 MB and the longest AstDB
# value 64 KB, while lists come as a message an item. Above it somebody else is talking, or nothing ends.
MESSAGE_BYTES = 8 * 1024 * 1024
BANNER = b"Asterisk Call Manager/"

_KEY = re.compile(r"[A-Za-z0-9-]+")
_LINE_BREAKS = re.compile(r"[\r\n\0]")

Fields = Mapping[str, str] | Iterable[tuple[str, str]]


class WireBroken(Unavailable):
    """The received bytes are not AMI, so the connection can't be used any more."""


@dataclass(frozen=True, slots=True)
class Message:
    """One AMI message: its headers in order, repeated ones kept. Look-ups ignore case."""

    headers: tuple[tuple[str, str], ...]
    _first: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = {key.lower(): value for key, value in reversed(self.headers)}
        object.__setattr__(self, "_first", first)

    def get(self, key: str, default: str = "") -> str:
        """The value of the first header of that name."""
        return self._first.get(key.lower(), default)

    def get_all(self, key: str) -> list[str]:
        """Returns every value of a header that repeats, such as Command's `Output`."""
        wanted = key.lower()
        return [value for name, value in self.headers if name.lower() == wanted]

    def __contains__(self, key: str) -> bool:
        return key.lower() in self._first

    @property
    def event(self) -> str | None:
        return self._first.get("event")

    @property
    def response(self) -> str | None:
        return self._first.get("response")

    @property
    def action_id(self) -> str | None:
        return self._first.get("actionid")

    @property
    def output(self) -> str:
        """What a CLI command printed."""
        return "\n".join(self.get_all("Output"))


def encode(action: str, fields: Fields, action_id: str) -> bytes:
    """Encodes an AMI action; `fields` in order, keys may repeat (`Variable`).

    Raises InvalidValue for what Asterisk would read otherwise than it was meant.
    """
    pairs = list(fields.items()) if isinstance(fields, Mapping) else list(fields)
    _refuse_reserved(pairs)
    headers = [("Action", action), ("ActionID", action_id), *pairs]
    if len(headers) > HEADERS:
        raise InvalidValue(f"{action}: {len(headers)} headers, Asterisk reads at most {HEADERS}")
    return b"".join(_line(key, value) for key, value in headers) + b"\r\n"


def _refuse_reserved(pairs: list[tuple[str, str]]) -> None:
    """Raises InvalidValue for a header of an AMI action that the link sets itself: Action and ActionID."""
    for key, _ in pairs:
        if str(key).lower() in {"action", "actionid"}:
            raise InvalidValue(f"{key}: is set by the link and not as a field")


def _line(key: object, value: object) -> bytes:
    """Returns a header of an AMI action as bytes. Raises InvalidValue, naming it, for what would break the protocol."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidValue(f"AMI header {key!r}: its name may have letters, digits and '-' only")
    if not isinstance(value, str):
        raise InvalidValue(f"{key}: the value of an AMI header must be text, not {type(value).__name__}")
    if _LINE_BREAKS.search(value):
        # a bare LF ends a line for Asterisk too: what follows would be a header, or an action, of its own
        raise InvalidValue(f"{key}: must not contain CR, LF or NUL")
    return _bounded(key, f"{key}: {value}\r\n")


def _bounded(key: str, line: str) -> bytes:
    """Returns the line as bytes. Raises InvalidValue where it is no UTF-8 or longer than Asterisk reads."""
    try:
        data = line.encode()
    except UnicodeEncodeError:
        raise InvalidValue(f"{key}: is not text that UTF-8 can carry") from None
    if len(data) > LINE_BYTES:
        raise InvalidValue(f"{key}: the line is {len(data)} bytes long, Asterisk reads at most {LINE_BYTES}")
    return data


class Wire:
    """The receiving side of one AMI session: takes bytes in any pieces, gives whole messages. No I/O."""

    __slots__ = ("_buffer", "_limit", "_scanned", "banner")

    def __init__(self, limit: int = MESSAGE_BYTES) -> None:
        self.banner: str | None = None
        self._buffer = bytearray()
        self._scanned = 0  # up to here there is no end of a message: not looked at again
        self._limit = limit

    def receive_data(self, data: bytes | memoryview) -> None:
        self._buffer += data

    @property
    def unread_bytes(self) -> int:
        """How much was received that no message has been made of."""
        return len(self._buffer)

    def next_message(self) -> Message | None:
        """Returns the next whole message, None until more bytes came. Raises WireBroken."""
        if self.banner is None and not self._read_banner():
            return None
        while self._buffer.startswith(b"\r\n"):
            self._take(2)
        end = self._buffer.find(b"\r\n\r\n", self._scanned)
        self._check_size(end if end >= 0 else len(self._buffer) - 3)  # 3: perhaps most of its end
        if end < 0:
            self._scanned = max(0, len(self._buffer) - 3)
            return None
        return _parse(self._take(end + 4)[:-4])

    def _read_banner(self) -> bool:
        """Takes the banner off the buffer; False while it is not whole. Raises WireBroken where this is no AMI port."""
        if not BANNER.startswith(self._buffer[: len(BANNER)]):
            raise WireBroken(f"not an AMI port: it greets with {bytes(self._buffer[:40])!r}")
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > LINE_BYTES:
                raise WireBroken("not an AMI port: the banner does not end")
            return False
        self.banner = self._take(end + 2)[:-2].decode(errors="replace")
        return True

    def _take(self, size: int) -> bytes:
        """Takes so many bytes off the buffer."""
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._scanned = 0
        return taken

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise WireBroken(f"a message of more than {self._limit} bytes")


def _parse(data: bytes) -> Message:
    """Parses the lines of a message; a line without a colon belongs to the value before it."""
    headers: list[tuple[str, str]] = []
    for line in data.decode(errors="replace").split("\r\n"):
        key, colon, value = line.partition(":")
        if colon:
            headers.append((key, value.removeprefix(" ")))
        elif headers:  # a value with a CRLF in it: what follows belongs to it
            headers[-1] = (headers[-1][0], f"{headers[-1][1]}\n{line}")
    return Message(tuple(headers))
