"""SIPp as a steady stream of customers: two calls a second, and how many of them were lost."""

import csv
import math
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.asterisk import Asterisk
from lab.ports import free_port
from lab.processes import LabError, Process, until

SCENARIO = Path(__file__).with_name("sipp.xml")
ENDS_WITHIN_S = 60.0
"""a call that gets no answer is given up after 32 s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The result of SIPp's calls: how many ended well, how many not, and the longest time from INVITE to answer (NaN
    without calls)."""

    answered: int
    lost: int
    slowest_s: float


class Customers:
    """Runs SIPp inside `async with Customers(asterisk) as customers`, which calls an extension at a steady rate."""

    def __init__(self, asterisk: Asterisk, extension: str = "tone", *, rate: float = 2.0) -> None:
        self._asterisk, self._extension, self._rate = asterisk, extension, rate
        self._dir = Path(tempfile.mkdtemp(prefix="agentbridge-sipp-"))
        self._process = Process("SIPp", self._dir / "sipp.log")

    async def __aenter__(self) -> Self:
        """Starts SIPp; returns when it has made its first call. Raises LabError."""
        program = shutil.which("sipp")
        if program is None:
            raise LabError("no SIPp on this machine (Debian's package sip-tester): run lab/setup")
        asterisk = self._asterisk
        credentials = f"[authentication username={asterisk.caller_user} password={asterisk.caller_secret}]"
        (self._dir / "users.csv").write_text(f"SEQUENTIAL\n{credentials}\n")
        await self._process.start(
            *("setpriv", "--pdeathsig=KILL"),  # it must not outlive a lab that was killed
            *("env", f"--chdir={self._dir}"),  # where it writes the answers' times, whatever it is told
            *(program, f"{asterisk.host}:{asterisk.sip_port}", "-sf", str(SCENARIO), "-s", self._extension),
            *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(free_port()), "-cp", str(free_port())),
            *("-inf", str(self._dir / "users.csv"), "-r", str(self._rate), "-nostdin"),
            *("-trace_stat", "-stf", str(self._dir / "stat.csv"), "-fd", "1"),
            *("-trace_rtt", "-rtt_freq", "1", "-trace_err", "-error_file", str(self._dir / "errors.log")),
        )
        await self._process.wait_ready(self._has_called, within=20.0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._process.end(signal.SIGKILL)
        shutil.rmtree(self._dir)

    async def heard(self) -> Heard:
        """Stops new calls, waits for those under way, and returns how they went."""
        self._process.send(signal.SIGUSR1)

        async def ended() -> bool:
            return not self._process.running

        await until(ended, within=ENDS_WITHIN_S, what="the end of the last call")
        last = self._rows()[-1]
        return Heard(
            answered=int(last["SuccessfulCall(C)"]), lost=int(last["FailedCall(C)"]), slowest_s=self._slowest()
        )

    def errors(self) -> str:
        """Returns the errors that SIPp wrote."""
        path = self._dir / "errors.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def _has_called(self) -> bool:
        rows = self._rows()
        return bool(rows) and int(rows[-1]["SuccessfulCall(C)"]) > 0

    def _rows(self) -> list[dict[str, str]]:
        """Returns SIPp's statistics, a row a second."""
        path = self._dir / "stat.csv"
        if not path.exists():
            return []
        # the last line may be half written
        with path.open(newline="") as text:
            return [row for row in csv.DictReader(text, delimiter=";") if row.get("FailedCall(C)")]

    def _slowest(self) -> float:
        """Returns the longest time to an answer in seconds; NaN without any."""
        times = [
            float(line.split(";")[1])
            for path in self._dir.glob("*_rtt.csv")
            for line in path.read_text().splitlines()[1:]
        ]
        return max(times) / 1000 if times else math.nan
