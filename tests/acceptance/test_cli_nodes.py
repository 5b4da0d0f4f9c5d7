"""`agentbridge node`: the nodes of the centre, as an administrator sees and moves them."""

from tests.acceptance.shell import Shell, execute

BEATS = (
    "select agentbridge.heartbeat(n, now(), null, true, null, 0, 0, '1', '{}', '{}', '{}')"
    " from unnest('{a,b}'::text[]) n;"
    "update agentbridge.nodes set up_at = now() + interval '1 hour', seen_at = now() + interval '1 hour'"
)


async def test_nodes_are_added_listed_brought_home_and_retired(shell: Shell) -> None:
    await execute(shell, "insert into agentbridge.users (username, role) values ('boss', 'admin'), ('nobody', 'user')")
    added = await shell("--user", "boss", "node", "add", "a", "10.0.0.1")
    assert added.out == "node a is reached at 10.0.0.1:5060\n"
    told = (await shell("node", "add", "b", "node-b.example", "--sip-port", "5062", "--no-queues", "--json")).json
    assert told == {"node": "b", "sip_host": "node-b.example", "sip_port": 5062, "serves_queues": False}
    states = {row["node"]: row["state"] for row in (await shell("node", "list", "--json")).json}
    assert states == {"a": "new", "b": "new"}
    assert "node a: its daemon was never there" in (await shell("status", status=4)).out

    await shell("node", "add", "b", "node-b.example", "--sip-port", "5062")
    await execute(shell, f"{BEATS}; insert into agentbridge.queues (name) values ('sales')")
    moved = await shell("node", "home", "b", "--queue", "sales", "--yes", "--json")
    assert moved.json["node"] == "b"
    rows = {row["node"]: row for row in (await shell("node", "list", "--json")).json}
    assert (rows["a"]["queues"], rows["b"]["queues"], rows["b"]["state"]) == (0, 1, "up")
    assert (await shell("queue", "show", "sales", "--json")).json["serving_node"] == "b"
    assert "`node home`" in (await shell("queue", "set", "sales", "home_node=a", status=1)).err

    folder = shell.config.parent / "asterisk"
    written = (await shell("node", "files", "a", str(folder), "--transport", "lan")).out.split()
    assert sorted(written) == sorted(str(file) for file in folder.iterdir())
    trunks = (folder / "agentbridge-nodes-pjsip.conf").read_text()
    assert "contact = sip:node-b.example:5062" in trunks
    assert "transport = lan" in trunks
    assert "no node 'zz'" in (await shell("node", "files", "zz", str(folder), status=1)).err

    assert (await shell("node", "retire", "b", "--yes")).out == "node b is retired\n"
    await execute(shell, BEATS)
    rows = {row["node"]: row for row in (await shell("node", "list", "--json")).json}
    assert (rows["a"]["queues"], rows["b"]["state"]) == (1, "retired")
    await shell("node", "files", "a", str(folder))
    assert "node-b" not in (folder / "agentbridge-nodes-pjsip.conf").read_text(), "a retired one has no trunk"
    assert "serves queues, and no other" in (await shell("node", "retire", "a", "--yes", status=1)).err
    assert "there is no node zz" in (await shell("node", "home", "zz", "--yes", status=1)).err
    for words in (("node", "list"), ("node", "add", "c", "10.0.0.3")):
        assert "nobody" in (await shell("--user", "nobody", *words, status=1)).err
