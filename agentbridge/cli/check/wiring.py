"""Findings about queues and dialplan: what has to be in the administrator's own files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

from agentbridge.asterisk.ami.wire import Message
from agentbridge.cli.check import asterisk_conf, dialplan, voicemail
from agentbridge.cli.check.ami import SECONDS, Manager
from agentbridge.cli.check.database import Wanted
from agentbridge.cli.check.dialplan_shown import Dialplan
from agentbridge.cli.check.findings import Finding

DEFAULT_ETC = Path("/etc/asterisk")
OUR_CODES = re.compile(r"\*5[1-7].*")


async def findings(manager: Manager, wanted: Wanted, etc: Path | None) -> AsyncIterator[Finding]:
    async for finding in _queues(manager, wanted.queues):
        yield finding
    shown = await dialplan.shown(manager)
    if manager.has_console:
        for finding in await dialplan.findings(manager, shown, wanted):
            yield finding
        async for finding in _services(manager, wanted):
            yield finding
    for finding in _files(etc or await _folder(manager), wanted.queues, shown):
        yield finding


async def _services(manager: Manager, wanted: Wanted) -> AsyncIterator[Finding]:
    for finding in _typed(await manager.console("logger show channels")):
        yield finding
    if wanted.pickup:
        for finding in _pickup(await manager.console("features show")):
            yield finding
    if wanted.voicemail:
        async for finding in voicemail.findings(manager):
            yield finding


async def _queues(manager: Manager, queues: Collection[str]) -> AsyncIterator[Finding]:
    if "QueueStatus" not in manager.actions:
        yield Finding(
            "queues.not_loaded",
            "Asterisk has no queues: app_queue is not loaded",
            "make queues.conf, if only with [general]: without the file app_queue does not load; then "
            "`asterisk -rx 'module load app_queue.so'`",
        )
        return
    known = {item.get("Queue").lower() for item in await _status(manager) if item.event == "QueueParams"}
    for name in sorted(queues):
        if name.lower() not in known:
            yield Finding(
                "queue.unknown",
                f"queue {name} is in the directory and not in Asterisk",
                f"add [{name}] to queues.conf, then `asterisk -rx 'queue reload all'`; "
                f"or `agentbridge queue delete {name}`",
            )


async def _status(manager: Manager) -> list[Message]:
    return await manager.connection.action_list("QueueStatus", timeout=6 * SECONDS)


def _typed(shown: str) -> Iterator[Finding]:
    """The levels of each log are in capitals behind it."""
    if re.search(r"\bDTMF\b", shown):
        yield Finding(
            "logger.dtmf",
            "Asterisk writes the digits of each call into a log, agents' PINs among them",
            "in logger.conf, section [logfiles]: leave out dtmf and *; then `asterisk -rx 'logger reload'`",
        )


def _pickup(shown: str) -> Iterator[Finding]:
    """The row is `Pickup`, the code by default, and the code that holds, if there is one."""
    found = re.search(r"^Pickup +\S+ *(\S*)", shown, re.MULTILINE)
    code = found[1] if found else ""
    if not code or OUR_CODES.fullmatch(code):
        yield Finding(
            "features.pickup",
            f"agents have a pickup_group, and the code to pick up is {code or 'switched off'}"
            + (": Asterisk takes it before agentbridge's own feature code does" if code else ""),
            "in features.conf, section [general]: pickupexten = *8; then `asterisk -rx 'module reload features'`",
        )


async def _folder(manager: Manager) -> Path:
    found = re.search(r"Configuration directory:\s+(\S+)", await manager.console("core show settings"))
    return Path(found[1]) if found else DEFAULT_ETC


def _files(folder: Path, queues: Collection[str], dialplan: Dialplan) -> Iterator[Finding]:
    try:
        yield from _in_queues_conf(folder / "queues.conf", queues, dialplan)
        yield from _in_asterisk_conf(folder / "asterisk.conf")
    except OSError as error:
        yield Finding(
            "files.unreadable",
            f"Asterisk's files can't be read: {error.filename}: {error.strerror}",
            "run `check` as a user who may read them (root, or the group asterisk), or name them by --asterisk-etc",
        )


def _in_queues_conf(file: Path, queues: Collection[str], shown: Dialplan) -> Iterator[Finding]:
    if not file.exists():
        return  # app_queue is then not loaded, which is found by asking it
    sections = {name.lower(): options for name, options in asterisk_conf.read(file).items()}
    for name in sorted(queues):
        options = sections.get(name.lower())
        if options is not None and not dialplan.answers(shown, options.get("membergosub", "")):
            yield Finding(
                "queue.membergosub",
                f"queue {name} does not run agentbridge's subroutine at the answer: no recording, no ChanSpy",
                f"in queues.conf, section [{name}]: membergosub = {dialplan.ANSWERED}; "
                "then `asterisk -rx 'queue reload all'`",
            )
    if sections.get("general", {}).get("shared_lastcall", "no") in ("yes", "true", "1"):
        yield Finding(
            "queues.shared_lastcall",
            "shared_lastcall is on: at every call each member of every queue is searched for the same agent",
            "in queues.conf, section [general]: shared_lastcall = no; then `asterisk -rx 'queue reload all'`",
        )


def _in_asterisk_conf(file: Path) -> Iterator[Finding]:
    options = asterisk_conf.read(file).get("options", {})
    if options.get("live_dangerously", "no").lower() in ("yes", "true", "1", "on"):
        yield Finding(
            "asterisk.live_dangerously",
            "live_dangerously is on: whoever may set a variable by AMI or ARI may run a program",
            "in asterisk.conf, section [options]: live_dangerously = no; restart Asterisk when no call is up",
        )
