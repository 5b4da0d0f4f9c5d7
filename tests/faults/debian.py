"""A stock Debian with a PBX on it, as an administrator has it before agentbridge is installed there by the document."""

import re
import shutil
import subprocess
import time
from pathlib import Path

from lab.processes import LabError
from lab.systemd_root import SystemdRoot, wheels

TOP = Path(__file__).parents[2]
SOURCES = "/usr/src/agentbridge"
DOCUMENT = TOP / "docs/installing.md"
PHONE = """
[{user}]
type = endpoint
context = office
disallow = all
allow = ulaw
auth = {user}
aors = {user}
direct_media = no
[{user}]
type = auth
auth_type = userpass
username = {user}
password = secret-{user}
[{user}]
type = aor
max_contacts = 1
"""
PBX = {
    "pjsip.conf": """
[transport-udp]
type = transport
protocol = udp
bind = 127.0.0.1:5060

[trunk]
type = endpoint
context = from-customers
disallow = all
allow = ulaw
auth = trunk
outbound_auth = trunk
aors = trunk
direct_media = no
[trunk]
type = auth
auth_type = userpass
username = trunk
password = secret-trunk
[trunk]
type = aor
contact = sip:127.0.0.1:5099
max_contacts = 4
"""
    + "".join(PHONE.format(user=user) for user in ("1000", "1001", "1002")),
    "queues.conf": """
[reception]
strategy = ringall
timeout = 15
member => PJSIP/1000
member => PJSIP/1001,2
""",
    "extensions.conf": """
[office]
exten => _100X,1,Dial(PJSIP/${EXTEN},20)
 same => n,Hangup()
exten => 400,1,Answer()
 same => n,Queue(reception)
exten => _0X.,1,Dial(PJSIP/${EXTEN:1}@trunk)

[from-customers]
exten => 100,1,Goto(office,1000,1)
exten => 400,1,Goto(office,400,1)
""",
}
KINDS = ("endpoint", "auth", "aor")
# what the administrator sees of what is his
SHOWN = (
    *(f"pjsip show {kind} {name}" for name in ("1000", "1001", "1002", "trunk") for kind in KINDS),
    "pjsip show transports",
    "queue show reception",
    "dialplan show office",
    "dialplan show 100@from-customers",
    "dialplan show 400@from-customers",
)


class Debian:
    """A booted Debian with a PBX, into which agentbridge is installed. `seconds` adds up what the document's steps
    took."""

    def __init__(self, root: SystemdRoot) -> None:
        self.root = root
        self.seconds = 0.0
        self.told: dict[str, str] = {}
        """heading → what its lines printed"""
        self.before: dict[str, str] = {}
        """what the console shows of the PBX where agentbridge was never installed"""

    async def prepare(self) -> None:
        """Makes the PBX work, and copies sources and wheels, since the root folder has no network."""
        for name, text in PBX.items():
            with self.root.path(f"/etc/asterisk/{name}").open("a") as file:
                file.write(text)
        await self.root.run("systemctl", "restart", "asterisk")
        self.copy_sources()
        self.root.path("/srv/wheels").mkdir()
        for wheel in wheels().glob("*.whl"):
            self.root.path(f"/srv/wheels/{wheel.name}").write_bytes(wheel.read_bytes())
        self.root.path("/etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/wheels\n")

    def copy_sources(self) -> None:
        """Copies what a clone of this tree has."""
        list_files = ["git", "-C", TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(list_files, check=True, capture_output=True)
        target = self.root.path(SOURCES)
        shutil.rmtree(target, ignore_errors=True)  # `make_newer` may have been there
        target.mkdir()
        packed = subprocess.run(
            ["tar", "-C", TOP, "--null", "-T", "-", "-c"], input=listed.stdout, check=True, capture_output=True
        )
        subprocess.run(["tar", "-C", target, "--no-same-owner", "-x"], input=packed.stdout, check=True)

    def make_newer(self, version: str) -> None:
        """Turns the sources into a later version's, with one more step of the schema."""
        project = self.root.path(f"{SOURCES}/pyproject.toml")
        text = re.sub(r'^version = ".*"$', f'version = "{version}"', project.read_text(), flags=re.MULTILINE)
        project.write_text(text)
        package = self.root.path(f"{SOURCES}/agentbridge")
        (package / "directory/schema/migrations/9999_trial.sql").write_text("create table agentbridge.trial ();\n")
        init = package / "__init__.py"
        init.write_text(re.sub(r'"[0-9]+\.[0-9]+\.[0-9]+[^"]*"', f'"{version}"', init.read_text()))

    async def follow(self, heading: str, *blocks: int, within: float = 300.0) -> str:
        """Runs the lines that docs/installing.md has below that heading; returns what they printed.

        blocks: the numbers of those to run, from 0; all of them where none is given.
        """
        began = time.monotonic()
        found = steps(heading)
        lines = "\n".join(found[number] for number in blocks or range(len(found)))
        self.told[heading] = await self.root.shell(f"cd {SOURCES}\n{lines}", within=within)
        self.seconds += time.monotonic() - began
        return self.told[heading]

    async def asterisk(self, command: str) -> str:
        return await self.root.run("asterisk", "-rx", command)

    async def make_newer_package(self, version: str) -> None:
        """Turns the package in dist/ into a later version's, with one more step of the schema."""
        await self.root.shell(
            f"""cd {SOURCES}/dist
            dpkg-deb --raw-extract agentbridge_*.deb newer
            rm agentbridge_*.deb
            sed -i 's/^Version: .*/Version: {version}/' newer/DEBIAN/control
            cd newer/opt/agentbridge/lib/python*/site-packages/agentbridge/directory/schema/migrations
            echo 'create table agentbridge.trial_of_package ();' > 9999_trial.sql
            cd {SOURCES}/dist
            dpkg-deb --root-owner-group -Znone --build newer agentbridge_{version}_all.deb
            rm -r newer""",
            within=300.0,
        )

    async def ours(self, *words: str) -> str:
        """What `agentbridge …` printed."""
        return await self.root.run("agentbridge", *words)

    async def sql(self, statement: str) -> str:
        return (
            await self.root.run(
                "runuser", "-u", "postgres", "--", "psql", "-d", "agentbridge", "-qAtX", "-c", statement
            )
        ).strip()

    async def pbx(self) -> dict[str, str]:
        """Command of the console → what it shows of the PBX, without what changes by itself."""
        return {command: _steady(await self.asterisk(command)) for command in SHOWN}


def steps(heading: str) -> list[str]:
    """Returns the blocks of shell lines below a heading of docs/installing.md."""
    sections = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    for section in sections:
        if section.startswith(heading):
            return re.findall(r"^```sh\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    raise LabError(f"docs/installing.md has no heading that begins with {heading}")


def _steady(shown: str) -> str:
    """Removes from an output what differs each time: seconds, column widths, the console's own messages."""
    lines = (re.sub(r"\(\d+ secs ago\)|\d+ secs|[-=]{3,}", "", line) for line in shown.splitlines())
    kept = (" ".join(line.split()) for line in lines if "global EID" not in line)
    return "\n".join(line for line in kept if line)
