"""Findings about Asterisk's own files: queues.conf, asterisk.conf, and who may read the AstDB."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from agentbridge.cli.check import asterisk_conf, dialplan
from agentbridge.cli.check.findings import Finding
from agentbridge.cli.check.inspection import Inspection, folder

YES = frozenset({"yes", "true", "1", "on", "y", "t"})
QUEUES = "then `asterisk -rx 'queue reload all'`"


async def findings(inspection: Inspection) -> AsyncIterator[Finding]:
    """Checks Asterisk's configuration files for what Asterisk itself can't be asked."""
    try:
        for finding in (*_in_queues_conf(inspection), *_in_asterisk_conf(inspection.etc / "asterisk.conf")):
            yield finding
    except OSError as error:
        yield Finding(
            "files.unreadable",
            f"Asterisk's files can't be read: {error.filename}: {error.strerror}",
            "run `check` as a user who may read them (root, or the group asterisk), or name them by --asterisk-etc",
        )
    for finding in _astdb(inspection):
        yield finding


def _in_queues_conf(inspection: Inspection) -> Iterator[Finding]:
    """Checks queues.conf where it concerns the directory's queues. Raises OSError."""
    file = inspection.etc / "queues.conf"
    if not file.exists():
        return  # app_queue is then not loaded, which is found by asking it
    unknown = asterisk_conf.unknown_templates(file)
    if unknown and not inspection.lacks("app_queue"):  # else it is the cause in queues.not_loaded
        section, template = unknown[0]
        yield Finding(
            "queues.template",
            f"[{section}]({template}) in queues.conf stands above its template [{template}](!), or there is none: "
            "at its next start Asterisk refuses the whole file, and every queue is gone",
            f"move the template [{template}](!) above the first queue that uses it, {QUEUES}",
        )
    sections = {name.lower(): options for name, options in asterisk_conf.read(file).items()}
    for name in sorted(inspection.wanted.queues):
        if (options := sections.get(name.lower())) is not None:
            yield from _queue(inspection, name, options)
    yield from _of_all_queues(sections.get("general", {}))


def _queue(inspection: Inspection, name: str, options: dict[str, str]) -> Iterator[Finding]:
    """Yields what is wrong with the options of one queue."""
    if not dialplan.answers(inspection.dialplan, options.get("membergosub", "")):
        yield Finding(
            "queue.membergosub",
            f"queue {name} does not run agentbridge's subroutine at the answer: no recording, no ChanSpy",
            f"in queues.conf, section [{name}]: membergosub = {dialplan.ANSWERED}; {QUEUES}",
        )
    if options.get("ringinuse", "yes").lower() in YES:
        yield Finding(
            "queue.ringinuse",
            f"queue {name} has ringinuse = yes, also where the line is missing: an agent in a call is rung by the next",
            f"in queues.conf, section [{name}]: ringinuse = no; {QUEUES}",
        )


def _of_all_queues(options: dict[str, str]) -> Iterator[Finding]:
    """Yields what is wrong in section [general] of queues.conf."""
    if options.get("persistentmembers", "no").lower() not in YES:
        yield Finding(
            "queues.persistentmembers",
            "persistentmembers is off: when Asterisk restarts while the daemon is away, every queue is empty",
            f"in queues.conf, section [general]: persistentmembers = yes; {QUEUES}",
        )
    if options.get("shared_lastcall", "no").lower() in YES:
        yield Finding(
            "queues.shared_lastcall",
            "shared_lastcall is on: at every call each member of every queue is searched for the same agent",
            f"in queues.conf, section [general]: shared_lastcall = no; {QUEUES}",
        )


def _in_asterisk_conf(file: Path) -> Iterator[Finding]:
    """Yields options of asterisk.conf that endanger what agentbridge does."""
    options = asterisk_conf.read(file).get("options", {})
    if options.get("live_dangerously", "no").lower() in YES:
        yield Finding(
            "asterisk.live_dangerously",
            "live_dangerously is on: whoever may set a variable by AMI or ARI may run a program",
            "in asterisk.conf, section [options]: live_dangerously = no; restart Asterisk when no call is up",
        )


def _astdb(inspection: Inspection) -> Iterator[Finding]:
    """Yields a finding where others can read the AstDB's file: a digest in it is as good as the SIP password."""
    base = folder(inspection.core, "ASTDB")
    file = base.with_name(f"{base.name}.sqlite3") if base else None
    if file is not None and file.exists() and _open_to_all(file):
        yield Finding(
            "asterisk.astdb_readable",
            f"every user of this machine may read {file}, with the digests by which phones log in",
            f"`chmod o= {file} {file.parent}`; Asterisk keeps the mode of a file that is there",
        )


def _open_to_all(file: Path) -> bool:
    way = all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
    return way and bool(file.stat().st_mode & stat.S_IROTH)
