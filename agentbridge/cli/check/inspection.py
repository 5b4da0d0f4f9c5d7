"""What the checks of one Asterisk share: whom they ask, what is wanted, and answers that several of them need."""

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
class Inspection:
    """One look at one Asterisk: the manager that is asked, the settings, and answers that several checks need.

    modules: those that run, without `.so`; None where the account may not ask. http: output of `http show status`.
    core: of `core show settings`. dialplan: empty where the account may not ask. etc: Asterisk's configuration
    folder.
    """

    manager: Manager
    settings: Settings
    wanted: Wanted
    etc: Path
    modules: frozenset[str] | None
    http: str
    core: str
    dialplan: dialplan_shown.Dialplan

    @classmethod
    async def of(cls, manager: Manager, settings: Settings, wanted: Wanted, etc: Path | None) -> Inspection:
        """Asks Asterisk once for the answers that several checks need. Raises Refused or Unavailable."""
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
        """Whether the module is certainly not running."""
        return self.modules is not None and module not in self.modules


def folder(core: str, name: str) -> Path | None:
    """Returns a folder or file that `core show settings` names; None where it does not."""
    found = re.search(rf"^ *{re.escape(name)}: +(\S+)", core, re.MULTILINE)
    return Path(found[1]) if found else None
