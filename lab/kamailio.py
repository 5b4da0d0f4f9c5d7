"""Kamailio before several Asterisk nodes, with config/kamailio as it is but for addresses and folders."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Collection
from pathlib import Path

from agentbridge.model import Node
from lab.phones.wire import Address
from lab.processes import LabError, Process, Server

SHIPPED = Path(__file__).parents[1] / "config/kamailio"
LISTENS = "10.0.0.10:5060"
LIST = "/etc/kamailio/dispatcher.list"


class Kamailio(Server):
    """Runs Kamailio at an address of this machine before these nodes; LabError where the program is missing."""

    def __init__(self, address: Address, nodes: Collection[Node]) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="agentbridge-kamailio-"))
        self.address = address
        self._nodes = nodes
        self._process = Process("kamailio", self.dir / "out.log")

    async def _begin(self) -> None:
        """Starts it with the shipped configuration."""
        program = shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin")
        if program is None:
            raise LabError("there is no kamailio here: lab/setup --kamailio")
        host, port = self.address
        text = (SHIPPED / "kamailio.cfg").read_text()
        for old, new in {LISTENS: f"{host}:{port}", LIST: str(self.dir / "dispatcher.list")}.items():
            if old not in text:
                raise LabError(f"{old} is not in the shipped kamailio.cfg")
            text = text.replace(old, new)
        (self.dir / "kamailio.cfg").write_text(text)
        nodes = [f"1 sip:{node.sip_host}:{node.sip_port} 0 0\n" for node in self._nodes]
        (self.dir / "dispatcher.list").write_text("".join(nodes))
        folders = ("-Y", str(self.dir), "-P", str(self.dir / "kamailio.pid"))
        await self._process.start(program, "-DD", "-E", "-f", str(self.dir / "kamailio.cfg"), *folders, "-m", "32")

    async def _end(self) -> None:
        """Ends it in order: one that is killed leaves its children."""
        await self._process.end(signal.SIGTERM)
        await super()._end()
