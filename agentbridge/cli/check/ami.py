"""Findings about the manager: reachable, its account allowed what is needed and no more, bound to loopback."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from agentbridge.cli.check import asterisk_conf
from agentbridge.cli.check.findings import Finding
from agentbridge.cli.check.session import Message, Session
from agentbridge.errors import AgentbridgeError, Refused
from agentbridge.settings import Ami

DEFAULT_ETC = Path("/etc/asterisk")
READ = ("system", "agent", "call", "user")
WRITE = ("agent", "call", "system", "command")
DANGEROUS = ("originate", "config", "dialplan")
_BY_CLASS = {"agent": "QueueAdd", "call": "Atxfer", "system": "DBPut", "command": "Command"}
"""an action that needs the class and no other"""


class Manager:
    """The session with Asterisk's manager (AMI) through which the checks ask."""

    def __init__(self, session: Session, actions: frozenset[str] = frozenset()) -> None:
        self._session = session
        self.actions = actions
        """those that this account may do"""

    @classmethod
    async def connect(cls, ami: Ami) -> Manager:
        """Logs in. Raises Unavailable or Refused."""
        session = await Session.connect(ami.host, ami.port, ami.username, ami.password())
        try:
            # only what this account may do is listed
            return cls(session, frozenset(await session.ask("ListCommands")))
        except BaseException:
            session.close()
            raise

    def close(self) -> None:
        self._session.close()

    @property
    def has_console(self) -> bool:
        return "Command" in self.actions

    async def console(self, command: str) -> str:
        """Runs a console command and returns what it prints, errors too; '' where the account may not run commands."""
        if not self.has_console:
            return ""
        try:
            return await self._session.command(command)
        except Refused as refused:
            return str(refused)

    async def command(self, line: str, *, timeout: float) -> str:
        """Runs a console command and returns what it prints. Raises Refused with that where it is an error, or
        Unavailable."""
        return await self._session.command(line, timeout=timeout)

    async def items(self, action: str, fields: Mapping[str, str] | None = None, *, timeout: float) -> list[Message]:
        """The items of a list action. Raises Unavailable or Refused."""
        return await self._session.items(action, fields, timeout=timeout)


def unreachable(ami: Ami, error: AgentbridgeError, etc: Path | None = None) -> Finding:
    """Returns the finding about an AMI that could not be logged in to, with the likely cause."""
    match error:
        case Refused() if _lets_in_with_that_secret(ami, (etc or DEFAULT_ETC) / "manager.conf"):
            return Finding(
                "ami.permit",
                f"AMI refused the log-in of {ami.username}, though manager.conf has the secret that was sent: the "
                "address is not let in",
                f"in manager.conf, section [{ami.username}]: permit = 127.0.0.1/255.255.255.255 behind its deny lines "
                f"(for another ami.host than {ami.host}: the address that Asterisk sees); then `manager reload`",
            )
        case Refused():
            return Finding(
                "ami.password",
                f"AMI refused the log-in of {ami.username}: {error}. Asterisk says the same of a wrong secret, of an "
                "unknown user, and of an address that permit does not let in",
                f"give section [{ami.username}] of manager.conf and the credential ami_secret the same secret, look at "
                "its permit lines, then `asterisk -rx 'manager reload'`",
            )
        case _:
            return Finding(
                "ami.unreachable",
                f"AMI can't be reached: {error}",
                f"start Asterisk; manager.conf needs enabled = yes, bindaddr = {ami.host} and port = {ami.port}",
            )


def _lets_in_with_that_secret(ami: Ami, file: Path) -> bool:
    """Whether manager.conf has the account with the configured secret; False also where the file can't be read."""
    try:
        account = asterisk_conf.read(file).get(ami.username, {})
    except OSError:
        return False
    return account.get("secret") == ami.password() and "deny" in account


async def findings(manager: Manager, ami: Ami) -> AsyncIterator[Finding]:
    """Checks the AMI account's permissions and where the manager listens."""
    shown = await manager.console(f"manager show user {ami.username}")
    for finding in _permissions(manager, ami, shown):
        yield finding
    settings = await manager.console("manager show settings")
    for finding in _bound_elsewhere(settings):
        yield finding
    if re.search(r"Allow multiple login:\s+No", settings) or re.search(r"allowmultiplelogin:\s+no", shown):
        yield Finding(
            "ami.one_login",
            "AMI lets each account in once, and the daemon needs four sessions at a time",
            f"in manager.conf, [general] and [{ami.username}]: allowmultiplelogin = yes; then `manager reload`",
        )


def _permissions(manager: Manager, ami: Ami, shown: str) -> Iterator[Finding]:
    """Yields the permissions that the AMI account lacks, and those that it has too much."""
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
    """Yields a finding where AMI listens beyond this machine."""
    found = re.search(r"TCP Bindaddress:\s+(\S+)", shown)
    if found and not loopback(found[1]):
        yield Finding(
            "ami.exposed",
            f"AMI listens on {found[1]}: its log-in and all it says are unencrypted, and it is as good as root",
            "in manager.conf, section [general]: bindaddr = 127.0.0.1; then restart Asterisk when no call is up",
        )


def loopback(address: str) -> bool:
    """Whether an address as 127.0.0.1:5038 or [::1]:5038 is reachable from this machine only; True for what is no
    address."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return True
