"""A SIP phone: it registers, is called and calls."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from lab.phones.behaviour import Answer, Behaviour, Ignore, Invite, Redirect, Reject, Ring
from lab.phones.call import Call, State
from lab.phones.dialog import Dialog
from lab.phones.digest import Credentials
from lab.phones.media import Media
from lab.phones.rtp import Ticker
from lab.phones.sip_message import Headers, Request, Response
from lab.phones.user_agent import ALLOW, UserAgent
from lab.phones.wire import Address

REFRESH_AT = 0.8  # of the registration's life


class RegistrationRefusedError(Exception):
    """Asterisk refused a REGISTER; `status` is 401 or 403 for a wrong secret or an unknown user."""

    def __init__(self, user: str, status: int) -> None:
        super().__init__(f"the registration of {user} was refused with {status}")
        self.status = status


class Phone:
    """A SIP phone that registers, calls and is called; its own tone lets others know that they hear it.

    `server` is host and SIP port of Asterisk. Without a `ticker` (of the farm) there is no audio. It calls without
    being registered as well: so does a trunk, as a static endpoint with user name and password. `registrations` counts
    the confirmed ones since it last was unregistered, `registers` the requests for one that were ever sent; `invites`
    are all calls that ever reached it, `calls` all that it had, in and out, `notified` all NOTIFYs outside of calls.
    `most_at_once`: how many of them it had at the same moment.
    """

    def __init__(
        self,
        user: str,
        secret: str,
        server: Address,
        tone: int | None = None,
        *,
        transport: str = "udp",
        display: str = "",
        ticker: Ticker | None = None,
    ) -> None:
        self.user, self.tone, self.display = user, tone, display
        self.behaviour: Behaviour = Answer()
        self.invites: list[Invite] = []
        self.calls: list[Call] = []
        self.most_at_once = 0
        self.notified: list[Request] = []
        self.registrations = self.registers = 0
        self._agent = UserAgent(Credentials(user, secret), server, transport)
        self._agent.on_request, self._agent.on_stray = self._handle, self._handle_stray
        self._ticker = ticker
        self._by_call_id: dict[str, Call] = {}
        self._ignored: set[str] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._refreshing: asyncio.TimerHandle | None = None
        self._registration, self._register_cseq = secrets.token_hex(12), 0
        self._awaited, self._arrived = 0, asyncio.Event()

    @property
    def registered(self) -> bool:
        return self.registrations > 0

    @property
    def faults(self) -> list[Exception]:
        """What went wrong inside the phone itself, outside any call of a test."""
        return self._agent.faults

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self._agent.wire.local

    # Registration

    async def open(self) -> None:
        await self._agent.open()

    async def register(self, expires: int = 3600, timeout: float = 5.0) -> None:
        """Registers, and again before the registration expires. Raises RegistrationRefusedError or TimeoutError."""
        await self.open()
        response = await self._agent.request(lambda extra: self._register_request(expires, extra), timeout)
        if not response.success:
            raise RegistrationRefusedError(self.user, response.status)
        self._registered_for(expires)

    async def unregister(self, timeout: float = 5.0) -> None:
        await self.register(expires=0, timeout=timeout)

    def _registered_for(self, expires: int) -> None:
        """Notes a confirmed registration and plans its renewal; 0 seconds are an unregistration."""
        self.registrations = self.registrations + 1 if expires else 0
        if self._refreshing is not None:
            self._refreshing.cancel()
        if self.registered:
            self._refreshing = self._later(expires * REFRESH_AT, lambda: self._refresh(expires))

    def _refresh(self, expires: int) -> None:
        """Registers anew, before the registration ends."""

        def answered(response: Response | None) -> None:
            if response is not None and response.success:
                self._registered_for(expires)
            elif response is None or response.final:
                self.registrations = 0

        if not self._agent.is_open:
            self.registrations = 0
            return
        self._agent.ask(lambda extra: self._register_request(expires, extra), answered)

    def _register_request(self, expires: int, extra: Headers) -> Request:
        """Makes a REGISTER."""
        agent = self._agent
        self._register_cseq += 1
        self.registers += 1
        me = f"<{agent.uri(self.user)}>"
        headers = (
            ("Via", agent.via()),
            ("Max-Forwards", "70"),
            ("From", f"{me};tag={secrets.token_hex(8)}"),
            ("To", me),
            ("Call-ID", self._registration),
            ("CSeq", f"{self._register_cseq} REGISTER"),
            ("Contact", agent.contact),
            ("Expires", str(expires)),
            ("Allow", ALLOW),
        )
        return Request((*headers, *extra), b"", "REGISTER", agent.uri())

    # Calling

    def dial(self, user: str, *, asserted: str = "", headers: Headers = ()) -> Call:
        """Starts a call and returns it at once. asserted: the number sent as P-Asserted-Identity, for a trunk."""
        call = Call(self._agent, Dialog.outgoing(self._agent, user, self.display), self._media())
        self._keep(call)
        if asserted:
            headers = (*headers, ("P-Asserted-Identity", f"<{self._agent.uri(asserted)}>"))
        call.dial(headers)
        return call

    async def call(self, user: str, timeout: float, *, asserted: str = "", headers: Headers = ()) -> Call:
        """Calls and waits for the final answer; returns the call with its `status`. Raises TimeoutError, with the call
        cancelled."""
        await self.open()
        call = self.dial(user, asserted=asserted, headers=headers)
        try:
            await call.answered(timeout)
        except TimeoutError:
            await call.hangup()
            raise
        return call

    async def rings(self, timeout: float) -> Call:
        """Waits for the next call that reaches the phone, or has reached it since the last `rings`. Raises
        TimeoutError.

        It may be answered or over by then; calls under `Ignore` are only in `invites`.
        """
        incoming = self._incoming
        try:
            async with asyncio.timeout(timeout):
                while len(incoming()) <= self._awaited:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.user} did not ring within {timeout} s") from None
        self._awaited += 1
        return incoming()[self._awaited - 1]

    def _incoming(self) -> list[Call]:
        return [call for call in self.calls if call.incoming]

    def _media(self) -> Media:
        return Media(self.tone, self._ticker, self._agent.wire.local[0])

    def _keep(self, call: Call) -> None:
        """Adds a call to the phone's calls."""
        self.calls.append(call)
        self._by_call_id[call.call_id] = call
        self.most_at_once = max(self.most_at_once, len(self.live_calls))

    @property
    def live_calls(self) -> list[Call]:
        return [call for call in self.calls if call.state is not State.ENDED]

    # What comes from Asterisk

    def _handle(self, request: Request) -> None:
        """Takes a request: of one of our calls, a new call, or one outside of any."""
        call = self._by_call_id.get(request.call_id)
        if request.call_id in self._ignored:
            return
        if call is not None:
            call.handle(request)
        elif request.method == "INVITE" and not request.receiver.tag:
            self._receive_call(request)
        elif request.method in {"OPTIONS", "NOTIFY", "MESSAGE", "INFO"}:
            if request.method == "NOTIFY":
                self.notified.append(request)
            headers = (("Contact", self._agent.contact), ("Allow", ALLOW))
            self._agent.reply(request, request.answer(200, tag=secrets.token_hex(8), headers=headers))
        elif request.method != "ACK":
            self._agent.reply(request, request.answer(481, tag=secrets.token_hex(8)))

    def _handle_stray(self, response: Response) -> None:
        """Takes an answer that belongs to no request of ours: acknowledges a repeated 200."""
        call = self._by_call_id.get(response.call_id)
        if call is not None and response.cseq_method == "INVITE" and response.success:
            call.acknowledge_again()

    def _receive_call(self, request: Request) -> None:
        """Takes a new call and does with it what the phone's behaviour says."""
        self.invites.append(Invite(time.monotonic(), request))
        if isinstance(self.behaviour, Ignore):
            self._ignored.add(request.call_id)
            return
        call = Call(self._agent, Dialog.incoming(request), self._media(), request)
        self._keep(call)
        self._arrived.set()
        self._behave(call)

    def _behave(self, call: Call) -> None:
        """Answers, rings, rejects or redirects the call."""
        match self.behaviour:
            case Answer(after=0.0):
                call.answer()
            case Answer(after=seconds):
                call.ring()
                self._later(seconds, call.answer)
            case Ring(talk=talk):
                call.answers_talk = talk
                call.ring()
            case Reject(status=status):
                call.reject(status)
            case Redirect(user=user):
                call.redirect(user)
            case Ignore():
                raise AssertionError("an ignored call is never made")

    # Timers and the end

    def _later(self, seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        """Does something after a while; what it raises is kept for the farm's end."""

        def due() -> None:
            self._timers.discard(timer)
            try:
                act()
            except Exception as fault:  # the loop would only log it: the farm raises it at its end
                self.faults.append(fault)

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self._timers.add(timer)
        return timer

    def _cancel_timers(self) -> None:
        """Cancels what `_later` has planned."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    async def leave(self, timeout: float = 2.0) -> None:
        """Hangs up all calls and unregisters. Raises TimeoutError where Asterisk does not confirm."""
        async with asyncio.TaskGroup() as tasks:
            for call in self.live_calls:
                tasks.create_task(call.hangup(timeout))
        if self.registered:
            await self.unregister(timeout)

    def close(self) -> None:
        """Closes the phone as a power cut would: no BYE, no unregistration; its port is free again."""
        self._cancel_timers()
        for call in self.live_calls:
            call.drop()
        self._agent.close()
        self.registrations = 0
