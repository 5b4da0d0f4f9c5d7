"""The session descriptions of a phone that speaks ulaw and telephone-event. Pure (RFC 8866, 3264)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

PCMU = 0
DEFAULT_EVENT_PAYLOAD = 101


class Direction(StrEnum):
    """Which of the two sides send audio."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self in {Direction.SENDRECV, Direction.SENDONLY}

    @property
    def receives(self) -> bool:
        return self in {Direction.SENDRECV, Direction.RECVONLY}


def answer_to(offered: Direction, *, held: bool) -> Direction:
    """Returns the direction with which a phone answers an offer; held: the phone itself has put the call on hold."""
    sends, receives = offered.receives, offered.sends and not held
    match sends, receives:
        case True, True:
            return Direction.SENDRECV
        case True, False:
            return Direction.SENDONLY
        case False, True:
            return Direction.RECVONLY
        case _:
            return Direction.INACTIVE


@dataclass(frozen=True, slots=True)
class Sdp:
    """A session description with one audio stream.

    `event_payload` is the payload type of telephone-event, None where the other side has none.
    """

    host: str
    port: int
    direction: Direction
    event_payload: int | None
    has_ulaw: bool = True

    def encode(self, session: int, version: int) -> bytes:
        """Returns the SDP as bytes."""
        payloads = str(PCMU) if self.event_payload is None else f"{PCMU} {self.event_payload}"
        lines = [
            "v=0",
            f"o=- {session} {version} IN IP4 {self.host}",
            "s=phone",
            f"c=IN IP4 {self.host}",
            "t=0 0",
            f"m=audio {self.port} RTP/AVP {payloads}",
            "a=rtpmap:0 PCMU/8000",
        ]
        if self.event_payload is not None:
            lines += [f"a=rtpmap:{self.event_payload} telephone-event/8000", f"a=fmtp:{self.event_payload} 0-15"]
        lines += ["a=ptime:20", f"a={self.direction}", ""]
        return "\r\n".join(lines).encode()


def parse_sdp(body: bytes) -> Sdp:
    """Parses the first audio stream of a session description. Raises ValueError where there is none."""
    text = body.decode("utf-8", "replace")
    media = re.search(r"^m=audio (\d+) \S+ ([\d ]+)", text, re.MULTILINE)
    if media is None:
        raise ValueError("a session description without audio")
    host = re.search(r"^c=IN IP4 (\S+)", text, re.MULTILINE)
    direction = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", text, re.MULTILINE)
    event = re.search(r"^a=rtpmap:(\d+) telephone-event/8000", text, re.MULTILINE)
    return Sdp(
        host=host[1] if host else "",
        port=int(media[1]),
        direction=Direction(direction[1]) if direction else Direction.SENDRECV,
        event_payload=int(event[1]) if event else None,
        has_ulaw=str(PCMU) in media[2].split(),
    )
