"""Changes, faults and drift in any order, against the real servers: it converges, and takes nobody off a pause
on the way. Hypothesis makes the order, shortens what fails, and prints it.

AGENTBRIDGE_EXAMPLES says how many centres are played through (default 3), 30 steps each.
"""

import asyncio
import os
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lab.faults import Fault
from lab.manager import Manager, Message
from lab.postgres import Postgres
from tests.faults.stand import Stand

AGENTS = tuple(f"agent{number}" for number in range(6))
agents = st.sampled_from(AGENTS)
queues = st.sampled_from(["sales", "support", "billing"])
reasons = st.sampled_from(["lunch", "meeting", "Auto-Pause", "نهار"])
FAULTS = [Fault.NONE, Fault.HALF_OPEN, Fault.REFUSED]
CENTRE_QUICK = {"resync": {"seconds": 5.0}}


class World(RuleBasedStateMachine):
    """One centre; `dua` and the agents of here are played with, ben and cem are on pause all the while."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.unpaused: list[Message] = []

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def limited() -> Any:
            async with asyncio.timeout(90):
                return await work

        return self.runner.run(limited())

    @initialize()
    def opens(self) -> None:
        self.do(self._open())

    async def _open(self) -> None:
        postgres = await self.stack.enter_async_context(Postgres(fsync=False))
        self.stand = await self.stack.enter_async_context(Stand(postgres, sections=CENTRE_QUICK))
        for name in AGENTS:
            await self.stand.agent(name, "sales", "support")
        watcher = await self.stack.enter_async_context(Manager(self.stand.asterisk, events="agent"))
        self.watching = asyncio.create_task(self._watch(watcher))

    async def _watch(self, watcher: Manager) -> None:
        kept = {f"PJSIP/{self.stand.internal[name]}" for name in ("ben", "cem")}
        while True:
            event = await watcher.read()
            if event.get("Interface") in kept and event.get("Paused") == "0":
                self.unpaused.append(event)

    def teardown(self) -> None:
        try:
            if hasattr(self, "stand"):
                self.do(self._heals())
        finally:
            self.runner.run(self._close())
            self.runner.close()

    async def _close(self) -> None:
        if hasattr(self, "watching"):
            self.watching.cancel()
        await self.stack.aclose()

    # ------------------------------------------------------------ what people do

    @rule(name=agents, pause=st.booleans(), reason=reasons)
    def an_agent_logs_in(self, name: str, pause: bool, reason: str) -> None:
        self.do(self.stand.login(name))
        if pause:
            self.do(self.stand.pause(name, reason))

    @rule(name=agents)
    def an_agent_logs_out(self, name: str) -> None:
        self.do(self.stand.logout(name))

    @rule(name=agents, queue=queues, reason=reasons)
    def an_agent_pauses_in_one_queue(self, name: str, queue: str, reason: str) -> None:
        self.do(self._in_session(name, "SELECT agentbridge.pause($1, $3, $2, source => 'admin')", queue, reason))

    @rule(name=agents)
    def an_agent_unpauses(self, name: str) -> None:
        self.do(self._in_session(name, "SELECT agentbridge.unpause($1, source => 'admin')"))

    async def _in_session(self, name: str, sql: str, *arguments: str) -> None:
        if (await self.stand.status(name))["logged_in"]:
            in_queue = "SELECT true FROM agentbridge.effective_members e JOIN agentbridge.agents a ON a.id = e.agent_id"
            in_queue += " JOIN agentbridge.queues q ON q.id = e.queue_id WHERE a.username = $1 AND q.name = $2"
            if not arguments or await self.stand.db.fetchval(in_queue, name, arguments[0]):
                await self.stand.db.fetchval(sql, name, *arguments)

    @rule(name=agents, queue=queues)
    def an_agent_leaves_or_joins_a_queue(self, name: str, queue: str) -> None:
        delete = (
            "DELETE FROM agentbridge.queue_members m USING agentbridge.agents a, agentbridge.queues q"
            " WHERE a.id = m.agent_id AND q.id = m.queue_id AND a.username = $1 AND q.name = $2"
        )
        insert = (
            "INSERT INTO agentbridge.queue_members (agent_id, queue_id, penalty)"
            " SELECT a.id, q.id, 3 FROM agentbridge.agents a, agentbridge.queues q"
            " WHERE a.username = $1 AND q.name = $2"
        )
        if self.do(self.stand.db.execute(delete, name, queue)) == "DELETE 0":
            self.do(self.stand.db.execute(insert, name, queue))

    @rule(name=agents, alias=st.sampled_from(["Ann", 'An "x"', "آن"]))
    def an_agent_is_renamed(self, name: str, alias: str) -> None:
        self.do(self.stand.db.execute("UPDATE agentbridge.agents SET alias = $2 WHERE username = $1", name, alias))

    # ------------------------------------------------------------ what others do in Asterisk

    @rule(name=agents, queue=queues)
    def a_member_is_removed_by_hand(self, name: str, queue: str) -> None:
        self.do(self._by_hand(name, f"queue remove member {{}} from {queue}"))

    @rule(name=agents, queue=queues, pause=st.booleans())
    def a_member_is_paused_or_unpaused_by_hand(self, name: str, queue: str, pause: bool) -> None:
        self.do(self._by_hand(name, f"queue {'pause' if pause else 'unpause'} member {{}} queue {queue}"))

    @rule(name=agents, queue=queues)
    def a_member_is_added_by_hand(self, name: str, queue: str) -> None:
        self.do(self._by_hand(name, f"queue add member {{}} to {queue}"))

    @rule()
    def the_policy_is_wiped(self) -> None:
        self.do(self.stand.asterisk.cli("database deltree agentbridge"))

    async def _by_hand(self, name: str, command: str) -> None:
        internal = (await self.stand.status(name))["internal"]
        await self.stand.asterisk.cli(command.format(f"PJSIP/{internal}"))

    # ------------------------------------------------------------ what breaks

    @rule(which=st.sampled_from(["ami", "ari", "pg"]))
    def a_link_is_cut(self, which: str) -> None:
        getattr(self.stand, which).cut()

    @rule(which=st.sampled_from(["ami", "ari", "pg"]), fault=st.sampled_from(FAULTS))
    def a_link_fails_or_recovers(self, which: str, fault: Fault) -> None:
        getattr(self.stand, which).fault = fault

    @rule(action=st.sampled_from(["QueueAdd", "QueuePause", "QueueRemove", "DBPut"]))
    def the_next_answer_is_cut_off(self, action: str) -> None:
        self.stand.ami.cut_after(f"Action: {action}\r\n".encode())

    @rule()
    def the_daemon_is_killed_and_started(self) -> None:
        self.do(self.stand.bridge.kill())
        self.do(self.stand.bridge.start(wait=""))

    @rule(seconds=st.sampled_from([0.2, 1.0]))
    def the_daemon_stands_still(self, seconds: float) -> None:
        self.stand.bridge.send(signal.SIGSTOP)
        self.do(self.stand.lasts(seconds))
        self.stand.bridge.send(signal.SIGCONT)

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(self.stand.lasts(seconds))

    @rule()
    def it_heals(self) -> None:
        self.do(self._heals())

    async def _heals(self) -> None:
        for proxy in (self.stand.ami, self.stand.ari, self.stand.pg):
            proxy.fault = Fault.NONE
        await self.stand.healed(within=30)

    # ------------------------------------------------------------ what must always hold

    @invariant()
    def nobody_is_taken_off_a_pause_or_rung(self) -> None:
        if hasattr(self, "stand"):
            assert self.unpaused == []
            self.stand.nobody_rang_wrongly()
            assert self.stand.bridge.running


World.TestCase.settings = settings(
    max_examples=int(os.environ.get("AGENTBRIDGE_EXAMPLES") or 3),
    stateful_step_count=30,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    # a step takes a second: to shorten a failure would take an hour
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
)
TestAnyOrder = World.TestCase
TestAnyOrder.__doc__ = "Whatever order of changes, faults and drift."
