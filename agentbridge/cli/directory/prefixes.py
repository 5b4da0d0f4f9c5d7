"""`agentbridge prefix`: what agents with prefix_required dial before an outside number (A19)."""

from __future__ import annotations

import typer

from agentbridge.cli.directory.common import Group
from agentbridge.directory.kinds import PREFIX

app = typer.Typer(help="Prefixes that agents choose from for outside calls. Fields: label.", no_args_is_help=True)
_group = Group(app=app, kind=PREFIX, metavar="PREFIX")
_group.create("Offer one more prefix.", lambda made: f"prefix {made['prefix']} is made")
_group.list("Prefixes with their labels.")
_group.edit(
    show="One prefix.",
    delete="Who must choose one can't choose it any more; with the last one, those agents can't call outside.",
    set_="Change its label; shows what changed, old → new.",
)
