"""What somebody types into Asterisk is repaired, and the log says what it was and what it is now."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentbridge.asterisk.ari.client import Ari
from agentbridge.model import EndpointId, ObjectKind
from lab.asterisk import Queues
from lab.manager import Seen
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre


@pytest_asyncio.fixture
async def ana(centre: Centre) -> AsyncIterator[str]:
    """An agent that works in two queues, and is on pause in support."""
    # one commit, so that no change of this is still to be looked at when somebody types
    async with centre.db.transaction():
        internal = await centre.agent("ana", "sales", "support", penalty=2, chanspy=True)
        await centre.login("ana")
        await centre.pause("ana", "training", queue="support")
    await centre.settled()
    yield internal


def as_it_should_be(internal: str) -> dict[tuple[str, str], Seen]:
    return {
        ("sales", f"PJSIP/{internal}"): Seen(name="Ana", penalty=2, paused=False, reason=""),
        ("support", f"PJSIP/{internal}"): Seen(name="Ana", penalty=2, paused=True, reason="training"),
    }


@pytest.mark.parametrize(
    ("typed", "what", "was", "now"),
    [
        ("queue remove member PJSIP/{} from sales", "member.added", "absent", "unpaused"),
        ("queue pause member PJSIP/{} queue sales reason x", "member.unpaused", "paused reason='x'", "unpaused"),
        ("queue unpause member PJSIP/{} queue support", "member.paused", "unpaused", "paused reason='training'"),
        ("queue set penalty 9 on PJSIP/{} in sales", "member.penalty_set", "penalty=9", "penalty=2"),
    ],
    ids=["remove", "pause", "unpause", "penalty"],
)
async def test_a_member_that_was_changed_by_hand_is_repaired(
    centre: Centre, ana: str, typed: str, what: str, was: str, now: str
) -> None:
    lines = len(centre.bridge.lines())
    await centre.asterisk.cli(typed.format(ana))
    repaired = await centre.bridge.logged("drift.repaired", since=lines, what=what, agent=ana)
    assert was in repaired["was"]
    assert now in repaired["now"]
    await centre.until_members(as_it_should_be(ana))


async def test_an_agent_added_by_hand_to_a_queue_of_ours_is_taken_out(centre: Centre, ana: str) -> None:
    await centre.asterisk.cli(f"queue add member PJSIP/{ana} to billing")
    repaired = await centre.bridge.logged("drift.repaired", what="member.removed", agent=ana, queue="billing")
    assert (repaired["was"].split()[0], repaired["now"]) == ("unpaused", "absent")
    await centre.until_members(as_it_should_be(ana))


async def test_a_member_added_by_hand_in_other_letters_is_replaced(centre: Centre, ana: str) -> None:
    """app_queue takes both for one member, and would not add ours beside it."""
    await centre.bridge.stop()
    await centre.asterisk.cli(f"queue remove member PJSIP/{ana} from sales")
    await centre.asterisk.cli(f"queue add member pjsip/{ana} to sales")
    await centre.bridge.start()
    await centre.until_members(as_it_should_be(ana))
    await centre.healed("ana")


async def test_a_member_of_queues_conf_is_reported_on_the_agent_and_not_fought(postgres: Postgres) -> None:
    queues = {"sales": {"member": "PJSIP/1000"}, "support": {"member": "PJSIP/reception"}}
    async with Centre(postgres, queues=queues, wired=True) as centre:
        ana = await centre.agent("ana", "support")
        await centre.login("ana")
        await centre.until_member("support", ana, name="Ana")
        await centre.settled()
        assert ana == "1000"
        assert "sales by queues.conf" in (await centre.status("ana"))["error"]
        assert (await centre.phone("ana")).registered
        # neither is sent what can't be, and the administrator's own member is nobody's fault
        assert [sent for sent in centre.wire.writes() if sent.name == "QueueRemove"] == []
        (failed,) = centre.bridge.events("key.failed")
        assert failed["agent"] == ana
        await reloaded(centre, {"sales": {}, "support": queues["support"]})
        await centre.healed("ana")
        assert {interface for _, interface in await centre.members()} == {f"PJSIP/{ana}", "PJSIP/reception"}


async def reloaded(centre: Centre, queues: Queues) -> None:
    await centre.asterisk.set_queues(queues)
    # unlike `queue reload`, this has an event; without one the next resync finds it
    await centre.asterisk.cli("module reload app_queue.so")


async def test_members_that_a_reload_took_along_are_there_again(centre: Centre, ana: str) -> None:
    queues = centre.asterisk.queues
    lines = len(centre.bridge.lines())
    await reloaded(centre, {name: options for name, options in queues.items() if name != "sales"})
    failed = await centre.bridge.logged("key.failed", since=lines, agent=ana)
    assert "does not know sales" in failed["reason"]
    assert await centre.member("sales", ana) is None
    await reloaded(centre, queues)
    await centre.until_members(as_it_should_be(ana))
    added = await centre.bridge.logged("member.added", since=lines, agent=ana, queue="sales")
    assert (added["was"], added["now"].split()[0]) == ("absent", "unpaused")
    await centre.bridge.logged("key.healed", since=lines, agent=ana)


async def test_a_reload_of_app_queue_leaves_the_members_right(centre: Centre, ana: str) -> None:
    await centre.asterisk.cli("module reload app_queue.so")
    await centre.until_members(as_it_should_be(ana))
    await centre.asterisk.cli("queue reset stats")
    await centre.pause("ana", "lunch")
    await centre.until_member("sales", ana, paused=True, reason="lunch")


async def test_a_deleted_policy_is_written_again(postgres: Postgres) -> None:
    async with Centre(postgres, sections={"resync": {"seconds": 2}}) as centre:
        internal = await centre.agent("ana", "sales", chanspy=True)
        await centre.login("ana")
        await centre.settled()
        before = await centre.asterisk.cli("database show agentbridge")
        assert f"/agentbridge/agent/{internal}/chanspy" in before
        await centre.asterisk.cli("database deltree agentbridge")

        async def back() -> bool:
            return await centre.asterisk.cli("database show agentbridge") == before

        await until(back, within=10, what="the policy being back")
        repaired = await centre.bridge.logged("drift.repaired", what="policy.set", path=f"agent/{internal}/chanspy")
        assert (repaired["was"], repaired["now"]) == ("absent", "1")
        assert [seen.paused for seen in (await centre.members("sales")).values()] == [False]


async def test_an_endpoint_that_was_deleted_is_pushed_again(postgres: Postgres) -> None:
    async with Centre(postgres, sections={"resync": {"seconds": 2}}) as centre:
        internal = await centre.agent("ana", "sales")
        await centre.login("ana")
        await centre.settled()
        await centre.bridge.stop()
        lines = len(centre.bridge.lines())
        await centre.asterisk.cli("database deltree ps_endpoints")
        await centre.asterisk.restart()
        await centre.bridge.start()
        await centre.bridge.logged("drift.repaired", since=lines, agent=internal, what="endpoint.pushed", was="absent")
        assert (await centre.phone("ana")).registered


async def test_what_a_hands_put_does_to_an_endpoint_is_mended_and_the_phone_stays(postgres: Postgres) -> None:
    """R8: with set_var or no codec Asterisk can't copy it and answers each PUT with 500; acl and deny keep it out."""
    async with Centre(postgres, sections={"resync": {"seconds": 2}}) as centre:
        internal = await centre.agent("ana", "sales")
        await centre.login("ana")
        await centre.settled()
        phone = await centre.phone("ana")
        asterisk = centre.asterisk
        url = f"http://127.0.0.1:{asterisk.ari_port}/ari"
        async with Ari(url, asterisk.ari_user, asterisk.ari_secret) as hand:

            async def put(**fields: str) -> int:
                lines = len(centre.bridge.lines())
                await hand.put_object(ObjectKind.ENDPOINT, EndpointId(internal), fields)
                return lines

            async def mended(field: str, since: int) -> None:
                async def there() -> bool:
                    seen = await hand.get_object(ObjectKind.ENDPOINT, EndpointId(internal))
                    return seen is not None and not seen[field] and seen["allow"] == allowed

                await until(there, within=15, what=f"{field} being taken back")
                events = centre.bridge.events("drift.repaired")
                assert [event for event in events if event["what"] == "endpoint.pushed"], "told as drift"
                assert centre.bridge.events("key.failed") == [], since

            made = await hand.get_object(ObjectKind.ENDPOINT, EndpointId(internal))
            assert made is not None
            allowed = made["allow"]
            for field, value in (("acl", "nobody"), ("deny", "0.0.0.0/0.0.0.0"), ("contact_deny", "0.0.0.0/0.0.0.0")):
                shown = {"acl": "acl", "deny": "acl", "contact_deny": "contact_acl"}[field]
                since = await put(**{field: value})
                await centre.bridge.logged("drift.repaired", since=since, what="endpoint.pushed", agent=internal)
                await mended(shown, since)
            since = await put(allow="!all")
            await centre.bridge.logged("endpoint.unreadable", since=since, endpoint=internal)
            await mended("acl", since)
            # nobody misses what set_var sets, so it stays until something of this endpoint is to be changed
            since = await put(set_var="a=b")
            await centre.db.execute("UPDATE agentbridge.agents SET caller_id = '4711' WHERE username = 'ana'")
            await centre.bridge.logged("endpoint.unreadable", since=since, endpoint=internal)
            await mended("acl", since)
        await centre.healed("ana")
        assert phone.registered
        assert internal in await asterisk.cli("pjsip show contacts"), "the registration is kept"
        call = (await centre.caller()).dial("sales")
        await phone.rings(10)
        await call.hangup()
