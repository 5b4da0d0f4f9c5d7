"""Findings about ARI: reachable, allowed to write, bound to loopback, and its writes kept where they should be."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from secrets import token_hex

from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.drivers.endpoints import FAMILIES
from agentbridge.cli.check.ami import SECONDS, Manager, loopback
from agentbridge.cli.check.findings import Finding
from agentbridge.errors import AgentbridgeError, Refused, Unavailable
from agentbridge.model import EndpointId, ObjectKind
from agentbridge.settings import Ari as AriSettings

PROBE = EndpointId("agentbridge-check")
"""The id of the objects that are written, looked for and deleted again; no number and no telephone's name."""
SORCERY = "put the lines of config/asterisk/sorcery.conf into sorcery.conf and restart Asterisk when no call is up"
SECTIONS = {
    ObjectKind.AOR: "res_pjsip",
    ObjectKind.AUTH: "res_pjsip",
    ObjectKind.ENDPOINT: "res_pjsip",
}


def _objects() -> Mapping[ObjectKind, Mapping[str, str]]:
    """Nothing can register or call with them: the secret is forgotten."""
    return {
        ObjectKind.AOR: {"max_contacts": "1"},
        ObjectKind.AUTH: {"auth_type": "userpass", "username": PROBE, "password": token_hex(16)},
        ObjectKind.ENDPOINT: {"allow": "!all,ulaw", "auth": PROBE, "context": "agentbridge-nothing"},
    }


async def findings(manager: Manager, settings: AriSettings) -> AsyncIterator[Finding]:
    for finding in _bound_elsewhere(await manager.console("http show status")):
        yield finding
    async with Ari(settings.url, settings.username, settings.password(), deadline=SECONDS) as ari:
        try:
            await ari.info()
        except AgentbridgeError as error:
            yield _unreachable(settings, error)
            return
        if "Read only?: Yes" in await manager.console(f"ari show user {settings.username}"):
            yield Finding(
                "ari.read_only",
                f"the ARI user {settings.username} may not write, so no endpoint can be pushed",
                f"in ari.conf, section [{settings.username}]: read_only = no; "
                "then `asterisk -rx 'module reload res_ari'`",
            )
            return
        async for finding in _sorcery(manager, ari):
            yield finding


def _unreachable(settings: AriSettings, error: AgentbridgeError) -> Finding:
    if isinstance(error, Refused) and "401" in str(error):
        return Finding(
            "ari.password",
            f"ARI refused the log-in of {settings.username}",
            f"give section [{settings.username}] of ari.conf and the credential ari_secret the same password, then "
            "`asterisk -rx 'module reload res_ari'`",
        )
    return Finding(
        "ari.unreachable",
        f"ARI can't be reached at {settings.url}: {error}",
        "http.conf needs enabled = yes, bindaddr = 127.0.0.1 and the port of ari.url; ari.conf needs enabled = yes; "
        "res_ari and res_ari_asterisk must be loaded",
    )


def _bound_elsewhere(shown: str) -> Iterator[Finding]:
    found = re.search(r"^Server Enabled and Bound to (\S+)", shown, re.MULTILINE)
    if found and not loopback(found[1]):
        yield Finding(
            "ari.exposed",
            f"ARI listens on {found[1]}: its password goes unencrypted, and it can change every endpoint",
            "in http.conf: bindaddr = 127.0.0.1 (phones in browsers use tlsbindaddr); "
            "restart Asterisk when no call is up",
        )


async def _sorcery(manager: Manager, ari: Ari) -> AsyncIterator[Finding]:
    try:
        for kind, fields in _objects().items():
            async for finding in _kept(manager, ari, kind, fields):
                yield finding
    finally:
        for kind in reversed(ObjectKind):
            await _delete(ari, kind)
    async for finding in _cache(manager):
        yield finding


async def _kept(
    manager: Manager, ari: Ari, kind: ObjectKind, fields: Mapping[str, str]
) -> AsyncIterator[Finding]:
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
    where = {"Family": FAMILIES[kind], "Key": f"{kind}/{PROBE}"}
    try:
        items = await manager.connection.action_list("DBGetTree", where, timeout=SECONDS)
    except Refused:
        return False
    return any(item.event == "DBGetTreeResponse" for item in items)


async def _delete(ari: Ari, kind: ObjectKind) -> None:
    try:
        await ari.delete_object(kind, PROBE)
    except Refused:
        return  # it could not be written either, and that is a finding already


async def _cache(manager: Manager) -> AsyncIterator[Finding]:
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
