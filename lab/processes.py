"""One server process that the lab owns: started, signalled, ended, and explained when it dies."""

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_S = 0.02


class LabError(Exception):
    """A server of the lab did not do what was asked; the message holds the end of its log."""


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within: float, what: str = "the condition") -> None:
    """Waits until the condition holds: the one way to wait in lab and tests, where there is no event to wait for.

    within: seconds by the event loop's clock, which a test may have made to jump. what: names the condition in the
    LabError that is raised when it does not hold in time.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + within
    while not (holds if isinstance(holds := condition(), bool) else await holds):
        if clock() > end:
            raise LabError(f"{what} did not happen within {within:g} s")
        await asyncio.sleep(POLL_S)


async def run(*argv: str, within: float = 60.0) -> str:
    """Runs a command and returns what it printed. Raises LabError, with that, when it fails or takes too long."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within):
            output, _ = await process.communicate()
    except TimeoutError:
        raise LabError(f"{' '.join(argv)} took more than {within:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    if process.returncode:
        raise LabError(f"{' '.join(argv)} failed with {process.returncode}:\n{text}")
    return text


def children(pid: int) -> list[int]:
    """Returns the process ids of a process's direct children; none when it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Process:
    """A server process that the lab starts, signals and ends; its standard output and error go to a file beside its
    log."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process id. Raises LabError for a process that was never started."""
        if self._process is None:
            raise LabError(f"{self.name} was never started")
        return self._process.pid

    async def start(self, *argv: str) -> None:
        """Starts the process. Raises LabError where it runs already."""
        if self.running:
            raise LabError(f"{self.name} is already running")
        with self.log.with_suffix(".out").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the one who runs the lab, who ends us in order
            )

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; does nothing when the process is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def gone(self, within: float) -> bool:
        """Waits for the process to end; returns whether it did within so many seconds."""
        if self._process is None:
            return True
        try:
            async with asyncio.timeout(within):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    async def end(self, number: signal.Signals, within: float = 10.0) -> None:
        """Ends the process with a signal, and kills it when it has not ended within so many seconds."""
        if number is not signal.SIGKILL:
            # A stopped process does not act on what it is asked. Before the question: asking a process that is just
            # ending for anything more takes its exit status away from the event loop.
            self.send(signal.SIGCONT)
        self.send(number)
        if not await self.gone(within):
            self.send(signal.SIGKILL)
            await self.gone(within)

    async def wait_ready(self, ready: Callable[[], Awaitable[bool]], within: float) -> None:
        """Waits until `ready` returns True. Raises LabError, with the end of the log, when the process dies or time is
        up."""

        async def ready_or_dead() -> bool:
            return not self.running or await ready()

        try:
            await until(ready_or_dead, within=within, what=f"{self.name} getting ready")
        except LabError as late:
            raise LabError(f"{late}\n{self.tail()}") from None
        if not self.running:
            raise LabError(f"{self.name} ended while it was starting\n{self.tail()}")

    def tail(self, lines: int = 40) -> str:
        """Returns the last lines of what the process printed and logged."""
        paths = [path for path in (self.log.with_suffix(".out"), self.log) if path.exists()]
        texts = [path.read_text(errors="replace").splitlines() for path in paths]
        return "\n".join(line for text in texts for line in text[-lines:])


class Server:
    """A server of the lab, which runs in a folder of its own inside `async with`: `_begin` starts it, and `_end` ends
    it and removes the folder, also where it did not start."""

    dir: Path
    _process: Process

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    def send(self, number: signal.Signals) -> None:
        self._process.send(number)

    async def kill(self) -> None:
        """Kills the server; returns when it is gone."""
        await self._process.end(signal.SIGKILL)

    async def _begin(self) -> None:
        """Starts the server; a server that is started later does nothing here."""

    async def _end(self) -> None:
        """Kills the server and removes its folder."""
        try:
            await self.kill()
        finally:
            shutil.rmtree(self.dir)
