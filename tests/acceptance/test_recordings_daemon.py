"""Recordings as the daemon keeps them: rows, pauses, second files, and calls that it did not see."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from lab import versions
from lab.phones import Call, Phone, Ring
from lab.postgres import Postgres
from lab.processes import LabError, until
from lab.recordings import heard_at, longest_gap, samples_of
from tests.acceptance.centre import Centre

ROW = "SELECT * FROM agentbridge.recordings ORDER BY started_at, id"


@dataclass
class Talk:
    """A customer's call to the queue, answered by agent ana; each hears the other."""

    centre: Centre
    agent: Phone
    customer: Phone
    call: Call
    internal: str

    async def rows(self, count: int, *, ended: int = 0, within: float = 8) -> list[asyncpg.Record]:
        """When there are so many, and so many of them have their end."""

        async def there() -> bool:
            rows = await self.centre.db.fetch(ROW)
            return len(rows) >= count and len([row for row in rows if row["ended_at"]]) >= ended

        try:
            await until(there, within=within, what=f"{count} recordings in the directory, {ended} ended")
        except LabError as late:
            late.add_note("\n".join(self.centre.bridge.lines()[-20:]))
            raise
        return list(await self.centre.db.fetch(ROW))

    async def whole(self, count: int = 1, within: float = 8) -> list[asyncpg.Record]:
        return await self.rows(count, ended=count, within=within)

    def file(self, row: asyncpg.Record) -> Path:
        return self.centre.asterisk.spool / row["file"]

    async def cli(self, *words: str) -> str:
        return await self.centre.bridge.cli("recording", *words)

    async def recorded(self, seconds: float, part: int = 1) -> None:
        """Until the file has so much: time as the recording counts it."""
        (row,) = [row for row in await self.rows(part) if row["part"] == part]
        await grows_by(self.file(row), seconds)

    async def hang_up(self) -> None:
        await self.call.hangup()


async def grows_by(file: Path, seconds: float, within: float = 20) -> None:
    """Asterisk writes as the call goes on: 16,000 bytes are a second of wav."""
    start = size_of(file)

    async def grown() -> bool:
        return size_of(file) >= start + seconds * 16000

    await until(grown, within=within, what=f"{seconds} more seconds of {file.name}")


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


async def talking(centre: Centre, **columns: object) -> Talk:
    internal = await centre.agent("ana", "sales", **columns)
    await centre.login("ana")
    await centre.until_member("sales", internal)
    phone, customer = await centre.phone("ana"), await centre.caller()
    call = await customer.call("sales", timeout=10)
    assert phone.tone
    assert customer.tone
    await call.hears(phone.tone, timeout=10)
    await phone.calls[-1].hears(customer.tone, timeout=5)
    return Talk(centre, phone, customer, call, internal)


@pytest_asyncio.fixture
async def centre(reused: Centre) -> Centre:
    return reused


@pytest_asyncio.fixture
async def quick(postgres: Postgres) -> AsyncIterator[Centre]:
    """Its paused recordings go on after two seconds."""
    async with Centre(postgres, sections={"recording": {"resume_after_seconds": 2}}) as centre:
        yield centre


async def test_a_recorded_call_has_a_row_while_it_runs_and_its_end_when_the_file_is_whole(centre: Centre) -> None:
    talk = await talking(centre, record_calls="wav")
    (row,) = await talk.rows(1)
    assert (row["username"], row["internal"], row["part"], row["format"]) == ("ana", talk.internal, 1, "wav")
    assert row["ended_at"] is None
    await talk.recorded(1)
    await talk.hang_up()
    (row,) = await talk.whole()
    file = talk.file(row)
    assert row["bytes"] == file.stat().st_size > 16000
    assert file.name == f"{row['linkedid']}-{talk.internal}-1.wav"
    assert row["ended_at"] > row["started_at"]
    samples = samples_of(file)
    assert heard_at(samples, talk.agent.tone)
    assert heard_at(samples, talk.customer.tone)
    listed = json.loads(await talk.cli("list", "ana", "--json"))
    assert [item["file"] for item in listed] == [row["file"]]


async def test_a_pause_leaves_silence_of_its_length_and_the_timeline(centre: Centre) -> None:
    talk = await talking(centre, record_calls="wav")
    loop = asyncio.get_running_loop()
    await talk.recorded(1)
    assert "paused" in await talk.cli("pause", "ana")
    paused_at = loop.time()
    await talk.recorded(2)
    assert "going on" in await talk.cli("resume", "ana")
    paused_for = loop.time() - paused_at
    await talk.recorded(1)
    await talk.hang_up()
    (row,) = await talk.whole()
    samples = samples_of(talk.file(row))
    gap = longest_gap(heard_at(samples, talk.customer.tone))
    assert gap == pytest.approx(paused_for, abs=1.0)
    assert gap == pytest.approx(longest_gap(heard_at(samples, talk.agent.tone)), abs=0.2)
    # the file is as long as the call was recorded
    assert len(samples) / 8000 == pytest.approx((row["ended_at"] - row["started_at"]).total_seconds(), abs=0.5)


async def test_a_forgotten_pause_ends_by_itself(quick: Centre) -> None:
    talk = await talking(quick, record_calls="wav")
    await talk.recorded(1)
    await talk.cli("pause", "ana")
    await quick.bridge.logged("recording.paused", agent=talk.internal)
    await quick.bridge.logged("recording.resumed", agent=talk.internal, by="itself", within=5)
    await talk.recorded(1)
    await talk.hang_up()
    (row,) = await talk.whole()
    assert longest_gap(heard_at(samples_of(talk.file(row)), talk.customer.tone)) == pytest.approx(2, abs=0.8)


async def test_a_pause_ends_by_itself_though_the_daemon_was_restarted_meanwhile(quick: Centre) -> None:
    talk = await talking(quick, record_calls="wav")
    await talk.recorded(1)
    await talk.cli("pause", "ana")
    await quick.bridge.kill()
    since = len(quick.bridge.lines())
    await quick.bridge.start()
    await quick.bridge.logged("recording.resumed", agent=talk.internal, by="itself", within=10, since=since)
    await talk.recorded(1)
    await talk.hang_up()
    (row,) = await talk.whole()
    heard = heard_at(samples_of(talk.file(row)), talk.customer.tone)
    assert heard[-1] > (row["ended_at"] - row["started_at"]).total_seconds() - 2


async def test_pausing_where_nothing_is_recorded_says_so(centre: Centre) -> None:
    talk = await talking(centre)
    for verb in ("pause", "resume", "stop"):
        with pytest.raises(LabError, match="nothing is being recorded"):
            await talk.cli(verb, "ana")
    with pytest.raises(LabError, match="there is no agent with this username"):
        await talk.cli("pause", "nobody")


async def test_only_who_may_record_by_hand_starts_a_recording(centre: Centre) -> None:
    talk = await talking(centre)
    with pytest.raises(LabError, match="manual_recording: ana may not record by hand; it is off"):
        await talk.cli("start", "ana")
    await centre.db.execute("UPDATE agentbridge.agents SET manual_recording = true")
    await centre.healed("ana")
    assert (await talk.cli("start", "ana")).strip().endswith(f"-{talk.internal}-1.wav")
    await talk.recorded(1)
    await talk.cli("stop", talk.internal)
    (row,) = await talk.whole()
    assert heard_at(samples_of(talk.file(row)), talk.customer.tone)
    assert row["bytes"] == talk.file(row).stat().st_size


async def test_a_call_has_two_recordings_at_most(centre: Centre) -> None:
    talk = await talking(centre, record_calls="wav", manual_recording=True)
    await talk.recorded(1)
    second = (await talk.cli("start", "ana")).strip()
    assert second.endswith(f"-{talk.internal}-2.wav")
    await talk.recorded(1, part=2)
    with pytest.raises(LabError, match="has its two recordings already"):
        await talk.cli("start", "ana")
    await talk.cli("stop", "ana")
    with pytest.raises(LabError, match="has its two recordings already"):
        await talk.cli("start", "ana")
    rows = await talk.whole(2)
    assert [row["part"] for row in rows] == [1, 2]
    assert [row["file"] for row in rows][1] == second
    await talk.hang_up()


async def test_a_call_that_began_and_ended_while_the_daemon_was_down_gets_its_row(own_centre: Centre) -> None:
    internal = await own_centre.agent("ana", "sales", record_calls="wav")
    await own_centre.login("ana")
    await own_centre.until_member("sales", internal)
    phone, customer = await own_centre.phone("ana"), await own_centre.caller()
    await own_centre.bridge.stop()
    call = await customer.call("sales", timeout=10)
    talk = Talk(own_centre, phone, customer, call, internal)
    folder = own_centre.asterisk.spool / "monitor/agentbridge"

    async def recorded() -> bool:
        return any(file.stat().st_size > 16000 for file in folder.rglob("*.wav"))

    await until(recorded, within=10, what="a second of recording")
    await call.hangup()
    assert await own_centre.db.fetch(ROW) == []
    await own_centre.bridge.start()
    (row,) = await talk.whole()
    assert (row["username"], row["internal"], row["part"]) == ("ana", internal, 1)
    assert row["bytes"] == talk.file(row).stat().st_size


async def test_a_call_that_ended_while_the_daemon_was_down_gets_its_end(own_centre: Centre) -> None:
    talk = await talking(own_centre, record_calls="wav")
    await talk.rows(1)
    await own_centre.bridge.kill()
    await talk.recorded(1)
    await talk.hang_up()
    await own_centre.bridge.start()
    (row,) = await talk.whole()
    assert row["bytes"] == talk.file(row).stat().st_size
    assert abs(row["ended_at"].timestamp() - talk.file(row).stat().st_mtime) < 0.1


async def test_a_call_that_goes_on_over_a_restart_of_the_daemon_is_not_ended_by_it(own_centre: Centre) -> None:
    talk = await talking(own_centre, record_calls="wav")
    await talk.rows(1)
    await own_centre.bridge.kill()
    await own_centre.bridge.start()
    await talk.recorded(3)
    (row,) = await talk.rows(1)
    assert row["ended_at"] is None
    await talk.hang_up()
    (row,) = await talk.whole()
    assert row["bytes"] == talk.file(row).stat().st_size


async def test_a_recording_that_is_started_during_a_pause_is_paused_too(centre: Centre) -> None:
    talk = await talking(centre, record_calls="wav", manual_recording=True)
    await talk.recorded(1)
    await talk.cli("pause", "ana")
    await talk.cli("start", "ana")
    await talk.recorded(1, part=2)
    await talk.cli("resume", "ana")
    await talk.recorded(1, part=2)
    await talk.hang_up()
    rows = await talk.whole(2)
    # a moment passes between the beginning and the mute
    begins_at = [at for at in heard_at(samples_of(talk.file(rows[1])), talk.customer.tone) if at > 0.3]
    assert begins_at
    # without it the first recorder of a channel is muted, whichever is asked for: the second one goes on
    assert (min(begins_at) > 1) is centre.has(versions.MUTES_ONE)


async def test_a_call_that_ends_with_asterisk_itself_gets_its_end(postgres: Postgres) -> None:
    async with Centre(postgres) as centre:
        talk = await talking(centre, record_calls="wav")
        await talk.recorded(1)
        await centre.asterisk.kill()
        await centre.asterisk.start()
        (row,) = await talk.whole(within=20)
        assert row["bytes"] == talk.file(row).stat().st_size > 16000
        talk.call.drop()


async def test_a_recording_outlives_a_database_that_is_away_and_its_agent(fresh_postgres: Postgres) -> None:
    async with Centre(fresh_postgres) as centre:
        talk = await talking(centre, record_calls="wav")
        await fresh_postgres.stop("immediate")
        call, again = talk.call, await centre.caller()
        await call.hangup()
        second = await again.call("sales", timeout=10)
        assert talk.agent.tone
        await second.hears(talk.agent.tone, timeout=10)
        await second.hangup()
        await fresh_postgres.start()
        centre.db = await asyncpg.connect(centre.dsn)
        try:
            rows = await talk.whole(2, within=30)
            assert [row["bytes"] for row in rows] == [talk.file(row).stat().st_size for row in rows]
            await centre.db.execute("DELETE FROM agentbridge.agents")
            rows = await centre.db.fetch(ROW)
            assert [(row["agent_id"], row["username"]) for row in rows] == [(None, "ana")] * 2
        finally:
            await centre.db.close()


async def test_after_an_attended_transfer_the_rows_lead_to_the_customers_call_too(centre: Centre) -> None:
    talk = await talking(centre, record_calls="wav")
    other = await centre.agent("ben", record_calls="wav")
    await centre.login("ben")
    await centre.settled()
    second = await centre.phone("ben")
    (first_row,) = await talk.rows(1)
    incoming = talk.agent.calls[-1]
    await incoming.hold()
    question = await talk.agent.call(other, timeout=10)
    asked = await second.rings(timeout=10)
    assert second.tone
    await question.hears(second.tone, timeout=10)
    assert await incoming.transfer_to(question) == 200
    await talk.call.hears(second.tone, timeout=10)
    await asked.hangup()
    rows = {row["username"]: row for row in await talk.whole(2)}
    assert rows["ana"]["linkedid"] == first_row["linkedid"]
    # the consultation's own, and the call that it was joined to
    assert rows["ben"]["linkedid"] != first_row["linkedid"]
    assert rows["ben"]["joined_linkedid"] == first_row["linkedid"]


async def test_a_lamp_follows_the_agents_calls(centre: Centre) -> None:
    internal = await centre.agent("ana", "sales")
    await lit(centre, internal, "UNAVAILABLE")
    await centre.login("ana")
    await centre.until_member("sales", internal)
    phone = await centre.phone("ana")
    await lit(centre, internal, "NOT_INUSE")
    customer = await centre.caller()
    phone.behaviour = Ring()
    call = customer.dial("sales")
    ringing = await phone.rings(timeout=10)
    await lit(centre, internal, "RINGING")
    ringing.answer()
    await lit(centre, internal, "INUSE")
    await call.hangup()
    await lit(centre, internal, "NOT_INUSE")
    await centre.logout("ana")
    await lit(centre, internal, "UNAVAILABLE")


async def lit(centre: Centre, internal: str, state: str) -> None:
    async def shown() -> bool:
        lamps = (await centre.asterisk.cli("devstate list")).splitlines()
        return any(f"'Custom:agent{internal}'" in line and f"'{state}'" in line for line in lamps)

    await until(shown, within=5, what=f"the lamp of {internal} showing {state}")
