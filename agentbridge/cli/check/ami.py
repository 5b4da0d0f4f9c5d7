"""Findings about the manager: reachable, its account allowed what is needed and no more, bound to loopback."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address

from agentbridge.asterisk.ami.connection import Account
from agentbridge.asterisk.ami.link import AmiConnection
from agentbridge.cli.check.findings import Finding
from agentbridge.errors import AgentbridgeError, Refused
from agentbridge.settings import Ami

SECONDS = 10.0
READ = ("system", "agent", "call", "user")
WRITE = ("agent", "call", "system", "command")
DANGEROUS = ("originate", "config", "dialplan")
_BY_CLASS = {"agent": "QueueAdd", "call": "Atxfer", "system": "DBPut", "command": "Command"}
"""an action that needs the class and no other"""


class Manager:
    """A session of check's own, with the answers that several checks ask for."""

    def __init__(self, connection: AmiConnection) -> None:
        self.connection = connection
        self.actions: frozenset[str] = frozenset()

    @classmethod
    async def connect(cls, ami: Ami) -> Manager:
        """Raises Unavailable or Refused."""
        account = Account(ami.host, ami.port, ami.username, ami.password())
        manager = cls(await AmiConnection.connect(account, name="check", within=SECONDS))
        answer = await manager.connection.action("ListCommands", timeout=SECONDS)
        # only what this account may do is listed
        manager.actions = frozenset(name for name, _ in answer.headers)
        return manager

    @property
    def has_console(self) -> bool:
        return "Command" in self.actions

    async def console(self, command: str) -> str:
        """What it prints, also where it is an error; empty without the permission."""
        if not self.has_console:
            return ""
        try:
            return await self.command(command)
        except Refused as refused:
            return str(refused)

    async def command(self, line: str, *, timeout: float = SECONDS) -> str:
        """What it prints. Raises Unavailable, or Refused with what it prints as an error."""
        return (await self.connection.action("Command", {"Command": line}, timeout=timeout)).output


def unreachable(ami: Ami, error: AgentbridgeError) -> Finding:
    match error:
        case Refused():
            return Finding(
                "ami.password",
                f"AMI refused the log-in of {ami.username}: {error}",
                f"give section [{ami.username}] of manager.conf and the credential ami_secret the same secret, look at "
                "its permit lines, then `asterisk -rx 'manager reload'`",
            )
        case _:
            return Finding(
                "ami.unreachable",
                f"AMI can't be reached: {error}",
                f"start Asterisk; manager.conf needs enabled = yes, bindaddr = {ami.host} and port = {ami.port}",
            )


async def findings(manager: Manager, ami: Ami) -> AsyncIterator[Finding]:
    shown = await manager.console(f"manager show user {ami.username}")
    for finding in _permissions(manager, ami, shown):
        yield finding
    for finding in _bound_elsewhere(await manager.console("manager show settings")):
        yield finding


def _permissions(manager: Manager, ami: Ami, shown: str) -> Iterator[Finding]:
    if manager.has_console:
        may_read, may_write = _classes("read", shown), _classes("write", shown)
    else:
        may_read = frozenset(READ)  # can't be seen
        may_write = frozenset(name for name, action in _BY_CLASS.items() if action in manager.actions)
    for kind, needed, given in (("read", READ, may_read), ("write", WRITE, may_write)):
        if missing := [name for name in needed if name not in given]:
            yield Finding(
                "ami.permission",
                f"the account lacks {kind} permission {', '.join(missing)}",
                f"in manager.conf, section [{ami.username}]: {kind} = {','.join(needed)}; then `manager reload`",
            )
    if too_much := [name for name in DANGEROUS if name in may_write]:
        yield Finding(
            "ami.too_much",
            f"the account may also write {', '.join(too_much)}, which agentbridge never needs",
            f"in manager.conf, section [{ami.username}]: write = {','.join(WRITE)}; then `manager reload`",
        )


def _classes(kind: str, shown: str) -> frozenset[str]:
    found = re.search(rf"{kind} perm: (.*)", shown)
    return frozenset(part.strip() for part in found[1].split(",")) if found else frozenset()


def _bound_elsewhere(shown: str) -> Iterator[Finding]:
    found = re.search(r"TCP Bindaddress:\s+(\S+)", shown)
    if found and not loopback(found[1]):
        yield Finding(
            "ami.exposed",
            f"AMI listens on {found[1]}: its log-in and all it says are unencrypted, and it is as good as root",
            "in manager.conf, section [general]: bindaddr = 127.0.0.1; then restart Asterisk when no call is up",
        )


def loopback(address: str) -> bool:
    """`address` as in 127.0.0.1:5038 or [::1]:5038; what is not an address listens nowhere."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return True
