"""Many phones on one clock, made and cleared away together."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from lab.phones.audio import TONES
from lab.phones.phone import Phone, RegistrationRefusedError
from lab.phones.rtp import Ticker
from lab.phones.wire import Address

LEAVE_WITHIN = 3.0


class Farm:
    """Makes phones that share one clock, and ends them: at the end of `async with Farm((host, sip_port))` all hang up
    and close.

    Every phone gets the next tone of `TONES` unless it is given one; farms whose phones meet share their `tones`.
    `audio=False` sends no RTP, for load. What went wrong inside a phone is raised at the end as an ExceptionGroup.
    """

    def __init__(
        self, server: Address, *, audio: bool = True, transport: str = "udp", tones: Iterator[int] | None = None
    ) -> None:
        self.server = server
        self.phones: list[Phone] = []
        self.unconfirmed: list[str] = []
        self._audio, self._transport = audio, transport
        self._tones = tones or itertools.cycle(TONES)
        self._faults: list[Exception] = []
        self._ticker: Ticker | None = None

    async def __aenter__(self) -> Self:
        self._ticker = Ticker(self._faults.append) if self._audio else None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets all phones leave. Raises what went wrong inside them, unless another error is under way."""
        try:
            await self._all_leave()
        finally:
            self._close()
        faults = [*self._faults, *(fault for phone in self.phones for fault in phone.faults)]
        if faults and error is None:
            raise ExceptionGroup("inside the phones", faults)

    async def _all_leave(self) -> None:
        """Lets all phones hang up and unregister at the same time."""
        async with asyncio.TaskGroup() as tasks:
            for phone in self.phones:
                tasks.create_task(self._leave(phone))

    async def dismissed(self) -> None:
        """Makes all present phones hang up, unregister and close; new ones may be made."""
        await self._all_leave()
        for phone in self.phones:
            phone.close()
            self._faults += phone.faults
        self.phones.clear()

    async def _leave(self, phone: Phone) -> None:
        """Lets a phone end its calls and registration, within a limit."""
        try:
            async with asyncio.timeout(LEAVE_WITHIN):
                await phone.leave(LEAVE_WITHIN)
        except* (TimeoutError, ConnectionError, RegistrationRefusedError):
            # The test may have killed Asterisk or taken the account: the phone goes all the same, and the farm says
            # which.
            self.unconfirmed.append(phone.user)

    def _close(self) -> None:
        """Closes all phones and the clock."""
        for phone in self.phones:
            phone.close()
        if self._ticker is not None:
            self._ticker.close()

    async def phone(
        self, user: str, secret: str, tone: int | None = None, *, transport: str = "", display: str = ""
    ) -> Phone:
        """Makes a phone that is open and not registered. Raises OSError, or TimeoutError for TCP without a server."""
        phone = Phone(
            user,
            secret,
            self.server,
            next(self._tones) if tone is None else tone,
            transport=transport or self._transport,
            display=display,
            ticker=self._ticker,
        )
        self.phones.append(phone)
        await phone.open()
        return phone

    async def register(self, secrets: Mapping[str, str], timeout: float = 10.0) -> list[Phone]:
        """Makes a registered phone for each user and secret, all at once. Failures are raised as a group."""
        phones = [await self.phone(user, secret) for user, secret in secrets.items()]
        async with asyncio.TaskGroup() as tasks:
            for phone in phones:
                tasks.create_task(phone.register(timeout=timeout))
        return phones
