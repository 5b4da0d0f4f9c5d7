"""The way to Asterisk's manager is cut, silent, slow or full."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from lab.faults import Fault
from lab.manager import Manager
from lab.postgres import Postgres
from lab.processes import until
from tests.faults.stand import Stand

NOISE = {"UserEvent": "AgentbridgeNoise", "Text": "x" * 100}


async def test_ami_half_open(stand: Stand) -> None:
    lines = len(stand.bridge.lines())
    stand.ami.fault = Fault.HALF_OPEN
    await stand.pause("dua", "while it was half open")
    await stand.bridge.logged("ami.lost", since=lines, within=25, link="actions")
    await stand.lasts(2)
    assert not (await stand.status("dua"))["applied_at"], "said to be applied, and Asterisk never heard of it"
    stand.ami.fault = Fault.NONE
    await stand.until_member("support", stand.internal["dua"], paused=True)
    await stand.unpause("dua")
    await stand.healed()


@pytest.mark.parametrize("action", ["QueuePause", "QueueAdd", "QueueRemove", "DBPut", "DBDel"])
async def test_ami_cut_after_the_request_and_before_the_answer(stand: Stand, action: str) -> None:
    fay = await stand.agent("fay", "billing")
    await stand.settled()
    if action in ("QueueRemove", "DBDel"):
        await stand.login("fay")
        await stand.settled()
    stand.ami.cut_after(f"Action: {action}\r\n".encode())
    match action:
        case "QueuePause":
            await stand.pause("dua", "cut")
        case "QueueAdd" | "DBPut":
            await stand.login("fay")
        case _:
            await stand.logout("fay")

    async def was_cut() -> bool:
        return stand.ami.cuts == 1

    await until(was_cut, within=5, what="the cut")
    await stand.converged()
    seen = await stand.member("billing", fay)
    assert (seen is None) == (action in ("QueuePause", "QueueRemove", "DBDel"))
    await stand.healed()


async def test_ami_cut_again_and_again_while_agents_come_and_go(stand: Stand, seed: int) -> None:
    for number in range(20):
        if number % 3 == seed % 3:
            stand.ami.cut()
        await (stand.logout("dua") if number % 2 else stand.login("dua"))
        await stand.pause("ana", f"pause {number}")
        await stand.unpause("ana")
    await stand.login("dua")
    await stand.healed()


async def test_ami_answers_late(stand: Stand) -> None:
    stand.ami.delay = 0.5
    await stand.pause("dua", "late")
    await stand.until_member("support", stand.internal["dua"], paused=True, reason="late")
    await stand.healed()


async def test_ami_is_read_slowly(stand: Stand) -> None:
    """The network lets through little of what Asterisk says; what it says piles up in front of it."""
    stand.ami.fault = Fault.SLOW
    for number in range(30):
        await stand.pause("dua", f"slow {number}")
    await stand.until_member("support", stand.internal["dua"], paused=True, reason="slow 29", within=20)
    await stand.unpause("dua")
    stand.ami.fault = Fault.NONE
    await stand.healed()


async def test_another_client_of_ami_does_not_read(stand: Stand) -> None:
    """Asterisk holds a queue's lock while it writes that queue's members to whoever asked for them, and waits its
    writetimeout at each line for who does not take them: so long nobody changes that queue. Then it goes on."""
    began = time.monotonic()
    async with Manager(stand.asterisk) as deaf:
        for _ in range(20_000):
            deaf.send("QueueStatus", {})
        await stand.pause("dua", "beside a deaf client")

        async def paused() -> bool:
            try:
                seen = await stand.member("support", stand.internal["dua"])
            except TimeoutError:  # our own look waits for the lock as well: Asterisk's writetimeout is 5 s
                return False
            return seen is not None and seen.reason == "beside a deaf client"

        await until(paused, within=150, what="a change beside a client that does not read")
        sys.stderr.write(f"    a change beside it took {time.monotonic() - began:.1f} s\n")
        await stand.hears()
        await stand.lasts(6)
        assert await answers(deaf) < 20_000, "Asterisk was never held up by it"
    await stand.unpause("dua")
    await stand.healed()


async def answers(manager: Manager) -> int:
    """How many it still gets before Asterisk has ended the connection."""
    count = 0
    try:
        async with asyncio.timeout(30):
            while True:
                count += (await manager.read()).get("EventList") == "start"
    except (asyncio.IncompleteReadError, ConnectionError):
        return count


@pytest_asyncio.fixture
async def loud(postgres: Postgres, seed: int) -> AsyncIterator[Stand]:
    """Others may shout there."""
    async with Stand(postgres, seed=seed, extra=SHOUTER) as stand:
        yield stand


async def test_ami_is_read_too_slowly_for_a_flood(loud: Stand) -> None:
    """What Asterisk says fills its socket, and then it ends the connection of who does not take it."""
    lines = len(loud.bridge.lines())
    loud.ami.fault = Fault.SLOW
    async with Manager(Shouter(loud.asterisk.ami_port)) as shouting:
        flood = asyncio.create_task(_flood(shouting))
        await loud.pause("dua", "in the flood")
        await loud.bridge.logged("ami.lost", since=lines, within=60)
        await loud.hears()
        flood.cancel()
    loud.ami.fault = Fault.NONE
    await loud.until_member("support", loud.internal["dua"], reason="in the flood", within=20)
    await loud.unpause("dua")
    await loud.healed()


SHOUTER = {
    "manager.conf": "[shouter]\nsecret = very-loud\nread = user\nwrite = user\nwritetimeout = 10000\n",
}


async def test_a_flood_of_events(loud: Stand) -> None:
    """As many of our own class as Asterisk can send, for ten seconds, and changes all the while."""
    stand = loud
    async with AsyncExitStack() as stack:
        account = Shouter(stand.asterisk.ami_port)
        lines = len(stand.bridge.lines())
        shouting = [await stack.enter_async_context(Manager(account)) for _ in range(2)]
        counting = await stack.enter_async_context(Manager(account, events="user"))
        async with asyncio.TaskGroup() as tasks:
            counter = tasks.create_task(_count(counting, seconds=10))
            floods = [tasks.create_task(_flood(manager)) for manager in shouting]
            number = 0
            while not counter.done():
                number += 1
                await stand.pause("dua", f"flood {number}")
                await stand.until_member("support", stand.internal["dua"], reason=f"flood {number}", within=5)
            for task in floods:
                task.cancel()
        rate = counter.result()
        sys.stderr.write(f"    {rate:,.0f} events a second, {number} changes applied meanwhile\n")
        assert rate > 1000
        assert number >= 10
        assert not stand.bridge.events("ami.lost", since=lines), "Asterisk cut the daemon off as a slow reader"
        await stand.unpause("dua")
        await stand.healed()


@dataclass(frozen=True, slots=True)
class Shouter:
    """An account that may send events of class user."""

    ami_port: int
    host: str = "127.0.0.1"
    ami_user: str = "shouter"
    ami_secret: str = "very-loud"


async def _flood(manager: Manager) -> None:
    while True:
        for _ in range(100):
            manager.send("UserEvent", NOISE)
        for _ in range(100):
            await manager.read()


async def _count(manager: Manager, *, seconds: float) -> float:
    """Events a second."""
    started, seen = time.monotonic(), 0
    while time.monotonic() < started + seconds:
        seen += "Event" in await manager.read()
    return seen / seconds


async def test_a_hundred_thousand_events_a_second(stand: Stand) -> None:
    """More than Asterisk can send, a million in ten seconds: put into the stream by the proxy, on all links. What
    the daemon can't take in at that rate waits for it, as in Asterisk; in the end it has read all of them."""
    message = b"Event: UserEvent\r\nUserEvent: AgentbridgeNoise\r\nText: " + b"x" * 80 + b"\r\n\r\n"
    flood = asyncio.create_task(stand.ami.flood(message, per_second=100_000, seconds=10, within=90))
    number, lines = 0, len(stand.bridge.lines())
    while not flood.done():
        number += 1
        await stand.pause("dua", f"flood {number}")
        await stand.until_member("support", stand.internal["dua"], reason=f"flood {number}", within=10)
    sys.stderr.write(f"    a million on each link taken in {flood.result():.1f} s, {number} changes meanwhile\n")
    assert number >= 5
    assert not stand.bridge.events("ami.lost", since=lines)
    await stand.unpause("dua")
    await stand.healed()
