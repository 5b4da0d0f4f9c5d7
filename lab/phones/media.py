"""The audio side of a call: what is negotiated, who is heard, which digits come and go."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from lab.phones.audio import TONES, heard_in
from lab.phones.rtp import RtpStream, Ticker
from lab.phones.sdp import DEFAULT_EVENT_PAYLOAD, Direction, Sdp, answer_to, parse_sdp

WINDOW = 0.2  # seconds of audio that are judged
ENOUGH = 8  # packets: 160 ms, before 'heard' or 'not heard' is said


class NotAcceptableError(ValueError):
    """The other side offers no ulaw, so the phone answers 488."""


class Media:
    """The audio of one call: negotiates it, plays the phone's tone, tells which tones and digits are heard.

    Without a ticker it is silent and deaf, for load; everything is negotiated all the same. host: the phone's own
    address.
    """

    def __init__(self, tone: int | None, ticker: Ticker | None, host: str, tones: Sequence[int] = TONES) -> None:
        self.stream = RtpStream(tone, host)
        self._host = host
        self.held = False
        self._ticker = ticker
        self._tones = tones
        self._loop = asyncio.get_running_loop()
        self._session, self._version = secrets.randbits(31), 0
        self._event_payload: int | None = DEFAULT_EVENT_PAYLOAD

    def offer(self) -> bytes:
        return self._describe(Direction.SENDONLY if self.held else Direction.SENDRECV)

    def answer(self, offer: bytes) -> bytes:
        """Takes an offer; returns the session description to answer with. Raises NotAcceptableError."""
        theirs = self._accept(offer)
        return self._describe(answer_to(theirs.direction, held=self.held))

    def accept(self, answer: bytes) -> None:
        self._accept(answer)

    def _describe(self, direction: Direction) -> bytes:
        self._version += 1
        return Sdp(self._host, self.stream.port, direction, self._event_payload).encode(self._session, self._version)

    def _accept(self, body: bytes) -> Sdp:
        """Takes the other side's SDP. Raises NotAcceptableError where it has no codec of ours."""
        theirs = parse_sdp(body)
        if not theirs.has_ulaw:
            raise NotAcceptableError("the offer has no ulaw")
        self._event_payload = theirs.event_payload
        self.stream.remote = (theirs.host, theirs.port)
        # A phone on hold stays silent, though 'sendonly' would let it play music.
        self.stream.sending = theirs.direction.receives and not self.held
        if self._ticker is not None:
            self._ticker.add(self.stream)
        return theirs

    def close(self) -> None:
        if self._ticker is not None:
            self._ticker.remove(self.stream)
        self.stream.close()

    def heard(self, last_ms: int = 200) -> frozenset[int]:
        """The tones (Hz) audible in the last milliseconds; none for less than 40 ms of audio."""
        return heard_in(self.stream.latest(last_ms / 1000), self._tones)

    async def hears(self, frequency: int, timeout: float) -> None:
        """Wait for a tone in audio that comes from now on. Raises TimeoutError."""
        await self._until(lambda new: frequency in heard_in(new, (frequency,)), timeout, f"to hear {frequency} Hz")

    async def stops_hearing(self, frequency: int, timeout: float) -> None:
        """Waits for 160 ms without the tone, be it other audio or none at all. Raises TimeoutError."""

        def silent(new: list[bytes]) -> bool:
            return frequency not in heard_in(new, (frequency,))

        await self._until(silent, timeout, f"not to hear {frequency} Hz any more", or_nothing=True)

    async def _until(
        self, passes: Callable[[list[bytes]], bool], timeout: float, what: str, *, or_nothing: bool = False
    ) -> None:
        """Waits until what is heard passes. Raises TimeoutError with what is heard instead."""
        end = self._loop.time() + timeout
        await self._tick()  # what is in the socket by now was said before
        start = self.stream.read_at
        while self._loop.time() < end:
            await self._tick()
            window = self.stream.latest(WINDOW, after=start)
            waited = self._loop.time() - start > WINDOW  # a call that has ended reads no more
            if (len(window) >= ENOUGH or (or_nothing and waited)) and passes(window):
                return
        raise TimeoutError(f"waited {timeout} s {what}; now {sorted(self.heard())} of the farm's tones are heard")

    async def _tick(self) -> None:
        """Waits for the next beat of the clock."""
        if self._ticker is None:
            raise RuntimeError("a farm with audio=False can't listen or send digits")
        await self._ticker.tick()

    async def send_digits(self, digits: str, timeout: float) -> None:
        """Sends DTMF (RFC 4733), 260 ms a digit, and waits until all is sent. Raises TimeoutError."""
        if self._event_payload is None:
            raise RuntimeError("the other side takes no telephone-event")
        self.stream.send_digits(digits, self._event_payload)
        async with asyncio.timeout(timeout):
            while self.stream.events_pending:
                await self._tick()

    async def receives_digits(self, digits: str, timeout: float) -> None:
        """Waits until the digits received so far end in these. Raises TimeoutError, with what came."""
        end = self._loop.time() + timeout
        while not self.stream.digits.endswith(digits):
            if self._loop.time() > end:
                raise TimeoutError(f"waited {timeout} s for the digits {digits}, got {self.stream.digits!r}")
            await self._tick()
