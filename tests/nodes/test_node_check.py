"""`agentbridge check` on one of three nodes: silent where all is as the directory says, and what it finds where not."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio

from agentbridge.desired.node_files import PJSIP_FILE
from lab.processes import until
from tests.contract.installation import Installation, execute
from tests.nodes.cluster import BUSY_LINE, NODES, Cluster

ADD = "insert into agentbridge.nodes (node, sip_host, sip_port) values "
PREFIX = "nodes."


@pytest_asyncio.fixture
async def node_a(nodes: Cluster, database: str, tmp_path: Path) -> Installation:
    await execute(database, ADD + ", ".join(f"('{n.name}', '{n.sip_host}', {n.sip_port})" for n in NODES))
    pbx = nodes.a.pbx
    return Installation(
        tmp_path,
        pbx,
        database,
        ami={"host": pbx.host},
        ari={"url": f"http://{pbx.host}:{pbx.ari_port}/ari"},
        more='[node]\nname = "nodea"\n',
    )


async def found(installation: Installation) -> set[str]:
    """What it says of nodes; the lab lacks other things on purpose."""
    return {name for name in await installation.check() if name.startswith((PREFIX, "module.", "dialplan."))}


async def test_nothing_is_said_of_nodes_that_are_as_the_directory_says(node_a: Installation) -> None:
    assert {name for name in await found(node_a) if name.startswith(PREFIX)} == set()


@pytest.mark.parametrize(
    ("right", "instead"),
    [("@device_state_filter", "device_state_filter"), ("media_address", ";"), ("type = inbound-publication", "")],
)
async def test_a_file_that_was_typed_or_is_old_is_told(
    node_a: Installation, nodes: Cluster, right: str, instead: str
) -> None:
    file = nodes.a.pbx.etc / PJSIP_FILE
    text = file.read_text()
    try:
        file.write_text(text.replace(right, instead, 1))
        assert PREFIX + "file" in await found(node_a)
        file.unlink()
        assert PREFIX + "no_file" in await found(node_a)
    finally:
        file.write_text(text)


async def test_a_node_of_another_name_has_the_wrong_identity(node_a: Installation) -> None:
    node_a.more = '[node]\nname = "nodeb"\n'
    assert {PREFIX + "entity_id", PREFIX + "file", PREFIX + "no_trunk"} <= await found(node_a)


async def test_a_node_that_nobody_can_reach_is_told(node_a: Installation, database: str) -> None:
    await execute(database, ADD + "('noded', '', 5060)")
    assert PREFIX + "no_address" in await found(node_a)
    await execute(database, "update agentbridge.nodes set retired_at = now() where node = 'noded'")
    assert PREFIX + "no_address" not in await found(node_a)
    await execute(database, ADD + "('nodee', '10.98.0.9', 5060)")
    assert {PREFIX + "file", PREFIX + "no_trunk"} <= await found(node_a)


async def test_a_node_that_does_not_answer_is_told(node_a: Installation, nodes: Cluster) -> None:
    await nodes.switch.unplug(nodes.sites[2])
    try:
        await until(lambda: nodes.a.lost("nodec"), within=BUSY_LINE, what="A finding C gone")
        assert PREFIX + "unreachable" in await found(node_a)
    finally:
        await nodes.switch.plug(nodes.sites[2])
    await nodes.joined()


async def test_a_centre_of_one_node_is_asked_nothing_about_others(node_a: Installation, database: str) -> None:
    await execute(database, "delete from agentbridge.nodes where node <> 'nodea'")
    await execute(database, "update agentbridge.nodes set sip_host = ''")
    node_a.more = '[node]\nname = "other"\n'
    assert {name for name in await found(node_a) if name.startswith(PREFIX)} == set()
