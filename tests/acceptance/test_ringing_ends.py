"""A phone stops ringing when its agent pauses or leaves, and the call goes on to the next; an answered one stays."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from lab.asterisk import Queues
from lab.phones import Answer, Call, Phone, Ring
from lab.postgres import Postgres
from tests.acceptance.centre import Centre
from tests.acceptance.desk import desk_agent, sit_down, switched_on, telephones

# who does not answer is paused at once, by app_queue itself: in support in all queues
QUEUES: Queues = {"sales": {"autopause": "yes"}, "support": {"autopause": "all"}}
SILENT_WITHIN_S = 3.0
"""0.1 s is usual; this machine may be busy. The queue would ring for 15"""
Act = Callable[[Centre], Awaitable[object]]


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    async with Centre(postgres, queues=QUEUES) as centre:
        yield centre


async def two_agents(centre: Centre) -> tuple[Phone, Phone]:
    """Ana, whose phone rings first and for long, and Ben, who answers what comes to him."""
    await centre.agent("ana", "sales", "support")
    await centre.agent("ben", "sales", "support", penalty=5)
    await centre.login("ana", "ben")
    await centre.settled()
    ana, ben = await centre.phones(["ana", "ben"])
    ana.behaviour, ben.behaviour = Ring(), Answer()
    return ana, ben


async def silent(call: Call) -> None:
    began = time.monotonic()
    await call.ended(SILENT_WITHIN_S)
    print(f"silent after {time.monotonic() - began:.3f} s")


async def answered_by(customer: Call, phone: Phone) -> None:
    assert phone.tone
    await customer.hears(phone.tone, 8.0)


async def pauses(centre: Centre, username: str) -> list[str]:
    rows = await centre.db.fetch(
        "SELECT reason FROM agentbridge.queue_pauses p JOIN agentbridge.agents a ON a.id = p.agent_id "
        "WHERE a.username = $1",
        username,
    )
    return [row["reason"] for row in rows]


def update(assignment: str) -> Act:
    async def act(centre: Centre) -> None:
        await centre.db.execute(f"UPDATE agentbridge.agents SET {assignment} WHERE username = 'ana'")

    return act


async def leave_sales(centre: Centre) -> None:
    await centre.db.execute(
        "DELETE FROM agentbridge.queue_members WHERE queue_id = (SELECT id FROM agentbridge.queues "
        "WHERE name = 'sales') AND agent_id = (SELECT id FROM agentbridge.agents WHERE username = 'ana')"
    )


async def be_deleted(centre: Centre) -> None:
    await centre.db.execute("DELETE FROM agentbridge.agents WHERE username = 'ana'")


@pytest.mark.parametrize(
    "act",
    [
        lambda centre: centre.logout("ana"),
        lambda centre: centre.pause("ana", "lunch"),
        lambda centre: centre.pause("ana", "training", "sales"),
        update("locked_at = now()"),
        update("deactivated = true"),
        leave_sales,
        be_deleted,
    ],
    ids=["logout", "pause", "pause of this queue", "lock", "deactivation", "leaving the queue", "deletion"],
)
async def test_who_leaves_while_it_rings_is_silent_and_the_next_one_rings(shared: Centre, act: Act) -> None:
    ana, ben = await two_agents(shared)
    customer = await shared.caller()
    call = await customer.call("sales", 5.0)
    ringing = await ana.rings(5.0)
    await act(shared)
    await silent(ringing)
    await answered_by(call, ben)
    assert len(ana.invites) == 1
    assert await pauses(shared, "ana") in ([], ["training"]), "app_queue's pause for our own hang-up is not adopted"
    await call.hangup()


async def test_a_pause_of_another_queue_lets_it_ring(shared: Centre) -> None:
    ana, _ = await two_agents(shared)
    customer = await shared.caller()
    call = await customer.call("sales", 5.0)
    ringing = await ana.rings(5.0)
    await shared.pause("ana", "training", "support")
    await shared.until_member("support", ana.user, paused=True)
    ringing.answer()
    await answered_by(call, ana)
    await call.hangup()


async def test_the_pause_of_all_queues_that_follows_is_taken_back_where_it_was_not_meant(shared: Centre) -> None:
    """support has autopause=all: our own hang-up there would pause Ana in sales too."""
    ana, ben = await two_agents(shared)
    customer = await shared.caller()
    call = await customer.call("support", 5.0)
    ringing = await ana.rings(5.0)
    await shared.pause("ana", "training", "support")
    await silent(ringing)
    await answered_by(call, ben)
    await shared.until_member("sales", ana.user, paused=False)
    await shared.until_member("support", ana.user, paused=True, reason="training")
    assert await pauses(shared, "ana") == ["training"]
    assert shared.bridge.events("pause.adopted", agent=ana.user) == []
    await call.hangup()


async def test_an_answered_call_goes_on_whatever_its_agent_does(shared: Centre) -> None:
    ana, _ = await two_agents(shared)
    ana.behaviour = Answer()
    customer = await shared.caller()
    call = await customer.call("sales", 5.0)
    answered = await ana.rings(5.0)
    await answered_by(call, ana)
    await shared.pause("ana", "lunch")
    await shared.logout("ana")
    await shared.settled()
    await ana.unregister()
    await update("locked_at = now()")(shared)
    await shared.settled()
    await answered_by(call, ana)
    assert customer.tone
    await answered.hears(customer.tone, 3.0)
    await call.hangup()


async def test_a_direct_call_ends_with_the_pause_unless_it_may_disturb(shared: Centre) -> None:
    ana, _ = await two_agents(shared)
    customer = await shared.caller()
    first = customer.dial(ana.user)
    ringing = await ana.rings(5.0)
    await shared.pause("ana", "lunch")
    await silent(ringing)
    await first.answered(5.0)
    await shared.unpause("ana")
    await shared.db.execute("UPDATE agentbridge.agents SET dnd_in_pause = false WHERE username = 'ana'")
    await shared.settled()
    second = customer.dial(ana.user)
    ringing = await ana.rings(5.0)
    await shared.pause("ana", "lunch")
    await shared.until_member("sales", ana.user, paused=True)
    ringing.answer()
    await answered_by(second, ana)
    await second.hangup()


async def test_a_phone_whose_registration_ends_while_it_rings_is_given_up(shared: Centre) -> None:
    ana, ben = await two_agents(shared)
    customer = await shared.caller()
    call = await customer.call("sales", 5.0)
    ringing = await ana.rings(5.0)
    await ana.unregister()
    await silent(ringing)
    await answered_by(call, ben)
    assert await pauses(shared, "ana") == []
    await call.hangup()


async def test_the_desk_that_an_agent_leaves_for_another_is_silent(shared: Centre) -> None:
    await telephones(shared, "row-0", "row-1")
    first, second = await switched_on(shared, "row-0", "row-1")
    first.behaviour = Ring()
    await desk_agent(shared, "eve", "sales")
    await sit_down(shared, "eve", "row-0")
    await shared.settled()
    customer = await shared.caller()
    call = await customer.call("sales", 5.0)
    ringing = await first.rings(5.0)
    await asyncio.gather(silent(ringing), sit_down(shared, "eve", "row-1"))
    await answered_by(call, second)
    await call.hangup()
