"""`agentbridge status`: what the daemons said lately, from the database alone."""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Any

import typer

from agentbridge.cli import output
from agentbridge.cli.options import ConfigPath, Json, in_directory
from agentbridge.directory import migrate
from agentbridge.directory.connecting import Connection
from agentbridge.errors import Refused

SILENT_SECONDS = 15
"""a daemon says every two seconds that it is there"""
SHOWN = 20
_STATUS = """
select jsonb_build_object(
    'nodes', coalesce((select jsonb_agg(jsonb_build_object(
            'node', n.node, 'version', n.version, 'started_at', n.started_at, 'seen_at', n.seen_at,
            'alive', coalesce(n.seen_at > clock_timestamp() - make_interval(secs => $1), false),
            'state', s.state, 'trouble', s.trouble, 'queues', s.queues,
            'asterisk_up', n.asterisk_up, 'lag_seconds', n.lag_seconds, 'pending', n.pending, 'failed', n.failed,
            'lacks', n.lacks, 'taken', n.taken,
            'refused', (select jsonb_build_object('removals', count(*), 'of', max(h.owned), 'since', min(h.since),
                    'code', agentbridge.held_code(n.node))
                from agentbridge.held h where h.node = n.node and h.confirmed_at is null having count(*) > 0),
            'recordings', jsonb_build_object('unmeasured', n.recordings_unmeasured, 'silent', n.recordings_silent,
                'closed', n.recordings_closed),
            'older', (select reason from agentbridge.older_databases o
                where o.node = n.node and o.confirmed_at is null)) order by n.node)
        from agentbridge.nodes n join agentbridge.node_status s using (node) where n.retired_at is null), '[]'),
    'pending_agents', coalesce((select jsonb_agg(username order by username) from agentbridge.agent_status s
        where s.pending and s.error is null), '[]'),
    'waits', coalesce((select jsonb_object_agg(username, waits_for) from agentbridge.agent_status
        where waits_for is not null), '{}'),
    'failed', coalesce((select jsonb_agg(jsonb_build_object('node', node, 'key', key, 'error', error)
        order by node, key) from agentbridge.applied
        where error is not null and node in (select k.node from agentbridge.known_nodes() k)), '[]'),
    'agents', (select count(*) from agentbridge.agents),
    'logged_in', (select count(*) from agentbridge.sessions),
    'paused', (select count(*) from agentbridge.sessions where paused))
"""


class Exit(IntEnum):
    """The exit status of `status`."""

    CONVERGED = 0
    NOT_CONVERGED = 1
    NO_DAEMON = 4


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(config: ConfigPath = None, as_json: Json = False) -> None:
    """0: Asterisk is as the directory says; 1: not yet, or something failed; 4: no daemon runs."""
    found = in_directory(config, read)
    if as_json:
        output.document(found)
    else:
        _print(found)
    raise typer.Exit(exit_status(found))


async def read(connection: Connection) -> dict[str, Any]:
    """Returns what the directory knows of nodes and agents. Raises Refused where its schema is not this program's."""
    if problem := (await migrate.status(connection)).problem:
        raise Refused(problem)
    found: dict[str, Any] = json.loads(await connection.fetchval(_STATUS, float(SILENT_SECONDS)))
    return found | {"state": exit_status(found).name.lower()}


def exit_status(found: dict[str, Any]) -> Exit:
    """Returns the exit status: whether every node lives and has all that the directory says."""
    alive = [node for node in found["nodes"] if node["alive"]]
    if not alive:
        return Exit.NO_DAEMON
    fine = len(alive) == len(found["nodes"]) and all(
        node["asterisk_up"]
        and node["state"] == "up"
        and not (node["pending"] or node["failed"] or node["refused"] or node["older"])
        for node in alive
    )
    return Exit.CONVERGED if fine and not found["pending_agents"] and not found["failed"] else Exit.NOT_CONVERGED


def _print(found: dict[str, Any]) -> None:
    """Prints the state of nodes and agents."""
    # the other commands don't need what it imports
    from agentbridge.asterisk.capabilities import meaning

    output.line(found["state"].replace("_", " "))
    for node in found["nodes"]:
        output.line(f"node {node['node']}: {_in_words(node)}")
        for line in _trouble(node["recordings"]):
            output.line(f"node {node['node']}: {line}")
        if taken := node["taken"]:
            output.line(f"node {node['node']}: Asterisk has by its own files, so that no agent gets: {_few(taken)}")
        for lack in node["lacks"]:
            output.line(f"node {node['node']}: this Asterisk lacks {lack}: {meaning(lack)}")
    output.line(f"agents: {found['agents']}, logged in {found['logged_in']}, on pause {found['paused']}")
    waits = found["waits"]
    _some("pending", [": ".join(filter(None, (f"agent {name}", waits.get(name)))) for name in found["pending_agents"]])
    _some("failed", [f"{one['key']} on {one['node']}: {one['error']}" for one in found["failed"]])


def _trouble(recordings: dict[str, Any]) -> list[str]:
    """Returns lines about recordings that are not written or can't be measured."""
    lines = []
    if unmeasured := recordings["unmeasured"]:
        lines.append(f"{unmeasured} recordings have no length and no end, since their files can't be looked at")
    if silent := recordings["silent"]:
        lines.append(f"{silent} running calls are NOT being recorded: Asterisk writes no file, see its log")
    lines += [
        f"{folder} can't be read ({why}): the daemon's user needs the group that may"
        for folder, why in recordings["closed"].items()
    ]
    return lines


def _few(names: list[str]) -> str:
    return " ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _some(what: str, lines: list[str]) -> None:
    """Prints the first of these lines, and how many more there are."""
    for line in lines[:SHOWN]:
        output.line(f"{what}: {line}")
    if len(lines) > SHOWN:
        output.line(f"{what}: and {len(lines) - SHOWN} more; --json has all")


def _in_words(node: dict[str, Any]) -> str:
    """Returns the state of one node in words."""
    if node["state"] in {"lost", "new"}:
        return f"lost: {node['trouble']}" if node["state"] == "lost" else "its daemon was never there"
    if not node["alive"]:
        return f"no daemon since {node['seen_at']}"
    asterisk = "Asterisk up" if node["asterisk_up"] else "Asterisk away"
    lag = f", lag {node['lag_seconds']:.3f} s" if node["lag_seconds"] is not None else ""
    reach = f", {words}" if (words := node["trouble"]).startswith("not reached") else ""
    text = f"{asterisk}, {node['pending']} pending, {node['failed']} failed{lag}{reach}"
    if refused := node["refused"]:
        text += (
            f", refused to remove {refused['removals']} of {refused['of']}, gone from the directory without "
            "having been taken away: look at `agentbridge plan`, then "
            f"`agentbridge plan --confirm --code {refused['code']}`"
        )
    if older := node["older"]:
        text += f", does not obey this database: {older}; if it is the right one, `agentbridge plan --confirm`"
    return text
