"""The driver for voicemail boxes: rows of app_voicemail's realtime family, written by Asterisk itself.

The family `voicemail` lies in a SQLite file of Asterisk's (res_config_sqlite3), and the CLI's `realtime`
commands write it. app_voicemail reads the row at each use: there is nothing to reload, and a box works while
the daemon and PostgreSQL are away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from agentbridge.asterisk.observed.observation import Observation
from agentbridge.desired.voicemail import MAILBOX_CONTEXT, mailbox_name
from agentbridge.errors import InvalidValue, Refused
from agentbridge.model import DeleteMailbox, EndpointId, Fields, PutMailbox

BULK_SECONDS = 60.0
"""for all boxes in one answer, about 350 bytes each"""
_MAPPED = re.compile(r"^=+> voicemail \(", re.MULTILINE)
_LISTED = re.compile(r"^=== ==> (\w+): (.*)$")
_LOADED = re.compile(r"^ *(mailbox|password|fullname)  (.*?) *$", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,79}")
_PIN = re.compile(r"[0-9]{4,10}|none")
_MANAGED = ("mailbox", "password", "fullname")
NOT_SET_UP = (
    "voicemail: Asterisk keeps no boxes that can be written while it runs; "
    "docs/voice.md says which two files of Asterisk make it so"
)


class Console(Protocol):
    """Asterisk's command line."""

    async def command(self, line: str, *, timeout: float) -> str:
        """What Asterisk's console prints. Raises Refused where it prints an error, Unavailable."""


class Mailboxes:
    """Writes and reads app_voicemail's boxes through Asterisk's console: one realtime row for an internal number.

    The column `internal` is ours, `mailbox` is what app_voicemail looks for. Every command names its row by one column:
    of two, res_config_sqlite3's destroy forgets the first.
    """

    def __init__(self, actions: Console, bulk: Console, seen: Observation, *, timeout: float = 5.0) -> None:
        self._actions = actions
        self._bulk = bulk
        self._seen = seen
        self._timeout = timeout
        self._set_up = False

    async def read_all(self) -> None:
        """Reads all voicemail boxes; none where Asterisk keeps boxes elsewhere. Raises Unavailable."""
        mappings = await self._bulk.command("core show config mappings", timeout=self._timeout)
        self._set_up = _MAPPED.search(mappings) is not None
        self._seen.mailboxes_read(listed(await self._list()) if self._set_up else {})

    async def _list(self) -> str:
        """Returns what Asterisk's console prints of our boxes. Raises Unavailable."""
        try:
            return await self._bulk.command(f"voicemail show users for {MAILBOX_CONTEXT}", timeout=BULK_SECONDS)
        except Refused:
            return ""  # so it says when there is no box at all

    async def apply(self, action: PutMailbox | DeleteMailbox) -> None:
        """Writes or deletes a box; returns when Asterisk reads back what was written. Raises Refused, InvalidValue or
        Unavailable."""
        if not self._set_up:
            raise Refused(NOT_SET_UP)
        match action:
            case PutMailbox(key, fields):
                wanted = checked(key, fields)
                await self._put(key, wanted)
            case DeleteMailbox(key):
                wanted = {}
                # twice: today's destroy looks only at the second pair, a mended one would look at both
                await self._tell(f"destroy voicemail internal {_number(key)} internal {key}")
        found = await self._load(action.id)
        self._seen.mailbox_seen(action.id, found)
        if found != wanted:
            raise Refused(f"voicemail: Asterisk could not write the box {action.id}; its log says why")

    async def _put(self, key: EndpointId, wanted: Fields) -> None:
        """Stores a box, or updates the columns that differ. Raises Refused or Unavailable."""
        there = await self._load(key)
        if not there:
            columns = " ".join(f'{name} "{value}"' for name, value in wanted.items())
            await self._tell(f"store voicemail internal {key} context {MAILBOX_CONTEXT} {columns}")
            return
        for name, value in wanted.items():
            if there.get(name) != value:
                await self._tell(f'update voicemail internal {key} {name} "{value}"')

    async def _load(self, key: EndpointId) -> Fields:
        return loaded(await self._tell(f"load voicemail internal {_number(key)}"))

    async def _tell(self, words: str) -> str:
        """Runs a console command of `realtime` and returns what it prints; '' where it printed an error."""
        try:
            return await self._actions.command(f"realtime {words}", timeout=self._timeout)
        except Refused:
            return ""  # what came of it is read back, and judged there


def listed(shown: str) -> Mapping[EndpointId, Fields]:
    """The boxes of `voicemail show users for CONTEXT`."""
    return {EndpointId(row["internal"]): _managed(row) for row in _rows(shown) if "internal" in row}


def _rows(shown: str) -> Iterator[Fields]:
    """Parses a listing of boxes; yields each as a map from column to value."""
    row: dict[str, str] = {}
    for line in shown.splitlines():
        if line.startswith("=== Mailbox"):
            yield row
            row = {}
        elif found := _LISTED.match(line):
            row[found[1]] = found[2]
    yield row


def loaded(shown: str) -> Fields:
    """Parses what `realtime load` prints of one box; {} when there is none."""
    row = dict(_LOADED.findall(shown))
    return _managed(row) if row else {}


def _managed(row: Fields) -> Fields:
    return {name: row.get(name, "") for name in _MANAGED}


def checked(key: EndpointId, fields: Fields) -> Fields:
    """Returns the fields. Raises InvalidValue for one that can't stand between quotes in a console command."""
    _number(key)
    _number(fields["mailbox"])
    if not _PIN.fullmatch(fields["password"]):
        raise InvalidValue("voicemail_pin: must be 4 to 10 digits")
    if fields["fullname"] != mailbox_name(fields["fullname"]):
        raise InvalidValue(
            "alias or full_name: must be letters, digits, spaces, . _ and - to be the name of a voicemail box"
        )
    return {name: fields[name] for name in _MANAGED}


def _number(text: str) -> str:
    """Returns the mailbox number. Raises InvalidValue for one that no box can have."""
    if not _WORD.fullmatch(text):
        raise InvalidValue(f"internal: {text!r} can't be the number of a voicemail box")
    return text
