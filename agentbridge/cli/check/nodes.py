"""Findings about the other Asterisk nodes of the centre: what docs/nodes.md says of identity, trunks and states.

A centre in which no node has a SIP address for others is one of a single node, and nothing is looked at.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator

from agentbridge.cli.check.findings import Finding, not_seen
from agentbridge.cli.check.inspection import Inspection
from agentbridge.cli.check.modules import not_loaded
from agentbridge.desired.node_files import ASTERISK_FILE, PJSIP_FILE, entity_id, node_files
from agentbridge.errors import Refused

FROM_NODES = "agentbridge-from-nodes"
NEEDED = {
    "res_pjsip_endpoint_identifier_ip": "calls of other nodes are taken for nobody's",
    "res_pjsip_outbound_publish": "no device state of this node reaches the others",
    "res_pjsip_pubsub": "no device state of other nodes reaches this one",
    "res_pjsip_publish_asterisk": "no device state is told between the nodes",
}
"""module → what happens without it, where there are several nodes"""
_ENTITY = re.compile(r"^ *Entity ID: +(\S+)", re.MULTILINE)
_PARAMETER = re.compile(r"^ *(\w+) +: (.*?) *$", re.MULTILINE)
_CONTACT = re.compile(r"^ *Contact: +(\S+?)/\S+ +\S+ +(\S+)", re.MULTILINE)
_CHOSEN = re.compile(r"^(?:transport|allow) = .*\n", re.MULTILINE)
"""what `agentbridge node files` is told by its options"""


async def findings(inspection: Inspection) -> AsyncIterator[Finding]:
    """Yields what keeps this node and the others from calling each other and from knowing each other's states."""
    here, nodes = inspection.settings.node.name, inspection.wanted.nodes
    if not any(node.sip_host for node in nodes):
        return
    for node in nodes:
        if not node.sip_host:
            yield _no_address(node.name)
    reached = [node for node in nodes if node.sip_host]
    try:
        files = node_files(here, reached)
    except Refused as error:
        yield Finding("nodes.refused", str(error), "mend it by `agentbridge node add`, or `agentbridge node retire`")
        return
    peers = [node.name for node in reached if node.name != here]
    if not peers or not inspection.manager.has_console:
        return
    for module, without in NEEDED.items():
        if inspection.lacks(module):
            yield not_loaded(module, without)
    for finding in (*_identity(inspection, here), *_file(inspection, here, files[PJSIP_FILE])):
        yield finding
    async for finding in _trunks(inspection, here, peers):
        yield finding


def _no_address(name: str) -> Finding:
    return Finding(
        "nodes.no_address",
        f"the directory does not say where the other nodes reach {name} by SIP: no call crosses to it",
        f"`agentbridge node add {name} ADDRESS`, then `agentbridge node files` on each node; or, where it is no more, "
        f"`agentbridge node retire {name}`",
    )


def _identity(inspection: Inspection, here: str) -> Iterator[Finding]:
    """Yields a finding where this Asterisk's identity is not the one that its name gives it."""
    found = _ENTITY.search(inspection.core)
    wanted = entity_id(here)
    if found is None or found[1].lower() != wanted:
        is_now = found[1] if found else "none"
        yield Finding(
            "nodes.entity_id",
            f"Asterisk's entity id is {is_now}, not {wanted}: two nodes with one id drop each other's device states",
            f"in asterisk.conf, section [options]: entityid = {wanted} ({ASTERISK_FILE} of `agentbridge node files`); "
            "then restart Asterisk",
        )


def _file(inspection: Inspection, here: str, wanted: str) -> Iterator[Finding]:
    """Yields a finding where the file of trunks and publications is not what the directory says now."""
    to_do = (
        f"`agentbridge node files {here} {inspection.etc}`; at the end of pjsip.conf: #include {PJSIP_FILE}; then "
        "`asterisk -rx 'module reload res_pjsip.so'`"
    )
    file = inspection.etc / PJSIP_FILE
    try:
        text = file.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        yield Finding("nodes.no_file", f"{file} is not there: no call and no device state crosses nodes", to_do)
        return
    except OSError as error:
        yield not_seen("nodes", f"{file}: {error.strerror}", "run `check` as a user who may read it")
        return
    if _CHOSEN.sub("", text).strip() != _CHOSEN.sub("", wanted).strip():
        yield Finding(
            "nodes.file",
            f"{file} is not what the directory says of the nodes: trunks, media_address, the @ of the states' filter "
            "or a publication may be wrong",
            to_do,
        )


async def _trunks(inspection: Inspection, here: str, peers: Collection[str]) -> AsyncIterator[Finding]:
    """Yields the nodes that this Asterisk has no trunk to, or does not reach."""
    contacts = dict(_CONTACT.findall(await inspection.manager.console("pjsip show contacts")))
    for peer in peers:
        shown = dict(_PARAMETER.findall(await inspection.manager.console(f"pjsip show endpoint {peer}")))
        if shown.get("context") != FROM_NODES:
            yield Finding(
                "nodes.no_trunk",
                f"Asterisk has no trunk to {peer} that ends in {FROM_NODES}: no call crosses",
                f"at the end of pjsip.conf: #include {PJSIP_FILE} (`agentbridge node files {here} {inspection.etc}`); "
                "then `asterisk -rx 'module reload res_pjsip.so'`",
            )
        elif contacts.get(peer) not in {"Avail", None}:
            yield Finding(
                "nodes.unreachable",
                f"{peer} does not answer this Asterisk's OPTIONS: no call crosses, and its device states are old",
                f"look at the network between the nodes, at {peer} itself, and at `agentbridge check` there",
            )
