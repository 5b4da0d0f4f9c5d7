"""The `agentbridge` command in a process of its own for each call, forked from one that has imported it already: the
imports are most of what a short command costs.

As a program it is that process. What the interpreter itself does at its start and the imports themselves are the same
each time; calls with an environment of their own, on a terminal or without a schema begin at the beginning.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.processes import Process, Server

READY_WITHIN_S = 60.0
IMPORTED = ("agentbridge.cli.app", "agentbridge.cli.output", "agentbridge.logs", "agentbridge.settings",
    "asyncio", "asyncpg", "rich.table")  # fmt: skip
"""what most commands import when they know what is asked"""


class ReadyCommand(Server):
    """Runs commands inside `async with ReadyCommand() as ready`."""

    def __init__(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="agentbridge-ready-"))
        self._process = Process("the ready command", self.dir / "log")
        self._door = self.dir / "door"

    async def _begin(self) -> None:
        await self._process.start(
            *("setpriv", "--pdeathsig=KILL", "env", "-i", "PATH=/usr/bin:/bin", "LANG=C.UTF-8"),
            *(sys.executable, "-m", __name__, str(self._door)),
        )

        async def listens() -> bool:
            return self._door.exists()

        await self._process.wait_ready(listens, READY_WITHIN_S)

    def call(
        self, words: Sequence[str], environment: Mapping[str, str], stdin: str, within: float
    ) -> tuple[int, bytes, bytes]:
        """Runs the command; returns its exit status, standard output and standard error. Raises TimeoutError."""
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            socket.socket(socket.AF_UNIX) as asking,
        ):
            given.write(stdin.encode())
            given.seek(0)
            asking.settimeout(within)
            asking.connect(str(self._door))
            said = json.dumps([words, dict(environment)]).encode() + b"\n"
            socket.send_fds(asking, [said], [file.fileno() for file in (given, out, err)])
            status = int(asking.recv(16))
            out.seek(0)
            err.seek(0)
            return status, out.read(), err.read()


def forked(door: Path) -> None:
    """Listens, and returns in a process of each call's own, which has its words, environment and standard files."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(door.with_suffix(".new")))
        listening.listen()
        door.with_suffix(".new").rename(door)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
        while True:
            asked, _ = listening.accept()
            if not os.fork():
                break
            asked.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with asked:
        said, files, _, _ = socket.recv_fds(asked, 2**20, 3)
        if command := os.fork():
            asked.sendall(str(os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])).encode())
            os._exit(0)
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    words, environment = json.loads(said)
    sys.argv[1:] = words
    os.environ.clear()
    os.environ.update(environment)


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # what is imported stays shared
    forked(Path(sys.argv[1]))
    runpy.run_module("agentbridge", run_name="__main__", alter_sys=True)
