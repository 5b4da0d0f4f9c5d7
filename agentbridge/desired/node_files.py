"""What Asterisk's files of one node say about the others: trunks, shared device states, its own identity. Pure.

docs/nodes.md says what each line is for, and what happens without it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from ipaddress import ip_address

from agentbridge.errors import Refused
from agentbridge.model import Node

PJSIP_FILE = "agentbridge-nodes-pjsip.conf"
ASTERISK_FILE = "agentbridge-nodes-asterisk.conf"
STATES = "^(PJSIP/|Custom:agent)"
"""the device states that the nodes tell each other: phones, and the lamps of agents"""
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_HOST = re.compile(r"[A-Za-z0-9.:-]+")
_PEER = """
; ---------------------------------------------------------------- {peer.name}
[{peer.name}]
type = aor
contact = sip:{host}:{peer.sip_port}
qualify_frequency = 1
qualify_timeout = 1.0

[{peer.name}]
type = identify
endpoint = {peer.name}
match = {peer.sip_host}

; by its address alone: whoever gave its name would be let in without a password
[{peer.name}]
type = endpoint
identify_by = ip{transport}
context = agentbridge-from-nodes
aors = {peer.name}
disallow = all
allow = {codecs}
direct_media = no
trust_id_inbound = yes
trust_id_outbound = yes
send_pai = yes{media_address}
; a node that dies sends nothing any more: its calls end after half a minute, and silence in a call is kept alive
rtp_keepalive = 5
rtp_timeout = 30
rtp_timeout_hold = 30

; the @ makes it a setting of the publisher: without it no state ever flows, and nothing shows it
[{peer.name}-devicestate]
type = outbound-publish
server_uri = sip:{here.name}@{host}:{peer.sip_port}
event = asterisk-devicestate
expiration = 60{transport}
@device_state_filter = {states}

[{peer.name}]
type = inbound-publication
event_asterisk-devicestate = {peer.name}

[{peer.name}]
type = asterisk-publication
devicestate_publish = {peer.name}-devicestate
device_state = yes
device_state_filter = {states}
"""


def node_files(
    name: str, nodes: Collection[Node], *, transport: str = "", codecs: Collection[str] = ("ulaw", "alaw")
) -> dict[str, str]:
    """Returns Asterisk's configuration for that node with trunks to the others, from file name to text.

    transport: the section of pjsip.conf by which the nodes reach each other; '' leaves the choice to Asterisk. codecs:
    of the calls between nodes, the preferred one first. Raises Refused for a node that is not among them, for a name or
    address that can't stand in such a file, and for two nodes that Asterisk could not tell apart.
    """
    for node in nodes:
        _check(node)
    for word in (*codecs, *([transport] if transport else [])):
        if not _NAME.fullmatch(word):
            raise Refused(f"transport and codecs must be letters, digits, _ and -, not {word!r}")
    here = next((node for node in nodes if node.name == name), None)
    if here is None:
        raise Refused(f"no node {name!r} that others can reach: `agentbridge node add` says where it is")
    _check_apart(nodes)
    peers = sorted((node for node in nodes if node.name != name), key=lambda node: node.name)
    return {
        ASTERISK_FILE: _asterisk(here),
        PJSIP_FILE: _pjsip(here, peers, transport=transport, codecs=",".join(codecs)),
    }


def entity_id(name: str) -> str:
    """Returns the entity id (a MAC address) by which a node's device states are told from those of others.

    It follows from the name, so that it stays the same wherever the node runs.
    """
    # 02: an address that no card has
    return ":".join(("02", *(f"{byte:02x}" for byte in sha256(name.encode()).digest()[:5])))


def _check(node: Node) -> None:
    """Raises Refused for a name, address or port that can't stand in Asterisk's files."""
    if not _NAME.fullmatch(node.name):
        raise Refused(f"a node's name must be letters, digits, _ and -, not {node.name!r}")
    if not _HOST.fullmatch(node.sip_host):
        raise Refused(f"the SIP address of {node.name} must be an IP address or a host name, not {node.sip_host!r}")
    if not 0 < node.sip_port < 2**16:
        raise Refused(f"the SIP port of {node.name} must be 1 to 65535, not {node.sip_port}")


def _check_apart(nodes: Collection[Node]) -> None:
    """Raises Refused for two nodes with one address, by which Asterisk knows who calls, or with one identity."""
    kinds: Mapping[str, Mapping[str, str]] = {
        "the SIP address": {node.name: node.sip_host.lower() for node in nodes},
        "the entity id": {node.name: entity_id(node.name) for node in nodes},
    }
    for what, values in kinds.items():
        owners: dict[str, str] = {}
        for name, value in values.items():
            if other := owners.get(value):
                raise Refused(f"{other} and {name} have {what} {value} both: calls and states would be mixed up")
            owners[value] = name


def _asterisk(here: Node) -> str:
    """Returns the text for asterisk.conf."""
    return (
        f"; written by `agentbridge node files` for {here.name}. Copy it into asterisk.conf, then restart Asterisk.\n"
        "; Copied and not included: where an #include there is not found, Asterisk starts without any of its folders.\n"
        "[options](+)\n"
        f"entityid = {entity_id(here.name)}\n"
    )


def _pjsip(here: Node, peers: Collection[Node], *, transport: str, codecs: str) -> str:
    """Returns the text for pjsip.conf: the trunks to all other nodes, and the device states that they exchange."""
    media_address = f"\nmedia_address = {here.sip_host}" if _is_address(here.sip_host) else ""
    sections = (
        _PEER.format(
            peer=peer,
            here=here,
            host=f"[{peer.sip_host}]" if ":" in peer.sip_host else peer.sip_host,
            transport=f"\ntransport = {transport}" if transport else "",
            codecs=codecs,
            media_address=media_address,
            states=STATES,
        )
        for peer in peers
    )
    return (
        f"; written by `agentbridge node files` for {here.name}. At the end of pjsip.conf: #include {PJSIP_FILE}\n"
        "; then: asterisk -rx 'module reload res_pjsip.so'\n"
    ) + "".join(sections)


def _is_address(host: str) -> bool:
    """Whether it is an IP address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
