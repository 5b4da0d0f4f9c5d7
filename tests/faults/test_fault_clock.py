"""The wall clock jumps by an hour: that of all servers, or of one of them. Calls go on all the while.

libfaketime moves the clock of a process while it runs, without a touch to the machine's. Only the wall clock: the
one that just grows (CLOCK_MONOTONIC) stays right, as it does where somebody sets the time.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import pytest

from lab.clock import Clock
from lab.manager import Manager
from lab.phones import Answer, Ring
from lab.postgres import Postgres
from lab.processes import until
from tests.faults.stand import Stand, both_hear

HOUR_S = 3600


@pytest.fixture
def clock() -> Iterator[Clock]:
    # Not in pytest's folder: each pytest that starts on the machine closes that to other accounts again, and
    # PostgreSQL, which runs as one, would keep the last time that it could read.
    folder = Path(tempfile.mkdtemp(prefix="agentbridge-clock-"))
    folder.chmod(0o755)
    yield Clock(folder)
    shutil.rmtree(folder)


class PostgresByClock(Postgres):
    """Its clock is `clock`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(fsync=False)
        self._clock = clock

    def _as_server(self, program: str, *arguments: str) -> list[str]:
        # after the change of account: the library makes a semaphore that only its owner may open
        command = super()._as_server(program, *arguments)
        at = command.index("--") + 1
        return [*command[:at], "env", *(f"{k}={v}" for k, v in self._clock.environment.items()), *command[at:]]


async def daemon_by(stand: Stand, clock: Clock) -> None:
    """The daemon goes on by that clock."""
    await stand.bridge.stop()
    await stand.bridge.start(environment=clock.environment)
    await stand.healed()


async def asterisk_by_its_own(stand: Stand) -> Clock:
    """Asterisk is started anew with a clock of its own. It sees its own folder only, so that is where the clock is."""
    folder = stand.asterisk.dir / "clock"
    folder.mkdir()
    clock = Clock(folder)
    stand.asterisk.environment = clock.environment
    lines = len(stand.bridge.lines())
    await stand.asterisk.restart()
    await stand.bridge.logged("ami.connected", since=lines, within=20, link="actions")
    await stand.phones_return()
    await stand.healed()
    return clock


async def works_at(stand: Stand, *, daemon: int, database: int, asterisk: int = 0) -> None:
    """The clocks are so many seconds from the true one, and changes and calls go through as ever."""

    async def jumped() -> bool:
        return abs(await off_by(stand) - database) < 60 and abs(await asterisk_off_by(stand) - asterisk) < 60

    await until(jumped, within=5, what="the jump of the clocks of database and Asterisk")
    await stand.hears()
    lines = len(stand.bridge.lines())
    reason = f"by another clock {daemon} {database} {asterisk}"
    await stand.pause("dua", reason)
    await stand.until_member("support", stand.internal["dua"], paused=True, reason=reason, within=5)
    written = await stand.bridge.logged("member.paused", since=lines)
    assert abs(told_at(written) - time.time() - daemon) < 60, "the daemon's clock did not jump"
    await stand.lasts(5)
    await stand.unpause("dua")
    await stand.healed()
    assert not stand.bridge.events("ami.lost", since=lines)

    async def told() -> bool:
        fresh = "seen_at BETWEEN clock_timestamp() - interval '10 s' AND clock_timestamp()"
        return bool(await stand.db.fetchval(f"SELECT pending = 0 AND {fresh} FROM agentbridge.nodes"))

    await until(told, within=6, what="the daemon being heard in the new hour, with nothing left to do")
    await a_call_to_dua(stand)


async def a_call_to_dua(stand: Stand) -> None:
    """A call that begins now is answered and heard; on a pause, dua is not rung."""
    await stand.dua.register()  # an hour ahead, a registration for an hour is over
    stand.dua.behaviour = Answer()
    customer = await stand.caller()
    call = await customer.call("support", timeout=5)
    await both_hear(call, customer, await stand.dua.rings(timeout=10), stand.dua)
    await call.hangup()
    await stand.pause("dua", "no call")
    await stand.until_member("support", stand.internal["dua"], paused=True, reason="no call")
    rung = len(stand.dua.invites)
    call = await customer.call("support", timeout=5)
    await stand.lasts(3)
    assert len(stand.dua.invites) == rung, "rung on a pause"
    await call.hangup()
    await stand.unpause("dua")
    stand.dua.behaviour = Ring()
    await stand.converged()


def told_at(line: Mapping[str, str]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


async def off_by(stand: Stand) -> float:
    """Seconds by which the database's clock is before ours."""
    return float(await stand.db.fetchval("SELECT extract(epoch FROM clock_timestamp())")) - time.time()


async def asterisk_off_by(stand: Stand) -> float:
    async with Manager(stand.asterisk) as manager:
        [answer] = await manager.ask("Ping")
    return float(answer["Timestamp"]) - time.time()


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_wall_clock_jumps(seed: int, hours: int, clock: Clock) -> None:
    """Of the machine with everything on it, there and back."""
    async with PostgresByClock(clock) as postgres, Stand(postgres, seed=seed) as stand:
        asterisk = await asterisk_by_its_own(stand)
        await daemon_by(stand, clock)
        for offset in (hours * HOUR_S, 0):
            asterisk.offset = clock.offset = offset
            await works_at(stand, daemon=offset, database=offset, asterisk=offset)


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_wall_clock_of_asterisk_jumps(stand: Stand, hours: int) -> None:
    """There and back; those of the daemon and PostgreSQL stay, as on another machine."""
    asterisk = await asterisk_by_its_own(stand)
    for offset in (hours * HOUR_S, 0):
        asterisk.offset = offset
        await works_at(stand, daemon=0, database=0, asterisk=offset)


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_wall_clock_of_all_but_asterisk_jumps(seed: int, hours: int, clock: Clock) -> None:
    """Of the machine with the daemon and PostgreSQL, there and back."""
    async with PostgresByClock(clock) as postgres, Stand(postgres, seed=seed) as stand:
        await daemon_by(stand, clock)
        for offset in (hours * HOUR_S, 0):
            clock.offset = offset
            await works_at(stand, daemon=offset, database=offset)


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_wall_clock_of_the_daemon_jumps(stand: Stand, hours: int, clock: Clock) -> None:
    """There and back; PostgreSQL's stays, as on another machine."""
    await daemon_by(stand, clock)
    for offset in (hours * HOUR_S, 0):
        clock.offset = offset
        await works_at(stand, daemon=offset, database=0)


@pytest.mark.parametrize("hours", [1, -1])
async def test_postgresql_comes_back_in_another_hour(seed: int, hours: int, clock: Clock) -> None:
    """The daemon's clock stays."""
    async with PostgresByClock(clock) as postgres, Stand(postgres, seed=seed) as stand:
        await postgres.kill()
        clock.offset = hours * HOUR_S
        await postgres.start()
        await stand.reconnect()
        await works_at(stand, daemon=0, database=clock.offset)


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_paused_recording_goes_on_though_the_clock_jumped(
    postgres: Postgres, seed: int, hours: int, clock: Clock
) -> None:
    """The pause is written down as a time of day, and a daemon that starts in another hour reads it."""
    async with Stand(postgres, seed=seed, sections={"recording": {"resume_after_seconds": 4}}) as stand:
        await stand.db.execute("UPDATE agentbridge.agents SET record_calls = 'wav' WHERE username = 'ana'")
        await stand.settled()
        await stand.call.hangup()
        await stand.talk()
        await daemon_by(stand, clock)
        await stand.bridge.cli("recording", "pause", "ana")
        await stand.bridge.logged("recording.paused", agent=stand.internal["ana"])
        await stand.bridge.kill()
        clock.offset = hours * HOUR_S
        lines = len(stand.bridge.lines())
        await daemon_by(stand, clock)
        await stand.bridge.logged("recording.resumed", since=lines, within=15)
        await stand.healed()
