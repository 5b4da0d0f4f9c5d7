"""The commands that every kind of thing has: list, show, create, set, delete, and the secret of a phone."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from agentbridge.cli import output
from agentbridge.cli.options import acting_user, assignments, in_directory
from agentbridge.directory import admin, authority
from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT, QUEUE, Kind
from agentbridge.directory.values import parsed
from agentbridge.errors import Refused


def show_list(config: Path | None, kind: Kind, page: admin.Page, *, as_json: bool) -> None:
    """Prints a page of records, and the command that shows the next page."""
    rows = in_directory(config, lambda connection: admin.listed(connection, kind, page))
    output.records(rows, as_json=as_json)
    if len(rows) == page.limit:
        output.message(f"these are {len(rows)}; for more: --offset {page.offset + page.limit}")


def show_one(config: Path | None, kind: Kind, key: str, *, as_json: bool) -> None:
    """Prints a record. Raises Refused where it is absent or the acting user may not see it."""

    async def work(connection: Connection) -> admin.Record:
        if kind is AGENT:
            await _must_own(connection, kind, [key])
        if kind is QUEUE:
            await authority.must_have_queue(connection, acting_user(), key)
        return await admin.shown(connection, kind, key)

    output.record(in_directory(config, work), as_json=as_json)


async def _must_own(connection: Connection, kind: Kind, keys: Sequence[str]) -> None:
    """Raises Refused where the acting user may not change these records; without such a user everything is allowed."""
    if kind is AGENT:
        await authority.must_manage(connection, acting_user(), keys)
    else:
        await authority.must_administer(connection, acting_user(), f"change {kind.name}s")


async def create(connection: Connection, kind: Kind, key: str, given: dict[str, str]) -> admin.Record:
    """Creates a record and returns it as shown. Raises Refused.

    Whether the acting user may manage a new agent is known only when it is in its queues: see `agent create`.
    """
    _refuse_secrets(kind, given)
    if kind is not AGENT:
        await _must_own(connection, kind, [key])
    await authority.must_set(connection, acting_user(), given)
    known = await admin.fields(connection, kind)
    made = await admin.create(connection, kind, parsed(known, kind, {kind.field: key, **given}))
    return await admin.shown(connection, kind, made)


def _refuse_secrets(kind: Kind, given: Iterable[str]) -> None:
    """Raises Refused for a secret given on the command line, which all users of the machine could see."""
    for name in given:
        if name in kind.typed:
            raise Refused(f"{name}: not on the command line, which all users of this machine see: {kind.typed[name]}")


def set_fields(config: Path | None, kind: Kind, key: str, given: Sequence[str], *, as_json: bool) -> None:
    """Sets the fields given as `name=value` and prints what changed. Raises Refused, naming the field."""
    texts = assignments(list(given))
    _refuse_secrets(kind, texts)

    async def work(connection: Connection) -> list[admin.Change]:
        await _must_own(connection, kind, [key])
        await authority.must_set(connection, acting_user(), texts)
        known = await admin.fields(connection, kind)
        return await admin.change(connection, kind, key, parsed(known, kind, texts))

    changes = in_directory(config, work)
    if as_json:
        output.document([{"field": change.field, "old": change.old, "new": change.new} for change in changes])
        return
    for change in changes:
        output.line(f"{change.field}: {output.told(change.old)} → {output.told(change.new)}")
    if not changes:
        output.message("nothing changed: it was so already")


def delete(config: Path | None, kind: Kind, keys: Sequence[str], *, yes: bool) -> None:
    """Deletes records, after a question where there are several and `yes` is not given. Raises Refused."""
    if len(keys) > 1 and not yes:
        ask(f"Delete {len(keys)} {kind.name}s: {', '.join(keys)}?")

    async def work(connection: Connection) -> None:
        await _must_own(connection, kind, keys)
        await admin.delete(connection, kind, keys)

    in_directory(config, work)
    output.message(f"deleted: {', '.join(keys)}")


def ask(question: str) -> None:
    """Asks the user yes or no; ends the command with status 1 unless the answer is yes."""
    if not sys.stdin.isatty():
        output.message(f"{question} Say --yes to do it without being asked.")
        raise typer.Exit(1)
    typer.confirm(question, err=True, abort=True)


def sip_secret(config: Path | None, kind: Kind, key: str) -> None:
    """Prints the SIP secret of a record. Raises Refused where the acting user may not see it."""

    async def work(connection: Connection) -> str:
        await _must_own(connection, kind, [key])
        return await admin.secret(connection, kind, key)

    output.line(in_directory(config, work))


def set_sip_secret(config: Path | None, kind: Kind, key: str) -> None:
    """Reads a SIP secret, typed twice on a terminal, else the next line of standard input, and sets it. Raises
    Refused."""
    typed = typed_secret(f"New SIP secret of {key}")

    async def work(connection: Connection) -> None:
        await _must_own(connection, kind, [key])
        await admin.change(connection, kind, key, {"sip_secret": typed})

    in_directory(config, work)
    output.message(f"the SIP secret of {key} is set")


def typed_secret(what: str, *, twice: bool = True) -> str:
    """Asks for a secret on a terminal, else reads the next line of standard input; returns it.

    It is never an argument, which all users of the machine could see.
    """
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, confirmation_prompt=twice, err=True))
    return sys.stdin.readline().rstrip("\r\n")
