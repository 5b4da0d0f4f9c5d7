"""The unit that is shipped: valid, hardened, and the daemon that it starts tells systemd what it does."""

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lab.asterisk import Asterisk
from lab.postgres import Postgres
from lab.processes import run, until

UNIT = Path(__file__).parents[2] / "systemd/agentbridge.service"
EXPOSURE = "15"  # tenths: 1.5
WITHIN_S = 25.0


@pytest.fixture(params=["alone", "in a container"])
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit with a program that is there, which is all that differs on a test machine."""
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing: run lab/setup"
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/agentbridge/bin/agentbridge", sys.executable))
    if request.param == "in a container":
        folder = tmp_path / f"{UNIT.name}.d"
        folder.mkdir()
        shutil.copy(UNIT.with_name("container.conf"), folder)
    return unit


async def test_systemd_finds_nothing_to_complain_about(installed: Path) -> None:
    assert (await run("systemd-analyze", "verify", "--man=no", str(installed), within=60.0)).strip() == ""


@pytest.mark.parametrize("installed", ["alone"], indirect=True)
async def test_its_exposure_is_at_most_1_5(installed: Path) -> None:
    # ends with an error above the threshold
    told = await run(
        "systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", str(installed), within=60.0
    )
    assert re.search(r"exposure level for agentbridge.service: (\d\.\d)", told)


async def test_the_units_of_the_api_are_as_closed(tmp_path: Path) -> None:
    unit = tmp_path / "agentbridge-api.service"
    text = UNIT.with_name(unit.name).read_text()
    unit.write_text(text.replace("/opt/agentbridge/bin/agentbridge", sys.executable))
    assert (await run("systemd-analyze", "verify", "--man=no", str(unit), within=60.0)).strip() == ""
    await run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", str(unit), within=60.0)


def test_it_never_gives_up_but_for_a_bad_configuration() -> None:
    text = UNIT.read_text()
    assert "Restart=always" in text
    assert "RestartPreventExitStatus=2" in text
    assert "ExecReload=/bin/kill -HUP $MAINPID" in text
    assert "Type=notify\n" in text, "notify-reload would be taken for simple by systemd 252"


class Systemd:
    """The receiving end of NOTIFY_SOCKET, and the environment of a service."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(folder / "notify"))
        self.environment = {
            "PATH": os.environ["PATH"],
            "NOTIFY_SOCKET": str(folder / "notify"),
            "CREDENTIALS_DIRECTORY": str(folder / "credentials"),
            "WATCHDOG_USEC": "3000000",
        }

    async def told(self, word: str) -> list[str]:
        """Waits for that word; what was told on the way there, status lines aside."""
        heard: list[str] = []
        async with asyncio.timeout(WITHIN_S):
            while word not in heard:
                data = await asyncio.get_running_loop().sock_recv(self.socket, 4096)
                heard += [line for line in data.decode().splitlines() if not line.startswith("STATUS=")]
        return heard


@pytest_asyncio.fixture
async def systemd(tmp_path: Path) -> AsyncIterator[Systemd]:
    systemd = Systemd(tmp_path)
    yield systemd
    systemd.socket.close()


async def test_a_start_a_reload_and_a_stop_are_told_and_a_broken_file_is_refused(
    asterisk: Asterisk, postgres: Postgres, systemd: Systemd, tmp_path: Path
) -> None:
    database = await postgres.create_directory("unit_told")
    config = tmp_path / "agentbridge.toml"
    good = (
        f'[node]\nname = "unit"\n[database]\ndsn = "{database}"\n[ami]\nport = {asterisk.ami_port}\n'
        f'[ari]\nurl = "http://127.0.0.1:{asterisk.ari_port}/ari"\n'
    )
    config.write_text(good)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "ami_secret").write_text(asterisk.ami_secret)
    (credentials / "ari_secret").write_text(asterisk.ari_secret)
    (credentials / "database_password").write_text("\n")  # what the unit sets where there is no file
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agentbridge", "run", "--config", str(config),
            env=systemd.environment, stderr=stderr,
        )  # fmt: skip
    try:
        await systemd.told("READY=1")
        await systemd.told("WATCHDOG=1")

        config.write_text(good + "[pace]\nceling = 3\n")
        daemon.send_signal(signal.SIGHUP)
        async with asyncio.timeout(WITHIN_S):
            while "config.refused" not in log.read_text():
                await systemd.told("WATCHDOG=1")
        assert "did you mean pace.ceiling?" in log.read_text()

        config.write_text(good)
        daemon.send_signal(signal.SIGHUP)
        reloading = await systemd.told("RELOADING=1")
        assert "READY=1" not in reloading
        await systemd.told("READY=1")

        daemon.send_signal(signal.SIGTERM)
        await systemd.told("STOPPING=1")
        async with asyncio.timeout(10):
            assert await daemon.wait() == 0
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()
    assert asterisk.ami_secret not in log.read_text()


async def test_a_reload_that_is_asked_for_while_the_program_still_starts_is_done_and_ends_nothing(
    asterisk: Asterisk, postgres: Postgres, systemd: Systemd, tmp_path: Path
) -> None:
    database = await postgres.create_directory("unit_asked_early")
    config = tmp_path / "agentbridge.toml"
    config.write_text(
        f'[database]\ndsn = "{database}"\n[ami]\nport = {asterisk.ami_port}\nsecret = "{asterisk.ami_secret}"\n'
        f'[ari]\nurl = "http://127.0.0.1:{asterisk.ari_port}/ari"\nsecret = "{asterisk.ari_secret}"\n'
    )
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agentbridge", "run", "--config", str(config),
            env=systemd.environment, stderr=stderr,
        )  # fmt: skip
    try:

        async def begun() -> bool:
            return blocks_sighup(daemon.pid)

        await until(begun, within=WITHIN_S, what="the first lines of the program")
        daemon.send_signal(signal.SIGHUP)
        await systemd.told("RELOADING=1")
        await systemd.told("READY=1")
        assert log.read_text().count("config.reloaded") == 1
        assert daemon.returncode is None
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()


def blocks_sighup(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(re.search(r"^SigBlk:\s+(\w+)", status, re.MULTILINE)[1], 16) & 1)  # type: ignore[index]
