"""What a node's files say about the others, and what they refuse to say."""

from __future__ import annotations

import re

import pytest

from agentbridge.desired.node_files import ASTERISK_FILE, PJSIP_FILE, entity_id, node_files
from agentbridge.errors import Refused
from agentbridge.model import Node

A, B, C = Node("nodea", "10.0.0.1"), Node("nodeb", "10.0.0.2", 5070), Node("nodec", "fd00::3")


def sections(text: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        if name := re.fullmatch(r"\[(.+)\]", line):
            found.append({"": name[1]})
        elif pair := re.fullmatch(r"(@?\w[\w-]*) = (.+)", line):
            found[-1][pair[1]] = pair[2]
    return found


def test_each_node_has_a_trunk_and_a_publication_to_each_other_and_none_to_itself() -> None:
    found = sections(node_files("nodea", [C, A, B], transport="lan")[PJSIP_FILE])
    kinds = ["aor", "identify", "endpoint", "outbound-publish", "inbound-publication", "asterisk-publication"]
    assert [section["type"] for section in found] == kinds * 2
    assert "10.0.0.1" not in {value for section in found for key, value in section.items() if key != "media_address"}
    aor, identify, endpoint, publish, _, shared = found[:6]
    assert (aor[""], aor["contact"], aor["qualify_frequency"]) == ("nodeb", "sip:10.0.0.2:5070", "1")
    assert identify["match"] == "10.0.0.2"
    assert (endpoint["media_address"], endpoint["identify_by"]) == ("10.0.0.1", "ip")
    # B takes it as of nodea: the user of the address
    assert publish["server_uri"] == "sip:nodea@10.0.0.2:5070"
    assert publish["@device_state_filter"] == shared["device_state_filter"] == "^(PJSIP/|Custom:agent)"
    assert publish["transport"] == endpoint["transport"] == "lan"
    assert found[6]["contact"] == "sip:[fd00::3]:5060"


def test_a_centre_of_one_node_has_no_trunk() -> None:
    assert sections(node_files("nodea", [A])[PJSIP_FILE]) == []


def test_a_nodes_states_are_known_by_its_name() -> None:
    assert f"entityid = {entity_id('nodea')}\n" in node_files("nodea", [A, B])[ASTERISK_FILE]
    assert re.fullmatch("02(:[0-9a-f]{2}){5}", entity_id("nodea"))
    assert entity_id("nodea") != entity_id("nodeb")


def test_a_host_name_is_no_media_address() -> None:
    assert "media_address" not in node_files("nodea", [Node("nodea", "a.example.org"), B])[PJSIP_FILE]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([Node("nodea", "10.0.0.1\ncontext=x"), B], "the SIP address of nodea"),
        ([A, Node("no de", "10.0.0.2")], "a node's name"),
        ([A, Node("nodeb", "10.0.0.2", 0)], "the SIP port of nodeb"),
        ([A, Node("nodeb", "10.0.0.1", 5070)], "nodea and nodeb have the SIP address 10.0.0.1 both"),
        ([B, C], "no node 'nodea'"),
    ],
)
def test_what_asterisk_would_misread_is_refused(nodes: list[Node], message: str) -> None:
    with pytest.raises(Refused, match=message):
        node_files("nodea", nodes)


def test_a_transport_that_ends_its_line_is_refused() -> None:
    with pytest.raises(Refused, match="transport"):
        node_files("nodea", [A, B], transport="udp\n[x]")
