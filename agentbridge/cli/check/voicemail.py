"""Findings about voicemail: the application is there, and Asterisk keeps boxes that it can write."""

from __future__ import annotations

from collections.abc import AsyncIterator

from agentbridge.asterisk.drivers.voicemail import Mailboxes
from agentbridge.asterisk.observed.observation import Observation
from agentbridge.cli.check.ami import Manager
from agentbridge.cli.check.findings import Finding
from agentbridge.desired.voicemail import MAILBOX_CONTEXT, NO_PIN
from agentbridge.errors import Refused
from agentbridge.model import DeleteMailbox, EndpointId, PutMailbox

PROBE = EndpointId("agentbridge-check")
"""The box that is written and deleted again; no telephone can dial it, nor its PIN"""


async def findings(manager: Manager) -> AsyncIterator[Finding]:
    """Checks voicemail: yields a finding where agents have it and Asterisk can't keep their boxes."""
    if "is (are) not registered" in await manager.console("core show application VoiceMail"):
        yield Finding(
            "voicemail.not_loaded",
            "agents have voicemail, and Asterisk has no application VoiceMail: their callers are turned away",
            "install app_voicemail (with Debian's Asterisk 16: the package asterisk-voicemail), then "
            "`asterisk -rx 'module load app_voicemail.so'`",
        )
    elif problem := await _problem(manager):
        yield Finding(
            "voicemail.not_writable",
            f"agents have voicemail, and no box can be made: {problem}",
            'docs/voice.md, "Voicemail": the SQLite file by voicemail.sql, res_config_sqlite3.conf, extconfig.conf',
        )


async def _problem(manager: Manager) -> str:
    """Returns why no voicemail box can be written, '' where one can.

    It writes a box as the daemon does, unless there are boxes already: a daemon would take it for a stray one.
    """
    mapped = "=> voicemail (" in await manager.console("core show config mappings")
    if mapped and "=== Mailbox" in await manager.console(f"voicemail show users for {MAILBOX_CONTEXT}"):
        return ""
    boxes = Mailboxes(manager, manager, Observation(lambda _: None))
    await boxes.read_all()
    try:
        await boxes.apply(PutMailbox(PROBE, {"mailbox": PROBE, "password": NO_PIN, "fullname": "agentbridge check"}))
        await boxes.apply(DeleteMailbox(PROBE))
    except Refused as refused:
        return str(refused).removeprefix("voicemail: ")
    return ""
