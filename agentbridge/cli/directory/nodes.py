"""`agentbridge node`: the Asterisk nodes of the centre, where there are several."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory import node_files
from agentbridge.cli.options import ConfigPath, Json, Yes, acting_user, in_directory
from agentbridge.directory import nodes

app = typer.Typer(
    help="The Asterisk nodes of the centre, each with its daemon: see docs/nodes.md.", no_args_is_help=True
)
node_files.register(app)
Name = Annotated[str, typer.Argument(metavar="NODE", help="As `[node] name` of its daemon's configuration.")]


@app.command("list")
def list_nodes(config: ConfigPath = None, as_json: Json = False) -> None:
    """Nodes, how each of them is, and how many queues, members and devices it has."""
    output.records(in_directory(config, nodes.listed), as_json=as_json)


@app.command()
def add(
    name: Name,
    sip_host: Annotated[str, typer.Argument(metavar="SIP-HOST", help="Where the other nodes reach it.")],
    sip_port: Annotated[int, typer.Option(help="Its SIP port.")] = 5060,
    queues: Annotated[bool, typer.Option("--queues/--no-queues", help="Whether it serves queues.")] = True,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Make a node known to the others, or change what they know of it; brings back one that was retired."""
    # the other commands don't need what it imports
    from agentbridge.model import Node

    node = Node(name, sip_host, sip_port)
    in_directory(config, lambda c: nodes.add(c, node, serves_queues=queues, actor=_actor()))
    if as_json:
        output.document({"node": name, "sip_host": sip_host, "sip_port": sip_port, "serves_queues": queues})
    else:
        output.line(f"node {name} is reached at {sip_host}:{sip_port}")


@app.command()
def retire(name: Name, config: ConfigPath = None, yes: Yes = False, as_json: Json = False) -> None:
    """Take a node out of service: others serve its queues, and callers who wait there are stranded."""
    if not yes:
        typer.confirm(f"Callers who wait in queues of {name} stay there without agents. Retire it?", abort=True)
    in_directory(config, lambda c: nodes.retire(c, name, actor=_actor()))
    if as_json:
        output.document({"node": name, "retired": True})
    else:
        output.line(f"node {name} is retired")


@app.command()
def home(
    name: Name,
    queue: Annotated[
        list[str] | None, typer.Option(help="This queue, which belongs to the node from now on. Repeat it.")
    ] = None,
    config: ConfigPath = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Bring the queues that belong to a node home to it. Callers who wait in them are stranded on the other node."""
    if not yes:
        typer.confirm(f"Callers who wait in queues that move to {name} stay behind without agents. Go on?", abort=True)
    moved = in_directory(config, lambda c: nodes.home(c, name, queue, actor=_actor()))
    if as_json:
        output.document({"node": name, "moved": moved})
    else:
        output.line(f"{moved} queues moved to {name}")


def _actor() -> str:
    """Returns who acts, for the audit."""
    user = acting_user()
    return f"user:{user}" if user else "cli"
