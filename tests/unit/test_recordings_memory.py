"""What the parts that follow calls hold in memory: nothing of a call that is over, whatever the order of events."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.board import Board
from agentbridge.asterisk.calls.recorded_channels import GONE
from agentbridge.asterisk.calls.recordings import Recordings
from agentbridge.model import EndpointId, Member, QueueName
from agentbridge.model.calls import RecordingEnd, RecordingStart, RecordingTrouble
from agentbridge.model.live import LiveAgent, LiveCall, LiveQueue, RecordingState

CALLS = 1500


def event(name: str, **fields: str) -> Message:
    return Message((("Event", name), *fields.items()))


class Link:
    """An Asterisk with these channels; `listing` holds an answer about recordings back."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self.channels: list[Message] = []
        self.monitors: dict[str, str] = {}
        self.listing = asyncio.Event()
        self.listing.set()
        self.asked = asyncio.Event()

    async def action(self, action: str, fields: object = (), *, timeout: float) -> Message:  # noqa: ARG002 - as the real one is called
        return Message((("Response", "Success"), ("Value", "")))

    async def action_list(
        self,
        action: str,
        fields: object = (),  # noqa: ARG002 - as the real one is called
        *,
        timeout: float,  # noqa: ARG002 - as the real one is called
        on_item: object = None,  # noqa: ARG002 - as the real one is called
    ) -> list[Message]:
        return self.channels if action == "CoreShowChannels" else []

    async def command(self, line: str, *, timeout: float) -> str:  # noqa: ARG002 - as the real one is called
        if line == "core show settings":
            return f"  Spool directory:  {self._spool}\n"
        self.asked.set()
        await self.listing.wait()
        return self.monitors.get(line.rpartition(" ")[2], "")


class Ledger:
    def __init__(self) -> None:
        self.started: list[RecordingStart] = []
        self.finished: list[RecordingEnd] = []

    async def start(self, rows: Sequence[RecordingStart]) -> set[str]:
        self.started += rows
        return set()

    async def finish(self, rows: Sequence[RecordingEnd]) -> None:
        self.finished += rows

    async def unknown(self, paths: Sequence[str]) -> set[str]:
        return set(paths) - {row.file.path for row in self.started}

    async def unfinished(self, after: str, limit: int) -> Mapping[str, str]:
        ended = {row.path for row in self.finished}
        rows = {row.file.path: row.channel for row in self.started if row.file.path not in ended}
        return dict(sorted((path, channel) for path, channel in rows.items() if path > after)[:limit])

    async def listed_at(self) -> datetime | None:
        return None

    async def note_listed(self, at: datetime) -> None: ...

    async def note_trouble(self, trouble: RecordingTrouble) -> bool:  # noqa: ARG002 - as the real one is called
        return True


def held(part: object, counted: set[int] | None = None) -> int:
    """Entries of all its collections, and of those of the objects of asterisk/calls that it consists of."""
    counted = {id(part)} if counted is None else counted
    number = 0
    for value in vars(part).values():
        if isinstance(value, Collection) and not isinstance(value, str):
            number += len(value)
        elif type(value).__module__.startswith("agentbridge.asterisk.calls.") and id(value) not in counted:
            counted.add(id(value))
            number += held(value, counted)
    return number


def call(number: int) -> tuple[str, str, str]:
    """Channel, Uniqueid and recording of a call."""
    linkedid = f"lab-1795530761.{number}"
    return f"PJSIP/1001-{number:08x}", linkedid, f"agentbridge/2026/11/24/{linkedid}-1001-1.wav"


def begin(recordings: Recordings, number: int) -> None:
    channel, uniqueid, file = call(number)
    recordings.on_event(event("MixMonitorStart", Channel=channel, Uniqueid=uniqueid))
    recordings.on_event(
        event("UserEvent", UserEvent="AgentbridgeRecordingStarted", Channel=channel, Uniqueid=uniqueid, File=file)
    )


def end(recordings: Recordings, number: int) -> None:
    channel, uniqueid, _ = call(number)
    recordings.on_event(event("Hangup", Channel=channel, Uniqueid=uniqueid, Linkedid=uniqueid))
    recordings.on_event(event("MixMonitorStop", Channel=channel, Uniqueid=uniqueid))  # the last word comes late


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def link(tmp_path: Path) -> Link:
    return Link(tmp_path)


@pytest.fixture
def recordings(link: Link, ledger: Ledger) -> Recordings:
    ticks = iter(range(10**9))
    return Recordings(link, ledger, now=lambda: datetime.now(UTC), clock=lambda: float(next(ticks)))  # type: ignore[arg-type]


async def test_of_calls_that_are_over_nothing_stays(recordings: Recordings, ledger: Ledger) -> None:
    for number in range(CALLS):
        begin(recordings, number)
        end(recordings, number)
    for _ in range(4):
        await recordings._work()
    assert len(ledger.started) == len(ledger.finished) == CALLS
    assert held(recordings) <= GONE


async def test_of_calls_whose_ends_were_lost_nothing_stays(recordings: Recordings, ledger: Ledger) -> None:
    for number in range(CALLS):
        begin(recordings, number)
    await recordings._work()
    recordings.look_again()
    for _ in range(4):
        await recordings._work()
    assert len(ledger.finished) == CALLS
    assert held(recordings) <= GONE


async def test_a_recording_is_told_of_once_though_its_call_ends_while_asterisk_is_asked(
    recordings: Recordings, link: Link, ledger: Ledger
) -> None:
    channel, _, file = call(1)
    link.monitors[channel] = f"0x1\t{link._spool}/monitor/{file.removesuffix('.wav')}\t\n"
    with capture_logs() as logs:
        begin(recordings, 1)
        await recordings._rows.write_starts()
        link.listing.clear()
        look = asyncio.create_task(recordings._work())
        await link.asked.wait()
        end(recordings, 1)
        link.listing.set()
        await look
        for _ in range(4):
            await recordings._work()
    assert [one["event"] for one in logs].count("recording.started") == 1
    assert len(ledger.started) == len(ledger.finished) == 1
    assert held(recordings) <= 1


class Store:
    def __init__(self) -> None:
        self.rows: dict[str, LiveCall] = {}

    async def write(
        self,
        agents: Sequence[LiveAgent],  # noqa: ARG002 - as the real one is called
        calls: Sequence[LiveCall],
        queues: Sequence[LiveQueue],  # noqa: ARG002 - as the real one is called
        *,
        gone_agents: Collection[str] = (),  # noqa: ARG002 - as the real one is called
        ended_calls: Sequence[LiveCall] = (),
    ) -> None:
        self.rows |= {row.channel: row for row in calls}
        for call in ended_calls:
            self.rows.pop(call.channel, None)

    async def keep(
        self,
        agents: Collection[str],  # noqa: ARG002 - as the real one is called
        calls: Collection[str],
        queues: Collection[str],  # noqa: ARG002 - as the real one is called
    ) -> None:
        self.rows = {channel: row for channel, row in self.rows.items() if channel in calls}

    async def counts_of(self, day: date) -> Mapping[str, tuple[int, int, int]]:  # noqa: ARG002 - as the real one is called
        return {}


class Around:
    async def refresh(self) -> None: ...

    def device_state(self, device: EndpointId) -> str:  # noqa: ARG002 - as the real one is called
        return "NOT_INUSE"

    def members_of(self, device: EndpointId) -> Mapping[QueueName, Member]:  # noqa: ARG002 - as the real one is called
        return {}

    def wrapup_seconds(self, queue: QueueName) -> float:  # noqa: ARG002 - as the real one is called
        return 5.0

    def recording_of(self, uniqueid: str, channel: str) -> tuple[RecordingState, tuple[int, ...]]:  # noqa: ARG002 - as the real one is called
        return RecordingState.NONE, ()

    def spies_of(self, agent: EndpointId) -> tuple[str, ...]:  # noqa: ARG002 - as the real one is called
        return ()


def policy(path: str) -> str:
    return "1" if path == "agent/1001/id" else "1001" if path == "agent/1001/device" else ""


async def test_the_board_forgets_calls_callers_and_agents_that_are_gone(link: Link) -> None:
    ticks = iter(range(10**9))
    store = Store()
    agents: Iterable[EndpointId] = [EndpointId("1001")]
    board = Board(
        link,  # type: ignore[arg-type]
        store,
        policy,
        Around(),
        agents=lambda: agents,
        active=lambda: True,
        now=lambda: datetime.now(UTC),
        clock=lambda: float(next(ticks)),
    )
    for number in range(CALLS):
        channel, uniqueid, _ = call(number)
        board.on_event(event("QueueCallerJoin", Queue="sales", Uniqueid=f"c{number}"))
        board.on_event(
            event("Newchannel", Channel=channel, Uniqueid=uniqueid, Linkedid=uniqueid, ChannelStateDesc="Down")
        )
        board.on_event(event("MixMonitorStart", Channel=channel, Uniqueid=uniqueid))
        board.on_event(event("QueueCallerLeave", Queue="sales", Uniqueid=f"c{number}"))
        if number % 2:  # of every other the end is lost
            board.on_event(event("Hangup", Channel=channel, Uniqueid=uniqueid))
    board.look_again()
    for _ in range(3):
        await board._work()
    assert store.rows == {}
    agents = []
    board.look_again()
    for _ in range(3):
        await board._work()
    gone = 2 * GONE
    assert held(board) <= gone + 10
