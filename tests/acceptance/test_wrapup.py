"""What makes a queue member anew waits for the end of a call and its wrap-up; what stops a ring does not."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest_asyncio

from agentbridge.asterisk.drivers.engagement import PAUSE_REASON
from lab.manager import Manager, Message
from lab.phones import Answer, Call, Phone, State
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre

WRAPUP_S = 6
LEAVES_WITHIN_S = 5.0
EVENTS_LATE_S = 2.0
"""how long after something an event may be read"""
NOT_IN_USE = "1"
CHANGES = int(os.environ.get("AGENTBRIDGE_CHANGES", "60"))
"""of the random test; 300 take two minutes"""
QUEUES = {
    "sales": {
        "wrapuptime": str(WRAPUP_S),
        "strategy": "fewestcalls",
        "leavewhenempty": "strict",
        "retry": "1",
        "timeout": "8",
    },
    "support": {},
}


@pytest_asyncio.fixture(scope="module")
async def floor(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres, queues=QUEUES, audio=False, numbers=range(1000, 1100)) as centre:
        yield centre


@pytest_asyncio.fixture
async def wrapping(floor: Centre) -> AsyncIterator[Centre]:
    yield floor
    await floor.emptied()


async def known(centre: Centre, interface: str) -> tuple[int, int]:
    """How many calls of sales the member took, and when the last one ended."""
    async with Manager(centre.asterisk) as manager:
        for item in await manager.ask("QueueStatus", {"Queue": "sales"}):
            if item.get("Location") == interface:
                return int(item["CallsTaken"]), int(item["LastCall"])
    raise AssertionError(f"{interface} is no member of sales")


async def talking(centre: Centre, phone: Phone) -> Call:
    """A customer of sales whom the phone answered; what the customer's side knows of the call."""
    phone.behaviour = Answer()
    before = len(phone.invites)
    call = (await centre.caller()).dial("sales")
    await until(_calls(phone, before + 1), within=15, what="the agent's phone being called")
    await call.answered(10)
    return call


def _calls(phone: Phone, count: int) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return len(phone.invites) >= count

    return so


def waiting(centre: Centre, queue: str) -> Callable[[], Awaitable[bool]]:
    """Whether a customer waits in the queue."""

    async def so() -> bool:
        async with Manager(centre.asterisk) as manager:
            return any(item.get("Event") == "QueueEntry" for item in await manager.ask("QueueStatus", {"Queue": queue}))

    return so


async def waits(centre: Centre, username: str) -> str:
    """What its change waits for, as the directory says; waited for."""

    async def told() -> bool:
        return (await centre.status(username))["waits_for"] is not None

    await until(told, within=10, what=f"{username} being told to wait")
    row = await centre.status(username)
    assert (row["pending"], row["applied_at"], row["error"]) == (True, None, None)
    return str(row["waits_for"])


async def test_a_new_name_keeps_the_wrap_up_and_comes_after_it(wrapping: Centre) -> None:
    """And the next customer comes when the wrap-up is over, no earlier."""
    centre = wrapping
    ana = await centre.agent("ana", "sales")
    await centre.login("ana")
    await centre.settled()
    phone = await centre.phone("ana")
    first = await talking(centre, phone)
    await centre.db.execute("UPDATE agentbridge.agents SET alias = 'In a call'")
    assert "in a call in sales" in await waits(centre, "ana")
    second = (await centre.caller()).dial("sales")
    await first.hangup()
    ended = time.monotonic()
    await centre.db.execute("UPDATE agentbridge.agents SET alias = 'In wrap-up'")

    async def wrapping_up() -> bool:
        return "in wrap-up in sales" in await waits(centre, "ana")

    await until(wrapping_up, within=WRAPUP_S - 2, what="the change waiting for the wrap-up")
    await asyncio.sleep(ended + WRAPUP_S - 2 - time.monotonic())
    assert await known(centre, f"PJSIP/{ana}") >= (1, 1), "what the queue knew, as long as the wrap-up lasts"
    await until(_calls(phone, 2), within=WRAPUP_S + 30, what="the next customer")
    assert phone.invites[1].at - ended >= WRAPUP_S - 1.2, "app_queue counts in whole seconds"
    # between the wrap-up's end and the ring the member may have been made anew, with the count at zero: it was free
    await second.answered(10)
    await second.hangup()
    await centre.until_member("sales", ana, name="In wrap-up", within=WRAPUP_S + 10)
    await centre.healed("ana")
    assert (await centre.status("ana"))["waits_for"] is None


async def test_new_names_leave_no_queue_empty_in_which_customers_wait(wrapping: Centre) -> None:
    """A queue with `leavewhenempty` would throw them out; of members changed together, the last comes after the others,
    and one that is alone after the customers."""
    centre = wrapping
    for name in ("ana", "ben"):
        await centre.agent(name, "support")
    await centre.login("ana", "ben")
    await centre.pause("ana", "lunch")
    await centre.pause("ben", "lunch")
    await centre.settled()
    customer = (await centre.caller()).dial("support")
    await customer.answered(10)
    await until(waiting(centre, "support"), within=5, what="the customer being in the queue")
    fewest = 2

    def take(event: Message) -> None:
        nonlocal fewest
        if event.get("Event") == "QueueMemberRemoved":
            fewest = min(fewest, len(shown) - 1)
            shown.discard(event["Interface"])
        elif event.get("Event") == "QueueMemberAdded":
            shown.add(event["Interface"])

    shown = {interface for _, interface in await centre.members()}
    async with Manager(centre.asterisk, events="agent", on_event=take) as manager:
        await centre.db.execute("UPDATE agentbridge.agents SET alias = 'New ' || username")
        await centre.healed("ana", within=20)
        await centre.healed("ben", within=20)
        await manager.ask("Ping")
    assert fewest == 1
    assert {member.name for member in (await centre.members()).values()} == {"New ana", "New ben"}
    await centre.logout("ben")
    await centre.settled()
    await centre.db.execute("UPDATE agentbridge.agents SET alias = 'Newer' WHERE username = 'ana'")
    assert "alone with waiting customers in support" in await waits(centre, "ana")
    assert customer.state is State.UP
    await customer.hangup()
    await centre.healed("ana", within=20)
    assert {member.name for member in (await centre.members()).values()} == {"Newer"}


async def test_a_pause_and_a_log_out_in_a_call_do_not_wait(wrapping: Centre) -> None:
    centre = wrapping
    ana = await centre.agent("ana", "sales", "support")
    await centre.login("ana")
    await centre.settled()
    phone = await centre.phone("ana")
    call = await talking(centre, phone)
    await centre.db.execute("UPDATE agentbridge.agents SET alias = 'Beth', full_name = 'Beth'")
    await waits(centre, "ana")
    await centre.pause("ana", "lunch")
    await centre.until_member("sales", ana, paused=True, reason="lunch", name="Ana", within=3)
    await centre.logout("ana")

    async def out() -> bool:
        return await centre.members() == {}

    await until(out, within=3, what="ana being out of her queues")
    assert call.state is State.UP
    await call.hangup()


async def test_another_number_waits_too_and_the_call_goes_on(wrapping: Centre) -> None:
    centre = wrapping
    old = await centre.agent("ana", "sales")
    await centre.login("ana")
    await centre.settled()
    phone = await centre.phone("ana")
    call = await talking(centre, phone)
    await centre.db.execute("UPDATE agentbridge.agents SET internal = '1077'")
    assert old in await waits(centre, "ana")
    assert {interface for _, interface in await centre.members()} == {f"PJSIP/{old}"}
    await call.hangup()
    await centre.until_member("sales", "1077", within=WRAPUP_S + 10)
    assert {interface for _, interface in await centre.members()} == {"PJSIP/1077"}
    await centre.healed("ana")


class Forgetting:
    """Hears from app_queue's own events which members were taken out while in a call or in wrap-up."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.calls = 0
        self._leaves_until: dict[str, float] = {}

    def leaves(self, interface: str) -> None:
        """From now on the agent is taken out rightly, whatever it does."""
        self._leaves_until[interface] = float("inf")

    def is_back(self, interface: str) -> None:
        self._leaves_until[interface] = time.monotonic() + EVENTS_LATE_S

    def take(self, event: Message) -> None:
        match event.get("Event"):
            case "AgentConnect":
                self.calls += 1
            case "QueueMemberRemoved" if self._leaves_until.get(event["Interface"], 0.0) < time.monotonic():
                self._judge(event)
            case _:
                pass

    def _judge(self, event: Message) -> None:
        """What the event of the removal says of the member, in whose queue others wait for its wrap-up."""
        place = (event["Queue"], event["Interface"])
        age = time.time() - int(event["LastCall"])
        if event["InCall"] == "1" or event["Status"] in ("2", "3", "6", "7", "8"):
            self.forgotten.append(f"{place} was engaged: {event}")
        elif place[0] == "sales" and int(event["LastCall"]) and age < WRAPUP_S - 1 and not _on_pause(event):
            self.forgotten.append(f"{place} was in wrap-up for {age:.1f} s: {event}")


def _on_pause(event: Message) -> bool:
    """Whether the agent was, and not only held back by the daemon for the moment before the member is taken out."""
    return event["Paused"] == "1" and event.get("PausedReason") != PAUSE_REASON


class Shift:
    """Four agents take calls of sales while they are renamed, paused, locked, logged out or without a phone at random
    moments."""

    NAMES = tuple(f"agent{number}" for number in range(4))

    def __init__(self, centre: Centre, watch: Forgetting, phones: Mapping[str, Phone], seed: int) -> None:
        self.centre, self.dice = centre, random.Random(seed)
        self.watch, self.phones = watch, phones
        self.changes = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(self._customers())
            tasks.create_task(self._change())

    async def _customers(self) -> None:
        phone = await self.centre.caller()
        while self.changes < CHANGES:
            call = phone.dial("sales")
            with contextlib.suppress(TimeoutError):
                await call.answered(4 * WRAPUP_S)
            await asyncio.sleep(self.dice.uniform(0.2, 1.5))
            await call.hangup()

    async def _change(self) -> None:
        while self.changes < CHANGES:
            await self._change_one(self.dice.choice(self.NAMES))
            self.changes += 1
            await asyncio.sleep(self.dice.uniform(0.0, 0.4))

    async def _change_one(self, name: str) -> None:
        match self.dice.randrange(9):
            case 0 | 1:
                await self._set(name, "alias")
            case 2:
                await self._set(name, "full_name")
            case 3:
                await self.centre.pause(name, f"reason {self.changes}", queue=self.dice.choice(["sales", "support"]))
            case 4 | 5:
                await self.centre.unpause(name)
            case 6:
                async with self._away(name):
                    await self.centre.logout(name)
            case 7:
                async with self._away(name):
                    await self._update(name, "locked_at = now()")
            case _:
                await self.phones[name].unregister()
                await self.phones[name].register()

    @asynccontextmanager
    async def _away(self, name: str) -> AsyncIterator[None]:
        """The block makes the agent leave, who is out of all queues at once, and logs in again."""
        interface = f"PJSIP/{self.phones[name].user}"
        self.watch.leaves(interface)
        yield

        async def out() -> bool:
            return all(place != interface for _, place in await self.centre.members())

        await until(out, within=LEAVES_WITHIN_S, what=f"{name} being out")
        await self._update(name, "locked_at = NULL")
        await self.centre.login(name)
        await self.centre.until_member("sales", self.phones[name].user)
        self.watch.is_back(interface)

    async def _set(self, name: str, column: str) -> None:
        await self._update(name, f"{column} = '{column} {self.changes}'")

    async def _update(self, name: str, assignment: str) -> None:
        await self.centre.db.execute(f"UPDATE agentbridge.agents SET {assignment} WHERE username = $1", name)


async def test_whatever_changes_in_any_state_of_a_call_app_queue_forgets_nothing(wrapping: Centre) -> None:
    """And at the end each phone has its contact, is free, and is rung."""
    centre = wrapping
    for name in Shift.NAMES:
        await centre.agent(name, "sales", "support")
    await centre.login(*Shift.NAMES)
    await centre.settled()
    phones = dict(zip(Shift.NAMES, await centre.phones(Shift.NAMES), strict=True))
    for phone in phones.values():
        phone.behaviour = Answer(after=0.4)
    watch = Forgetting()
    async with Manager(centre.asterisk, events="agent", on_event=watch.take) as manager:
        asking = asyncio.create_task(_keep_asking(manager))
        await Shift(centre, watch, phones, seed=7).run()
        asking.cancel()
    assert watch.forgotten == [], "a member was made anew in a call or in wrap-up"
    assert watch.calls > 3
    for name in Shift.NAMES:
        await centre.unpause(name)
        await centre.healed(name, within=WRAPUP_S + 20)
    members = await centre.members()
    rows = await centre.db.fetch(
        "SELECT internal, coalesce(nullif(alias, ''), full_name) AS name FROM agentbridge.agents"
    )
    assert {f"PJSIP/{row['internal']}": row["name"] for row in rows} == {
        interface: seen.name for (queue, interface), seen in members.items() if queue == "sales"
    }
    async with Manager(centre.asterisk) as manager:
        shown = await manager.ask("QueueStatus", {"Queue": "sales"})
    assert [item["Status"] for item in shown if item.get("Event") == "QueueMember"] == [NOT_IN_USE] * len(phones)
    caller = await centre.caller()
    for phone in phones.values():
        before = len(phone.invites)
        call = await caller.call(phone.user, 10)
        assert len(phone.invites) == before + 1
        await call.hangup()


async def _keep_asking(manager: Manager) -> None:
    """So that the events are read."""
    while True:
        await manager.ask("Ping")
        await asyncio.sleep(0.1)
