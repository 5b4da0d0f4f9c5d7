"""Findings about PJSIP: what registers and logs in as agentbridge pushes it, and numbers that others have."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from ipaddress import ip_address, ip_network

from agentbridge.cli.check import modules
from agentbridge.cli.check.ami import Manager
from agentbridge.cli.check.findings import Finding
from agentbridge.cli.check.inspection import Inspection
from agentbridge.cli.check.session import SECONDS
from agentbridge.errors import Refused

RELOAD = "then `asterisk -rx 'module reload res_pjsip.so'`"
_SETTING = re.compile(r"^ (\w+) +: (.*?) *$", re.MULTILINE)
_MATCH = re.compile(r"^ +(?:Identify: +(?P<name>\S+?)/(?P<endpoint>\S+)|Match: +(?P<match>\S+))", re.MULTILINE)
_TRANSPORT = re.compile(r"^Transport: +\S+ +(\w+) ", re.MULTILINE)
NAMED = 5
"""of many only so many are named"""


async def _settings(manager: Manager) -> Mapping[str, str]:
    return dict(_SETTING.findall(await manager.console("pjsip show settings")))


async def findings(inspection: Inspection) -> AsyncIterator[Finding]:
    """Checks PJSIP: global settings, transports, addresses, and names that are taken. Raises Refused or Unavailable.

    Yields nothing where modules are missing, which is a finding of its own.
    """
    if inspection.modules is None or not inspection.modules >= modules.ROOTS:
        return  # said already
    manager = inspection.manager
    settings = await _settings(manager)
    for finding in _global(inspection, settings):
        yield finding
    for finding in _transports(inspection, await manager.console("pjsip show transports")):
        yield finding
    for finding in _addresses(inspection, await manager.console("pjsip show identifies")):
        yield finding
    async for finding in _taken(inspection):
        yield finding


def _global(inspection: Inspection, settings: Mapping[str, str]) -> Iterator[Finding]:
    """Yields the global settings of PJSIP that keep phones from logging in."""
    realm = settings.get("default_realm", "")
    if realm and realm != (ours := inspection.settings.sip.realm):
        yield Finding(
            "sip.realm",
            f"default_realm is {realm} and sip.realm is {ours}: the pushed digests fit no log-in",
            f"in pjsip.conf, section of type = global: default_realm = {ours}; {RELOAD}; or "
            f'realm = "{realm}" in section [sip] of agentbridge.toml',
        )
    order = [word.strip() for word in settings.get("endpoint_identifier_order", "").split(",")]
    if order != [""] and not {"username", "auth_username"} & set(order):
        yield Finding(
            "sip.identifier_order",
            f"endpoint_identifier_order is {','.join(order)}: no phone is known by its name, so none can register",
            f"in pjsip.conf, section of type = global: endpoint_identifier_order = ip,username,anonymous; {RELOAD}",
        )


def _transports(inspection: Inspection, shown: str) -> Iterator[Finding]:
    """Yields the transports udp and tcp that agents need and PJSIP lacks; browsers' are checked in webrtc.py."""
    there = {name.lower() for name in _TRANSPORT.findall(shown)}
    for name in sorted({"udp", "tcp"} & inspection.wanted.transports - there):
        yield Finding(
            "sip.no_transport",
            f"agents or telephones have transport {name}, and Asterisk does not listen for SIP over it",
            f"in pjsip.conf: a section with type = transport, protocol = {name} and bind = ADDRESS; restart Asterisk "
            "when no call is up; or another transport for them",
        )


# ---------------------------------------------------------------- addresses


def _addresses(inspection: Inspection, shown: str) -> Iterator[Finding]:
    """Yields each `identify` whose addresses include an agent's phone: its calls count as another endpoint's, whatever
    it logs in as."""
    endpoint = ""
    for row in _MATCH.finditer(shown):
        if row["endpoint"]:
            endpoint = row["endpoint"]
            continue
        for device, host in sorted(inspection.wanted.hosts.items()):
            if device != endpoint and _inside(host, row["match"]):
                yield Finding(
                    "sip.host_overlap",
                    f"{device} has host {host}, and an identify in pjsip.conf gives {row['match']} to {endpoint}: its "
                    f"calls and log-ins are taken for {endpoint}'s",
                    f"another host for {device} (`dynamic` with a phone that registers), or a narrower match in the "
                    f"identify of {endpoint}",
                )


def _inside(host: str, match: str) -> bool:
    """Whether the address is in the network that an `identify` matches."""
    try:
        return ip_address(host) in ip_network(match, strict=False)
    except ValueError:
        return False  # a header, or a name


# ---------------------------------------------------------------- numbers


async def _taken(inspection: Inspection) -> AsyncIterator[Finding]:
    """Yields endpoints and AORs of the administrator's own files that have a number or name of the directory, or of its
    range."""
    theirs = await _static(inspection.manager)
    devices = {device.lower() for device in inspection.wanted.devices}
    clashing = sorted(name for name in theirs if name.lower() in devices)
    if clashing:
        yield Finding(
            "numbers.clash",
            f"Asterisk has {_some(clashing)} by files of yours, and the directory has an agent or telephone of that "
            "name: it can't be pushed",
            "another number for those agents (`agentbridge agent set NAME internal=NUMBER`), or take the sections out "
            "of pjsip.conf",
        )
    first, last = inspection.wanted.range
    inside = sorted(
        name
        for name in theirs.difference(clashing)
        if re.fullmatch(r"[1-9][0-9]{0,15}", name) and first <= int(name) <= last
    )
    if inside:
        yield Finding(
            "numbers.range",
            f"the range of internal numbers, {first} to {last}, holds {_some(inside)}, which Asterisk has by files of "
            "yours",
            "a range of its own: `agentbridge setting internal_from=… internal_to=…`",
        )


async def _static(manager: Manager) -> frozenset[str]:
    """Returns the ids of endpoints and AORs that Asterisk has from its own files, not from the AstDB."""
    found: set[str] = set()
    for action, family, kind, key in (
        ("PJSIPShowEndpoints", "ps_endpoints", "endpoint", "ObjectName"),
        ("PJSIPShowAors", "ps_aors", "aor", "ObjectName"),
    ):
        if action not in manager.actions:
            continue
        ids = {str(item.get(key, "")) for item in await manager.items(action, timeout=6 * SECONDS)}
        found |= ids - await _pushed(manager, family, kind)
    return frozenset(found - {""})


async def _pushed(manager: Manager, family: str, kind: str) -> set[str]:
    """Returns the ids of the objects of a kind that are in the AstDB."""
    try:
        items = await manager.items("DBGetTree", {"Family": family, "Key": ""}, timeout=6 * SECONDS)
    except Refused:
        return set()  # so it says where the family is empty
    return {str(item.get("Key", "")).removeprefix(f"/{family}/{kind}/") for item in items}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
