"""`agentbridge plan`: the differences now, worked out as the daemon does, changing nothing."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from agentbridge.asterisk.ami import Account, Timing
from agentbridge.asterisk.ari import Ari
from agentbridge.asterisk.node import Hooks, Node
from agentbridge.cli import output
from agentbridge.cli.options import ConfigPath, Json, in_directory, settings_of
from agentbridge.desired import SipDefaults, desired
from agentbridge.directory.postgres import Directory
from agentbridge.model import Step
from agentbridge.plan import Limit, Plan, Refusal, within
from agentbridge.plan import plan as differences
from agentbridge.settings import Settings

SOME = 3
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Found:
    plan: Plan
    refusal: Refusal | None


def register(app: typer.Typer) -> None:
    app.command()(plan)


def plan(
    config: ConfigPath = None,
    as_json: Json = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Let the daemon do the removals that it has refused.")
    ] = False,
) -> None:
    """0: there is no difference; 3: there are some."""
    if confirm:
        _confirm(config)
        return
    found = asyncio.run(worked_out(settings_of(config)))
    if as_json:
        output.document(_document(found))
    else:
        _print(found)
    raise typer.Exit(SOME if found.plan.steps or found.plan.problems else 0)


def _confirm(config: Path | None) -> None:
    confirmed = in_directory(config, lambda connection: connection.fetchval("select agentbridge.confirm_removals()"))
    if confirmed:
        output.message("confirmed: the daemon removes them now")
    else:
        output.message("no daemon has refused anything")


async def worked_out(settings: Settings) -> Found:
    directory = Directory(
        settings.database.url(), node=settings.node.name, deadline=settings.database.statement_seconds
    )
    ari = Ari(
        settings.ari.url, settings.ari.username, settings.ari.password(), deadline=settings.ari.deadline_seconds
    )
    async with directory, ari:
        node = Node(
            Account(settings.ami.host, settings.ami.port, settings.ami.username, settings.ami.password()),
            ari,
            Hooks(changed=lambda _: None, autopaused=lambda _, __: None, stale=lambda: None),
            timing=Timing(connect=CONNECT_SECONDS, boot=CONNECT_SECONDS),
        )
        links = asyncio.create_task(node.run(), name="links")
        try:
            await node.read_all(timeout=CONNECT_SECONDS)
            return await _compared(settings, directory, node)
        finally:
            links.cancel()
            await asyncio.wait((links,), timeout=1.0)


async def _compared(settings: Settings, directory: Directory, node: Node) -> Found:
    sip = SipDefaults(realm=settings.sip.realm, qualify_seconds=settings.sip.qualify_seconds)
    reading = await directory.read(await directory.keys() | set(node.owned()))
    wanted = {key: desired(subject, sip) for key, subject in reading.subjects.items()}
    planned = differences(wanted, node, reading.queues)
    _, refusal = within(
        Limit(share=settings.limits.removals_share, at_least=settings.limits.removals_at_least),
        planned,
        owned_endpoints=len(node.owned()),
        owned_members=node.count_members(reading.queues),
    )
    return Found(planned, refusal)


def _document(found: Found) -> dict[str, Any]:
    return {
        "steps": [
            {"key": step.key, "action": type(step.action).__name__, **_plain(step), "was": step.was}
            for step in found.plan.steps
        ],
        "problems": dict(found.plan.problems),
        "refusal": str(found.refusal) if found.refusal else None,
    }


def _plain(step: Step) -> dict[str, Any]:
    """The action's fields without the digest of a secret."""
    fields = asdict(step.action)
    for name, value in fields.items():
        if isinstance(value, dict):
            fields[name] = {key: "…" if "digest" in key or "cred" in key else item for key, item in value.items()}
    return fields


def _print(found: Found) -> None:
    for step in found.plan.steps:
        fields = " ".join(f"{name}={output.told(value)}" for name, value in _plain(step).items())
        output.line(f"{step.key}: {type(step.action).__name__} {fields}{f' (was {step.was})' if step.was else ''}")
    for key, problem in found.plan.problems.items():
        output.line(f"{key}: {problem}")
    if found.refusal:
        output.message(str(found.refusal))
    if not found.plan.steps and not found.plan.problems:
        output.message("no difference")


