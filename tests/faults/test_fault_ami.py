"""The way to Asterisk's manager is cut, silent, slow or full."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

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
    """Asterisk holds a queue's lock while it writes that queue's members to whoever asked for them."""
    async with Manager(stand.asterisk) as deaf:
        for _ in range(20_000):
            deaf.send("QueueStatus", {})
        await stand.pause("dua", "beside a deaf client")
        await stand.until_member("support", stand.internal["dua"], reason="beside a deaf client", within=30)
    await stand.unpause("dua")
    await stand.healed()


SHOUTER = {
    "manager.conf": "[shouter]\nsecret = very-loud\nread = user\nwrite = user\nwritetimeout = 10000\n",
}


async def test_a_flood_of_events(postgres: Postgres, seed: int) -> None:
    """As many of our own class as Asterisk can send, for ten seconds, and changes all the while."""
    async with Stand(postgres, seed=seed, extra=SHOUTER) as stand, AsyncExitStack() as stack:
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
    """More than Asterisk can send: put into the stream by the proxy, on all links."""
    message = b"Event: UserEvent\r\nUserEvent: AgentbridgeNoise\r\nText: " + b"x" * 80 + b"\r\n\r\n"
    flood = asyncio.create_task(stand.ami.flood(message, per_second=100_000, seconds=10))
    number = 0
    while not flood.done():
        number += 1
        await stand.pause("dua", f"flood {number}")
        await stand.until_member("support", stand.internal["dua"], reason=f"flood {number}", within=10)
    sys.stderr.write(f"    {flood.result():,.0f} events a second taken in, {number} changes applied meanwhile\n")
    await stand.unpause("dua")
    await stand.healed()
