"""Findings about queues and dialplan: what has to be in the administrator's own files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

from agentbridge.asterisk.ami_wire import Message
from agentbridge.cli import asterisk_conf
from agentbridge.cli.check_ami import SECONDS, Manager
from agentbridge.cli.findings import Finding

DEFAULT_ETC = Path("/etc/asterisk")
ANSWERED = "agentbridge-member-answer"
CONTEXTS = ("agentbridge-agents", "agentbridge-outbound", "agentbridge-features", ANSWERED)


async def findings(manager: Manager, queues: Collection[str], etc: Path | None) -> AsyncIterator[Finding]:
    async for finding in _queues(manager, queues):
        yield finding
    async for finding in _dialplan(manager):
        yield finding
    folder = etc or await _folder(manager)
    for finding in _files(folder, queues):
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
    for name in queues:
        if name.lower() not in known:
            yield Finding(
                "queue.unknown",
                f"queue {name} is in the directory and not in Asterisk",
                f"add [{name}] to queues.conf, then `asterisk -rx 'queue reload all'`; "
                f"or `agentbridge queue delete {name}`",
            )


async def _status(manager: Manager) -> list[Message]:
    return await manager.connection.action_list("QueueStatus", timeout=6 * SECONDS)


async def _dialplan(manager: Manager) -> AsyncIterator[Finding]:
    if not manager.has_console:
        return
    missing = [name for name in CONTEXTS if "There is no existence" in await manager.console(f"dialplan show {name}")]
    if missing:
        yield Finding(
            "dialplan.missing",
            f"the dialplan has no context {', '.join(missing)}: calls would not obey the agents' options",
            'extensions.conf needs #include "agentbridge.conf" (dialplan/agentbridge.conf of this package), then '
            "`asterisk -rx 'dialplan reload'`",
        )


async def _folder(manager: Manager) -> Path:
    found = re.search(r"Configuration directory:\s+(\S+)", await manager.console("core show settings"))
    return Path(found[1]) if found else DEFAULT_ETC


def _files(folder: Path, queues: Collection[str]) -> Iterator[Finding]:
    try:
        yield from _in_queues_conf(folder / "queues.conf", queues)
        yield from _in_asterisk_conf(folder / "asterisk.conf")
    except OSError as error:
        yield Finding(
            "files.unreadable",
            f"Asterisk's files can't be read: {error.filename}: {error.strerror}",
            "run `check` as a user who may read them (root, or the group asterisk), or name them by --asterisk-etc",
        )


def _in_queues_conf(file: Path, queues: Collection[str]) -> Iterator[Finding]:
    if not file.exists():
        return  # app_queue is then not loaded, which is found by asking it
    sections = {name.lower(): options for name, options in asterisk_conf.read(file).items()}
    for name in queues:
        options = sections.get(name.lower())
        if options is not None and not options.get("membergosub", "").startswith(ANSWERED):
            yield Finding(
                "queue.membergosub",
                f"queue {name} does not run agentbridge's subroutine at the answer: no recording, no ChanSpy",
                f"in queues.conf, section [{name}]: membergosub = {ANSWERED}; then `asterisk -rx 'queue reload all'`",
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
