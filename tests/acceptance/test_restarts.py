"""Either side may be killed at any moment: what is right afterwards, and what is sent for it."""

import asyncio
import signal
import time

import pytest

from lab.manager import Manager, Seen
from lab.phones import Phone, RegistrationRefusedError, Ring
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre


async def agents_in_every_state(centre: Centre) -> dict[tuple[str, str], Seen]:
    """ana works, ben is on pause, cem is on pause in sales only, dua has a penalty and waits after its login."""
    ana = await centre.agent("ana", "sales", "support")
    ben = await centre.agent("ben", "sales", "support")
    cem = await centre.agent("cem", "sales", "support")
    dua = await centre.agent("dua", "sales", penalty=7, login_in_pause=True)
    await centre.agent("eve", "sales", "support")
    await centre.login("ana", "ben", "cem", "dua")
    await centre.pause("ben", "lunch")
    await centre.pause("cem", "back office", queue="sales")
    return {
        ("sales", f"PJSIP/{ana}"): Seen(name="Ana", penalty=0, paused=False, reason=""),
        ("support", f"PJSIP/{ana}"): Seen(name="Ana", penalty=0, paused=False, reason=""),
        ("sales", f"PJSIP/{ben}"): Seen(name="Ben", penalty=0, paused=True, reason="lunch"),
        ("support", f"PJSIP/{ben}"): Seen(name="Ben", penalty=0, paused=True, reason="lunch"),
        ("sales", f"PJSIP/{cem}"): Seen(name="Cem", penalty=0, paused=True, reason="back office"),
        ("support", f"PJSIP/{cem}"): Seen(name="Cem", penalty=0, paused=False, reason=""),
        ("sales", f"PJSIP/{dua}"): Seen(name="Dua", penalty=7, paused=True, reason="login"),
    }


async def registers_again(phone: Phone) -> None:
    """As phones do when they notice that their server was away: until it knows them."""

    async def accepted() -> bool:
        try:
            await phone.register(timeout=5)
        except RegistrationRefusedError:
            return False
        return True

    await until(accepted, within=5, what=f"the registration of {phone.user}")


@pytest.mark.parametrize("persistent", ["yes", "no"], ids=["persistentmembers", "no persistentmembers"])
async def test_after_a_kill_of_asterisk_all_is_back_in_five_seconds_and_nobody_on_pause_rings(
    postgres: Postgres, persistent: str
) -> None:
    extra = {"queues.conf": f"[general](+)\npersistentmembers = {persistent}\n"}
    async with Centre(postgres, extra=extra) as centre:
        wanted = await agents_in_every_state(centre)
        await centre.until_members(wanted)
        await centre.settled()
        sessions = await centre.db.fetch("SELECT * FROM agentbridge.sessions ORDER BY agent_id")
        phones = await centre.phones(["ana", "ben", "cem", "dua"])
        for phone in phones:
            phone.behaviour = Ring()
        ana, *paused_in_sales = phones
        await centre.asterisk.kill()
        await centre.asterisk.start()
        booted = time.monotonic()
        await asyncio.gather(*(registers_again(phone) for phone in phones))
        caller = await centre.caller()
        await caller.call("sales", timeout=5)
        await centre.until_members(wanted, within=5 - (time.monotonic() - booted))
        await ana.rings(timeout=10)
        assert [phone.user for phone in paused_in_sales if phone.invites] == []
        assert await centre.db.fetch("SELECT * FROM agentbridge.sessions ORDER BY agent_id") == sessions
        assert await centre.members() == wanted
        await caller.calls[0].hangup()


async def test_after_a_kill_of_the_daemon_only_the_missing_differences_are_sent(wired: Centre) -> None:
    wanted = await agents_in_every_state(wired)
    await wired.bridge.start()
    await wired.until_members(wanted)
    await wired.settled()
    await wired.bridge.kill()
    wired.wire.forget()
    await wired.pause("ana", "meeting")
    await wired.unpause("cem", "sales")
    await wired.logout("dua")
    assert await wired.members() == wanted
    await wired.bridge.start()
    ana, cem, dua = await numbers(wired, "ana", "cem", "dua")
    for queue in ("sales", "support"):
        wanted[queue, f"PJSIP/{ana}"] = Seen(name="Ana", penalty=0, paused=True, reason="meeting")
    wanted["sales", f"PJSIP/{cem}"] = Seen(name="Cem", penalty=0, paused=False, reason="")
    del wanted["sales", f"PJSIP/{dua}"]
    await wired.until_members(wanted)
    await wired.settled()
    sent = [write for write in wired.wire.writes() if write.name.startswith("Queue")]
    assert sorted(write.name for write in sent) == ["QueuePause", "QueuePause", "QueuePause", "QueueRemove"]
    # beside them only policy: of the one who left, and the queue in which cem works again
    keys = [write.detail.partition("Key: ")[2].split()[0] for write in wired.wire.writes() if write not in sent]
    assert sorted(keys) == [f"agent/{cem}/queues", f"agent/{dua}/device", f"agent/{dua}/queues"]


async def numbers(centre: Centre, *usernames: str) -> list[str]:
    return [(await centre.status(name))["internal"] for name in usernames]


async def test_a_second_start_sends_nothing(wired: Centre) -> None:
    wanted = await agents_in_every_state(wired)
    await wired.bridge.start()
    await wired.until_members(wanted)
    await wired.settled()
    assert await wired.bridge.stop()
    wired.wire.forget()
    await wired.bridge.start()
    await converged_again(wired)
    assert wired.wire.writes() == []
    assert any(sent.name == "QueueStatus" for sent in wired.wire.sent)


async def converged_again(centre: Centre) -> None:
    """Until the daemon that runs now has read Asterisk and has nothing left to do."""
    query = "SELECT asterisk_up AND pending = 0 AND started_at > $1 FROM agentbridge.nodes"
    started = centre.bridge.events("daemon.started")[-1]["timestamp"]

    async def nothing_pending() -> bool:
        return bool(await centre.db.fetchval(query.replace("$1", f"'{started}'::timestamptz - interval '1 s'")))

    await until(nothing_pending, within=10, what="a daemon with nothing left to do")


async def test_sigterm_ends_it_within_ten_seconds_and_leaves_asterisk_as_it_is(wired: Centre) -> None:
    wanted = await agents_in_every_state(wired)
    await wired.bridge.start()
    await wired.until_members(wanted)
    await wired.settled()
    wired.wire.forget()
    started = time.monotonic()
    assert await wired.bridge.stop()
    assert time.monotonic() - started < 10
    assert wired.bridge.events("daemon.stopped")
    assert wired.wire.writes() == []
    assert await wired.members() == wanted


async def test_a_reload_takes_the_new_file_and_sends_nothing(wired: Centre) -> None:
    wanted = await agents_in_every_state(wired)
    await wired.bridge.start()
    await wired.until_members(wanted)
    await wired.settled()
    wired.wire.forget()
    bridge, pid = wired.bridge, wired.bridge.pid
    assert bridge.events("resync.marked") == []
    bridge.write_config({**bridge.sections, "log": {"format": "json", "level": "debug"}})
    bridge.send(signal.SIGHUP)
    await bridge.logged("config.reloaded")
    await bridge.logged("resync.marked", within=10)  # only a debug line: the new level holds
    await converged_again(wired)
    assert wired.wire.writes() == []
    await wired.logout("ana")
    await wired.settled()
    assert ("sales", "PJSIP/1000") not in await wired.members()
    assert (bridge.pid, bridge.running) == (pid, True)


@pytest.mark.parametrize(
    "broken", ["[database]\ndns = 'x'\n", "this is no TOML", "[ami]\nport = 'many'\n"], ids=["key", "syntax", "type"]
)
async def test_a_broken_file_is_refused_at_a_reload_and_the_old_one_stays(centre: Centre, broken: str) -> None:
    internal = await centre.agent("ana", "sales")
    centre.bridge.config.write_text(broken)
    centre.bridge.send(signal.SIGHUP)
    refusal = await centre.bridge.logged("config.refused")
    assert str(centre.bridge.config) in refusal["reason"]
    await centre.login("ana")
    await centre.until_member("sales", internal, paused=False)


async def test_an_old_daemon_works_on_with_a_newer_schema_until_it_connects_again(centre: Centre) -> None:
    internal = await centre.agent("ana", "sales")
    await centre.db.execute(
        "INSERT INTO agentbridge.migrations (version, name, checksum) VALUES (9999, 'of tomorrow', 'x')"
    )
    await centre.login("ana")
    await centre.until_member("sales", internal, paused=False)
    await centre.bridge.stop()
    await centre.bridge.start(wait="database.lost")
    assert "install the newer agentbridge" in (await centre.bridge.logged("database.lost"))["reason"]
    await centre.until_member("sales", internal, paused=False)


async def test_a_second_daemon_waits_and_takes_over_when_the_first_is_killed(centre: Centre) -> None:
    internal = await centre.agent("ana", "sales")
    async with centre.daemon() as second:
        await second.start(wait="standby.waiting")
        await centre.login("ana")
        await centre.until_member("sales", internal, paused=False)
        assert second.events("member.added") == []
        await centre.bridge.kill()
        await second.logged("database.connected", within=10)
        await centre.pause("ana", "lunch")
        await centre.until_member("sales", internal, paused=True, reason="lunch")
        assert "member.paused" in await second.line_with("paused reason='lunch'")


async def test_the_daemon_starts_before_asterisk_does(centre: Centre) -> None:
    internal = await centre.agent("ana", "sales")
    await centre.bridge.stop()
    await centre.asterisk.kill()
    await asyncio.gather(centre.bridge.start(within=30), centre.asterisk.start())
    await centre.login("ana")
    await centre.until_member("sales", internal, paused=False)


async def test_what_changed_during_a_shutdown_that_was_taken_back_is_sent_at_once(centre: Centre) -> None:
    """Asterisk refuses every action meanwhile: nothing is tried again and again, nobody is to blame."""
    ana = await centre.agent("ana", "sales")
    await centre.login("ana")
    await centre.settled()
    phone = await centre.phone("ana")
    call = await (await centre.caller()).call("sales", timeout=10)  # which the shutdown waits for
    await phone.rings(timeout=20)
    async with Manager(centre.asterisk) as witness:
        stopping = asyncio.create_task(centre.asterisk.cli("core stop gracefully", within=60))

        async def refuses() -> bool:
            return (await witness.ask("Ping"))[0]["Response"] == "Error"

        await until(refuses, within=15, what="Asterisk refusing each action")
    try:
        await centre.pause("ana", "shut down")
        await centre.bridge.logged("asterisk.shutting_down", within=15)
        begun = len(errors(centre))
        await asyncio.sleep(4)
        assert len(errors(centre)) - begun <= 5, "no more than the question, once a second, whether it is over"
        assert (await centre.status("ana"))["error"] is None
        assert centre.bridge.events("key.failed") == []
    finally:
        await centre.asterisk.cli("core abort shutdown")
    aborted = time.monotonic()
    await centre.until_member("sales", ana, paused=True, reason="shut down", within=4)
    assert time.monotonic() - aborted < 4
    await centre.healed("ana")
    await call.hangup()
    stopping.cancel()
    assert len(phone.invites) == 1


def errors(centre: Centre) -> list[str]:
    """What Asterisk's log says of refused actions."""
    lines = centre.asterisk.log_path.read_text(errors="replace").splitlines()
    return [line for line in lines if "shutting down" in line]
