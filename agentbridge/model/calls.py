"""What is kept of calls: their recordings, and who listened to whom. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agentbridge.model import EndpointId, Recording

RECORDINGS = "monitor/agentbridge"
"""where recordings are, below Asterisk's spool"""
PARTS = (1, 2)
"""a call has two files for an agent at most (V10)"""
SPY_GROUP = "agentbridge"
"""SPYGROUP of a channel that may be listened to"""
NO_SPY_GROUP = "closed"
"""of one that may not: empty, a global SPYGROUP would open it"""

# A file's name becomes a row and, at a manual start, an argument of MixMonitor, in which a comma begins the
# options and then a shell command: nothing but these characters may be in it.
_PATH = re.compile(
    r"(?P<day>[0-9]{4}/[0-9]{2}/[0-9]{2})/"
    r"(?P<linkedid>(?:[A-Za-z0-9_.-]{1,80}-)?(?P<epoch>[0-9]{9,11})\.[0-9]{1,10})"
    r"-(?P<internal>[0-9]{1,16})-(?P<part>[12])\.(?P<suffix>wav|WAV|gsm)"
)
_LINKEDID = re.compile(r"(?:[A-Za-z0-9_.-]{1,80}-)?(?P<epoch>[0-9]{9,11})\.[0-9]{1,10}")
_SUFFIXES = {Recording.WAV: "wav", Recording.WAV49: "WAV", Recording.GSM: "gsm"}
_FORMATS = {suffix: recording for recording, suffix in _SUFFIXES.items()}
SUFFIXES = tuple(_FORMATS)
"""of files, as Asterisk names them by their format"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFile:
    """The file of a recording, with what its name tells: call, agent, part, format and when the call began.

    `path` is relative to Asterisk's spool folder.
    """

    path: str
    linkedid: str
    internal: EndpointId
    part: int
    format: Recording
    call_began: datetime

    @property
    def stem(self) -> str:
        """The path as Asterisk lists it, without the suffix."""
        return self.path.rpartition(".")[0]


def recording_file(path: str) -> RecordingFile | None:
    """Parses the path of a recording's file; returns None for a path that is not as the dialplan makes them.

    path: absolute, or relative to the spool or to its folder `monitor`.
    """
    folder, _, rest = path.rpartition("agentbridge/")
    match = _PATH.fullmatch(rest)
    if match is None or not (folder in ("", "monitor/") or folder.endswith("/monitor/")):
        return None
    return RecordingFile(
        path=f"{RECORDINGS}/{rest}",
        linkedid=match["linkedid"],
        internal=EndpointId(match["internal"]),
        part=int(match["part"]),
        format=_FORMATS[match["suffix"]],
        # the first part of a linkedid is when Asterisk made the call's first channel
        call_began=datetime.fromtimestamp(int(match["epoch"]), UTC),
    )


def recording_path(linkedid: str, internal: EndpointId, part: int, kind: Recording) -> str | None:
    """Returns the path of a recording's file, relative to the spool; None where a part of it is not safe in a file
    name.

    The folder is the day on which the call began, by this machine's time zone as in the dialplan, so that all files of
    one call are together.
    """
    match = _LINKEDID.fullmatch(linkedid)
    if match is None or kind not in _SUFFIXES:
        return None
    day = datetime.fromtimestamp(int(match["epoch"]), UTC).astimezone()
    path = f"{RECORDINGS}/{day:%Y/%m/%d}/{linkedid}-{internal}-{part}.{_SUFFIXES[kind]}"
    return path if recording_file(path) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStart:
    """The start of a recording. `channel` is the Uniqueid of the channel with which it ends, '' when that is not
    known."""

    file: RecordingFile
    at: datetime
    channel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingEnd:
    """The end of a recording, whose file is complete. `bytes` is 0 when Asterisk never wrote a file."""

    path: str
    at: datetime
    bytes: int
    joined: str = ""
    """the linkedid that the call has at its end, when a transfer joined it to an older one"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingTrouble:
    """What is wrong with the recordings of one node now; all zero and empty when nothing is."""

    unmeasured: int = 0
    """recordings that have ended and whose files can't be looked at, so that their rows have no end"""
    silent: int = 0
    """running calls that should be recorded and for which Asterisk writes nothing"""
    closed: Mapping[str, str] = field(default_factory=dict)
    """folder → why it can't be looked at"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpyAttempt:
    """One attempt to listen to an agent's call, allowed or refused. `channel` is the Uniqueid of the one who tried."""

    channel: str
    at: datetime
    spyer: str
    target: str
    mode: str = ""
    """listen, whisper or barge; empty when it was not by our feature codes"""
    allowed: bool = False
    reason: str = ""
    """why it was refused"""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ending: str = ""
    """`hangup`, `revoked` when the permission was taken away, `moved` when the customer who is listened to came to
    another agent, `unseen` when no daemon ran"""
