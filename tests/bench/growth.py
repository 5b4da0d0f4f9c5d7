"""A simulated week: does the daemon grow with what it has seen?

`python -m tests.bench.growth [HOURS] [FILE.json]`. A week of 168 hours has 1,000,000 changes in the directory, 300,000
calls that Asterisk tells of by events, 100 lost links to AMI, and a spool with 50,000 recordings from before; here it
goes by as fast as the daemon follows. The calls' events are put into the AMI session between Asterisk and the daemon,
with names and numbers as they would come, each call another; of some the end is lost, as with a link. After each hour
the daemon's memory is noted.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from lab.asterisk import Asterisk
from lab.bridge import Bridge
from tests.bench.stand import WITHIN_S, Stand

AGENTS = 200
HOURS = 168
CHANGES, CALLS, LOSSES, RECORDINGS = 1_000_000, 300_000, 100, 50_000
"""of the whole week"""
RECORDED = 100
"""one call in so many begins a recording; each is a question to Asterisk"""
FLIPS = 10
"""one change in so many is one that Asterisk must be told of"""
ENDLESS = 50
"""of one call in so many the end is lost"""
CHUNK = 65536
OLD_FILE = b"RIFF" * 16
LATE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Megabytes: RSS after the first hour and after the last, and the most and least of the second half."""

    hours: int
    seconds: float
    changes: int
    calls: int
    losses: int
    recordings: int
    rss_mb_first_hour: float
    rss_mb_last: float
    growth_percent: float
    rss_mb_least_late: float
    rss_mb_most_late: float


class Told:
    """`async with Told(asterisk) as told`: a proxy before AMI that puts events of its own into the sessions."""

    def __init__(self, asterisk: Asterisk) -> None:
        self._asterisk = asterisk
        self._sessions: set[asyncio.StreamWriter] = set()
        self._listening: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.lose()

    def lose(self) -> None:
        """Ends all AMI links without a word."""
        for session in self._sessions:
            session.transport.abort()

    async def tell(self, events: bytes) -> None:
        """Puts events into the session that chose events with filters; waits while there is none, and while it is
        behind."""
        async with asyncio.timeout(LATE_S):
            while True:
                if (to := self._listening) is not None and not to.is_closing():
                    try:
                        to.write(events)
                        await to.drain()
                        return
                    except ConnectionError:
                        pass
                await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._asterisk.ami_port)
        ends = {writer, back}
        self._sessions |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(reader, back, writer))
                both.create_task(_down(there, writer))
        except* OSError:
            pass
        finally:
            if self._listening is writer:
                self._listening = None
            for end in ends:
                end.transport.abort()
            self._sessions -= ends

    async def _up(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, session: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(CHUNK):
            if b"Action: Filter" in data:
                self._listening = session
            back.write(data)
            await back.drain()
        raise ConnectionResetError("the daemon has closed")


async def _down(there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carries whole messages from Asterisk only, so that other events may come between them."""
    pending = b""
    while data := await there.read(CHUNK):
        whole, end, pending = (pending + data).rpartition(b"\r\n\r\n")
        if end:
            writer.write(whole + end)
            await writer.drain()
        elif b"\r\n" in pending and pending.startswith(b"Asterisk Call Manager"):
            writer.write(pending)
            pending = b""
    raise ConnectionResetError("Asterisk has closed")


def call_events(number: int, agent: str) -> bytes:
    """A queue call of that agent: from the caller's coming to the end."""
    return b"".join(_call_events(number, agent))


def _call_events(number: int, agent: str) -> Iterator[bytes]:
    second = 1_795_600_000 + number
    caller, own = f"lab-{second}.1", f"lab-{second}.2"
    customer = {
        "Channel": f"PJSIP/trunk-{number:08x}",
        "Uniqueid": caller,
        "Linkedid": caller,
        "CallerIDNum": "0301234567",
    }
    channel = {"Channel": f"PJSIP/{agent}-{number:08x}", "Uniqueid": own, "Linkedid": caller}
    dialled = {"DestChannel": channel["Channel"], "DestUniqueid": own, "DestLinkedid": caller}
    queue = {"Queue": "queue0", "Interface": f"PJSIP/{agent}", "MemberName": agent}
    yield _event("QueueCallerJoin", customer | queue | {"Position": "1", "Count": "1"})
    yield _event("Newchannel", channel | {"ChannelStateDesc": "Down", "Exten": "s"})
    yield _event("AgentCalled", customer | dialled | queue)
    yield _event("DialBegin", customer | dialled | {"DialString": agent})
    yield _event("Newstate", channel | {"ChannelStateDesc": "Ringing"})
    yield _event("DeviceStateChange", {"Device": f"PJSIP/{agent}", "State": "RINGING"})
    yield _event("Newstate", channel | {"ChannelStateDesc": "Up"})
    yield _event("DeviceStateChange", {"Device": f"PJSIP/{agent}", "State": "INUSE"})
    yield _event("QueueCallerLeave", customer | queue | {"Count": "0"})
    yield _event("AgentConnect", customer | dialled | queue | {"HoldTime": "3", "RingTime": "2"})
    yield _event("BridgeEnter", channel | {"BridgeUniqueid": f"bridge-{number}", "ChannelStateDesc": "Up"})
    if number % RECORDED == 0:
        yield _event("MixMonitorStart", channel)
        yield _event("MixMonitorStop", channel)
    yield _event("AgentComplete", customer | dialled | queue | {"HoldTime": "3", "TalkTime": "60", "Reason": "caller"})
    if number % ENDLESS:
        yield _event("Hangup", channel | {"Cause": "16"})
        yield _event("Hangup", customer | {"Cause": "16"})
    yield _event("DeviceStateChange", {"Device": f"PJSIP/{agent}", "State": "NOT_INUSE"})


def _event(name: str, fields: dict[str, str]) -> bytes:
    lines = (f"{key}: {value}\r\n" for key, value in fields.items())
    return f"Event: {name}\r\n{''.join(lines)}\r\n".encode()


def fill_spool(asterisk: Asterisk, agents: list[str]) -> None:
    """Writes 50,000 recordings of the last month, of earlier calls."""
    now = datetime.now(UTC).astimezone()
    for number in range(RECORDINGS):
        began = now - timedelta(minutes=number * 43200 / RECORDINGS, days=1)
        folder = asterisk.spool / f"monitor/agentbridge/{began:%Y/%m/%d}"
        if number % 100 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        moment = int(began.timestamp())
        file = folder / f"lab-{moment}.{number}-{agents[number % len(agents)]}-1.wav"
        file.write_bytes(OLD_FILE)
        os.utime(file, (moment + 60, moment + 60))


async def measure(hours: int = HOURS) -> Growth:
    """Runs the simulated week and returns its figures."""
    async with Stand(numbers=AGENTS + 20) as stand, Told(stand.asterisk) as told:
        await stand.people(AGENTS)
        await stand.login_at_once(0, AGENTS)
        agents = [row["internal"] for row in await stand.db.fetch("SELECT internal FROM agentbridge.agents")]
        await asyncio.to_thread(fill_spool, stand.asterisk, agents)
        async with Bridge(
            stand.asterisk, stand.dsn, ami_port=told.port, sections={"log": {"level": "error"}}
        ) as bridge:
            await bridge.start(wait="", within=WITHIN_S)
            await _listed(stand)
            started = time.perf_counter()
            samples = await _lived(stand, told, bridge, agents, hours)
            return _judged(hours, time.perf_counter() - started, samples)


async def _listed(stand: Stand) -> None:
    """Waits until all old recordings have their rows and ends."""
    query = "SELECT count(*) FILTER (WHERE ended_at IS NOT NULL) FROM agentbridge.recordings"
    async with asyncio.timeout(WITHIN_S):
        while await stand.db.fetchval(query) < RECORDINGS:  # noqa: ASYNC110 - it is another process that does it
            await asyncio.sleep(0.5)


async def _lived(stand: Stand, told: Told, bridge: Bridge, agents: list[str], hours: int) -> list[float]:
    """Runs the hours of changes, calls and losses; returns the samples of memory."""
    process = psutil.Process(bridge.pid)
    samples: list[float] = []
    calls = changes = losses = 0
    for hour in range(1, hours + 1):
        for part in range(1, 11):
            due = (hour - 1 + part / 10) / HOURS
            while changes < due * CHANGES:
                changes += await _change(stand, changes)
            batch = []
            while calls < due * CALLS:
                batch.append(call_events(calls, agents[calls % len(agents)]))
                calls += 1
            await told.tell(b"".join(batch))
        if losses < hour / HOURS * LOSSES:
            losses += 1
            told.lose()
        await _followed(stand)
        samples.append(process.memory_info().rss / 1e6)
        print(f"hour {hour}: {changes} changes, {calls} calls, {losses} losses, {samples[-1]:.1f} MB", flush=True)
    return samples


async def _change(stand: Stand, number: int) -> int:
    """Rewrites all sessions, of which the daemon must look at each; every tenth time the pauses of all begin or end.
    Returns how many rows changed."""
    flips = number // AGENTS % FLIPS == 0
    done = await stand.db.execute(
        "UPDATE agentbridge.sessions SET paused = paused <> $1, pause_reason = $2", flips, f"reason {number // 10}"
    )
    return int(done.split()[-1])


async def _followed(stand: Stand) -> None:
    """Waits until the directory says that Asterisk has everything."""
    query = "SELECT count(*) FROM agentbridge.agent_status WHERE pending"
    async with asyncio.timeout(WITHIN_S):
        while await stand.db.fetchval(query):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.2)


def _judged(hours: int, seconds: float, samples: list[float]) -> Growth:
    """Computes the result from the samples of memory."""
    late = samples[len(samples) // 2 :]
    share = hours / HOURS
    return Growth(
        hours=hours,
        seconds=round(seconds, 1),
        changes=int(CHANGES * share),
        calls=int(CALLS * share),
        losses=int(LOSSES * share),
        recordings=RECORDINGS,
        rss_mb_first_hour=round(samples[0], 1),
        rss_mb_last=round(samples[-1], 1),
        growth_percent=round(100 * (samples[-1] / samples[0] - 1), 1),
        rss_mb_least_late=round(min(late), 1),
        rss_mb_most_late=round(max(late), 1),
    )


def main() -> None:
    hours = int(sys.argv[1]) if len(sys.argv) > 1 else HOURS
    found = asdict(asyncio.run(measure(hours)))
    print(json.dumps(found, indent=2))
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
