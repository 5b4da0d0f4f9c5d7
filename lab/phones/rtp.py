"""One call's audio, and the shared clock of 20 ms that drives all of a farm's calls (RFC 3550, 4733)."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator

from lab.phones.audio import DIGITS, PACKET, SILENCE, tone_packets
from lab.phones.sdp import PCMU
from lab.phones.wire import Address

TICK = 0.02
MAX_LAG = 0.2  # after a longer stall the clock starts anew: no burst of late packets
KEPT = 100  # packets: 2 s of what was heard
HEADER = struct.Struct("!BBHII")
EVENT = struct.Struct("!BBH")
EVENT_PACKETS, END_PACKETS, PAUSE_PACKETS = 5, 3, 5


class Ticker:
    """Calls each audio stream every 20 ms, by one timer for all. `fault` gets what the streams raise."""

    def __init__(self, fault: Callable[[Exception], None]) -> None:
        self._streams: set[RtpStream] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._fault = fault
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def add(self, stream: RtpStream) -> None:
        self._streams.add(stream)
        self._start()

    def remove(self, stream: RtpStream) -> None:
        self._streams.discard(stream)

    async def tick(self) -> None:
        """Waits for the next beat."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        self._start()
        await waiter

    def _start(self) -> None:
        """Starts the timer for the first stream."""
        if self._timer is None:
            self._due = self._loop.time() + TICK
            self._timer = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        """Lets each stream send and receive, and plans the next beat."""
        now = self._loop.time()
        self._timer = None
        try:
            for stream in self._streams:
                stream.beat(now)
        except Exception as fault:  # the loop would only log it: the farm raises it at its end
            self._fault(fault)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._streams:
            self._due = max(self._due + TICK, now - MAX_LAG)
            self._timer = self._loop.call_at(self._due, self._beat)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for waiter in self._waiters:
            waiter.cancel()


class RtpStream:
    """The audio of one call on a UDP socket: sends its tone while `sending`, keeps the last 2 s that it received."""

    def __init__(self, tone: int | None, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self.remote: Address | None = None
        self.sending = False
        self.digits = ""
        self.read_at = 0.0
        self.packets_received = 0
        self._packets = tone_packets(tone) if tone else (SILENCE, SILENCE)
        self._heard: deque[tuple[float, bytes]] = deque(maxlen=KEPT)
        self._events: deque[tuple[int, bytes] | None] = deque()
        self._sequence, self._timestamp, self._event_start = 0, 0, 0
        self._ssrc = secrets.randbits(32)
        self._last_event = -1

    def close(self) -> None:
        self._heard.clear()
        self._socket.close()

    def latest(self, seconds: float, after: float = 0.0) -> list[bytes]:
        """Returns the ulaw payloads of the last seconds before the last beat that were read after the loop time
        `after`.

        Counted from the beat and not from now: in a busy loop what waits in the socket is not yet read.
        """
        start = max(after, self.read_at - seconds)
        return [payload for at, payload in self._heard if at > start][-round(seconds / TICK) :]

    def beat(self, now: float) -> None:
        """Receives what has come and sends the next packet."""
        self._receive(now)
        self.read_at = now
        if self.sending and self.remote is not None:
            self._send(self.remote)

    def _receive(self, now: float) -> None:
        """Reads all packets that have come: audio and digits."""
        try:
            while True:
                data = self._socket.recv(2048)
                payload_type = data[1] & 0x7F
                if payload_type == PCMU:
                    self.packets_received += 1
                    self._heard.append((now, data[12:]))
                elif payload_type >= 96:
                    self._receive_event(data)
        except BlockingIOError:
            return  # all that came has been read

    def _receive_event(self, data: bytes) -> None:
        """Takes a digit; its last packet comes three times and counts once."""
        timestamp = HEADER.unpack_from(data)[3]
        event, flags, _ = EVENT.unpack_from(data, HEADER.size)
        # The last packet of an event comes three times: its start time tells it from the next one.
        if flags & 0x80 and timestamp != self._last_event and event < len(DIGITS):
            self._last_event = timestamp
            self.digits += DIGITS[event]

    def _send(self, remote: Address) -> None:
        """Sends the next packet: of a digit where one is due, else of the tone."""
        event = self._events.popleft() if self._events else None
        if event is None:
            payload = self._packets[self._timestamp // PACKET % 2]
            header = HEADER.pack(0x80, PCMU, self._sequence, self._timestamp, self._ssrc)
        else:
            payload_type, payload = event
            if payload_type & 0x80:  # the marker: a new digit starts now
                self._event_start = self._timestamp
            header = HEADER.pack(0x80, payload_type, self._sequence, self._event_start, self._ssrc)
        self._socket.sendto(header + payload, remote)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + PACKET) & 0xFFFFFFFF

    @property
    def events_pending(self) -> bool:
        return bool(self._events)

    def send_digits(self, digits: str, payload_type: int) -> None:
        """Queues DTMF digits, which are sent in place of the tone, 260 ms each. Raises ValueError for what is no DTMF
        digit."""
        for digit in digits:
            self._events.extend(_event_packets(DIGITS.index(digit), payload_type))


def _event_packets(event: int, payload_type: int) -> Iterator[tuple[int, bytes] | None]:
    """Yields the RTP type byte and the payload of each packet of one digit (RFC 4733), then None for each packet of
    pause."""
    for i in range(1, EVENT_PACKETS + 1):
        yield payload_type | (0x80 if i == 1 else 0), EVENT.pack(event, 10, i * PACKET)
    for _ in range(END_PACKETS):
        yield payload_type, EVENT.pack(event, 0x80 | 10, (EVENT_PACKETS + 1) * PACKET)
    yield from [None] * PAUSE_PACKETS
