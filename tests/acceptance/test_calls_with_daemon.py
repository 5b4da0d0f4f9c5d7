"""What calls need of the daemon beside the dialplan: masking at pickups, message lamps, spies at the customer's end."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest_asyncio

from lab.phones import Call, Phone, Ring, State
from lab.phones.sip_message import Headers
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre
from tests.acceptance.desk import desk_agent, sit_down, switched_on, telephones

NUMBER, NAME = "0551234567", "Erika Mustermann"
CALLER: Headers = (("P-Asserted-Identity", f'"{NAME}" <sip:{NUMBER}@127.0.0.1>'),)
# an administrator's own extension, on whatever channel the customer has
DIALPLAN = """
[globals](+)
AGENTBRIDGE_RING_SECONDS = 1

[from-sip](+)
exten => *98,1,Answer()
 same => n,ChanSpy(PJSIP/caller-,q)
"""
TRUSTED = "\n[caller](+)\ntrust_id_inbound = yes\n"


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    extra = {"extensions.conf": DIALPLAN, "pjsip.conf": TRUSTED}
    async with Centre(postgres, extra=extra) as centre:
        yield centre


@pytest_asyncio.fixture
async def centre(standing: Centre) -> AsyncIterator[Centre]:
    yield standing
    await standing.emptied()
    await standing.db.execute("DELETE FROM agentbridge.spy_audit")
    await standing.db.execute("DELETE FROM agentbridge.recordings")


async def ready(centre: Centre, username: str, *queues: str, **columns: Any) -> tuple[str, Phone]:
    """A logged-in agent's number and registered phone."""
    internal = await centre.agent(username, *queues, **columns)
    await centre.login(username)
    await centre.settled()
    return internal, await centre.phone(username)


def said_to(phone: Phone) -> str:
    messages = [invite.request for invite in phone.invites]
    messages += [message for call in phone.calls for message in call.received]  # type: ignore[misc]
    return "\n".join(message.encode().decode("utf-8", "replace") for message in messages)


async def connected(one: Call, other: Call, tones: tuple[Phone, Phone]) -> None:
    first, second = tones
    assert first.tone
    assert second.tone
    await one.hears(second.tone, timeout=8)
    await other.hears(first.tone, timeout=8)


# ---------------------------------------------------------------- masking (A11)


async def test_a_masked_agent_who_picks_a_call_up_does_not_learn_the_number(centre: Centre) -> None:
    """The one for whom it rings sees the number."""
    called, ringing = await ready(centre, "ben", call_group="6")
    _, picker = await ready(centre, "ana", pickup_group="6", mask_sensitive=True)
    ringing.behaviour = Ring()
    customer = await centre.caller()
    outgoing = customer.dial(called, headers=CALLER)
    await ringing.rings(timeout=5)
    picked = await picker.call("*8", timeout=5)
    await connected(outgoing, picked, (customer, picker))
    assert ringing.invites[0].caller.user == NUMBER
    assert NUMBER not in said_to(picker)
    assert NAME not in said_to(picker)


async def test_a_masked_agent_who_called_does_not_learn_the_number_by_a_transfer(centre: Centre) -> None:
    first_number, first = await ready(centre, "ben")
    _, masked = await ready(centre, "ana", mask_sensitive=True)
    customer = await centre.caller()
    outgoing = await customer.call(first_number, timeout=5, headers=CALLER)
    incoming = await first.rings(timeout=5)
    await connected(outgoing, incoming, (customer, first))
    asking = await masked.call(first_number, timeout=5)
    assert asking.status == 486
    await incoming.hold()
    await centre.db.execute("UPDATE agentbridge.agents SET ring_in_use = true WHERE username = 'ben'")
    await centre.settled()
    asking = await masked.call(first_number, timeout=5)
    asked = await first.rings(timeout=5)
    await connected(asking, asked, (masked, first))
    assert await incoming.transfer_to(asked) == 200
    await connected(outgoing, asking, (customer, masked))
    assert NUMBER not in said_to(masked)
    assert NAME not in said_to(masked)
    assert asking.identities  # it was told that somebody else is there


async def test_an_unmasked_agent_learns_who_is_there_after_an_attended_transfer(centre: Centre) -> None:
    first_number, first = await ready(centre, "ben")
    second_number, second = await ready(centre, "eva")
    customer = await centre.caller()
    outgoing = await customer.call(first_number, timeout=5, headers=CALLER)
    incoming = await first.rings(timeout=5)
    await connected(outgoing, incoming, (customer, first))
    await incoming.hold()
    question = await first.call(second_number, timeout=5)
    asked = await second.rings(timeout=5)
    await connected(question, asked, (first, second))
    assert await incoming.transfer_to(question) == 200
    await connected(outgoing, asked, (customer, second))
    assert (asked.identities[-1].user, asked.identities[-1].display) == (NUMBER, NAME)


async def test_who_may_not_call_does_not_pick_up_either(centre: Centre) -> None:
    called, ringing = await ready(centre, "ben", call_group="6")
    _, picker = await ready(centre, "ana", pickup_group="6", may_call=False)
    ringing.behaviour = Ring()
    customer = await centre.caller()
    outgoing = customer.dial(called)
    await ringing.rings(timeout=5)
    assert (await picker.call("*8", timeout=5)).status != 200
    await outgoing.hangup()


async def test_what_a_free_desk_picks_up_is_recorded_as_the_agents_for_whom_it_rang(centre: Centre) -> None:
    called, ringing = await ready(centre, "ben", "sales", call_group="6", record_calls="wav")
    await telephones(centre, "free", pickup_group="6")
    (desk,) = await switched_on(centre, "free")
    ringing.behaviour = Ring()
    customer = await centre.caller()
    outgoing = customer.dial("sales")
    await ringing.rings(timeout=5)
    picked = await desk.call("*8", timeout=5)
    await connected(outgoing, picked, (customer, desk))

    async def recorded() -> bool:
        return await centre.db.fetchval("SELECT array_agg(internal) FROM agentbridge.recordings") == [called]

    await until(recorded, within=10, what="the row of the recording")
    await outgoing.hangup()


# ---------------------------------------------------------------- the message lamp


def lamp(phone: Phone) -> str:
    """What the last NOTIFY about messages said: new/old; empty before the first."""
    found = [re.search(rb"Voice-Message: (\d+/\d+)", request.body) for request in phone.notified]
    return next((match[1].decode() for match in reversed(found) if match), "")


async def until_lamp(phone: Phone, wanted: str) -> None:
    async def so() -> bool:
        return lamp(phone) == wanted

    try:
        await until(so, within=8, what=f"the lamp showing {wanted}")
    except Exception as late:
        late.add_note(f"it shows {lamp(phone)!r} after {len(phone.notified)} NOTIFYs")
        raise


async def speak_to(centre: Centre, number: str) -> None:
    """Leave a message in the agent's box."""

    def size() -> int:
        return sum(file.stat().st_size for file in (centre.asterisk.spool / "voicemail/agentbridge").rglob("*.wav"))

    before = size()
    customer = await centre.caller()
    call = await customer.call(number, timeout=10)
    assert call.status == 200

    async def recording() -> bool:
        return size() > before + 16_000

    await until(recording, within=15, what="the message being recorded")
    await call.hangup()


async def test_the_message_lamp_follows_the_agent_and_goes_out_at_the_logout(centre: Centre) -> None:
    await telephones(centre, "desk-1", "desk-2")
    one, two = await switched_on(centre, "desk-1", "desk-2")
    number = await desk_agent(centre, "ana", voicemail=True)
    await desk_agent(centre, "ben")
    await centre.settled()
    await speak_to(centre, number)
    await sit_down(centre, "ana", "desk-1")
    await until_lamp(one, "1/0")
    await sit_down(centre, "ana", "desk-2")
    await until_lamp(two, "1/0")
    await until_lamp(one, "0/0")
    await centre.logout("ana")
    await until_lamp(two, "0/0")
    await sit_down(centre, "ana", "desk-1")
    await until_lamp(one, "1/0")
    await centre.logout("ana")
    await until_lamp(one, "0/0")
    await speak_to(centre, number)  # while the next one sits there
    await sit_down(centre, "ben", "desk-1")
    await sit_down(centre, "ana", "desk-2")
    await until_lamp(two, "2/0")
    await until_lamp(one, "0/0")
    await centre.db.execute("UPDATE agentbridge.agents SET voicemail = false WHERE username = 'ana'")
    await until_lamp(two, "0/0")


# ---------------------------------------------------------------- calls that the agent makes


async def recordings(centre: Centre, count: int) -> list[asyncpg.Record]:
    """The rows, when there are so many and all have their end."""
    query = "SELECT * FROM agentbridge.recordings ORDER BY started_at, file"

    async def there() -> bool:
        rows = await centre.db.fetch(query)
        return len(rows) == count and all(row["ended_at"] for row in rows)

    await until(there, within=15, what=f"{count} ended recordings")
    return list(await centre.db.fetch(query))


async def test_calls_that_an_agent_makes_are_recorded_where_its_record_says_so(centre: Centre) -> None:
    """From the answer on; the one who is called has a setting of its own."""
    number, agent = await ready(centre, "ana", record_made_calls=True, record_calls="gsm")
    colleague_number, colleague = await ready(centre, "ben")
    third_number, third = await ready(centre, "eva", record_calls="wav")
    call = await agent.call(colleague_number, timeout=5)
    await connected(call, await colleague.rings(timeout=5), (agent, colleague))
    await call.hangup()
    (row,) = await recordings(centre, 1)
    assert (row["internal"], row["format"], row["part"]) == (number, "gsm", 1)
    assert row["bytes"] > 330, "a fifth of a second"
    colleague.behaviour = Ring()
    unanswered = agent.dial(colleague_number)
    await colleague.rings(timeout=5)
    await unanswered.hangup()
    assert (await recordings(centre, 2))[-1]["bytes"] == 0
    assert not centre.bridge.events("recording.file_missing")  # nobody answered: no fault of the recording
    both = await agent.call(third_number, timeout=5)
    await connected(both, await third.rings(timeout=5), (agent, third))
    await both.hangup()
    rows = await recordings(centre, 4)
    assert {(row["internal"], row["format"]) for row in rows[-2:]} == {(number, "gsm"), (third_number, "wav")}


async def test_an_agent_pauses_and_resumes_its_recording_and_begins_a_second_file_from_a_second_line(
    centre: Centre,
) -> None:
    """Without manual_recording: its calls are recorded anyway (P4)."""
    number, agent = await ready(centre, "ana", record_calls="wav")
    customer = await centre.caller()
    outgoing = await customer.call(number, timeout=5)
    incoming = await agent.rings(timeout=5)
    await connected(outgoing, incoming, (customer, agent))
    await incoming.hold()
    for code, verb in (("*61", "recordpause"), ("*62", "recordresume"), ("*63", "recordstart")):
        await (await agent.call(code, timeout=5)).ended(timeout=20)
        await centre.bridge.logged("phone.done", agent="ana", verb=verb)
    await incoming.unhold()
    await (await agent.call("*63", timeout=5)).ended(timeout=20)
    refused = await centre.bridge.logged("phone.refused", agent="ana", verb="recordstart")
    assert "has its two recordings already" in refused["reason"]
    await outgoing.hangup()
    assert [row["part"] for row in await recordings(centre, 2)] == [1, 2]


async def test_an_agent_forwards_its_own_calls_from_the_telephone_where_it_may(centre: Centre) -> None:
    number, agent = await ready(centre, "ana", "sales", forward_allowed=True)
    _, kept = await ready(centre, "eva")
    other_number, other = await ready(centre, "ben")
    customer = await centre.caller()
    await (await agent.call(f"*58{other_number}", timeout=5)).ended(timeout=15)
    await (await customer.call(number, timeout=5)).hangup()
    assert (len(agent.invites), len(other.invites)) == (0, 1)
    queue_call = await customer.call("sales", timeout=5)  # does not follow
    await (await agent.rings(timeout=5)).hangup()
    await queue_call.hangup()
    await (await agent.call("*59", timeout=5)).ended(timeout=15)
    await (await customer.call(number, timeout=5)).hangup()
    assert (len(agent.invites), len(other.invites)) == (2, 1)
    await (await kept.call(f"*58{other_number}", timeout=5)).ended(timeout=15)
    refused = await centre.bridge.logged("phone.refused", agent="eva")
    assert "forward_allowed: eva may not forward calls" in refused["reason"]


# ---------------------------------------------------------------- who listens at the customer's end


async def test_a_spy_at_the_customers_end_is_ended_and_noted_where_the_agent_is_closed(centre: Centre) -> None:
    number, agent = await ready(centre, "ana")
    _, boss = await ready(centre, "boss")
    customer = await centre.caller()
    outgoing = await customer.call(number, timeout=5)
    await connected(outgoing, await agent.rings(timeout=5), (customer, agent))
    spy = await boss.call("*98", timeout=5)
    await spy.ended(timeout=8)
    assert outgoing.state is State.UP

    async def noted() -> bool:
        rows = await centre.db.fetch("SELECT target, allowed, reason FROM agentbridge.spy_audit WHERE ended_at NOTNULL")
        return [tuple(row) for row in rows] == [(number, False, "chanspy is off")]

    await until(noted, within=5, what="the try in the audit")


async def test_a_spy_at_the_customers_end_goes_on_until_the_customer_comes_to_a_closed_agent(centre: Centre) -> None:
    open_number, opened = await ready(centre, "ana", chanspy=True)
    closed_number, closed = await ready(centre, "ben")
    _, boss = await ready(centre, "boss")
    customer = await centre.caller()
    outgoing = await customer.call(open_number, timeout=5)
    incoming = await opened.rings(timeout=5)
    await connected(outgoing, incoming, (customer, opened))
    spy = await boss.call("*98", timeout=5)
    assert customer.tone
    await spy.hears(customer.tone, timeout=5)
    assert await incoming.transfer(closed_number) == 200
    await connected(outgoing, await closed.rings(timeout=5), (customer, closed))
    await spy.ended(timeout=8)

    async def noted() -> bool:
        rows = await centre.db.fetch("SELECT target, allowed FROM agentbridge.spy_audit ORDER BY at")
        return [tuple(row) for row in rows][-2:] == [(open_number, True), (closed_number, False)]

    await until(noted, within=5, what="both agents in the audit")
