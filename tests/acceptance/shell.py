"""The `agentbridge` command as a user runs it: a process, its exit status, what it prints, and where."""

import asyncio
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.acceptance.ready_command import ReadyCommand

WITHIN_S = 30.0


@dataclass(frozen=True)
class Ran:
    """What a command ended with: its exit status, standard output and standard error."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs `agentbridge …` with the test's configuration: by `ready` where it is given, else from its beginning."""

    def __init__(self, config: Path, ready: ReadyCommand | None = None) -> None:
        self.config = config
        self._ready = ready

    async def __call__(self, *words: str, stdin: str = "", status: int = 0, **environment: str) -> Ran:
        """Runs the command and returns what it printed; checks its exit status."""
        own = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "AGENTBRIDGE_CONFIG": str(self.config), **environment}
        if self._ready and not environment:
            ended, out, err = await asyncio.to_thread(self._ready.call, words, own, stdin, WITHIN_S)
        else:
            ended, out, err = await _run(words, own, stdin)
        ran = Ran(ended, out.decode(), err.decode())
        assert ran.status == status, ran
        assert "Traceback" not in ran.err
        return ran


async def _run(words: Sequence[str], environment: Mapping[str, str], stdin: str) -> tuple[int, bytes, bytes]:
    """Runs the command; returns its exit status, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agentbridge", *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=environment,
    )  # fmt: skip
    async with asyncio.timeout(WITHIN_S):
        out, err = await process.communicate(stdin.encode())
    return process.returncode or 0, out, err


async def on_a_terminal(shell: Shell, *words: str, typed: str = "", columns: int = 120) -> str:
    """Runs the command on a terminal of so many columns; returns what is seen there."""
    parts = (sys.executable, "-m", "agentbridge", *words, "--config", str(shell.config))
    command = f"stty cols {columns}; {shlex.join(parts)}"
    process = await asyncio.create_subprocess_exec(
        "script", "-qec", command, "/dev/null",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "xterm"},
    )  # fmt: skip
    async with asyncio.timeout(WITHIN_S):
        out, _ = await process.communicate(typed.encode())
    assert "Traceback" not in out.decode()
    return out.decode()


def write_config(folder: Path, dsn: str) -> Path:
    """Writes a configuration for the command; returns its path."""
    file = folder / "agentbridge.toml"
    file.write_text(
        f'[node]\nname = "lab"\n[database]\ndsn = "{dsn}"\n'
        '[ami]\nport = 1\nsecret = "x"\n[ari]\nurl = "http://127.0.0.1:1/ari"\nsecret = "x"\n'
    )
    file.chmod(0o600)
    return file


async def execute(shell: Shell, sql: str, *, dsn: str = "") -> None:
    """Runs SQL in the command's database."""
    connection = await asyncpg.connect(dsn or shell.config.read_text().split('dsn = "')[1].split('"')[0])
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
