"""docs/installing.md as it stands, line by line, on a stock Debian under systemd that has a PBX already.

The tests are one story and run in their order: installed, a call, a reload, a hang, an upgrade, and away again.
"""

import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from lab.phones import Farm
from lab.processes import until
from lab.systemd_root import SystemdRoot
from tests.faults.debian import Debian

MACHINE_SECONDS = 300.0
"""one minute on a machine that has nothing else to do; the suite's neighbours may be busy"""
ACCOUNTS = re.compile(r"/etc/(passwd|group|shadow|gshadow)-?")
EXPOSURE = 15  # tenths


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def debian() -> AsyncIterator[Debian]:
    async with SystemdRoot() as root:
        debian = Debian(root)
        await debian.prepare()
        yield debian


@pytest.fixture
def network(debian: Debian) -> Iterator[None]:
    with debian.root.network():
        yield


async def test_the_steps_as_typed_bring_the_first_agent_in_and_leave_the_pbx_alone(debian: Debian) -> None:
    debian.before = await debian.pbx()
    for step in ("1.", "2.", "3.", "4.", "5.", "6."):
        await debian.follow(step)
    assert "all is well" in debian.told["5."]
    assert "Asterisk has it" in debian.told["6."]
    assert debian.told["6."].rstrip().endswith("all is well")
    assert await debian.pbx() == debian.before
    assert "PJSIP/2000" in await debian.asterisk("queue show sales")
    sys.stderr.write(f"\n    the machine's part of the installation: {debian.seconds:.0f} s\n")
    assert debian.seconds < MACHINE_SECONDS


async def test_the_unit_is_hardened(debian: Debian) -> None:
    told = await debian.root.run("systemd-analyze", "security", "--no-pager", f"--threshold={EXPOSURE}", "agentbridge")
    exposure = re.search(r"exposure level for agentbridge.service: (\d\.\d)", told)
    assert exposure is not None
    sys.stderr.write(f"\n    systemd-analyze security: {exposure[1]}\n")
    status = (debian.root.path(f"/proc/{await main_pid(debian)}") / "status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


@pytest.mark.usefixtures("network")
async def test_a_customers_call_is_recorded_and_its_row_gets_an_end_and_a_size(debian: Debian) -> None:
    secret = (await debian.ours("agent", "secret", "anna")).strip()
    async with Farm(("127.0.0.1", 5060)) as farm:
        (anna,) = await farm.register({"2000": secret})
        trunk = await farm.phone("trunk", "secret-trunk")
        (office,) = await farm.register({"1000": "secret-1000"})
        outgoing = await trunk.call("500", timeout=10)
        incoming = await anna.rings(timeout=10)
        await outgoing.hears(anna.tone, timeout=10)
        await incoming.hears(trunk.tone, timeout=10)
        assert not office.live_calls
        await outgoing.hangup()
        # the PBX's own call goes on as ever
        outgoing = await trunk.call("100", timeout=10)
        await office.rings(timeout=10)
        await outgoing.hangup()

    async def ended() -> bool:
        return bool(await debian.sql("select 1 from agentbridge.recordings where ended_at is not null and bytes > 0"))

    await until(ended, within=15, what="a row of a recording with ended_at and bytes")


async def test_a_reload_keeps_the_process_and_a_broken_file_is_refused(debian: Debian) -> None:
    config, pid = debian.root.path("/etc/agentbridge/agentbridge.toml"), await main_pid(debian)
    good = config.read_text()
    config.write_text(good + "\n[pase]\nceiling = 3\n")
    await debian.root.run("systemctl", "reload", "agentbridge")
    await logged(debian, "did you mean pace?")
    config.write_text(good)
    await debian.root.run("systemctl", "reload", "agentbridge")
    await logged(debian, "config.reloaded")
    assert await main_pid(debian) == pid
    assert "PJSIP/2000" in await debian.asterisk("queue show sales")
    await converged(debian)


async def test_a_daemon_that_hangs_is_started_again_and_nobody_is_logged_out(debian: Debian) -> None:
    await shorter_watchdog(debian, "3s")
    pid = await main_pid(debian)
    await debian.root.run("systemctl", "kill", f"--signal={signal.SIGSTOP.value}", "agentbridge")

    async def another() -> bool:
        return await main_pid(debian) not in (0, pid) and "up" in await state(debian)

    await until(another, within=60, what="another daemon after the watchdog")
    assert "Watchdog timeout" in await debian.root.run("journalctl", "-u", "agentbridge", "--no-pager")
    await shorter_watchdog(debian, "60s")
    assert "PJSIP/2000" in await debian.asterisk("queue show sales")
    await converged(debian)


@pytest.mark.usefixtures("network")
async def test_a_newer_version_with_a_migration_comes_in_while_a_call_goes_on(debian: Debian) -> None:
    secret = (await debian.ours("agent", "secret", "anna")).strip()
    async with Farm(("127.0.0.1", 5060)) as farm:
        (anna,) = await farm.register({"2000": secret})
        trunk = await farm.phone("trunk", "secret-trunk")
        outgoing = await trunk.call("500", timeout=10)
        await anna.rings(timeout=10)
        debian.make_newer("99.0.0")
        told = await debian.follow("A newer version")
        assert "done: 9999 trial" in told
        assert told.rstrip().endswith("all is well")
        await outgoing.hears(anna.tone, timeout=10)
        await outgoing.hangup()
    assert await debian.ours("--version") == "99.0.0\n"
    assert await debian.sql("select version from agentbridge.nodes") == "99.0.0"
    assert "PJSIP/2000" in await debian.asterisk("queue show sales")
    await converged(debian)


async def test_in_a_container_it_runs_without_mounts_users_and_devices_of_its_own(debian: Debian) -> None:
    await debian.follow("In a container")
    await converged(debian)
    inside = debian.root.path(f"/proc/{await main_pid(debian)}")
    for kind in ("mnt", "user", "uts"):
        assert (inside / "ns" / kind).readlink() == debian.root.path(f"/proc/1/ns/{kind}").readlink(), kind
    status = (inside / "status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    asterisk = await debian.root.run("id", "--group", "asterisk")
    assert asterisk.strip() in re.search(r"^Groups:(.*)$", status, re.MULTILINE)[1].split()


async def test_taken_away_it_leaves_the_pbx_as_it_was_before(debian: Debian) -> None:
    await debian.follow("Taking it away")
    for family in ("agentbridge", "ps_endpoints", "ps_auths", "ps_aors", "CustomDevstate"):
        assert "0 results" in await debian.asterisk(f"database show {family}"), family
    left = await debian.root.shell("grep -rl agentbridge /etc /opt /usr/local || true")
    # the container's user, whom the steps for containers made
    assert [file for file in left.split() if not ACCOUNTS.fullmatch(file)] == []
    assert await debian.pbx() == debian.before
    assert "No such" not in await debian.asterisk("queue show sales"), "the administrator's queue is still there"


async def test_the_package_is_installed_upgraded_and_purged_and_asks_nothing(debian: Debian) -> None:
    debian.copy_sources()
    await debian.follow("As a Debian package", 0, within=900.0)
    assert "makes Asterisk obey" in await debian.root.shell("zcat /usr/share/man/man8/agentbridge.8.gz")
    for step, *blocks in (("2.", 1), ("4.",), ("5.", 1)):
        await debian.follow(str(step), *(int(block) for block in blocks))
    assert "all is well" in debian.told["5."]
    await debian.follow("As a Debian package", 1)
    # the example of the first installation, which was left without our part when that was taken away
    await debian.root.shell("sed -i '/^\\[from-customers\\]/,/Hangup()/d' /etc/asterisk/extensions.conf")
    await debian.follow("6.")
    assert debian.told["6."].rstrip().endswith("all is well")
    completed = await debian.root.shell(
        "source /usr/share/bash-completion/completions/agentbridge\n"
        "COMP_WORDS=(agentbridge agent log) COMP_CWORD=2; _agentbridge_completion agentbridge; echo ${COMPREPLY[@]}"
    )
    assert completed.split() == ["login", "logout"]

    config = debian.root.path("/etc/agentbridge/agentbridge.toml")
    config.write_text(config.read_text() + "\n# the administrator's own line\n")
    await debian.make_newer_package("99.0.0-1")
    told = await debian.follow("As a Debian package", 2)
    assert "now run: agentbridge db migrate" in told
    assert "done: 9999 trial" in told
    assert "the administrator's own line" in config.read_text()
    await converged(debian)
    assert "PJSIP/2000" in await debian.asterisk("queue show sales")

    await debian.follow("As a Debian package", 3)
    left = await debian.root.shell(
        "find / -xdev -name '*agentbridge*' -not -path '/proc/*' -not -path '/usr/src/*' -not -path '/etc/asterisk/*'"
        " -not -path '/usr/local/share/*' -not -path '/var/lib/asterisk/*' -not -path '/tmp/*'"
        " -not -path '/var/spool/asterisk/monitor/*'"
    )
    assert left == ""
    assert "ps_aors" not in await debian.asterisk("database show ps_aors")


async def main_pid(debian: Debian) -> int:
    return int(await debian.root.run("systemctl", "show", "--property=MainPID", "--value", "agentbridge"))


async def state(debian: Debian) -> str:
    return await debian.root.run("systemctl", "show", "--property=StatusText", "--value", "agentbridge")


async def logged(debian: Debian, words: str) -> None:
    async def there() -> bool:
        return words in await debian.root.run("journalctl", "-u", "agentbridge", "--no-pager")

    await until(there, within=20, what=f"a log line with {words}")


async def converged(debian: Debian) -> None:
    """Until `status` says so: its exit status is 0 then."""

    async def so() -> bool:
        return (await debian.root.shell("agentbridge status >/dev/null && echo yes || true")).strip() == "yes"

    await until(so, within=30, what="agentbridge status being converged")


async def shorter_watchdog(debian: Debian, seconds: str) -> None:
    folder = debian.root.path("/etc/systemd/system/agentbridge.service.d")
    folder.mkdir(exist_ok=True)
    (folder / "watchdog.conf").write_text(f"[Service]\nWatchdogSec={seconds}\n")
    await debian.root.run("systemctl", "daemon-reload")
    await debian.root.run("systemctl", "restart", "agentbridge")
