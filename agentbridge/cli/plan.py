"""`agentbridge plan`: the differences now, worked out as the daemon does, changing nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentbridge.cli import output
from agentbridge.cli.options import ConfigPath, Json, awaited, in_directory, log_to_stderr, settings_of
from agentbridge.directory.connecting import Connection

if TYPE_CHECKING:
    from agentbridge.cli.differences import Difference
    from agentbridge.model import Step

SOME = 3
SHOWN = 20
_HELD = """
select key from agentbridge.held h
where confirmed_at is null and ($1::text is null or agentbridge.held_code(h.node) = $1)
    and not exists (select from agentbridge.older_databases o where o.node = h.node and o.confirmed_at is null)
order by key
"""


def register(app: typer.Typer) -> None:
    app.command()(plan)


def plan(
    config: ConfigPath = None,
    as_json: Json = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Let the daemon remove what it holds now, or obey an older database.")
    ] = False,
    code: Annotated[
        str | None, typer.Option(help="With --confirm: only if `status` still shows this code, so nothing else.")
    ] = None,
) -> None:
    """0: there is no difference; 3: there are some."""
    if confirm:
        _confirm(config, code)
        return
    # the other commands don't wait for what it imports
    from agentbridge.cli.differences import work_out

    log_to_stderr()
    found = awaited(work_out(settings_of(config)))
    if as_json:
        output.document(_document(found))
    else:
        _print(found)
    raise typer.Exit(SOME if found.plan.steps or found.plan.problems else 0)


def _confirm(config: Path | None, code: str | None) -> None:
    """Confirms what the daemons hold back now, and prints what that is. Raises Refused where `code` does not fit it."""

    async def work(connection: Connection) -> tuple[list[str], int]:
        held = [row["key"] for row in await connection.fetch(_HELD, code)]
        return held, await connection.fetchval("select agentbridge.confirm_removals(code => $1)", code)

    held, confirmed = in_directory(config, work)
    if not confirmed:
        output.message("no daemon has refused anything")
        return
    for key in held[:SHOWN]:
        output.line(f"confirmed: {key} may be taken out")
    if len(held) > SHOWN:
        output.line(f"confirmed: and {len(held) - SHOWN} more")
    output.message("confirmed: the daemon goes on now")


def _document(found: Difference) -> dict[str, Any]:
    """Returns the difference for `--json`."""
    return {
        "steps": [
            {"key": step.key, "action": type(step.action).__name__, **_plain(step), "was": step.was}
            for step in found.plan.steps
        ],
        "problems": dict(found.plan.problems),
        "refusal": str(found.refusal) if found.refusal else None,
    }


def _plain(step: Step) -> dict[str, Any]:
    """Returns the action's fields for `--json`, without the digest of a secret or the PIN of a voicemail box."""
    from agentbridge.model import Member

    shown: dict[str, Any] = {}
    for field in fields(step.action):
        value = getattr(step.action, field.name)
        if isinstance(value, Mapping):  # of any sort: asdict would copy it, and fail where it can't be
            value = {key: "…" if _is_secret(key) else item for key, item in value.items()}
        shown[field.name] = asdict(value) if isinstance(value, Member) else value
    return shown


def _is_secret(field: str) -> bool:
    return any(word in field for word in ("password", "digest", "cred"))


def _print(found: Difference) -> None:
    """Prints the difference, one line for each step."""
    for step in found.plan.steps:
        fields = " ".join(f"{name}={output.told(value)}" for name, value in _plain(step).items())
        output.line(f"{step.key}: {type(step.action).__name__} {fields}{f' (was {step.was})' if step.was else ''}")
    for key, problem in found.plan.problems.items():
        output.line(f"{key}: {problem}")
    if found.refusal:
        output.message(str(found.refusal))
    if not found.plan.steps and not found.plan.problems:
        output.message("no difference")
