"""The machine under it all: its clock jumps, its disks are full."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lab.postgres import Postgres
from lab.processes import run, until
from tests.faults.stand import Stand

FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_wall_clock_jumps(
    fresh_postgres: Postgres, seed: int, hours: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of the daemon and of PostgreSQL: they get it from libfaketime. Asterisk's stays, as on another machine."""
    library = next(Path("/").glob(FAKETIME[1:]), None)
    if library is None:
        pytest.skip("needs libfaketime: apt-get install libfaketime")
    jump = tmp_path / "offset"
    jump.write_text("+0\n")
    jump.chmod(0o644)
    for parent in tmp_path.parents[:3]:
        if "pytest" in parent.name:
            parent.chmod(0o755)  # PostgreSQL runs as another account
    tmp_path.chmod(0o755)
    async with Stand(fresh_postgres, seed=seed) as stand:
        await stand.bridge.stop()
        monkeypatch.setenv("LD_PRELOAD", str(library))
        monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(jump))
        monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
        monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        await fresh_postgres.restart()
        await stand.bridge.start()
        for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE"):
            monkeypatch.delenv(name)
        await stand.reconnect()
        await stand.healed()
        jump.write_text(f"{hours:+d}h\n")
        assert abs(await off_by(stand) - hours * 3600) < 60
        await stand.pause("dua", "in another hour")
        await stand.until_member("support", stand.internal["dua"], paused=True, reason="in another hour", within=5)
        await stand.lasts(5)
        await stand.unpause("dua")
        await stand.healed()
        status = await stand.db.fetchrow("SELECT *, clock_timestamp() - seen_at AS age FROM agentbridge.nodes")
        assert status is not None
        assert status["pending"] == 0
        assert status["age"].total_seconds() < 10
        jump.write_text("+0\n")
        await stand.healed()


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
    await in_asterisk(stand, "mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=777", "lab", str(folder))


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[Path]:
    folder.mkdir()
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
        for number in range(50):
            await stand.pause("dua", f"nobody reads of it {number}")
            await stand.unpause("dua")
        await stand.healed()
        filler.unlink()
        await stand.pause("dua", "with room")
        resumed = await stand.bridge.logged("log.resumed")
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
