"""Asterisk's task processors that our writes or new calls fill: which there are, and how deep they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

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
_DEPTH = re.compile(r"^(\S+)\s+\d+\s+(\d+)\s", re.MULTILINE)


async def present(console: Console) -> tuple[str, ...]:
    """Returns those of PROCESSORS that this Asterisk has. Raises Unavailable."""
    return tuple([names for names in PROCESSORS if names in await shown_by(console, _question(names))])


def tasks_of_a_walk(endpoints: int) -> int:
    """Returns how many usual tasks a walk of so many endpoints counts as."""
    return 1 + TASKS_BESIDE_1000 * endpoints**2 // 1000**2


async def depth(console: Console, processors: Iterable[str], endpoints: int) -> int:
    """Returns the tasks waiting in the deepest of these task processors, where Asterisk has so many endpoints; a walk
    counts as several.

    Raises Unavailable, also without the right to ask: blind, the writer could stop new calls.
    """
    # one after the other on one connection: a group of tasks would wrap its Unavailable in a group of its own
    walk = tasks_of_a_walk(endpoints)
    return max([await _depth_of(console, names, walk) for names in processors], default=0)


async def _depth_of(console: Console, names: str, walk: int) -> int:
    """Returns the tasks in the deepest of the task processors whose names begin so, with `walk` for each new AOR.

    Raises Unavailable.
    """
    try:
        shown = await console.command(_question(names), timeout=TIMEOUT_SECONDS)
    except Refused as refused:
        raise Unavailable(f"{refused}: the account needs write=command in manager.conf") from refused
    found = _DEPTH.findall(shown)
    return max((int(waiting) * (walk if name.startswith(WALKS) else 1) for name, waiting in found), default=0)


def _question(names: str) -> str:
    return f"core show taskprocessors like {names}"
