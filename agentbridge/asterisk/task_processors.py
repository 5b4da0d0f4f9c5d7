"""Asterisk's task processors that our writes or new calls fill: which there are, and how deep they are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping

from agentbridge.asterisk.console import TIMEOUT_SECONDS, Console, shown_by
from agentbridge.errors import Refused, Unavailable

# Each AOR and each endpoint may have a processor of its own (pjsip/options/<id>, stasis/p:endpoint:<id>), with nothing
# to do for long: 10,000 lines. By their first letters these fill up: messages between modules, task pools, those who
# follow written PJSIP objects, new requests. Which of them there are depends on the version.
WALKS = "sorcery/aor"
"""where each new AOR makes Asterisk walk all endpoints"""
TASKS_BESIDE_1000 = 3
"""that such a walk counts as beside 1,000 endpoints. It grows with their square, since 22 sorts them into a list: 12 ms
then, 46 beside 2,000, 1.4 s beside 10,000; whoever writes an endpoint waits for it. 16 takes 10 ms for 10,000."""
PROCESSORS = (
    "stasis/m", "stasis/pool", "taskpool", "pjsip/pool", "pjsip/default", "sorcery/", "pjsip/distributor",
)  # fmt: skip
FED_BY_PJSIP = ("sorcery/aor", "sorcery/auth", "sorcery/endpoint")
"""where a written PJSIP object leaves its tasks"""
FED_BY_MEMBERS = ("stasis/m:devicestate:all", "stasis/m:manager:core")
"""where a written member leaves its tasks, and these then theirs: so it was on 16.28, 20.6 and 22.10"""
LOOK_SECONDS = 10.0
"""the longest time between two looks at all of them"""
WORTH_ASKING = 10
"""tasks that have waited at once in one of them"""
_DEPTH = re.compile(r"^(\S+)\s+\d+\s+(\d+)\s+(\d+)\s", re.MULTILINE)
_PING = re.compile(r"ping time: (\d+)\.\d+ sec")
PING_GIVES_UP_SECONDS = 5
"""then Asterisk tells the time all the same"""


async def present(console: Console) -> tuple[str, ...]:
    """Returns those of PROCESSORS that this Asterisk has. Raises Unavailable."""
    return tuple([names for names in PROCESSORS if names in await shown_by(console, _question(names))])


def tasks_of_a_walk(endpoints: int) -> int:
    """Returns how many usual tasks a walk of so many endpoints counts as."""
    return 1 + TASKS_BESIDE_1000 * endpoints**2 // 1000**2


class DepthGauge:
    """Reads how many tasks wait in the deepest of Asterisk's task processors.

    A look at all of them is dear: for each of the few questions Asterisk sorts a copy of its whole list, three for each
    endpoint, which takes 0.1 s of a processor beside 10,000. So between two looks only those are asked that our writes
    fill, or that have ever filled up, by a ping that comes back when all tasks before it are done: what waits then came
    later.

    clock: seconds, monotonic.
    """

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._of_pjsip: tuple[str, ...] = ()
        """those that written PJSIP objects fill, by whole names, which are others after each start of Asterisk"""
        self._filling: tuple[str, ...] = ()
        """who is asked between two looks besides; nobody where none is known that members fill: then there is always a
        look"""
        self._wrote_pjsip = False
        """PJSIP objects were written since the last reading"""
        self._looked_at = float("-inf")
        self._wanted = 0
        """how often a look was wanted"""
        self._taken = 0
        """how many of these the last look was for"""
        self._turn = asyncio.Lock()

    def look_next(self) -> None:
        """Makes the next reading a look at all."""
        self._wanted += 1

    def pjsip_written(self) -> None:
        """Has the next reading ask those too that written PJSIP objects fill."""
        self._wrote_pjsip = True

    async def depth(self, processors: Iterable[str], endpoints: int) -> int:
        """Returns the tasks waiting in the deepest of these task processors, where Asterisk has so many endpoints; a
        walk counts as several.

        processors: how their names begin. Raises Unavailable, also without the right to ask: blind, the writer could
        stop new calls.
        """
        async with self._turn:  # whoever asks meanwhile does with pings
            return await self._read(processors, endpoints)

    async def _read(self, processors: Iterable[str], endpoints: int) -> int:
        """Pings or looks, and returns what `depth` does."""
        is_fresh = self._wanted == self._taken and self._clock() - self._looked_at < LOOK_SECONDS
        wrote_pjsip, self._wrote_pjsip = self._wrote_pjsip, False
        if is_fresh and self._filling and await self._are_done(wrote_pjsip):
            return 0
        began, wanted = self._clock(), self._wanted
        walk = tasks_of_a_walk(endpoints)
        seen: dict[str, int] = {}
        deepest = 0
        # one after the other on one connection: a group of tasks would wrap its Unavailable in a group of its own
        for names in processors:
            for name, waiting, most in _DEPTH.findall(await self._shown(_question(names))):
                deepest = max(deepest, int(waiting) * (walk if name.startswith(WALKS) else 1))
                seen[name] = int(most)
        self._note(seen)
        self._looked_at, self._taken = began, wanted
        return deepest

    def _note(self, seen: Mapping[str, int]) -> None:
        """Notes who is to be asked between two looks. seen: how many tasks have waited at once in each."""
        self._of_pjsip = tuple(name for name in seen if name.startswith(FED_BY_PJSIP))
        of_members = [name for fed in FED_BY_MEMBERS for name in seen if name.startswith(fed)]
        others = [name for name, most in seen.items() if most >= WORTH_ASKING]
        # each after those that feed it
        self._filling = tuple(dict.fromkeys((*of_members, *others))) if of_members else ()

    async def _are_done(self, wrote_pjsip: bool) -> bool:
        """Whether each processor that fills up has done all tasks of before; False where that can't be told."""
        for name in dict.fromkeys((*(self._of_pjsip if wrote_pjsip else ()), *self._filling)):
            answer = _PING.search(await self._shown(f"core ping taskprocessor {name}"))
            if answer is None or int(answer[1]) >= PING_GIVES_UP_SECONDS:
                return False
        return True

    async def _shown(self, line: str) -> str:
        """Returns what the console prints for a command. Raises Unavailable."""
        try:
            return await self._console.command(line, timeout=TIMEOUT_SECONDS)
        except Refused as refused:
            raise Unavailable(f"{refused}: the account needs write=command in manager.conf") from refused


def _question(names: str) -> str:
    return f"core show taskprocessors like {names}"
