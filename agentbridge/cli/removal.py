"""Takes out of an Asterisk all that is agentbridge's, and says what else is left: the work of `agentbridge remove`."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from agentbridge.asterisk.ami.link import Account, Timing
from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.listener import NoListener
from agentbridge.asterisk.node import Node
from agentbridge.cli import output
from agentbridge.cli.options import connected
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.desired.state import reserve
from agentbridge.directory.node_lock import lock_key
from agentbridge.directory.postgres import Directory
from agentbridge.errors import AgentbridgeError, Refused, Unavailable
from agentbridge.model import (
    DeleteMailbox,
    DeleteObject,
    DeletePolicy,
    DesiredState,
    DropContact,
    EndpointId,
    ObjectKind,
    ObservedState,
    RemoveMember,
    Step,
)
from agentbridge.plan.difference import Plan, plan
from agentbridge.reconcile.pace import Pace
from agentbridge.reconcile.work_queue import Cause
from agentbridge.reconcile.writer import Writer
from agentbridge.settings import Settings

CONNECT_SECONDS = 10.0
SHOWN = 10
"""names in a list, of which there may be thousands"""
_LAMP = re.compile(r"/CustomDevstate/(agent[0-9]{1,16})")
_ETC = re.compile(r"Configuration directory:\s+(\S+)")
_INCLUDES_US = re.compile(r"^[^;]*agentbridge", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Ours:
    """What of agentbridge is in this Asterisk: `plan` takes it out, `lamps` are its device states, `strangers` ids that
    stay."""

    plan: Plan
    lamps: Sequence[str]
    strangers: Sequence[EndpointId]


async def take_all_out(settings: Settings, *, ask: bool, without_directory: bool) -> None:
    """Removes every object, member, policy key, mailbox and lamp of ours; prints what was and what is left.

    `ask` lets the user confirm what was found. Raises Refused while a daemon works for this node, and when something
    could not be taken out.
    """
    async with _reserve_node(settings, without_directory=without_directory) as known, _node(settings) as node:
        await _check_nobody_else_works_here(node, settings.ami.username)
        ours = await _ours(node, settings, known)
        if ask and (ours.plan.steps or ours.lamps):
            typer.confirm(f"This takes out of Asterisk: {_in_words(ours)}. Go on?", abort=True)
        failures = await _take_out(node, settings, ours)
        for key, reason in failures.items():
            output.message(f"{key}: {reason}")
        output.line(f"taken out: {_in_words(ours)}")
        for line in await _left(node, ours):
            output.line(f"left: {line}")
        if failures:
            raise Refused(f"{len(failures)} could not be taken out; run it again")


@asynccontextmanager
async def _reserve_node(settings: Settings, *, without_directory: bool) -> AsyncIterator[Collection[EndpointId]]:
    """Holds the node's lock inside the block, so that no daemon can begin there; yields the ids that the directory may
    use."""
    if without_directory:
        yield ()
        return
    try:
        async with connected(settings) as connection:
            if not await connection.fetchval("select pg_try_advisory_lock($1)", lock_key(settings.node.name)):
                raise Refused(
                    f"a daemon works for the node {settings.node.name}: stop it first, "
                    "`systemctl disable --now agentbridge`"
                )
            directory = Directory(
                settings.database.url(), node=settings.node.name, deadline=settings.database.statement_seconds
            )
            async with directory:
                known = {*await directory.keys(), *await directory.reserve()}
            yield known
    except Unavailable as error:
        raise Refused(f"{error}; if the database is gone for good: --without-directory") from error


@asynccontextmanager
async def _node(settings: Settings) -> AsyncIterator[Node]:
    """Opens an Asterisk and reads it."""
    ari = Ari(settings.ari.url, settings.ari.username, settings.ari.password(), deadline=settings.ari.deadline_seconds)
    account = Account(settings.ami.host, settings.ami.port, settings.ami.username, settings.ami.password())
    async with ari, asyncio.TaskGroup() as tasks:
        node = Node(
            account,
            ari,
            NoListener(),
            timing=Timing(connect=CONNECT_SECONDS, boot=CONNECT_SECONDS),
        )
        links = tasks.create_task(node.run(), name="links")
        await node.read_all(timeout=CONNECT_SECONDS)
        yield node
        links.cancel()


async def _check_nobody_else_works_here(node: Node, username: str) -> None:
    """Raises Refused where another daemon is connected to this Asterisk.

    A daemon on another database has the same account and no lock in ours.
    """
    shown = await node.command("manager show connected", timeout=CONNECT_SECONDS)
    others = sum(line.split()[:1] == [username] for line in shown.splitlines()) - node.sessions
    if others > 0:
        raise Refused(
            f"AMI: {others} other sessions of the account {username} are connected: a daemon, or "
            "another command; stop it first"
        )


async def _ours(node: Node, settings: Settings, known: Collection[EndpointId]) -> _Ours:
    """Finds all that agentbridge has put into this Asterisk."""
    spare = reserve(
        SipDefaults(
            realm=settings.sip.realm,
            qualify_seconds=settings.sip.qualify_seconds,
            browser_qualify_seconds=settings.browser.qualify_seconds,
        )
    )
    stored = set(node.stored())
    ours = set(node.owned()) | {
        key for key in stored if _is_remainder(node.state(key), in_directory=key in known, spare=spare)
    }
    states = await node.action_list("DBGetTree", {"Family": "CustomDevstate"}, timeout=CONNECT_SECONDS)
    lamps = [found[1] for state in states if (found := _LAMP.fullmatch(state.get("Key")))]
    planned = plan(dict.fromkeys(ours, DesiredState()), node, node.queues())
    # registrations go with their AORs
    steps = tuple(step for step in planned.steps if not isinstance(step.action, DropContact))
    steps += tuple(Step(EndpointId(path), DeletePolicy(path)) for path in node.queue_policy())
    return _Ours(replace(planned, steps=steps), lamps, sorted(stored - ours))


def _is_remainder(found: ObservedState, *, in_directory: bool, spare: DesiredState) -> bool:
    """Whether objects that our AstDB family does not list are ours: the AOR of a number in reserve, or a part of an
    endpoint.

    A whole endpoint that is not in our family was put there by somebody else.
    """
    if ObjectKind.ENDPOINT in found.objects:
        return False
    return in_directory or found.objects == spare.objects


async def _take_out(node: Node, settings: Settings, ours: _Ours) -> dict[EndpointId, str]:
    """Removes everything in `ours` from Asterisk; returns the ids that could not be removed, each with the reason."""
    writer = Writer(node, Pace(node.depth, clock=time.monotonic, ceiling=settings.pace.ceiling), time.monotonic)
    causes = {step.key: Cause.CHANGE for step in ours.plan.steps}
    failures = {**ours.plan.problems, **(await writer.write(ours.plan.steps, causes, lambda: None)).failures}
    for lamp in ours.lamps:
        try:
            await _darken(node, lamp)
        except AgentbridgeError as error:
            failures[EndpointId(lamp)] = str(error)
    return failures


async def _darken(node: Node, lamp: str) -> None:
    """Sets a busy lamp to UNAVAILABLE, for the telephones that watch it, and deletes its device state; UNKNOWN can't be
    set."""
    state = {"Variable": f"DEVICE_STATE(Custom:{lamp})", "Value": "UNAVAILABLE"}
    await node.action("Setvar", state, timeout=CONNECT_SECONDS)
    await node.action("DBDel", {"Family": "CustomDevstate", "Key": lamp}, timeout=CONNECT_SECONDS)


def _in_words(ours: _Ours) -> str:
    """Returns in words how much would be removed."""
    words: dict[type, str] = {
        RemoveMember: "queue members",
        DeleteObject: "PJSIP objects",
        DeletePolicy: "keys of the AstDB",
        DeleteMailbox: "voicemail boxes",
    }
    counts = Counter(words[type(step.action)] for step in ours.plan.steps)
    if ours.lamps:
        counts["lamps"] = len(ours.lamps)
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "nothing, since nothing is there"


async def _left(node: Node, ours: _Ours) -> list[str]:
    """Returns what this command does not remove, each with where it is."""
    settings = await node.command("core show settings", timeout=CONNECT_SECONDS)
    found = _ETC.search(settings)
    etc = Path(found[1]) if found else Path("/etc/asterisk")
    left = [f"{file}: what it has of agentbridge" for file in _files(etc)]
    if ours.strangers:
        more = f" and {len(ours.strangers) - SHOWN} more" if len(ours.strangers) > SHOWN else ""
        left.append(f"PJSIP objects that somebody else pushed: {', '.join(ours.strangers[:SHOWN])}{more}")
    return [
        *left,
        "recordings (monitor/agentbridge) and messages (voicemail/agentbridge) below Asterisk's spool",
        "the database, the configuration with its secrets, the unit and the program: see docs/installing.md",
    ]


def _files(etc: Path) -> list[Path]:
    """Returns the files in Asterisk's configuration folder that mention agentbridge; unreadable ones are left out."""
    found = []
    for file in sorted(etc.glob("*.conf")):
        try:
            if _INCLUDES_US.search(file.read_text("utf-8", errors="replace")):
                found.append(file)
        except OSError:
            continue
    return found
