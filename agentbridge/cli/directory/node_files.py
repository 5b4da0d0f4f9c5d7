"""`agentbridge node files`: what Asterisk's files of a node say about the other nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentbridge.cli.files import write_file
from agentbridge.cli.options import ConfigPath, in_directory
from agentbridge.directory import nodes


def register(app: typer.Typer) -> None:
    app.command()(files)


def files(
    name: Annotated[str, typer.Argument(metavar="NODE", help="The node that the files are for.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made when it is not there; old files are replaced.")],
    transport: Annotated[
        str,
        typer.Option(help="The section of pjsip.conf by which the nodes reach each other; empty: Asterisk's choice."),
    ] = "",
    codec: Annotated[
        list[str] | None, typer.Option(help="Of calls between nodes, the preferred one first. Repeat it.")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Write the trunks to all other nodes, the states shared with them, and this node's identity, for Asterisk."""
    # the other commands don't need what it imports
    from agentbridge.desired.node_files import node_files

    written = node_files(
        name, in_directory(config, nodes.reachable), transport=transport, codecs=codec or ("ulaw", "alaw")
    )
    for file, text in written.items():
        write_file(folder / file, text.encode())
