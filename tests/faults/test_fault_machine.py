"""The machine under it all: its disks are full. Its clock is in test_fault_clock.py."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lab.processes import run, until
from tests.faults.stand import Stand


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


async def full(stand: Stand, folder: str = "spool/monitor") -> None:
    async def so() -> bool:
        free = await in_asterisk(stand, "df", "--output=avail", f"{stand.asterisk.dir}/{folder}")
        return free.split()[-1] == "0"

    await until(so, within=15, what=f"the disk for {folder} being full")


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


async def test_no_room_for_the_log_of_asterisk(stand: Stand) -> None:
    await mount_small(stand, stand.asterisk.dir / "log", kilobytes=64)
    await stand.asterisk.cli("logger reload")
    await in_asterisk(stand, "sh", "-c", f"cat /dev/zero > {stand.asterisk.dir}/log/filler || true")
    await full(stand, "log")
    for number in range(5):
        await stand.pause("dua", f"unwritten {number}")
        await stand.until_member("support", stand.internal["dua"], reason=f"unwritten {number}")
    await stand.unpause("dua")
    await stand.healed()
    await in_asterisk(stand, "rm", f"{stand.asterisk.dir}/log/filler")
    await stand.healed()


async def test_no_room_for_the_state_of_the_daemon(stand: Stand, tmp_path: Path) -> None:
    """What it remembers of its database can't be written: it says so and goes on, also after a restart."""
    await stand.bridge.stop()
    async with small_disk(tmp_path / "disk") as disk:
        (stand.bridge.dir / "database.new").symlink_to(disk / "database.new")
        filler = disk / "filler"
        await asyncio.to_thread(fill, filler)
        await stand.bridge.start()
        await stand.pause("dua", "not remembered")
        await stand.bridge.logged("state.unwritable", within=5)
        await stand.until_member("support", stand.internal["dua"], reason="not remembered")
        await stand.unpause("dua")
        await stand.healed()
        await stand.bridge.kill()
        await stand.bridge.start()
        await stand.healed()
        filler.unlink()
        await stand.healed()
        (stand.bridge.dir / "database.new").unlink()
        await stand.bridge.stop()


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as target:
        try:
            while True:
                target.write(os.urandom(512))
        except OSError:
            return
