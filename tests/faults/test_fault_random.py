"""Changes, faults and drift in any order, against the real servers: it converges, and takes nobody off a pause
on the way. Hypothesis makes the order, shortens what fails, and prints it.

AGENTBRIDGE_EXAMPLES says how many centres are played through (default 3), 30 steps each; AGENTBRIDGE_SEED plays
the same ones again.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lab.faults import Fault
from lab.manager import Manager, Message
from lab.postgres import Postgres
from tests.faults.stand import Stand

AGENTS = tuple(f"agent{number}" for number in range(6))
ON_PAUSE = ("ben", "cem")
"""who stays on pause whatever happens, while much else of theirs changes; both are in `waiting`, with its caller"""
SEED = int(os.environ.get("AGENTBRIDGE_SEED") or random.SystemRandom().randrange(1_000_000))
agents = st.sampled_from(AGENTS)
on_pause = st.sampled_from(ON_PAUSE)
queues = st.sampled_from(["sales", "support", "billing"])
reasons = st.sampled_from(["lunch", "meeting", "Auto-Pause", "نهار"])
FAULTS = [Fault.NONE, Fault.HALF_OPEN, Fault.REFUSED]
CENTRE_QUICK = {"resync": {"seconds": 5.0}}


@seed(SEED)
class World(RuleBasedStateMachine):
    """One centre; the agents of here are played with, and who is ON_PAUSE must never be off it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.unpaused: list[Message] = []
        self.seen = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def limited() -> Any:
            async with asyncio.timeout(90):
                return await work

        return self.runner.run(limited())

    @initialize()
    def opens(self) -> None:
        self.do(self._open())

    async def _open(self) -> None:
        sys.stderr.write(f"\n    AGENTBRIDGE_SEED={SEED}\n")
        postgres = await self.stack.enter_async_context(Postgres(fsync=False))
        self.stand = await self.stack.enter_async_context(Stand(postgres, sections=CENTRE_QUICK))
        for name in AGENTS:
            await self.stand.agent(name, "sales", "support")
        self.watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        kept = {f"PJSIP/{self.stand.internal[name]}" for name in ON_PAUSE}
        async with Manager(self.stand.asterisk, events="agent") as watcher:
            while True:
                event = await watcher.read()
                if event.get("Interface") in kept and "Paused" in event:
                    self.seen += 1
                    if event["Paused"] == "0":
                        self.unpaused.append(event)

    def teardown(self) -> None:
        try:
            if hasattr(self, "watching"):
                self.do(self._heals())
                self.nobody_is_taken_off_a_pause_or_rung()
                sys.stderr.write(f"    {self.seen} events of who stays on pause\n")
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

    # ------------------------------------------------------------ who stays on pause

    @rule(name=on_pause, reason=reasons)
    def one_on_pause_gives_another_reason(self, name: str, reason: str) -> None:
        self.do(self.stand.pause(name, reason))

    @rule(name=on_pause, queue=queues)
    def one_on_pause_leaves_or_joins_a_queue(self, name: str, queue: str) -> None:
        self.an_agent_leaves_or_joins_a_queue(name, queue)

    @rule(name=on_pause, alias=st.sampled_from(["B", "C"]))
    def one_on_pause_is_renamed(self, name: str, alias: str) -> None:
        self.an_agent_is_renamed(name, alias)

    @rule(name=on_pause, penalty=st.integers(0, 3))
    def one_on_pause_gets_another_penalty(self, name: str, penalty: int) -> None:
        change = "UPDATE agentbridge.queue_members m SET penalty = $2 FROM agentbridge.agents a"
        self.do(self.stand.db.execute(f"{change} WHERE a.id = m.agent_id AND a.username = $1", name, penalty))

    @rule(name=on_pause, queue=st.sampled_from(["waiting", "support", "billing"]))
    def one_on_pause_is_removed_by_hand(self, name: str, queue: str) -> None:
        self.do(self._by_hand(name, f"queue remove member {{}} from {queue}"))

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

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def asterisk_stands_still(self, seconds: float) -> None:
        self.stand.asterisk.pause()
        self.do(self.stand.lasts(seconds))
        self.stand.asterisk.resume()

    @rule()
    def asterisk_is_killed_and_started(self) -> None:
        self.do(self._asterisk_again())

    async def _asterisk_again(self) -> None:
        # AstDB is a second behind: one who went on pause in the last one before a kill is off it at the start
        await self.stand.lasts(2.5)
        self.watching.cancel()
        await self.stand.asterisk.kill()
        await self.stand.asterisk.start()
        self.watching = asyncio.create_task(self._watch())
        self._all_links_work()
        await self.stand.phones_return()

    @rule()
    def postgresql_is_killed_and_started(self) -> None:
        self.do(self._postgresql_again())

    async def _postgresql_again(self) -> None:
        await self.stand.postgres.kill()
        await self.stand.postgres.start()
        await self.stand.reconnect()

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(self.stand.lasts(seconds))

    @rule()
    def it_heals(self) -> None:
        self.do(self._heals())

    async def _heals(self) -> None:
        self._all_links_work()
        await self.stand.healed(within=30)

    def _all_links_work(self) -> None:
        for proxy in (self.stand.ami, self.stand.ari, self.stand.pg):
            proxy.fault = Fault.NONE

    # ------------------------------------------------------------ what must always hold

    @invariant()
    def nobody_is_taken_off_a_pause_or_rung(self) -> None:
        if hasattr(self, "watching"):
            self.do(self.stand.lasts(0.02))  # what has been said is heard
            assert not self.watching.done(), "nobody watches"
            assert not self.unpaused, f"off a pause: {self.unpaused}"
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
