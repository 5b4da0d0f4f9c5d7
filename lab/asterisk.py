"""A private Asterisk on 127.0.0.1 or another address, run from the root folder that lab/setup made.

The instance's folder has the same path for Asterisk and for us: what Asterisk calls
`/tmp/agentbridge-asterisk-x/spool/...` is there. It is mounted into the root folder in a mount
namespace of the process's own, so instances run side by side and nothing stays mounted after them.
"""

import array
import asyncio
import math
import os
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import wave
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from lab.ports import PortBlock
from lab.processes import LabError, Process, Server
from lab.switch import Site

CONF = Path(__file__).with_name("asterisk_conf")
DIALPLAN = Path(__file__).parents[1] / "dialplan" / "agentbridge.conf"
MAILBOXES = Path(__file__).parents[1] / "config/asterisk/voicemail.sql"
PORTS = 3  # AMI, HTTP, SIP; RTP has the rest of the block
SIP_PORT = 5060
BOOT_WITHIN_S = 60.0
CONTROL = "run/asterisk.ctl"
MUSIC_HZ = 260
SPOOL_GROUP = 64118
"""The user and group that may enter the spool when root runs the lab: Debian's is asterisk:asterisk, 0750."""
FOLDERS = ("etc", "lib/moh", "lib/keys", "cache", "spool/monitor", "run", "log")
QUEUE_DEFAULTS = {
    "strategy": "ringall",
    "ringinuse": "no",
    "retry": "1",
    "timeout": "15",
    "autofill": "yes",
    "membergosub": "agentbridge-member-answer",
}
# exec all the way: the process that we start is the one that becomes Asterisk
IN_ROOT = """
set -e
if [ "$1" = / ]; then exec "${@:3}" asterisk -f -C "$2/etc/asterisk.conf"; fi
mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs -o mode=1777 lab "$1/tmp"
mkdir "$1$2"
mount --bind "$2" "$1$2"
exec chroot "$1" "${@:3}" /usr/sbin/asterisk -f -C "$2/etc/asterisk.conf"
"""
Queues = Mapping[str, Mapping[str, str]]


def cache_folder() -> Path:
    """Returns the folder where lab/setup puts the root folders of Asterisk."""
    if given := os.environ.get("AGENTBRIDGE_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentbridge"


ROOTS = "AGENTBRIDGE_ASTERISK_ROOTS"
"""the environment's list of root folders with an Asterisk each, separated by `:`; a number stands for lab/setup's
folder of that major version. The first is what the lab runs where no other is asked for."""
OWN_ROOTS = (22, 16)
"""what lab/setup makes, without that list"""


def roots() -> list[Path]:
    """Returns the root folders of Asterisk on which tests run. Raises LabError for a folder without Asterisk."""
    if given := os.environ.get(ROOTS):
        return [_root(word) for word in given.split(":")]
    return [_root(str(OWN_ROOTS[0])), *(_root(str(major)) for major in OWN_ROOTS[1:] if _has_asterisk(_folder(major)))]


def installed_root(major: int | None = None) -> Path:
    """Returns the root folder of an Asterisk: the first of `roots()`, or lab/setup's of that major version. Raises
    LabError."""
    if major is None:
        return _root(os.environ.get(ROOTS, str(OWN_ROOTS[0])).split(":")[0])
    return _root(str(major))


def _root(word: str) -> Path:
    """Returns the root folder for a version or a path; "/" for the machine's own 22.

    Raises LabError where none is there.
    """
    if word == "22" and _machine_has_asterisk_22():
        return Path("/")
    root = _folder(int(word)) if word.isdecimal() else Path(word)
    if not _has_asterisk(root):
        raise LabError(f"no Asterisk in {root}: run lab/setup, or mend {ROOTS}")
    return root


def _folder(major: int) -> Path:
    return cache_folder() / f"asterisk-{major}"


def _has_asterisk(root: Path) -> bool:
    return (root / "usr/sbin/asterisk").exists()


def version_of(root: Path) -> str:
    """Returns the version of the Asterisk in this root folder, such as 22.10.1."""
    command = ["chroot", str(root)] if root != Path("/") else []
    shown = subprocess.run([*command, "/usr/sbin/asterisk", "-V"], capture_output=True, text=True, timeout=10).stdout
    found = re.search(r"Asterisk (?:certified/)?([0-9][0-9.]*)", shown)
    if found is None:
        raise LabError(f"{root}: `asterisk -V` says {shown!r}")
    return found[1]


def _machine_has_asterisk_22() -> bool:
    """Whether the machine itself has an Asterisk 22 or newer, with PJSIP."""
    program = shutil.which("asterisk", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        return False
    version = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=10).stdout
    found = re.search(r"Asterisk (\d+)", version)
    if found is None or int(found[1]) < 22:
        return False
    return any(next(Path(top).rglob("chan_pjsip.so"), None) for top in ("/usr/lib", "/usr/lib64"))


class Asterisk(Server):
    """A private Asterisk that runs inside `async with Asterisk() as asterisk` and is gone afterwards.

    queues: name -> options of queues.conf, over QUEUE_DEFAULTS; dialled by name, by `queue-NAME`, or by 800, 801, ...
    in their order. queue_options: what follows the name in `Queue()`, such as `b(context^s^1)`. extra: file name ->
    text, added to the file of that name in etc, or making it. site: whose network it is in, of several nodes; left out,
    ours.
    """

    def __init__(
        self,
        *,
        root: Path | None = None,
        queues: Queues | None = None,
        queue_options: str = "",
        extra: Mapping[str, str] | None = None,
        site: Site | None = None,
    ) -> None:
        self.root = root or installed_root()
        self._site = site
        self.host = "127.0.0.1" if site is None else site.address
        self._ports = PortBlock(tcp=PORTS)
        self.ami_port, self.ari_port, self.sip_port = (self._ports.base + n for n in range(1, PORTS + 1))
        if site is not None:
            self.sip_port = SIP_PORT  # nobody else is at its address, and the others must know it beforehand
        self.http_port = self.ari_port
        self.ami_user = self.ari_user = "agentbridge"
        self.ami_secret = self.ari_secret = secrets.token_hex(12)
        self.caller_user, self.caller_secret = "caller", secrets.token_hex(12)
        # a short path of its own: the control socket's may have 107 bytes
        self.dir = Path(tempfile.mkdtemp(prefix="agentbridge-asterisk-", dir="/tmp"))
        self.spool = self.dir / "spool"
        self.log_path = self.dir / "log/full"
        self.queues = dict(queues or {})
        self.environment: dict[str, str] = {}  # of Asterisk alone, from its next start on
        self._queue_options = queue_options
        self._extra = dict(extra or {})
        self._process = Process("Asterisk", self.log_path)

    async def _begin(self) -> None:
        """Writes the configuration and starts Asterisk; returns when it has booted."""
        self._write_all()
        self._write_music()
        await self.start()

    @property
    def astdb(self) -> Path:
        return self.dir / "lib/astdb.sqlite3"

    @property
    def etc(self) -> Path:
        return self.dir / "etc"

    async def start(self, *, wait: bool = True) -> None:
        """Starts Asterisk; returns when it is fully booted, or at once without `wait`. Raises LabError."""
        (self.dir / CONTROL).unlink(missing_ok=True)  # a killed one leaves its socket behind
        # the death signal: Asterisk must not outlive a lab that was killed
        network = () if self._site is None else self._site.inside
        command = (*network, "unshare", "--mount", "--propagation", "private", "setpriv", "--pdeathsig=KILL")
        # by env at the very end: a library to preload is Asterisk's, and in its folder
        within = ("env", *(f"{name}={value}" for name, value in self.environment.items())) if self.environment else ()
        await self._process.start(*command, "bash", "-c", IN_ROOT, "lab", str(self.root), str(self.dir), *within)
        if wait:
            await self.wait_booted()

    async def wait_booted(self, within: float = BOOT_WITHIN_S) -> None:
        """Waits until Asterisk has booted. Raises LabError, with the end of the log, when it doesn't in time."""
        await self._process.wait_ready(self._booted, within)
        self.astdb.chmod(0o640)  # as docs/installing.md says: it holds the digests of all phones

    async def stop(self) -> None:
        """As `systemctl stop` does: calls are dropped, AstDB and members stay."""
        await self._process.end(signal.SIGTERM)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def pause(self) -> None:
        """Hang: connections are still accepted and nobody answers."""
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send(signal.SIGCONT)

    async def cli(self, command: str, within: float = 10.0) -> str:
        """Runs a console command through Asterisk's control socket, without AMI; returns what it prints.

        It says to Asterisk what `asterisk -rx` does, which takes a process for each command. Raises LabError.
        """
        try:
            async with asyncio.timeout(within):
                return await self._told(command)
        except TimeoutError:
            raise LabError(f"{command!r} took more than {within:g} s") from None
        except OSError as error:
            raise LabError(f"{command!r} failed: {error}") from error

    async def _told(self, command: str) -> str:
        """Returns what Asterisk says to a console command, until it closes the connection."""
        reader, writer = await asyncio.open_unix_connection(self.dir / CONTROL)
        try:
            if not await reader.readline():  # host, process id and version
                raise LabError(f"{command!r} failed: Asterisk says nothing")
            writer.write(f"cli quit after {command}\0".encode())
            return (await reader.read()).decode(errors="replace")
        finally:
            writer.close()

    def write_config(self, name: str, text: str) -> None:
        """Replace a file of the instance's etc; Asterisk reads it at its next reload."""
        (self.etc / name).write_text(text)

    async def set_queues(self, queues: Queues) -> None:
        """Writes queues.conf and the queues' extensions anew, and reloads both."""
        self.queues = dict(queues)
        self._write_all()
        await self.cli("queue reload all")
        await self.cli("dialplan reload")

    async def _booted(self) -> bool:
        """Whether Asterisk has booted."""
        if not (self.dir / CONTROL).exists():
            return False
        try:
            return "fully booted" in await self.cli("core waitfullybooted", within=BOOT_WITHIN_S)
        except LabError:
            return False  # the socket is there a moment before it answers

    def _write_music(self) -> None:
        """Writes the music on hold: one second of a pure tone of MUSIC_HZ, repeated."""
        samples = (int(8000 * math.sin(2 * math.pi * MUSIC_HZ * n / 8000)) for n in range(8000))
        with wave.open(str(self.dir / "lib/moh/tone.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(array.array("h", samples).tobytes())

    async def _end(self) -> None:
        """Kills Asterisk and removes its folder."""
        try:
            if self.running:
                await self.kill()
        finally:
            self._ports.close()
            shutil.rmtree(self.dir)

    def _write_all(self) -> None:
        """Writes Asterisk's folders and all configuration files."""
        for folder in FOLDERS:
            (self.dir / folder).mkdir(parents=True, exist_ok=True)
        self.dir.chmod(0o755)
        self.spool.chmod(0o750)
        if os.geteuid() == 0:
            os.chown(self.spool, SPOOL_GROUP, SPOOL_GROUP)
        files = {path.name: self._filled(path.read_text()) for path in sorted(CONF.glob("*.conf"))}
        files["queues.conf"] += self._queue_sections()
        files[DIALPLAN.name] = DIALPLAN.read_text()  # the product's own file: what is tried is what is shipped
        for name, text in self._extra.items():
            files[name] = files.get(name, "") + "\n" + text
        for name, text in files.items():
            self.write_config(name, text)
        self._make_mailboxes()

    def _make_mailboxes(self) -> None:
        """Creates the database of voicemail boxes with the statement that agentbridge ships."""
        with closing(sqlite3.connect(self.dir / "lib/agentbridge-voicemail.sqlite3")) as boxes:
            boxes.executescript(MAILBOXES.read_text())

    def _filled(self, template: str) -> str:
        """Returns the template with this Asterisk's ports, secrets and queues."""
        values = {
            "DIR": str(self.dir),
            "HOST": self.host,
            "FRIEND": "127.0.0.1" if self._site is None else self._site.hub,
            "AMI_PORT": str(self.ami_port),
            "HTTP_PORT": str(self.http_port),
            "SIP_PORT": str(self.sip_port),
            "RTP_START": str(self._ports.base + 10),
            "RTP_END": str(self._ports.base + 999),
            "SECRET": self.ami_secret,
            "CALLER_SECRET": self.caller_secret,
            "QUEUE_OPTIONS": self._queue_options,
            "QUEUE_EXTENSIONS": self._queue_extensions(),
        }
        return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], template)

    def _queue_sections(self) -> str:
        """Returns the sections of queues.conf."""
        sections = []
        for name, options in self.queues.items():
            lines = (f"{key} = {value}" for key, value in (QUEUE_DEFAULTS | dict(options)).items())
            sections.append("\n".join((f"[{name}]", *lines)))
        return "\n\n".join(sections) + "\n"

    def _queue_extensions(self) -> str:
        """Returns the extensions by which the queues are dialled."""
        return "\n".join(
            f"exten => {dialled},1,Goto(queue-{name},1)"
            for number, name in enumerate(self.queues, 800)
            for dialled in (name, str(number))
        )
