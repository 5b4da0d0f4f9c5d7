"""What the checks of Asterisk have before their eyes: the manager, and answers that several of them read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from agentbridge.cli.check import dialplan_shown
from agentbridge.cli.check.ami import DEFAULT_ETC, Manager
from agentbridge.cli.check.database import Wanted
from agentbridge.settings import Settings

_MODULE = re.compile(r"^(\S+)\.so .*(?<!Not) Running ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """modules: those that run, without `.so`; None where the account may not ask. http: `http show status`.
    core: `core show settings`. dialplan: empty where the account may not ask. etc: Asterisk's configuration."""

    manager: Manager
    settings: Settings
    wanted: Wanted
    etc: Path
    modules: frozenset[str] | None
    http: str
    core: str
    dialplan: dialplan_shown.Dialplan

    @classmethod
    async def of(cls, manager: Manager, settings: Settings, wanted: Wanted, etc: Path | None) -> Sight:
        """Asks Asterisk once for all that several areas look at."""
        core = await manager.console("core show settings")
        running = frozenset(_MODULE.findall(await manager.console("module show")))
        return cls(
            manager=manager,
            settings=settings,
            wanted=wanted,
            etc=etc or folder(core, "Configuration directory") or DEFAULT_ETC,
            modules=running if manager.has_console else None,
            http=await manager.console("http show status"),
            core=core,
            dialplan=dialplan_shown.read(await manager.console("dialplan show")),
        )

    def lacks(self, module: str) -> bool:
        """Whether it is surely not running."""
        return self.modules is not None and module not in self.modules


def folder(core: str, name: str) -> Path | None:
    """A folder or file of `core show settings`."""
    found = re.search(rf"^ *{re.escape(name)}: +(\S+)", core, re.MULTILINE)
    return Path(found[1]) if found else None
