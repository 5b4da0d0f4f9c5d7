"""A row changed in PostgreSQL becomes true in a real Asterisk, seen by real phones."""

import asyncio
import itertools

import asyncpg
import pytest

from lab import versions
from lab.bridge import Sections
from lab.phones import Phone, RegistrationRefusedError, Ring, State
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.autopause import hasty_centre, lose_notifications, one_round
from tests.acceptance.centre import Centre

LOGINS = 300


async def hear_each_other(caller: Phone, agent: Phone) -> None:
    outgoing, incoming = caller.calls[-1], agent.calls[-1]
    assert caller.tone
    assert agent.tone
    await outgoing.hears(agent.tone, timeout=5)
    await incoming.hears(caller.tone, timeout=5)


async def test_an_agent_registers_is_called_by_a_queue_and_both_hear_each_other(shared: Centre) -> None:
    await shared.agent("ana", "sales")
    await shared.login("ana")
    await shared.settled()
    phone, caller = await shared.phone("ana"), await shared.caller()
    call = await caller.call("sales", timeout=5)
    await phone.rings(timeout=5)
    await hear_each_other(caller, phone)
    await call.hangup()


async def test_a_phone_with_another_secret_is_refused(shared: Centre) -> None:
    internal = await shared.agent("ana", "sales")
    await shared.settled()
    phone = await shared.farm.phone(internal, "not-the-secret")
    with pytest.raises(RegistrationRefusedError):
        await phone.register()


async def test_the_secret_is_nowhere_in_asterisk(shared: Centre) -> None:
    await shared.agent("ana", "sales", sip_secret="Quite-Secret-71")
    await shared.login("ana")
    await shared.settled()
    stored = await shared.asterisk.cli("database show")
    # the same digest, under the name that this Asterisk has for it
    assert ("password_digest" if shared.has(versions.DIGEST) else "md5_cred") in stored
    assert "Quite-Secret-71" not in stored


async def test_three_hundred_logins_in_pause_ring_nobody_before_the_unpause(postgres: Postgres) -> None:
    async with Centre(postgres, numbers=range(1000, 1000 + LOGINS + 10), audio=False) as centre:
        names = [f"agent{number}" for number in range(LOGINS)]
        for name in names:
            await centre.agent(name, "sales", login_in_pause=True)
        await centre.agent("control", "sales")
        await centre.settled(within=30)
        phones = await centre.phones([*names, "control"])
        for phone in phones:
            phone.behaviour = Ring()
        *paused, control = phones
        callers = [await centre.caller() for _ in range(3)]
        calls = [await caller.call("sales", timeout=5) for caller in callers]
        await asyncio.gather(*(_log_in(centre, names[start::4]) for start in range(4)))
        await centre.settled(within=30)
        seen = await centre.members("sales")
        assert len(seen) == LOGINS
        assert all(member.paused and member.reason == "login" for member in seen.values())
        # the callers are still offered: who is not on pause rings
        await centre.login("control")
        await control.rings(timeout=10)
        assert [phone.user for phone in paused if phone.invites] == []
        await centre.unpause(names[7])
        await paused[7].rings(timeout=10)
        assert [phone.user for phone in paused if phone.invites] == [paused[7].user]
        assert all(call.state is State.UP for call in calls)


async def test_a_login_in_pause_is_on_pause_with_the_one_action_that_adds_it(wired: Centre) -> None:
    ana = await wired.agent("ana", "sales", "support", login_in_pause=True)
    await wired.bridge.start()
    await wired.settled()
    wired.wire.forget()
    await wired.login("ana")
    for queue in ("sales", "support"):
        await wired.until_member(queue, ana, paused=True, reason="login")
    await wired.settled()
    sent = [sent for sent in wired.wire.writes() if sent.name.startswith("Queue")]
    added = [one for one in sent if one.name == "QueueAdd"]
    assert len(added) == 2
    for one in added:
        assert {"Paused: true", "Reason: login"} <= set(one.detail.splitlines())
    # where QueueAdd leaves the reason out, it follows: each member is on pause already
    followed = [] if wired.has(versions.ADD_REASON) else ["QueuePause"] * 2
    rest = [one for one in sent if one not in added]
    assert [one.name for one in rest] == followed
    for one in rest:
        assert {"Paused: true", "Reason: login"} <= set(one.detail.splitlines())


async def _log_in(centre: Centre, names: list[str]) -> None:
    """On a connection of its own, one after the other, as people do."""
    connection = await asyncpg.connect(centre.dsn)
    try:
        for name in names:
            await connection.fetchval("SELECT agentbridge.login($1, source => 'admin')", name)
    finally:
        await connection.close()


async def test_a_hundred_changes_within_a_second_cost_three_writes_at_most(wired: Centre) -> None:
    internal = await wired.agent("ana", "sales")
    await wired.login("ana")
    await wired.bridge.start()
    await wired.until_member("sales", internal, paused=False)
    await wired.settled()
    wired.wire.forget()
    started = asyncio.get_running_loop().time()
    for number in range(50):
        await wired.pause("ana", f"reason {number}")
        await wired.unpause("ana")
    await wired.pause("ana", "the last one")
    took = asyncio.get_running_loop().time() - started
    await wired.until_member("sales", internal, paused=True, reason="the last one")
    await wired.settled()
    # where the changes alone took longer, a write for each half second of it
    assert 1 <= len(wired.wire.writes()) <= 3 + 2 * max(0.0, took - 1.0), wired.wire.writes()


async def test_a_queue_that_asterisk_does_not_know_is_reported_and_heals_when_it_appears(centre: Centre) -> None:
    await centre.db.execute("INSERT INTO agentbridge.queues (name) VALUES ('later')")
    ana, ben = await centre.agent("ana", "sales", "later"), await centre.agent("ben", "sales")
    await centre.login("ana", "ben")
    await centre.until_member("sales", ana, paused=False)
    await centre.until_member("sales", ben, paused=False)

    async def reported() -> bool:
        return "later" in ((await centre.status("ana"))["error"] or "")

    await until(reported, within=5, what="the report of the unknown queue")
    await centre.settled()
    assert (await centre.status("ben"))["error"] is None
    await centre.asterisk.set_queues({**centre.asterisk.queues, "later": {}})
    await centre.until_member("later", ana, paused=False)
    await centre.healed("ana")


async def test_an_unpause_after_an_autopause_is_never_undone(postgres: Postgres) -> None:
    """C10: with notifications lost a comparison reads the unpause before its hint. tests/faults has a hundred."""
    async with hasty_centre(postgres) as centre:
        await lose_notifications(centre)
        for _ in range(2):
            await one_round(centre, itertools.repeat(0.1))


async def test_an_autopause_of_all_queues_is_adopted_once_and_nothing_is_called_drift(postgres: Postgres) -> None:
    """C9: the AstDB's key of the queues that tell a pause follows the adoption."""
    queues = {"sales": {"autopause": "all", "timeout": "1"}, "support": {}}
    sections: Sections = {"resync": {"seconds": 4}, "log": {"level": "debug"}}
    async with Centre(postgres, queues=queues, sections=sections) as centre:
        internal = await centre.agent("ana", "sales", "support")
        await centre.login("ana")
        await centre.settled()
        phone, caller = await centre.phone("ana"), await centre.caller()
        phone.behaviour = Ring()
        # a comparison that reads between the pauses of the two queues adopts the first one apart
        await centre.bridge.logged("resync.marked", since=len(centre.bridge.lines()), within=20)
        call = await caller.call("sales", timeout=5)
        for queue in queues:
            await centre.until_member(queue, internal, paused=True, reason="Auto-Pause")
        await call.hangup()

        async def adopted() -> bool:
            return (await centre.status("ana"))["paused_queues"] == ["sales", "support"]

        await until(adopted, within=5, what="the autopause in the directory")
        looked = len(centre.bridge.lines())
        for _ in range(2):
            await centre.bridge.logged("resync.marked", since=looked, within=10)
            looked = len(centre.bridge.lines())
        await centre.settled()
        told = [event["queue"] for event in centre.bridge.events("pause.adopted")]
        assert sorted(",".join(told).split(",")) == ["sales", "support"]
        assert len(told) == 1
        assert centre.bridge.events("drift.repaired") == []


async def test_an_autopause_of_asterisk_is_adopted_and_an_unpause_wins_afterwards(postgres: Postgres) -> None:
    queues = {"sales": {"autopause": "yes", "timeout": "2"}, "support": {}}
    async with Centre(postgres, queues=queues) as centre:
        internal = await centre.agent("ana", "sales", "support")
        await centre.login("ana")
        await centre.settled()
        phone, caller = await centre.phone("ana"), await centre.caller()
        phone.behaviour = Ring()
        call = await caller.call("sales", timeout=5)
        await phone.rings(timeout=5)
        await centre.until_member("sales", internal, paused=True, reason="Auto-Pause")
        await call.hangup()

        async def adopted() -> bool:
            return (await centre.status("ana"))["paused_queues"] == ["sales"]

        await until(adopted, within=5, what="the autopause in the directory")
        await centre.settled()
        assert await centre.bridge.logged("pause.adopted", agent=internal, queue="sales")
        member = await centre.member("support", internal)
        assert member is not None
        assert not member.paused
        await centre.unpause("ana", "sales")
        await centre.until_member("sales", internal, paused=False)
        await centre.settled()
        assert (await centre.status("ana"))["paused_queues"] == []


async def test_aors_go_ahead_of_endpoints_on_the_wire(wired: Centre) -> None:
    for number in range(20):
        await wired.agent(f"agent{number}", "sales")
    await wired.bridge.start()
    await wired.settled()
    pushed = [sent.detail.split("/")[-2] for sent in wired.wire.writes() if sent.name == "PUT"]
    assert {"aor", "auth", "endpoint"} == set(pushed)
    assert pushed == sorted(pushed, key=["aor", "auth", "endpoint"].index)


async def test_members_that_are_not_ours_are_left_alone(postgres: Postgres) -> None:
    async with Centre(postgres, queues={"sales": {}}, extra={"queues.conf": "[other]\n"}) as centre:
        await centre.agent("ana", "sales")
        await centre.asterisk.cli("queue add member PJSIP/9999 to other")
        await centre.asterisk.cli("queue add member Local/1@from-sip to sales")
        await centre.asterisk.cli("queue add member PJSIP/reception to sales")
        await centre.login("ana")
        await centre.settled()
        await centre.logout("ana")
        await centre.settled()
        assert "PJSIP/9999" in await centre.asterisk.cli("queue show other")
        assert set(await centre.members("sales")) == {("sales", "Local/1@from-sip"), ("sales", "PJSIP/reception")}
