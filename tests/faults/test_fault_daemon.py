"""The daemon itself is stopped, killed, doubled, starved of descriptors, or stands still."""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lab.manager import Manager
from lab.postgres import Postgres
from lab.processes import run, until
from tests.faults.stand import Condition, Stand
from tests.faults.test_fault_postgres import superuser

KILLS = int(os.environ.get("AGENTBRIDGE_KILLS") or 200)
MANY = 1250
"""agents in four queues each: 5,000 memberships"""
CROWD = 400
ROUNDS = 5
END_LOCK = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


async def test_two_daemons_and_the_first_is_stopped_and_continued(stand: Stand) -> None:
    """The first loses its lock while it is stopped, as by a network that lost it; the second takes over; and
    the first, continued in the midst of its work, harms nothing and waits."""
    async with stand.faulty_daemon() as second:
        await second.start(wait="standby.waiting")
        stand.bridge.send(signal.SIGSTOP)
        await stand.pause("dua", "the first is stopped")
        await superuser(stand, END_LOCK)
        await second.logged("database.connected", within=10)
        await stand.until_member("support", stand.internal["dua"], paused=True, reason="the first is stopped")
        await stand.unpause("dua")
        lines = len(stand.bridge.lines())
        stand.bridge.send(signal.SIGCONT)
        await stand.bridge.logged("standby.waiting", since=lines, within=15)
        await stand.healed()
        assert not stand.bridge.events("member.paused", since=lines, agent=stand.internal["dua"])
        await second.kill()
        await stand.bridge.logged("database.connected", since=lines, within=10)
        await stand.healed()


async def test_the_first_of_two_daemons_is_stopped_in_the_midst_of_its_work(postgres: Postgres, seed: int) -> None:
    """It was taking 400 agents off their pause when it stopped. Meanwhile they went on pause again, which the second
    carries out. The first, continued, may not finish what it began."""
    async with Stand(postgres, seed=seed, numbers=range(1000, 1030 + CROWD)) as stand:
        await a_crowd(stand)
        dice = random.Random(seed)
        async with stand.faulty_daemon() as second:
            await second.start(wait="standby.waiting")
            for number in range(ROUNDS):
                first = stand.bridge
                await all_of_the_crowd(stand, "unpause(username, source => 'admin')")
                await off_pause(stand, at_least=dice.randrange(1, CROWD // 2))
                first.send(signal.SIGSTOP)
                off = len(await crowd_off_pause(stand))
                await stand.lasts(2.5)
                await all_of_the_crowd(stand, f"pause(username, 'again {number}', source => 'admin')")
                lines = len(second.lines())
                await superuser(stand, END_LOCK)
                await second.logged("database.connected", since=lines, within=15)
                await until(nobody_off_pause(stand), within=20, what="the second's work")
                async with Manager(stand.asterisk, events="agent") as watcher:
                    unpaused: list[str] = []
                    watching = asyncio.create_task(watch_unpaused(watcher, unpaused))
                    lines = len(first.lines())
                    first.send(signal.SIGCONT)
                    await first.logged("standby.waiting", since=lines, within=15)
                    await stand.lasts(1)
                    assert not watching.done()
                    watching.cancel()
                sys.stderr.write(f"    stopped with {off} of {CROWD} off pause\n")
                assert unpaused == [], "the first finished what it began"
                stand.bridge, second = second, first  # the next round is the other way round
                await stand.healed()


async def a_crowd(stand: Stand) -> None:
    """In a queue without callers, all on pause."""
    await stand.db.execute(
        "INSERT INTO agentbridge.agents (username, full_name)"
        " SELECT 'crowd' || n, 'Crowd ' || n FROM generate_series(1, $1) n",
        CROWD,
    )
    await stand.db.execute(
        "INSERT INTO agentbridge.queue_members (agent_id, queue_id) SELECT a.id, q.id"
        " FROM agentbridge.agents a, agentbridge.queues q WHERE a.username LIKE 'crowd%' AND q.name = 'billing'"
    )
    await all_of_the_crowd(stand, "login(username, source => 'admin')")
    await all_of_the_crowd(stand, "pause(username, 'lunch', source => 'admin')")
    await stand.settled(within=60)


async def all_of_the_crowd(stand: Stand, verb: str) -> None:
    await stand.db.execute(f"SELECT agentbridge.{verb} FROM agentbridge.agents WHERE username LIKE 'crowd%'")


async def crowd_off_pause(stand: Stand) -> list[str]:
    return [place[1] for place, seen in (await stand.members("billing")).items() if not seen.paused]


async def off_pause(stand: Stand, *, at_least: int) -> None:
    async def so_many() -> bool:
        return len(await crowd_off_pause(stand)) >= at_least

    await until(so_many, within=10, what=f"{at_least} of the crowd off pause")


def nobody_off_pause(stand: Stand) -> Condition:
    async def so() -> bool:
        return not await crowd_off_pause(stand)

    return so


async def watch_unpaused(watcher: Manager, seen: list[str]) -> None:
    while True:
        event = await watcher.read()
        if event.get("Queue") == "billing" and event.get("Paused") == "0":
            seen.append(event["Interface"])


async def test_a_reload_with_a_broken_file(stand: Stand) -> None:
    stand.bridge.config.write_text("[database]\ndsn = 'mysql://x'\n[ami\n")
    stand.bridge.send(signal.SIGHUP)
    await stand.bridge.logged("config.refused")
    await stand.healed()
    stand.bridge.write_config(stand.bridge.sections)
    lines = len(stand.bridge.lines())
    stand.bridge.send(signal.SIGHUP)
    await stand.bridge.logged("database.connected", since=lines, within=10)
    await stand.healed()


async def test_sigterm_in_the_midst_of_five_thousand_members(postgres: Postgres, seed: int) -> None:
    async with Stand(postgres, seed=seed, numbers=range(1000, 1030 + MANY)) as stand:
        others = len(await stand.members())
        await stand.db.execute(
            "INSERT INTO agentbridge.agents (username, full_name)"
            " SELECT 'many' || n, 'Many ' || n FROM generate_series(1, $1) n",
            MANY,
        )
        await stand.settled(within=60)
        await stand.db.execute(
            "INSERT INTO agentbridge.queue_members (agent_id, queue_id) SELECT a.id, q.id"
            " FROM agentbridge.agents a, agentbridge.queues q WHERE a.username LIKE 'many%'"
        )
        await stand.db.execute(
            "SELECT agentbridge.login(username, source => 'admin'),"
            " agentbridge.pause(username, 'many', source => 'admin')"
            " FROM agentbridge.agents WHERE username LIKE 'many%'"
        )

        async def some() -> bool:
            return len(await stand.members()) > others + 500

        await until(some, within=60, what="some hundred members")
        began = time.monotonic()
        assert await stand.bridge.stop()
        took = time.monotonic() - began
        assert took < 10
        there = len(await stand.members())
        assert others + 500 < there < others + 4 * MANY
        assert await stand.bridge_stays_away(2)
        assert len(await stand.members()) == there
        await stand.hears()
        await stand.bridge.start(within=30)
        healed = await stand.healed(within=120)
        assert len(await stand.members()) == others + 4 * MANY
        sys.stderr.write(f"    stopped in {took:.2f} s with {there} members there; all were {healed:.0f} s later\n")


async def test_killed_at_random_moments(stand: Stand, seed: int) -> None:
    """Changes go on all the while, made by the seed; AGENTBRIDGE_KILLS says how many kills (default 200)."""
    dice = random.Random(seed)
    names = [f"random{number}" for number in range(5)]
    for name in names:
        await stand.agent(name, "billing", "support")
    for number in range(KILLS):
        await stand.bridge.kill()
        for _ in range(dice.randrange(4)):
            await change_at_random(stand, dice, names)
        await stand.bridge.start(wait="")
        changing = asyncio.create_task(change_at_random(stand, dice, names))
        # it takes about a second to be up: before, in the midst of the first comparison, and after it
        await stand.lasts(dice.random() * 2.0)
        await changing
        if number % 20 == 19:
            await stand.converged()
            await stand.works()
    await stand.healed()


async def change_at_random(stand: Stand, dice: random.Random, names: list[str]) -> None:
    """Never of ben, cem and eve, who must not be rung."""
    name = dice.choice(names)
    match dice.randrange(6):
        case 0:
            await stand.login(name)
        case 1:
            await stand.logout(name)
        case 2:
            await stand.login(name)
            await stand.pause(name, f"reason {dice.randrange(9)}")
        case 3:
            await stand.db.execute(
                "UPDATE agentbridge.queue_members SET penalty = $2 FROM agentbridge.agents a"
                " WHERE a.id = agent_id AND a.username = $1",
                name,
                dice.randrange(5),
            )
        case 4:
            await stand.db.execute(
                "UPDATE agentbridge.agents SET alias = $2, chanspy = NOT chanspy WHERE username = $1",
                name,
                f"Alias {dice.randrange(9)}",
            )
        case _:
            await stand.login(name)
            await stand.unpause(name)


async def test_file_descriptors_exhausted(stand: Stand) -> None:
    """Not one more can be opened, and all connections are lost: it waits, and goes on when there are some."""
    await run("prlimit", f"--pid={stand.bridge.pid}", "--nofile=3:")
    lines = len(stand.bridge.lines())
    for proxy in (stand.ami, stand.ari, stand.pg):
        proxy.cut()
    await stand.pause("dua", "without descriptors")
    await stand.bridge.logged("database.lost", since=lines)
    await stand.lasts(10)
    await stand.hears()
    stand.bridge.send(signal.SIGHUP)
    await stand.bridge.logged("config.refused", since=lines)
    await run("prlimit", f"--pid={stand.bridge.pid}", "--nofile=1024:")
    await stand.until_member("support", stand.internal["dua"], reason="without descriptors", within=20)
    await stand.unpause("dua")
    await stand.healed()


@pytest_asyncio.fixture
async def watched(stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[socket.socket]:
    """The daemon as under systemd with WatchdogSec=6 s: the socket hears what it says."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "6000000")
    await stand.bridge.stop()
    await stand.bridge.start()
    yield heard
    heard.close()


def feeds(heard: socket.socket) -> int:
    """How often the watchdog was fed since the last look."""
    count = 0
    try:
        while message := heard.recv(4096):
            count += message == b"WATCHDOG=1"
    except BlockingIOError:
        return count
    return count


async def fed(heard: socket.socket, within: float) -> None:
    async def one() -> bool:
        return feeds(heard) > 0

    await until(one, within=within, what="a feed of the watchdog")


async def test_the_event_loop_is_blocked_for_twenty_seconds(stand: Stand, watched: socket.socket) -> None:
    """The disk of its state hangs: a FIFO that nobody reads is where it writes to. No feed comes, so systemd
    would end it. Without systemd it goes on where it was."""
    await fed(watched, within=5)
    fifo = stand.bridge.dir / "database.new"
    await until(gone(fifo), within=5, what="the end of the last write")
    os.mkfifo(fifo)
    await stand.pause("dua", "blocked")
    await stand.bridge_is_quiet(watched, feeds, seconds=20)
    await stand.hears()
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    await fed(watched, within=10)
    os.close(reader)
    await stand.until_member("support", stand.internal["dua"], reason="blocked")
    await stand.unpause("dua")
    await stand.healed()


def gone(file: Path) -> Condition:
    there = file.exists

    async def so() -> bool:
        return not there()

    return so


async def test_systemd_ends_a_daemon_that_does_not_feed_the_watchdog(stand: Stand, watched: socket.socket) -> None:
    """What systemd does then: SIGABRT, and a new start."""
    await fed(watched, within=5)
    stand.bridge.send(signal.SIGSTOP)
    await stand.bridge_is_quiet(watched, feeds, seconds=8)
    await stand.pause("dua", "stopped")
    stand.bridge.send(signal.SIGABRT)
    await stand.bridge.kill()
    await stand.bridge.start()
    await fed(watched, within=5)
    await stand.until_member("support", stand.internal["dua"], reason="stopped")
    await stand.unpause("dua")
    await stand.healed()
