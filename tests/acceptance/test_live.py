"""What goes on now, as rows that a wallboard reads, and requests about running calls."""

import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from lab.asterisk import Asterisk
from lab.bridge import Bridge
from lab.phones import Farm, Ring
from lab.postgres import Postgres
from lab.processes import LabError, run, until
from tests.acceptance.centre import QUEUES, Centre
from tests.acceptance.test_recordings_daemon import talking

AGENT = "SELECT * FROM agentbridge.live_agent_states WHERE internal = $1"
CALLS = "SELECT * FROM agentbridge.live_running_calls WHERE internal = $1 ORDER BY rang_at"
QUEUE = "SELECT * FROM agentbridge.live_queue_states WHERE queue = $1"


async def shows(centre: Centre, query: str, key: str, within: float = 10, **wanted: object) -> asyncpg.Record:
    """The row, when it has these values."""
    last: asyncpg.Record | None = None

    async def there() -> bool:
        nonlocal last
        last = await centre.db.fetchrow(query, key)
        return last is not None and all(last[name] == value for name, value in wanted.items())

    try:
        await until(there, within=within, what=f"{key} shown with {wanted}")
    except LabError as late:
        late.add_note(f"it is {last}")
        late.add_note("\n".join(centre.bridge.lines()[-10:]))
        raise
    assert last is not None
    return last


async def no_call(centre: Centre, internal: str) -> None:
    async def gone() -> bool:
        return await centre.db.fetchrow(CALLS, internal) is None

    await until(gone, within=10, what=f"the last call of {internal} being gone")


async def answer(centre: Centre, call: str, within: float = 10) -> dict[str, Any]:
    """Asks, and waits for what becomes of it."""
    request = await centre.db.fetchval(f"SELECT agentbridge.{call}")
    found: dict[str, Any] = {}

    async def known() -> bool:
        found.update(json.loads(await centre.db.fetchval("SELECT agentbridge.request_result($1)", request)))
        return found["state"] not in ("asked", "taken")

    await until(known, within=within, what=f"an answer to {call}")
    return found


async def test_each_state_of_an_agent_and_its_calls_is_shown(postgres: Postgres) -> None:
    queues = {"sales": {"wrapuptime": "3", "servicelevel": "20"}, "support": {}}
    async with Centre(postgres, queues=queues) as centre:
        internal = await centre.agent("ana", "sales", "support", record_calls="wav")
        await shows(centre, AGENT, internal, state="offline", username="ana", contact=False)
        await centre.login("ana")
        await shows(centre, AGENT, internal, state="unreachable", device=internal)
        phone, customer = await centre.phone("ana"), await centre.caller()
        ready = await shows(centre, AGENT, internal, state="ready", contact=True, calls=0)
        await shows(centre, QUEUE, "sales", ready=1, paused=0, waiting=0, level_seconds=20)

        await centre.pause("ana", "lunch", "support")
        row = await shows(centre, AGENT, internal, pauses='{"support": "lunch"}')
        assert (row["state"], row["since"]) == ("ready", ready["since"])
        await centre.unpause("ana", "support")
        await centre.pause("ana", "lunch")
        await shows(centre, AGENT, internal, state="paused")
        await shows(centre, QUEUE, "support", ready=0, paused=1)

        # a customer waits, then is answered
        outgoing = customer.dial("sales")
        await shows(centre, QUEUE, "sales", waiting=1)
        phone.behaviour = Ring()
        await centre.unpause("ana")
        ringing = await phone.rings(timeout=10)
        await shows(centre, AGENT, internal, state="ringing", calls=1)
        call = await shows(centre, CALLS, internal, direction="in", queue="sales", answered_at=None)
        assert call["number"] == centre.asterisk.caller_user
        ringing.answer()
        await shows(centre, AGENT, internal, state="talking")
        call = await shows(centre, CALLS, internal, recording="running", parts=[1], held_at=None)
        assert call["answered_at"] >= call["rang_at"]
        await shows(centre, QUEUE, "sales", waiting=0, talking=1, answered=1, in_level=1)

        assert await phone.calls[-1].hold() == 200
        await shows(centre, AGENT, internal, state="held")
        assert (await shows(centre, CALLS, internal))["held_at"] is not None
        assert await phone.calls[-1].unhold() == 200
        talking_now = await shows(centre, AGENT, internal, state="talking")

        # a new daemon finds it all, and what is as it was keeps its moment
        await centre.bridge.kill()
        killed_at = await centre.db.fetchval("SELECT clock_timestamp()")
        await centre.bridge.start()

        async def looked() -> bool:
            return bool(
                await centre.db.fetchval("SELECT bool_and(written_at > $1) FROM agentbridge.live_nodes", killed_at)
            )

        await until(looked, within=20, what="the new daemon's first look")
        await shows(centre, CALLS, internal, recording="running", queue="sales", number=call["number"])
        again = await shows(centre, AGENT, internal, state="talking")
        assert (again["since"], again["version"]) == (talking_now["since"], talking_now["version"])
        assert (await shows(centre, QUEUE, "sales", answered=1, talking=1))["in_level"] == 1

        await outgoing.hangup()
        await no_call(centre, internal)
        await shows(centre, AGENT, internal, state="wrapup")
        await shows(centre, AGENT, internal, state="ready", calls=0)

        # both calls are in the agent's history: the one it answered, and one whose caller gives up
        phone.behaviour = Ring()
        outgoing = customer.dial("sales")
        await phone.rings(timeout=10)
        await outgoing.hangup()

        async def both_over() -> bool:
            return bool(await centre.db.fetchval("SELECT count(*) = 2 FROM agentbridge.ended_calls"))

        await until(both_over, within=20, what="two calls in the history")
        past = await centre.db.fetch(
            "SELECT e.*, a.username FROM agentbridge.ended_calls e JOIN agentbridge.agents a ON a.id = e.agent_id"
            " ORDER BY ended_at"
        )
        assert [
            (row["username"], row["channel"], row["queue"], row["number"], row["answered_at"] is None) for row in past
        ] == [
            ("ana", call["channel"], "sales", call["number"], False),
            ("ana", past[1]["channel"], "sales", call["number"], True),
        ]
        assert all(row["rang_at"] <= row["ended_at"] for row in past)
        await centre.logout("ana")
        await shows(centre, AGENT, internal, state="offline")


async def test_a_ring_that_a_colleague_takes_is_not_missed(postgres: Postgres) -> None:
    async with Centre(postgres, queues={"sales": {"timeout": "3"}}) as centre:
        ana, ben = await centre.agent("ana", "sales"), await centre.agent("ben", "sales")
        await centre.login("ana", "ben")
        await centre.settled()
        (hers, his), customer = await centre.phones(["ana", "ben"]), await centre.caller()
        hers.behaviour = his.behaviour = Ring()
        for internal in (ana, ben):
            await shows(centre, AGENT, internal, state="ready")
        elsewhere = (
            "SELECT answered_elsewhere FROM agentbridge.ended_calls WHERE internal = $1 AND answered_at IS NULL"
            " ORDER BY rang_at"
        )

        async def ends(internal: str, *wanted: bool) -> None:
            """Waits until the agent's rings have ended so, one after the other; rings that ended alike count as one."""
            rings: list[bool] = []

            async def so() -> bool:
                rings[:] = [key for key, _ in groupby([row[0] for row in await centre.db.fetch(elsewhere, internal)])]
                return rings == [*wanted]

            try:
                await until(so, within=20, what=f"rings of {internal}: {wanted}")
            except LabError as late:
                late.add_note(f"they are {rings}")
                raise

        taken, missed = True, False
        # both ring, and ben answers
        outgoing = customer.dial("sales")
        await hers.rings(timeout=10)
        (await his.rings(timeout=10)).answer()
        await ends(ana, taken)
        await outgoing.hangup()
        await no_call(centre, ben)
        # her ring runs into its time limit while ben is on pause; then both ring, and ben answers
        await centre.pause("ben")
        await shows(centre, AGENT, ben, state="paused")
        outgoing = customer.dial("sales")
        await ends(ana, taken, missed)
        await centre.unpause("ben")
        (await his.rings(timeout=20)).answer()
        await ends(ana, taken, missed, taken)
        await outgoing.hangup()
        await no_call(centre, ben)
        # both ring, and the customer gives up
        outgoing = customer.dial("sales")
        await hers.rings(timeout=10)
        await his.rings(timeout=10)
        await outgoing.hangup()
        await ends(ana, taken, missed, taken, missed)
        await ends(ben, missed)


async def test_requests_record_pause_and_end_the_running_call(reused: Centre) -> None:
    talk = await talking(reused, manual_recording=True)
    refused = await answer(reused, "recording_pause('ana')")
    assert (refused["state"], refused["reason"]) == ("refused", f"{talk.internal}: nothing is being recorded")
    started = await answer(reused, "recording_start('ana', actor => 'ana')")
    assert started["state"] == "done", started
    assert started["result"]["file"].endswith(f"-{talk.internal}-1.wav")
    assert (await answer(reused, "recording_pause('ana')"))["result"] == {"files": 1}
    await shows(reused, CALLS, talk.internal, recording="paused", parts=[1])
    assert (await answer(reused, "recording_resume('ana')"))["result"] == {"files": 1}
    await shows(reused, CALLS, talk.internal, recording="running")
    assert (await answer(reused, "recording_stop('ana', actor => 'ana')"))["result"] == {"files": 1}
    await shows(reused, CALLS, talk.internal, recording="none", parts=[])
    assert (await answer(reused, "hangup('ana')"))["result"] == {"calls": 1}
    await no_call(reused, talk.internal)
    assert (await answer(reused, "hangup('ana')"))["reason"] == f"{talk.internal}: is in no call"


async def test_a_ringing_telephone_answers_when_it_knows_how(reused: Centre) -> None:
    ana = await reused.agent("ana", "sales")
    await reused.login("ana")
    await reused.settled()
    phone, customer = await reused.phone("ana"), await reused.caller()
    await shows(reused, AGENT, ana, state="ready")
    assert (await answer(reused, "answer('ana')"))["reason"] == f"{ana}: no call rings"
    phone.behaviour = Ring()
    outgoing = customer.dial(ana)
    await phone.rings(timeout=10)
    await shows(reused, AGENT, ana, state="ringing")
    refused = await answer(reused, "answer('ana')")
    assert (refused["state"], "did not answer" in refused["reason"]) == ("refused", True), refused
    await outgoing.hangup()
    await no_call(reused, ana)
    phone.behaviour = Ring(talk=True)
    outgoing = customer.dial(ana)
    await phone.rings(timeout=10)
    await shows(reused, AGENT, ana, state="ringing")
    assert (await answer(reused, "answer('ana', actor => 'ana')"))["result"] == {"calls": 1}
    assert await outgoing.answered(timeout=10) == 200
    await shows(reused, AGENT, ana, state="talking")
    await outgoing.hangup()
    await no_call(reused, ana)


async def test_a_click_rings_the_agent_and_then_calls_the_number(reused: Centre) -> None:
    ana, ben = await reused.agent("ana", "sales"), await reused.agent("ben", "sales")
    assert (await answer(reused, f"dial('ana', '{ben}')"))["reason"] == f"{ana}: is not logged in"
    await reused.login("ana", "ben")
    await reused.settled()
    assert "is not registered" in (await answer(reused, f"dial('ana', '{ben}')"))["reason"]
    first, second = await reused.phone("ana"), await reused.phone("ben")
    await shows(reused, AGENT, ana, state="ready")
    await shows(reused, AGENT, ben, state="ready")
    first.behaviour = Ring()
    assert (await answer(reused, f"dial('ana', '{ben}')"))["result"] == {"device": ana}
    ringing = await first.rings(timeout=10)
    await shows(reused, CALLS, ana, direction="out", number=ben)
    ringing.answer()
    await second.rings(timeout=10)
    assert first.tone
    await second.calls[-1].hears(first.tone, timeout=10)
    assert "is in a call" in (await answer(reused, "dial('ana', '4711')"))["reason"]
    assert (await answer(reused, "hangup('ben')"))["state"] == "done"
    await no_call(reused, ana)


async def test_a_supervisor_listens_by_a_click_and_is_shown(reused: Centre) -> None:
    talk = await talking(reused, chanspy=True)
    lead = await reused.agent("lea", may_spy=True)
    await reused.login("lea")
    await reused.settled()
    phone = await reused.phone("lea")
    await shows(reused, AGENT, lead, state="ready")
    assert (await answer(reused, "spy('lea', 'ana')"))["state"] == "done"
    heard = await phone.rings(timeout=10)
    assert talk.customer.tone
    await heard.hears(talk.customer.tone, timeout=10)
    await shows(reused, CALLS, talk.internal, spied_by=[lead])
    await talk.hang_up()
    await no_call(reused, talk.internal)
    assert "is in no call" in (await answer(reused, "spy('lea', 'ana')"))["reason"]


async def test_a_request_that_no_daemon_takes_is_timed_out_and_never_done_later(reused: Centre) -> None:
    talk = await talking(reused, record_calls="wav")
    await reused.bridge.kill()
    assert (await answer(reused, "hangup('ana', seconds => 0.5)"))["state"] == "timed out"
    await reused.bridge.start()
    await shows(reused, AGENT, talk.internal, state="talking")
    assert talk.agent.tone
    await talk.call.hears(talk.agent.tone, timeout=10)


async def test_while_asterisk_is_dead_nothing_is_shown_as_live_and_requests_say_so(centre: Centre) -> None:
    internal = await centre.agent("ana", "sales")
    await centre.login("ana")
    await centre.settled()
    await shows(centre, AGENT, internal, stale=False)
    await centre.asterisk.kill()
    await shows(centre, AGENT, internal, stale=True)
    refused = await answer(centre, "dial('ana', '500', seconds => 30)")
    assert (refused["state"], refused["reason"]) == ("refused", "Asterisk is away: nothing was done")
    assert re.search(r"ana\tunknown", shown := await centre.bridge.cli("watch", "--once")), shown
    assert "its Asterisk is away" in shown
    with pytest.raises(LabError, match="node lab: its Asterisk is away"):
        await centre.bridge.cli("agent", "pause", "ana", "--wait", "--timeout", "1")
    await centre.asterisk.start()
    await shows(centre, AGENT, internal, within=30, stale=False)


async def test_a_request_is_done_by_the_node_that_has_the_call(centre: Centre) -> None:
    internal = await centre.agent("ana", "sales")
    await centre.login("ana")
    async with (
        Asterisk(queues=QUEUES) as asterisk,
        Farm((asterisk.host, asterisk.sip_port)) as farm,
        Bridge(asterisk, centre.dsn, name="other") as bridge,
    ):
        await bridge.start()
        await centre.settled()

        async def at_home() -> bool:
            """Has callers of the queue come to that node, which the directory refuses until it has heard of it."""
            try:
                await centre.db.execute("SELECT agentbridge.node_home('other', '{sales}')")
            except asyncpg.PostgresError:
                return False
            return True

        await until(at_home, within=10, what="the other node serving sales")
        secret = await centre.db.fetchval("SELECT sip_secret FROM agentbridge.agents")
        (phone,) = await farm.register({internal: secret})
        at_other = f"{AGENT} AND node = 'other'"
        await shows(centre, at_other, internal, state="ready", contact=True)
        await shows(centre, f"{AGENT} AND node = 'lab'", internal, state="unreachable")
        await centre.settled()
        customer = await farm.phone(asterisk.caller_user, asterisk.caller_secret)
        call = await customer.call("sales", timeout=10)
        assert phone.tone
        await call.hears(phone.tone, timeout=10)
        await shows(centre, at_other, internal, state="talking")
        done = await answer(centre, "hangup('ana')")
        assert (done["state"], done["node"]) == ("done", "other"), done
        await shows(centre, at_other, internal, state="ready")
        # neither has it: told at once, and not only at the deadline
        refused = await answer(centre, "hangup('ana', seconds => 30)")
        assert (refused["state"], refused["reason"]) == ("refused", f"{internal}: is in no call")


async def test_the_terminal_shows_agents_and_queues_and_ends_a_call(centre: Centre, tmp_path: Path) -> None:
    talk = await talking(centre, record_calls="wav")
    await centre.agent("ben", "support")
    await shows(centre, CALLS, talk.internal, recording="running")
    shown = await centre.bridge.cli("watch", "--once")
    assert re.search(r"^sales\t0\t\t0\t1\t0\t1\t0\t", shown, re.MULTILINE), shown
    assert re.search(
        rf"^ana\ttalking\t0:\d\d\t{talk.internal}\tin caller \(recording running\)$", shown, re.MULTILINE
    ), shown
    assert "ben" not in shown
    assert re.search(r"ben\toffline", await centre.bridge.cli("watch", "--once", "--offline", "--queue", "support"))
    # nothing of Asterisk's is configured where this is typed
    bare = tmp_path / "agentbridge.toml"
    bare.write_text(f'[database]\ndsn = "{centre.dsn}"\n')
    ended = await run(sys.executable, "-m", "agentbridge", "hangup", talk.internal, "--config", str(bare))
    assert "1 call ended" in ended
    await no_call(centre, talk.internal)
    with pytest.raises(LabError, match="is in no call"):
        await centre.bridge.cli("hangup", "ana")
    with pytest.raises(LabError, match="number: must be 1 to 32"):
        await centre.bridge.cli("dial", "ana", "12x")
