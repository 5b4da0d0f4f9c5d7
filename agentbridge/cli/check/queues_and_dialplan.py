"""Findings about queues and dialplan: what has to be in the administrator's own files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence

from agentbridge.cli.check import asterisk_conf, dialplan, voicemail
from agentbridge.cli.check.ami import Manager
from agentbridge.cli.check.database import Wanted
from agentbridge.cli.check.findings import Finding
from agentbridge.cli.check.inspection import Inspection
from agentbridge.cli.check.session import SECONDS, Message

OUR_CODES = re.compile(r"\*5[1-7].*")
_DEVICE = re.compile(r"(?:PJSIP|SIP)/([^/@&]+)", re.IGNORECASE)
_LOCAL = re.compile(r"Local/([^@/]+)@", re.IGNORECASE)


async def findings(inspection: Inspection) -> AsyncIterator[Finding]:
    """Checks the administrator's queues, dialplan and services; yields where they don't fit the directory."""
    manager, wanted = inspection.manager, inspection.wanted
    async for finding in _queues(inspection):
        yield finding
    if manager.has_console:
        for finding in await dialplan.findings(manager, inspection.dialplan, wanted):
            yield finding
        async for finding in _services(manager, wanted):
            yield finding


async def _services(manager: Manager, wanted: Wanted) -> AsyncIterator[Finding]:
    """Checks the log, pickup and voicemail, where agents need them."""
    for finding in _digits_in_logs(await manager.console("logger show channels")):
        yield finding
    if wanted.pickup:
        for finding in _pickup(await manager.console("features show")):
            yield finding
    if wanted.voicemail:
        async for finding in voicemail.findings(manager):
            yield finding


# ---------------------------------------------------------------- queues


async def _queues(inspection: Inspection) -> AsyncIterator[Finding]:
    """Yields queues that Asterisk does not know, members that are not ours, and queues from a database."""
    if "QueueStatus" not in inspection.manager.actions:
        yield _no_queues(inspection)
        return
    status = await inspection.manager.items("QueueStatus", timeout=6 * SECONDS)
    for finding in (*_unknown_queues(inspection.wanted, status), *_members(inspection.wanted, status)):
        yield finding
    if re.search(r"=> (queues|queue_members) \(", await inspection.manager.console("core show config mappings")):
        yield Finding(
            "queues.realtime",
            "queues or their members are read from a database (realtime): while it is away Asterisk has no queues, and "
            "members that it names ring whatever the directory says",
            "queues in queues.conf; take the lines queues and queue_members out of extconfig.conf",
        )


def _unknown_queues(wanted: Wanted, status: Sequence[Message]) -> Iterator[Finding]:
    """Yields a finding for each queue of the directory that Asterisk does not know."""
    known = {item["Queue"].lower() for item in status if item["Event"] == "QueueParams"}
    for name in sorted(wanted.queues):
        if name.lower() not in known:
            yield Finding(
                "queue.unknown",
                f"queue {name} is in the directory and not in Asterisk",
                f"add [{name}] to queues.conf, then `asterisk -rx 'queue reload all'`; "
                f"or `agentbridge queue delete {name}`",
            )


def _members(wanted: Wanted, status: Sequence[Message]) -> Iterator[Finding]:
    """Yields the findings about members of the directory's queues."""
    ours = {name.lower() for name in wanted.queues}
    for item in status:
        if item["Event"] == "QueueMember" and item["Queue"].lower() in ours:
            yield from _member(wanted, item)


def _no_queues(inspection: Inspection) -> Finding:
    """Returns the finding that Asterisk knows no queue, with the line of queues.conf that makes app_queue refuse the
    file."""
    file = inspection.etc / "queues.conf"
    try:
        unknown = asterisk_conf.unknown_templates(file) if file.exists() else []
    except OSError:
        unknown = []
    if unknown:
        section, template = unknown[0]
        cause = f"[{section}]({template}) in queues.conf stands above its template [{template}](!), or there is none"
        cure = f"move the template [{template}](!) above the first queue that uses it"
    elif file.exists():
        cause, cure = "app_queue is not loaded", "take its noload out of modules.conf"
    else:
        cause, cure = "there is no queues.conf", "make queues.conf, if only with [general]"
    return Finding(
        "queues.not_loaded",
        f"Asterisk has no queues: {cause}",
        f"{cure}; then `asterisk -rx 'module load app_queue.so'`",
    )


def _member(wanted: Wanted, member: Message) -> Iterator[Finding]:
    """Yields a finding for a member of our queues that is not the daemon's and rings an agent, also on pause or logged
    out."""
    location, queue = str(member["Location"]), str(member["Queue"])
    agent = _rung_by(wanted, location, str(member.get("StateInterface", "")))
    if agent is None:
        return
    if location.lower().startswith("local/") or not location.lower().startswith("pjsip/"):
        yield Finding(
            "queue.other_member",
            f"queue {queue} has member {location} beside agentbridge's: it rings agent {agent} on pause and logged out",
            f"take it out of the tool that put it there, then `asterisk -rx 'queue remove member {location} from "
            f'{queue}\'`; docs/installing.md, "Members of another tool"',
        )
    elif str(member.get("Membership", "")).lower() == "static":
        yield Finding(
            "queue.static_member",
            f"queues.conf has {location} as a member of queue {queue}: it rings agent {agent} when logged out, and "
            "can't be taken out",
            f"in queues.conf, section [{queue}]: take its line member => {location} out; then "
            "`asterisk -rx 'queue reload all'`",
        )


def _rung_by(wanted: Wanted, location: str, state: str) -> str | None:
    """Returns the agent whom that member rings, by number or device; None for none."""
    numbers = [found[1] for text in (location, state) if (found := _LOCAL.match(text) or _DEVICE.match(text))]
    return next((wanted.agents[number] for number in numbers if number in wanted.agents), None)


# ---------------------------------------------------------------- services


def _digits_in_logs(shown: str) -> Iterator[Finding]:
    """Yields a finding for a log level in small letters, which Asterisk ignores.

    The levels of each log are in capitals behind it.
    """
    if re.search(r"\bDTMF\b", shown):
        yield Finding(
            "logger.dtmf",
            "Asterisk writes the digits of each call into a log, agents' PINs among them",
            "in logger.conf, section [logfiles]: leave out dtmf and *; then `asterisk -rx 'logger reload'`",
        )


def _pickup(shown: str) -> Iterator[Finding]:
    """Yields a finding where Asterisk's feature code for pickup is disabled."""
    found = re.search(r"^Pickup +\S+ *(\S*)", shown, re.MULTILINE)
    code = found[1] if found else ""
    if not code or OUR_CODES.fullmatch(code):
        yield Finding(
            "features.pickup",
            f"agents have a pickup_group, and the code to pick up is {code or 'switched off'}"
            + (": Asterisk takes it before agentbridge's own feature code does" if code else ""),
            "in features.conf, section [general]: pickupexten = *8; then `asterisk -rx 'module reload features'`",
        )
