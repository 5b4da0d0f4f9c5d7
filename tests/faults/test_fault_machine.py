"""The machine under it all: its clock jumps, its disks are full."""

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from lab.postgres import Postgres
from lab.processes import run, until
from tests.faults.stand import Stand

FAKETIME = "usr/lib/*/faketime/libfaketime.so.1"


class Clock:
    """Of the processes that are started with its `environment`: `offset` seconds from the true one."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._offset = folder / "offset"
        self.offset = 0
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @property
    def offset(self) -> int:
        return int(self._offset.read_text())

    @offset.setter
    def offset(self, seconds: int) -> None:
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._offset)  # whoever asks for the time reads it: never half a file


@pytest.fixture
def clock() -> Iterator[Clock]:
    library = next(Path("/").glob(FAKETIME), None)
    assert library, "libfaketime is missing: run lab/setup"
    # Not in pytest's folder: each pytest that starts on the machine closes that to other accounts again, and
    # PostgreSQL, which runs as one, would keep the last time that it could read.
    folder = Path(tempfile.mkdtemp(prefix="agentbridge-clock-"))
    folder.chmod(0o755)
    yield Clock(library, folder)
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


async def moved_with(stand: Stand, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon goes on by that clock."""
    await stand.bridge.stop()
    with monkeypatch.context() as environment:
        for name, value in clock.environment.items():
            environment.setenv(name, value)
        await stand.bridge.start()
    await stand.healed()


async def works_at(stand: Stand, *, daemon: int, database: int) -> None:
    """The clocks are so many seconds from the true one, and a change goes through as ever."""

    async def jumped() -> bool:
        return abs(await off_by(stand) - database) < 60

    await until(jumped, within=5, what="the jump of the database's clock")
    lines = len(stand.bridge.lines())
    reason = f"by another clock {daemon} {database}"
    await stand.pause("dua", reason)
    await stand.until_member("support", stand.internal["dua"], paused=True, reason=reason, within=5)
    written = await stand.bridge.logged("member.paused", since=lines)
    assert abs(told_at(written) - time.time() - daemon) < 60, "the daemon's clock did not jump"
    await stand.lasts(5)
    await stand.unpause("dua")
    await stand.healed()

    async def told() -> bool:
        fresh = "seen_at BETWEEN clock_timestamp() - interval '10 s' AND clock_timestamp()"
        return bool(await stand.db.fetchval(f"SELECT pending = 0 AND {fresh} FROM agentbridge.nodes"))

    await until(told, within=6, what="the daemon being heard in the new hour, with nothing left to do")


def told_at(line: Mapping[str, str]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_wall_clock_jumps(seed: int, hours: int, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the machine with the daemon and PostgreSQL, there and back. Asterisk's stays, as on another machine."""
    async with PostgresByClock(clock) as postgres, Stand(postgres, seed=seed) as stand:
        await moved_with(stand, clock, monkeypatch)
        clock.offset = hours * 3600
        await works_at(stand, daemon=clock.offset, database=clock.offset)
        clock.offset = 0
        await works_at(stand, daemon=0, database=0)


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_wall_clock_of_the_daemon_jumps(
    stand: Stand, hours: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There and back; PostgreSQL's stays, as on another machine."""
    await moved_with(stand, clock, monkeypatch)
    clock.offset = hours * 3600
    await works_at(stand, daemon=clock.offset, database=0)
    clock.offset = 0
    await works_at(stand, daemon=0, database=0)


@pytest.mark.parametrize("hours", [1, -1])
async def test_postgresql_comes_back_in_another_hour(seed: int, hours: int, clock: Clock) -> None:
    """The daemon's clock stays."""
    async with PostgresByClock(clock) as postgres, Stand(postgres, seed=seed) as stand:
        await postgres.kill()
        clock.offset = hours * 3600
        await postgres.start()
        await stand.reconnect()
        await works_at(stand, daemon=0, database=clock.offset)


async def off_by(stand: Stand) -> float:
    """Seconds by which the database's clock is before ours."""
    return float(await stand.db.fetchval("SELECT extract(epoch FROM clock_timestamp())")) - time.time()


# ---------------------------------------------------------------- full disks


async def test_no_room_for_recordings(stand: Stand) -> None:
    """The call that is recorded goes on, and so does everybody's; with room again the next one is recorded."""
    await mount_small(stand, stand.asterisk.spool / "monitor", kilobytes=64)
    await stand.db.execute("UPDATE agentbridge.agents SET record_calls = 'wav' WHERE username = 'ana'")
    await stand.settled()
    await stand.call.hangup()
    await stand.talk()
    await full(stand)
    await stand.lasts(5)
    await stand.hears()
    await stand.healed()
    await in_asterisk(stand, "rm", "-rf", f"{stand.asterisk.spool}/monitor/agentbridge")
    await stand.call.hangup()
    await stand.talk()

    async def recorded() -> bool:
        found = await in_asterisk(stand, "find", f"{stand.asterisk.spool}/monitor", "-name", "*.wav", "-size", "+8")
        return bool(found.strip())

    await until(recorded, within=10, what="the recording of the next call")
    await stand.healed()


async def full(stand: Stand) -> None:
    async def so() -> bool:
        free = await in_asterisk(stand, "df", "--output=avail", f"{stand.asterisk.spool}/monitor")
        return free.split()[-1] == "0"

    await until(so, within=15, what="the disk for recordings being full")


async def in_asterisk(stand: Stand, *command: str) -> str:
    """Where Asterisk's mounts are seen."""
    inside = ("nsenter", f"--target={stand.asterisk.pid}", "--mount", "--root", "--wd")
    return await run(*inside, *command)


async def mount_small(stand: Stand, folder: Path, *, kilobytes: int) -> None:
    """In Asterisk's own mount namespace: it goes with Asterisk."""
    inside = ("nsenter", f"--target={stand.asterisk.pid}", "--mount")
    there = Path(f"{stand.asterisk.root}/{folder}")  # its root folder has no mount command
    await run(*inside, "mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=777", "lab", str(there))


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[Path]:
    await run("mkdir", str(folder))
    await run("mount", "-t", "tmpfs", "-o", "size=64k", "lab", str(folder))
    try:
        yield folder
    finally:
        await run("umount", "--lazy", str(folder))


async def test_no_room_for_the_log(stand: Stand, tmp_path: Path) -> None:
    """Lines are lost, and nothing else; with room again the log says how many."""
    await stand.bridge.stop()
    async with small_disk(tmp_path / "disk") as disk:
        stand.bridge.log.unlink()
        stand.bridge.log.symlink_to(disk / "daemon.out")
        await stand.bridge.start()
        filler = disk / "filler"
        await asyncio.to_thread(fill, filler)
        for number in range(40):
            reason = f"nobody reads of it {number}"
            await stand.pause("dua", reason)
            await stand.until_member("support", stand.internal["dua"], reason=reason)
        await stand.unpause("dua")
        await stand.healed()
        filler.unlink()
        await stand.pause("dua", "with room")
        resumed = json.loads(await stand.bridge.line_with("log.resumed"))
        assert resumed["lost"] > 0
        await stand.unpause("dua")
        await stand.healed()
        await stand.bridge.stop()


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as target:
        try:
            while True:
                target.write(os.urandom(512))
        except OSError:
            return
