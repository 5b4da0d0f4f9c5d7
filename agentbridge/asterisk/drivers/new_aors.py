"""Many new AORs beside many endpoints: stored in the AstDB, and taken in by one reload of PJSIP.

For each AOR that ARI makes, Asterisk walks all its endpoints; 22 sorts them into a list meanwhile, which takes 1.4 s
for 10,000, and nobody can write an endpoint in that time. A reload walks them once for all new AORs: 4 s, and no call
is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import structlog

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.calls.live import set_variable, variable
from agentbridge.asterisk.drivers.pjsip_fields import FAMILIES, encoded, stored_aor
from agentbridge.asterisk.task_processors import tasks_of_a_walk
from agentbridge.errors import InvalidValue, Refused, Unavailable
from agentbridge.model import EndpointId, Fields, ObjectKind

log = structlog.get_logger()

STORED = "AGENTBRIDGE_AORS_STORED"
"""the global variable, `1` while AORs are stored that PJSIP may not have taken in. A restart of Asterisk takes it away,
and takes them in"""
TOO_MANY_TASKS = 2000
"""that the walks count as in all: ten seconds, more than a reload takes"""
STORED_AT_ONCE = 300
STORE_SECONDS = 5.0
RELOAD_SECONDS = 60.0
MODULE = "res_pjsip.so"
_RELOADED = "reloaded successfully"


def too_many(aors: int, endpoints: int) -> bool:
    """Returns whether so many new AORs take longer one by one, beside so many endpoints, than by a reload."""
    return aors * (tasks_of_a_walk(endpoints) - 1) > TOO_MANY_TASKS


class NewAors:
    """Stores new AORs by the link for actions and has PJSIP take them in by the one for long answers."""

    def __init__(self, actions: AmiLink, bulk: AmiLink) -> None:
        self._actions, self._bulk = actions, bulk
        self._turn = asyncio.Lock()

    async def put(self, aors: Mapping[EndpointId, Fields]) -> dict[EndpointId, str]:
        """Makes AORs that are not there yet, and returns when PJSIP has them: why some could not be made. Raises
        Refused or Unavailable."""
        async with self._turn:
            return await self._put(aors)

    async def _put(self, aors: Mapping[EndpointId, Fields]) -> dict[EndpointId, str]:
        """Stores the AORs and has PJSIP take them in; returns why some could not be stored."""
        started = time.perf_counter()
        # before the first is stored: who finds it after a crash in between knows that a reload is due
        await set_variable(self._actions, STORED, "1")
        todo = list(aors.items())
        failures: dict[EndpointId, str] = {}
        for first in range(0, len(todo), STORED_AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for key, fields in todo[first : first + STORED_AT_ONCE]:
                    group.create_task(self._store(key, fields, failures))
        await self._take_in()
        log.info(
            "aors.taken_in",
            aors=len(todo) - len(failures),
            duration_ms=round((time.perf_counter() - started) * 1000, 1),
            reason=f"so many at once come sooner by a reload of {MODULE} than one by one",
        )
        return failures

    async def _store(self, key: EndpointId, fields: Fields, failures: dict[EndpointId, str]) -> None:
        """Stores an AOR where PJSIP finds it at its next reload, or notes why that could not be done."""
        try:
            words = {"Family": FAMILIES[ObjectKind.AOR], "Key": f"aor/{key}", "Val": stored_aor(key, encoded(fields))}
            await self._actions.action("DBPut", words, timeout=STORE_SECONDS)
        except (Refused, InvalidValue, Unavailable) as reason:
            failures[key] = str(reason)

    async def finish(self) -> None:
        """Has PJSIP take in what an earlier daemon stored and did not have taken in. Raises Refused or Unavailable."""
        async with self._turn:
            if await variable(self._actions, STORED) == "1":
                await self._take_in()
                log.info("aors.taken_in", reason="an earlier daemon stored new AORs and was ended before the reload")

    async def _take_in(self) -> None:
        """Reloads PJSIP. Raises Refused, or Unavailable where that is not possible now."""
        # on the link for long answers: one that waits for seconds there keeps no other action waiting
        shown = await self._bulk.command(f"module reload {MODULE}", timeout=RELOAD_SECONDS)
        if _RELOADED not in shown:
            raise Unavailable(f"`module reload {MODULE}` answers {shown.strip()!r}: new AORs wait for it")
        await set_variable(self._actions, STORED, "")
