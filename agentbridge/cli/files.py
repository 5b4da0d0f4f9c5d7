"""`agentbridge files`: dialplan, snippets of Asterisk's configuration, unit and template, as this version has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import agentbridge
from agentbridge.cli import output
from agentbridge.errors import Refused

SHARED = "share/agentbridge/"
"""where the wheel has them, below the environment's folder"""
IN_SOURCES = {
    **dict.fromkeys(("agentbridge.toml", "asterisk", "nginx", "caddy", "grafana", "prometheus"), "config"),
    **dict.fromkeys(("dialplan", "systemd"), "."),
}
"""name → its folder in the sources"""


def register(app: typer.Typer) -> None:
    app.command()(files)


def files(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made when it is not there; what it has is replaced.")],
) -> None:
    """Write out what an installation needs besides the program: see docs/installing.md."""
    for name, source in sorted(_shipped_files().items()):
        write_file(folder / name, source.read_bytes())


def write_file(target: Path, content: bytes) -> None:
    """Writes a file, with its folder where there is none, and prints its path. Raises Refused."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError as error:
        raise Refused(f"{target}: can't be written: {error.strerror}") from error
    output.line(str(target))


def _shipped_files() -> dict[str, Path]:
    """Returns the files that an installation gets, by path in it: from the installed wheel, else from the source
    tree."""
    # the other commands don't need it
    from importlib import metadata

    recorded = metadata.distribution("agentbridge").files or ()
    installed = {str(file).partition(SHARED)[2]: Path(str(file.locate())) for file in recorded if SHARED in str(file)}
    return installed or _of_sources(Path(agentbridge.__file__).parents[1])


def _of_sources(top: Path) -> dict[str, Path]:
    """Returns the files of a source tree that an installation gets, by their path in the installation."""
    return {
        str(file.relative_to(top / parent)): file
        for name, parent in IN_SOURCES.items()
        for file in (top / parent / name, *(top / parent / name).rglob("*"))
        if file.is_file()
    }
