"""How long each queue leaves a member alone after a call. AMI does not tell it, so queues.conf is read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import structlog

from agentbridge.asterisk.calls.live import TIMEOUT_SECONDS, Asks
from agentbridge.model import QueueName, queue_name

log = structlog.get_logger()

_FOLDER = re.compile(r"^\s*Configuration directory:\s+(/\S.*?)\s*$", re.MULTILINE)
_SECTION = re.compile(r"\[(?P<name>[^\]]+)\](?:\s*\((?P<options>[^)]*)\))?")
_SETTING = re.compile(r"(?P<key>[A-Za-z_-]+)\s*=>?\s*(?P<value>.*)")
LARGEST_FILE = 4 << 20


class Wrapups:
    """The wrap-up time of each queue, read from queues.conf since AMI does not tell it.

    Where the file can't be read no time is known, and no wrap-up shown; files that it includes are not followed.
    """

    def __init__(self) -> None:
        self._seconds: Mapping[QueueName, float] = {}
        self._told = ""

    def seconds(self, queue: QueueName) -> float:
        return self._seconds.get(queue, 0.0)

    async def read(self, link: Asks) -> None:
        """Reads the wrap-up times again, since a `queue reload` may have changed them. Raises Unavailable."""
        shown = _FOLDER.search(await link.command("core show settings", timeout=TIMEOUT_SECONDS))
        if shown is None:
            return
        file = Path(shown[1], "queues.conf")
        try:
            self._seconds = wrapup_times(await asyncio.to_thread(_text_of, file))
        except OSError as error:
            if self._told != (reason := error.strerror or str(error)):
                log.warning("queues.unreadable", file=str(file), reason=reason, meanwhile="live views show no wrap-up")
                self._told = reason


def _text_of(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(LARGEST_FILE).decode(errors="replace")


def wrapup_times(text: str) -> dict[QueueName, float]:
    """Parses a queues.conf; returns the wrap-up seconds of each section and template that has them, its own or
    inherited."""
    found: dict[QueueName, float] = {}
    section: QueueName | None = None
    for line in text.splitlines():
        line = line.partition(";")[0].strip()
        if match := _SECTION.fullmatch(line):
            section = queue_name(match["name"].strip())
            for template in (match["options"] or "").split(","):
                if (inherited := found.get(queue_name(template.strip()))) is not None:
                    found[section] = inherited
        elif section is not None and (setting := _SETTING.fullmatch(line)):
            value = setting["value"].strip()
            if setting["key"].lower() == "wrapuptime" and value.isdigit():
                found[section] = float(value)
    return found
