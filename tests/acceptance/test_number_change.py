"""An agent gets another internal number: everything follows, and no queue sees it twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lab.manager import Manager, Message
from lab.phones import RegistrationRefusedError
from lab.processes import until
from tests.acceptance.centre import Centre
from tests.acceptance.odd_phone import both_ways, refused_call


class Watch:
    """Counts, from app_queue's own events, the members of each queue; `most` is the highest it ever was."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = {}
        self.most: dict[str, int] = {}
        self.unpaused: list[Message] = []

    def take(self, event: Message) -> None:
        queue = event.get("Queue", "")
        there = self.members.setdefault(queue, set())
        match event.get("Event"):
            case "QueueMemberAdded":
                there.add(event["Interface"])
                self.most[queue] = max(self.most.get(queue, 0), len(there))
                self._note_pause(event)
            case "QueueMemberRemoved":
                there.discard(event["Interface"])
            case "QueueMemberPause":
                self._note_pause(event)
            case _:
                pass

    def _note_pause(self, event: Message) -> None:
        if event["Paused"] == "0":
            self.unpaused.append(event)


@asynccontextmanager
async def watched(centre: Centre, *queues: str) -> AsyncIterator[Watch]:
    """From the members of now on, until all that happened inside has been told."""
    watch = Watch()
    async with Manager(centre.asterisk, events="agent", on_event=watch.take) as manager:
        for queue, interface in await centre.members(*queues):
            watch.members.setdefault(queue, set()).add(interface)
        yield watch
        await manager.ask("Ping")  # the events before it have come


async def renumber(centre: Centre, username: str, number: str) -> None:
    await centre.db.execute("UPDATE agentbridge.agents SET internal = $2 WHERE username = $1", username, number)
    await centre.settled()


async def test_endpoint_members_and_calls_follow_the_number(shared: Centre) -> None:
    old = await shared.agent("ana", "sales", "support", penalty=3, chanspy=True, voicemail=True)
    await shared.login("ana")
    await shared.settled()
    old_phone = await shared.phone("ana")
    async with watched(shared, "sales", "support") as watch:
        await renumber(shared, "ana", "1040")
        await shared.until_member("sales", "1040", paused=False, penalty=3, name="Ana")
        await shared.until_member("support", "1040", paused=False, penalty=3)
    assert watch.most == {"sales": 1, "support": 1}
    assert {interface for _, interface in await shared.members("sales", "support")} == {"PJSIP/1040"}
    stored = await shared.asterisk.cli("database show agentbridge")
    assert f"agent/{old}/" not in stored
    assert "agent/1040/chanspy" in stored
    assert "No rows" in await shared.asterisk.cli(f"realtime load voicemail internal {old}")
    assert "1040" in await shared.asterisk.cli("realtime load voicemail internal 1040")
    phone = await shared.phone("ana")
    assert phone.user == "1040"
    await both_ways(await shared.caller(), phone, "sales")
    await both_ways(await shared.caller(), phone, "1040")
    assert await refused_call(await shared.caller(), old) == 404
    refused = False
    try:
        await old_phone.register()
    except RegistrationRefusedError:
        refused = True
    assert refused


async def test_a_pause_is_kept_at_every_moment(shared: Centre) -> None:
    await shared.agent("ana", "sales", "support")
    await shared.login("ana")
    await shared.pause("ana", "lunch")
    await shared.settled()
    async with watched(shared, "sales", "support") as watch:
        for number in ("1041", "1042", "1043"):
            await renumber(shared, "ana", number)
            await shared.until_member("sales", number, paused=True, reason="lunch")
            await shared.until_member("support", number, paused=True, reason="lunch")
    assert watch.unpaused == []
    assert set(watch.most.values()) == {1}


async def test_the_pause_of_one_queue_is_kept(shared: Centre) -> None:
    await shared.agent("ana", "sales", "support")
    await shared.login("ana")
    await shared.pause("ana", "training", "support")
    await shared.settled()
    async with watched(shared, "support") as watch:
        await renumber(shared, "ana", "1044")
        await shared.until_member("support", "1044", paused=True, reason="training")
        await shared.until_member("sales", "1044", paused=False)
    assert [event["Queue"] for event in watch.unpaused] == ["sales"]


async def test_two_agents_exchange_their_numbers(shared: Centre) -> None:
    ana, ben = await shared.agent("ana", "sales", penalty=1), await shared.agent("ben", "sales", penalty=2)
    await shared.login("ana", "ben")
    await shared.pause("ben", "lunch")
    await shared.settled()
    async with watched(shared, "sales") as watch:
        for username, number in (("ana", "1049"), ("ben", ana), ("ana", ben)):
            await shared.db.execute("UPDATE agentbridge.agents SET internal = $2 WHERE username = $1", username, number)
        await shared.until_member("sales", ben, name="Ana", paused=False, penalty=1)
        await shared.until_member("sales", ana, name="Ben", paused=True, reason="lunch", penalty=2)
    assert watch.most["sales"] <= 2
    assert len(await shared.members("sales")) == 2


async def test_a_number_that_changes_during_a_call_leaves_the_call_alone(shared: Centre) -> None:
    await shared.agent("ana", "sales")
    await shared.login("ana")
    await shared.settled()
    phone, caller = await shared.phone("ana"), await shared.caller()
    call = await caller.call("sales", 5.0)
    ringing = await phone.rings(5.0)
    await shared.db.execute("UPDATE agentbridge.agents SET internal = '1045' WHERE username = 'ana'")

    async def waits() -> bool:
        return "no call or wrap-up is interrupted" in ((await shared.status("ana"))["waits_for"] or "")

    await until(waits, within=10, what="the new number waiting for the end of the call")
    assert caller.tone
    assert phone.tone
    await asyncio.gather(call.hears(phone.tone, 5.0), ringing.hears(caller.tone, 5.0))
    await call.hangup()
    await shared.until_member("sales", "1045", paused=False, name="Ana")
    await shared.settled()


async def test_what_is_recorded_after_it_bears_the_new_number(shared: Centre) -> None:
    old = await shared.agent("ana", "sales", record_calls="wav")
    await shared.login("ana")
    await shared.settled()
    await both_ways(await shared.caller(), await shared.phone("ana"), "sales")
    await renumber(shared, "ana", "1046")
    await both_ways(await shared.caller(), await shared.phone("ana"), "sales")
    query = "SELECT internal, file FROM agentbridge.recordings WHERE ended_at IS NOT NULL ORDER BY started_at"

    async def both_ended() -> bool:
        return len(await shared.db.fetch(query)) == 2

    await until(both_ended, within=10, what="the rows of both recordings")
    for row, number in zip(await shared.db.fetch(query), (old, "1046"), strict=True):
        assert row["internal"] == number
        assert row["file"].endswith(f"-{number}-1.wav")
        assert (shared.asterisk.spool / row["file"]).stat().st_size > 1000
