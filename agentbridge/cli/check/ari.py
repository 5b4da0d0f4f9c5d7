"""Findings about ARI: reachable, allowed to write, bound to loopback, and its writes kept where they should be."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from secrets import token_hex

from agentbridge.asterisk import capabilities
from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.capabilities import Capabilities
from agentbridge.asterisk.drivers.pjsip_fields import FAMILIES, MANAGED, in_words_of
from agentbridge.cli.check.ami import Manager, loopback
from agentbridge.cli.check.findings import Finding, not_seen
from agentbridge.cli.check.inspection import Inspection
from agentbridge.cli.check.session import SECONDS
from agentbridge.desired.pjsip import NO_CALLS_CONTEXT, SipDefaults
from agentbridge.desired.state import desired
from agentbridge.errors import AgentbridgeError, Refused, Unavailable
from agentbridge.model import EndpointId, Line, ObjectKind, Subject, Telephone
from agentbridge.settings import Ari as AriSettings

PROBE = EndpointId("agentbridge-check")
"""The id of the objects that are written, looked for and deleted again; no number and no telephone's name."""
SORCERY = "put the lines of config/asterisk/sorcery.conf into sorcery.conf and restart Asterisk when no call is up"
SECTIONS = {
    ObjectKind.AOR: "res_pjsip",
    ObjectKind.AUTH: "res_pjsip",
    ObjectKind.ENDPOINT: "res_pjsip",
}


def _objects(found: Capabilities) -> Mapping[ObjectKind, Mapping[str, str]]:
    """Returns the objects that the check writes to try Asterisk's object store: what the daemon writes for an agent.

    Nobody can register or call with them: the secret is forgotten, and the context has no extension.
    """
    line = Line(secret=token_hex(16), context=NO_CALLS_CONTEXT)
    wanted = desired(Subject(key=PROBE, telephone=Telephone(name=PROBE, line=line)), SipDefaults())
    objects = found.expressible(wanted).objects
    return {kind: in_words_of(found, kind, objects[kind], new=True) for kind in ObjectKind}


async def findings(inspection: Inspection) -> AsyncIterator[Finding]:
    """Checks that ARI answers and may write, and that Asterisk keeps PJSIP objects where it should."""
    manager, settings = inspection.manager, inspection.settings.ari
    for finding in _bound_elsewhere(inspection.http):
        yield finding
    async with Ari(settings.url, settings.username, settings.password(), deadline=SECONDS) as ari:
        try:
            await ari.info()
        except AgentbridgeError as error:
            yield _unreachable(settings, error, inspection.http)
            yield not_seen("sorcery", "ARI is away", "mend that, and run `agentbridge check` again")
            return
        if "Read only?: Yes" in await manager.console(f"ari show user {settings.username}"):
            yield Finding(
                "ari.read_only",
                f"the ARI user {settings.username} may not write, so no endpoint can be pushed",
                f"in ari.conf, section [{settings.username}]: read_only = no; "
                "then `asterisk -rx 'module reload res_ari'`",
            )
            return
        if inspection.lacks("res_sorcery_astdb"):
            yield not_seen("sorcery", "res_sorcery_astdb is not loaded", "load it, and run `agentbridge check` again")
            return
        async for finding in _sorcery(inspection, ari):
            yield finding


def _unreachable(settings: AriSettings, error: AgentbridgeError, http: str) -> Finding:
    """Returns the finding for an ARI that does not answer as it should."""
    if isinstance(error, Refused) and "401" in str(error):
        return Finding(
            "ari.password",
            f"ARI refused the log-in of {settings.username}",
            f"give section [{settings.username}] of ari.conf and the credential ari_secret the same password, then "
            "`asterisk -rx 'module reload res_ari'`",
        )
    wanted = _url(http)
    if wanted and wanted != settings.url.rstrip("/"):
        return Finding(
            "ari.url",
            f"there is no ARI at {settings.url}: Asterisk's HTTP server has it at {wanted}",
            f'ari.url = "{wanted}" in agentbridge.toml, or bindaddr, bindport and prefix of http.conf as ari.url says',
        )
    return Finding(
        "ari.unreachable",
        f"ARI can't be reached at {settings.url}: {_words(error)}",
        "http.conf needs enabled = yes, bindaddr = 127.0.0.1 and the port of ari.url; ari.conf needs enabled = yes; "
        "res_ari and res_ari_asterisk must be loaded",
    )


def _url(http: str) -> str:
    """Returns ARI's address by `http show status`; '' where the server is off, or its address can't be told."""
    bound = re.search(r"^Server Enabled and Bound to (\S+)", http, re.MULTILINE)
    prefix = re.search(r"^Prefix: *(\S*)", http, re.MULTILINE)
    if not bound or "/ari/..." not in http:
        return ""
    address = bound[1].replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
    return f"http://{address}{prefix[1] if prefix else ''}/ari"


def _words(error: AgentbridgeError) -> str:
    """Returns an error in one line, without the tags of a page of HTML."""
    return " ".join(re.sub(r"<[^>]*>?", " ", str(error)).split())


def _bound_elsewhere(shown: str) -> Iterator[Finding]:
    """Yields a finding where ARI listens beyond this machine."""
    found = re.search(r"^Server Enabled and Bound to (\S+)", shown, re.MULTILINE)
    if found and not loopback(found[1]):
        yield Finding(
            "ari.exposed",
            f"ARI listens on {found[1]}: its password goes unencrypted, and it can change every endpoint",
            "in http.conf: bindaddr = 127.0.0.1 (phones in browsers use tlsbindaddr); "
            "restart Asterisk when no call is up",
        )


async def _sorcery(inspection: Inspection, ari: Ari) -> AsyncIterator[Finding]:
    """Checks sorcery.conf by writing an object of each kind and deleting it again; yields what is wrong."""
    manager = inspection.manager
    found = await capabilities.ask(manager, MANAGED) if manager.has_console else Capabilities()
    try:
        for kind, fields in _objects(found).items():
            async for finding in _kept(manager, ari, kind, fields):
                yield finding
    finally:
        for kind in reversed(ObjectKind):
            await _delete(ari, kind)
    if not inspection.lacks("res_sorcery_memory_cache"):
        async for finding in _cache(manager):
            yield finding


async def _kept(manager: Manager, ari: Ari, kind: ObjectKind, fields: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Writes an object of the kind; yields a finding where Asterisk refuses it or keeps it elsewhere than in the
    AstDB."""
    try:
        await ari.put_object(kind, PROBE, fields)
    except (Refused, Unavailable) as error:
        yield Finding(
            "sorcery.not_writable",
            f"Asterisk does not take an object of type {kind}: {error}",
            f"section [{SECTIONS[kind]}] needs {kind} = astdb,{FAMILIES[kind]}: {SORCERY}",
        )
        return
    if "DBGetTree" in manager.actions and not await _in_store(manager, kind):
        yield Finding(
            "sorcery.elsewhere",
            f"an object of type {kind} is not kept in AstDB family {FAMILIES[kind]}, where agentbridge looks for it",
            f"section [{SECTIONS[kind]}] needs {kind} = astdb,{FAMILIES[kind]}, ahead of other lines of it: {SORCERY}",
        )


async def _in_store(manager: Manager, kind: ObjectKind) -> bool:
    """Whether the object that the check wrote is in the AstDB."""
    where = {"Family": FAMILIES[kind], "Key": f"{kind}/{PROBE}"}
    try:
        items = await manager.items("DBGetTree", where, timeout=SECONDS)
    except Refused:
        return False
    return bool(items)


async def _delete(ari: Ari, kind: ObjectKind) -> None:
    """Deletes the object that was written for the check."""
    try:
        await ari.delete_object(kind, PROBE)
    except Refused:
        return  # it could not be written either, and that is a finding already


async def _cache(manager: Manager) -> AsyncIterator[Finding]:
    """Yields a finding where Asterisk reads endpoints from the AstDB at every call."""
    if not manager.has_console:
        return
    shown = await manager.console("sorcery memory cache show res_pjsip/endpoint")
    if "Number of objects" not in shown or "Expire all objects on reload: On" in shown:
        yield Finding(
            "sorcery.uncached",
            "endpoints are not held in memory, or are dropped at each reload: every call would search AstDB",
            "section [res_pjsip] needs endpoint/cache = memory_cache,full_backend_cache=yes,expire_on_reload=no: "
            + SORCERY,
        )
