"""A call centre whose policy is typed into the AstDB: what the dialplan does with a call, daemon or no daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agentbridge.asterisk.ami.link import Account, AmiLink
from agentbridge.asterisk.ami.wire import Message
from lab import pjsip, versions
from lab.asterisk import Asterisk, roots, version_of
from lab.phones import Call, Farm, Phone
from lab.processes import run, until
from lab.recordings import samples_of

_ROOTS = {version_of(root): root for root in roots()}
ASTERISKS = (*_ROOTS,)
"""the versions that the dialplan is tried on"""
AGENTS = ("1001", "1002", "1003", "10010", "1009")
DEVICES = (*AGENTS, "desk-7", "desk-8")
# the customer's number and name are what its own INVITE says
TRUSTED = "\n[caller](+)\ntrust_id_inbound = yes\n"
_PHONES = "".join(pjsip.phone(user, callerid=f'"Phone {user}" <{user}>', **pjsip.SEEN) for user in DEVICES)
FILES: Mapping[str, str] = {"pjsip.conf": _PHONES + TRUSTED}


def root_of(version: str) -> Path:
    return _ROOTS[version]


@dataclass(slots=True)
class Calls:
    """An Asterisk with phones and agents whose policy is typed into the AstDB; no daemon takes part.

    `events`: the dialplan's own events since it was opened, oldest first.
    """

    pbx: Asterisk
    farm: Farm
    events: list[Message] = field(default_factory=list)

    async def put(self, path: str, value: str) -> None:
        await self.pbx.cli(f'database put agentbridge {path} "{value}"')

    async def agent(self, internal: str, *, device: str | None = None, **options: str) -> None:
        """Makes a logged-in agent on its own device, or on `device`; '' makes it logged out."""
        device = internal if device is None else device
        values = {"id": internal, "device": device, **options}
        for name, value in values.items():
            if value:
                await self.put(f"agent/{internal}/{name}", value)
        if device and device != internal:
            await self.put(f"telephone/{device}/agent", internal)

    async def phone(self, user: str, display: str = "") -> Phone:
        """Makes a registered phone for this user."""
        phone = await self.farm.phone(user, f"secret-{user}", display=display)
        await phone.register()
        return phone

    async def customer(self, display: str = "") -> Phone:
        return await self.farm.phone(self.pbx.caller_user, self.pbx.caller_secret, display=display)

    async def member(self, device: str, queue: str = "sales") -> None:
        await self.pbx.cli(f"queue add member PJSIP/{device} to {queue}")

    async def pause(self, device: str, queue: str = "sales") -> None:
        await self.pbx.cli(f"queue pause member PJSIP/{device} queue {queue}")

    async def clear(self) -> None:
        """Waits for the end of all channels, then removes every policy entry and member."""
        await self.silence()
        await self.pbx.cli("database deltree agentbridge")
        for queue in self.pbx.queues:
            for device in DEVICES:
                await self.pbx.cli(f"queue remove member PJSIP/{device} from {queue}")

    async def silence(self) -> None:
        """Wait for the end of all channels; what they recorded is whole then."""
        await until(self._quiet, within=5, what="the end of all channels")

    async def _quiet(self) -> bool:
        return "0 active channels" in await self.pbx.cli("core show channels count")

    def named(self, name: str) -> list[Message]:
        return [event for event in self.events if event.get("UserEvent") == name]

    async def told(self, name: str, count: int = 1) -> list[Message]:
        """Waits until there are `count` events of that name, and returns them."""

        async def there() -> bool:
            return len(self.named(name)) >= count

        await until(there, within=3, what=f"{count} of {name}")
        return self.named(name)

    def has(self, feature: str) -> bool:
        """Whether its Asterisk has what `lab.versions` calls so; a test says what is seen where it has not."""
        return versions.has(version_of(self.pbx.root), feature)

    # ------------------------------------------------------------ recordings

    def recordings(self) -> list[Path]:
        return sorted(path for path in (self.pbx.spool / "monitor/agentbridge").rglob("*") if path.is_file())

    async def recording(self, at: int = 0) -> list[int]:
        """Returns the samples of a recording, in whatever format it is."""
        path = self.recordings()[at]
        if path.suffix == ".wav":
            return samples_of(path)
        plain = path.with_name(f"{path.stem}-plain.wav")
        await self.pbx.cli(f"file convert {path} {plain}")
        try:
            return samples_of(plain)
        finally:
            plain.unlink()


@asynccontextmanager
async def calls_on(pbx: Asterisk) -> AsyncIterator[Calls]:
    """Opens the scene on this Asterisk."""
    async with Farm((pbx.host, pbx.sip_port)) as farm:
        calls = Calls(pbx, farm)
        account = Account(host=pbx.host, port=pbx.ami_port, username=pbx.ami_user, secret=pbx.ami_secret)
        link = AmiLink(account, name="test", events="system,user", on_event=calls.events.append)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(link.run())
            await link.wait_up(5)
            # no daemon runs here, and none of these calls is to wait for one
            await pbx.cli("dialplan set global AGENTBRIDGE_COMPARED 1")
            yield calls
            running.cancel()
    await calls.clear()
    await run("rm", "-rf", str(pbx.spool / "monitor/agentbridge"))


async def hear_each_other(one: Call, other: Call, tones: tuple[Phone, Phone]) -> None:
    """Checks that both ends of a call hear each other. tones: the phones of the two calls."""
    first, second = tones
    assert first.tone
    assert second.tone
    await one.hears(second.tone, timeout=5)
    await other.hears(first.tone, timeout=5)
