"""A Debian of its own where systemd is PID 1, beside Debian's own Asterisk and PostgreSQL, all as installed.

It runs in namespaces of its own over the root folder that `lab/setup --systemd` made: what is written goes into
memory and is gone at the end, and its 127.0.0.1 is not the machine's, so the stock ports are free.
"""

import ctypes
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.asterisk import cache_folder
from lab.processes import LabError, Process, Server, children, run, until

BOOT_WITHIN_S = 120.0
NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup")
CLONE_NEWNET = 0x40000000
# $1 the root folder, $2 an empty folder for what is written, $3 the cgroup that becomes the root of the new Debian's
BOOT = """
set -e
echo $$ > "$3/cgroup.procs"
exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child bash -c '
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 lab "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" lab "$2/root"
cd "$2/root"
mount -t proc proc proc
# read-only: systemd must not set the kernel parameters of the machine
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do
    touch "dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
ip link set lo up
mkdir oldroot
pivot_root . oldroot
umount -l /oldroot
rmdir /oldroot 2>/dev/null || true
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
' lab "$1" "$2"
"""


def installed_systemd_root() -> Path:
    """Returns the root folder that `lab/setup --systemd` made. Raises LabError when it is not there."""
    root = cache_folder() / "systemd"
    if not (root / "lib/systemd/systemd").exists():
        raise LabError(f"no root folder with systemd in {root}: run lab/setup --systemd as root")
    return root


def wheels() -> Path:
    """Returns the folder with wheels of all locked dependencies for the root folder's Python. Raises LabError without
    it."""
    folder = cache_folder() / "systemd-wheels"
    if not folder.is_dir():
        raise LabError(f"no wheels in {folder}: run lab/setup --systemd")
    return folder


class SystemdRoot(Server):
    """Boots a Debian in namespaces of its own, with systemd as PID 1, inside `async with SystemdRoot() as root`.

    All that was written in it is gone afterwards.
    """

    def __init__(self) -> None:
        self._lower = installed_systemd_root()
        self.dir = Path(tempfile.mkdtemp(prefix="agentbridge-systemd-", dir="/tmp"))
        self._written = self.dir / "written"
        self._process = Process("systemd", self.dir / "console")
        self._cgroup = _cgroup2() / self.dir.name

    async def _begin(self) -> None:
        """Boots the root folder in namespaces of its own; returns when systemd has started all."""
        self._written.mkdir()
        self._cgroup.mkdir()
        # the death signal: nothing may outlive a lab that was killed
        await self._process.start(
            "setpriv", "--pdeathsig=KILL", "bash", "-c", BOOT, "lab",
            str(self._lower), str(self._written), str(self._cgroup),
        )  # fmt: skip
        await self._process.wait_ready(self._booted, BOOT_WITHIN_S)

    @property
    def pid(self) -> int:
        """The process id, on this machine, of the systemd that is PID 1 in there."""
        found = children(self._process.pid)
        if not found:
            raise LabError(f"systemd ended\n{self._process.tail()}")
        return found[0]

    def path(self, inside: str) -> Path:
        """A path of the root folder as this machine reaches it."""
        return Path(f"/proc/{self.pid}/root{inside}")

    async def run(self, *argv: str, within: float = 60.0) -> str:
        """Runs a command in there as root; returns what it printed. Raises LabError, with that, when it failed."""
        # no environment of ours: what is tried is what root has there
        clean = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")
        return await run(*self._enter(), *clean, *argv, within=within)

    async def shell(self, script: str, *, within: float = 60.0) -> str:
        """The same for lines of bash, of which the first that fails ends them."""
        return await self.run("bash", "-c", f"set -euo pipefail\n{script}", within=within)

    @contextmanager
    def network(self) -> Iterator[None]:
        """Inside the block, sockets that this thread opens are in the root folder's network: 127.0.0.1 is its own.

        Processes that are started inside the block are there with their network as well.
        """
        with Path("/proc/self/ns/net").open() as ours, Path(f"/proc/{self.pid}/ns/net").open() as theirs:
            _set_network(theirs.fileno())
            try:
                yield
            finally:
                _set_network(ours.fileno())

    def _enter(self) -> tuple[str, ...]:
        return ("nsenter", f"--target={self.pid}", *NAMESPACES, "--root", "--wd")

    async def _booted(self) -> bool:
        """Whether systemd has started all. Raises LabError where units have failed."""
        if not children(self._process.pid):
            return False
        try:
            told = await self.shell("systemctl is-system-running --wait || true", within=BOOT_WITHIN_S)
        except LabError:
            return False  # the pivot or systemd's socket is not there yet
        if told.strip() == "degraded":
            raise LabError(f"units failed at boot:\n{await self.run('systemctl', '--failed')}")
        return told.strip() == "running"

    async def _end(self) -> None:
        """Ends systemd and all that runs there, and removes what was written."""
        # systemd goes with it by --kill-child, and with PID 1 all that runs there
        await self._process.end(signal.SIGKILL)
        if self._cgroup.exists():
            await until(self._cgroup_is_gone, within=10.0, what=f"{self._cgroup} being left by all processes")
        for left in (self._written, self.dir / "console.out"):
            left.rmdir() if left.is_dir() else left.unlink(missing_ok=True)
        self.dir.rmdir()

    async def _cgroup_is_gone(self) -> bool:
        """Removes the cgroup; returns False while killed processes are still in it."""
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)  # noqa: PTH106 - a control file, not a disk: it does not block
        return not self._cgroup.exists()


def _cgroup2() -> Path:
    """Returns where this machine has cgroup2 mounted, beside the older kind or alone."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise LabError("this machine has no cgroup2 mounted")


def _set_network(namespace: int) -> None:
    """Puts this thread into that network namespace."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise LabError(f"can't enter the network namespace: {os.strerror(number)}")
