"""One call of a phone, in or out. All that comes is handled at once; only the waits are coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from urllib.parse import quote

from lab.phones.dialog import Dialog
from lab.phones.media import Media, NotAcceptableError
from lab.phones.sip_message import Headers, NameAddr, Request, Response, cancel, parse_name_addr
from lab.phones.transactions import LIMIT, T1, T2
from lab.phones.user_agent import ALLOW, UserAgent


class State(Enum):
    """How far a call has come."""

    CALLING = auto()
    RINGING = auto()
    UP = auto()
    ENDED = auto()


class Call:
    """One call of a phone: outgoing ones begin with `dial`, incoming ones with `ring` and `answer`. Made by Phone.

    `status` is the final answer to the INVITE (487 when cancelled, 408 when nobody answered), None before it.
    `received` are all messages of the other end but the ACKs, in order.
    """

    def __init__(self, agent: UserAgent, dialog: Dialog, media: Media, invite: Request | None = None) -> None:
        self.agent, self.dialog, self.media = agent, dialog, media
        self.heard, self.hears, self.stops_hearing = media.heard, media.hears, media.stops_hearing
        self.send_digits, self.receives_digits = media.send_digits, media.receives_digits
        self.incoming = invite is not None
        self.state = State.RINGING if self.incoming else State.CALLING
        self.status: int | None = None
        self.received: list[Request | Response] = [] if invite is None else [invite]
        self._invite = invite
        self._cancelling = False
        self._ack: Request | None = None
        self._changed = asyncio.Event()
        self.answers_talk = False
        """whether it picks up when it is told so by the SIP event talk"""
        self._transfers: list[int] = []
        self._retransmission: asyncio.TimerHandle | None = None
        self._offer_open = False

    @property
    def call_id(self) -> str:
        return self.dialog.call_id

    @property
    def progress(self) -> tuple[int, ...]:
        """The provisional answers to an outgoing call, such as (100, 180)."""
        return tuple(m.status for m in self.received if isinstance(m, Response) and not m.final)

    @property
    def identities(self) -> list[NameAddr]:
        """Whom the other end said to be, in order (P-Asserted-Identity): masking shows here."""
        return [parse_name_addr(v) for m in self.received for v in m.all("P-Asserted-Identity")]

    # Waiting

    async def _until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Waits until the condition holds. Raises TimeoutError with the call's state."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"waited {timeout} s for the call {what}; it is {self.state.name}") from None

    async def answered(self, timeout: float) -> int:
        """Waits for the final answer to the INVITE and returns its status. Raises TimeoutError."""
        await self._until(lambda: self.status is not None, timeout, "to be answered or refused")
        return self.status or 0

    async def ringing(self, timeout: float) -> None:
        """Wait for 180 or 183 from the other end. Raises TimeoutError."""
        await self._until(lambda: any(status > 100 for status in self.progress), timeout, "to ring")

    async def ended(self, timeout: float) -> None:
        await self._until(lambda: self.state is State.ENDED, timeout, "to end")

    # Outgoing

    def dial(self, headers: Headers = ()) -> None:
        """Sends the INVITE."""
        offer = self.media.offer()

        def make(credentials: Headers) -> Request:
            self._invite = self.dialog.request(self.agent, "INVITE", (*headers, *credentials), offer)
            return self._invite

        self.agent.ask(make, self._dialled)

    def _dialled(self, response: Response | None) -> None:
        """Takes a response to our INVITE; None stands for no answer at all."""
        if response is None:
            self._end(408)
            return
        self.received.append(response)
        self._changed.set()
        if not response.final:
            self._progressed(response)
        elif response.success:
            self._established(response)
        else:
            self._end(response.status)

    def _progressed(self, response: Response) -> None:
        """Takes a provisional response."""
        if response.receiver.tag:  # the call has a name from now on: it can be given to a third
            self.dialog.learn(response)
        if response.body:  # early media: what a caller hears before the answer
            self.media.accept(response.body)
        if self._cancelling:
            self._send_cancel()

    def _established(self, response: Response) -> None:
        """Takes the answer to our call."""
        self.dialog.learn(response)
        self._acknowledge()
        self.state, self.status = State.UP, response.status
        self.media.accept(response.body)
        if self._cancelling:  # the answer crossed the CANCEL
            self._send_bye()

    def _acknowledge(self) -> None:
        self._ack = self.dialog.request(self.agent, "ACK")
        self.agent.send(self._ack)

    def acknowledge_again(self) -> None:
        """Sends the ACK again, since the other end has repeated its 200."""
        if self._ack is not None:
            self.agent.send(self._ack)

    def _send_cancel(self) -> None:
        """Sends a CANCEL for our INVITE."""
        self._cancelling = False
        if self._invite is not None:
            request = cancel(self._invite)
            self.agent.ask(lambda _: request, lambda _: None)

    # Incoming

    def ring(self) -> None:
        self._reply_to_invite(180)

    def answer(self) -> None:
        """Answers with 200, repeated until it is acknowledged. Does nothing once the call has ended."""
        if self.state is not State.RINGING or self._invite is None:
            return
        try:
            body = self._describe(self._invite)
        except NotAcceptableError:
            self.reject(488)
            return
        self.state, self.status = State.UP, 200
        self._send_until_acknowledged(self._reply_to_invite(200, body), T1)
        self._changed.set()

    def reject(self, status: int = 486) -> None:
        """Refuses the call with that status."""
        if self.state is State.RINGING:
            self._reply_to_invite(status)
            self._end(status)

    def redirect(self, user: str) -> None:
        """Asks the caller to call that number instead (302)."""
        if self.state is State.RINGING:
            self._reply_to_invite(302, contact=f"<{self.agent.uri(user)}>")
            self._end(302)

    def _describe(self, request: Request) -> bytes:
        """Returns our session description: the answer to an offer or, without one, an offer that the ACK answers."""
        self._offer_open = not request.body
        return self.media.answer(request.body) if request.body else self.media.offer()

    def _reply_to_invite(self, status: int, body: bytes = b"", contact: str = "") -> Response:
        """Answers the INVITE and returns the answer."""
        if self._invite is None:
            raise RuntimeError("an outgoing call can't be answered by its caller")
        return self._reply(self._invite, status, body, contact)

    def _reply(self, request: Request, status: int, body: bytes = b"", contact: str = "") -> Response:
        """Answers a request of this call, and returns the answer."""
        headers: Headers = (("Contact", contact or self.agent.contact), ("Allow", ALLOW))
        if body:
            headers += (("Content-Type", "application/sdp"),)
        response = request.answer(status, tag=self.dialog.local_tag, headers=headers, body=body)
        self.agent.reply(request, response)
        return response

    def _send_until_acknowledged(self, response: Response, interval: float, sent_for: float = 0.0) -> None:
        """Repeats our answer, ever more slowly, until the other side acknowledges it."""
        if sent_for:
            self.agent.send(response)
        if sent_for >= LIMIT:
            self._end(408)
            return
        self._retransmission = asyncio.get_running_loop().call_later(
            interval, self._send_until_acknowledged, response, min(2 * interval, T2), sent_for + interval
        )

    # What the other end asks within the call

    def handle(self, request: Request) -> None:
        """Takes a request of this call."""
        if request.method == "ACK":
            self._acknowledged(request)
            return
        self.received.append(request)
        match request.method:
            case "BYE":
                self._reply(request, 200)
                self._end(487)
            case "CANCEL":
                self._cancelled(request)
            case "INVITE" | "UPDATE":
                self._renegotiate(request)
            case "NOTIFY" if request.first("Event") == "talk":
                self._told_to_talk(request)
            case "NOTIFY":
                self._reply(request, 200)
                self._notified(request)
            case "INFO" | "MESSAGE" | "OPTIONS":
                self._reply(request, 200)
            case _:
                self._reply(request, 501)
        self._changed.set()

    def _acknowledged(self, ack: Request) -> None:
        """Takes the ACK of our 200: stops repeating it."""
        self._stop_retransmission()
        if self._offer_open and ack.body:
            self._offer_open = False
            self.media.accept(ack.body)

    def _cancelled(self, request: Request) -> None:
        """Takes a CANCEL: ends a call that is not answered yet."""
        self._reply(request, 200)
        if self.state is State.RINGING:
            self._reply_to_invite(487)
            self._end(487)

    def _renegotiate(self, request: Request) -> None:
        """Answers a re-INVITE or an UPDATE, with 488 where there is no common codec."""
        self.dialog.learn(request)
        if not request.body and request.method == "UPDATE":
            self._reply(request, 200)
            return
        try:
            response = self._reply(request, 200, self._describe(request))
        except NotAcceptableError:
            self._reply(request, 488)
            return
        if request.method == "INVITE":
            self._stop_retransmission()
            self._send_until_acknowledged(response, T1)

    def _told_to_talk(self, request: Request) -> None:
        """Takes a NOTIFY with the SIP event talk: answers the call, if the phone does that."""
        knows = self.answers_talk and self.state is State.RINGING
        self._reply(request, 200 if knows else 489)
        if knows:
            self.answer()

    def _notified(self, request: Request) -> None:
        """Takes a report on our REFER: its body is the first line of the answer to the transferred call."""
        words = request.body.decode("utf-8", "replace").split()
        if len(words) > 1 and words[0] == "SIP/2.0" and int(words[1]) >= 200:
            self._transfers.append(int(words[1]))

    # What we ask within the call

    async def _ask(self, method: str, headers: Headers, body: bytes, timeout: float) -> Response:
        """Sends a request in this call's dialog; returns the final answer. Raises TimeoutError."""

        def make(credentials: Headers) -> Request:
            return self.dialog.request(self.agent, method, (*headers, *credentials), body)

        return await self.agent.request(make, timeout)

    async def hold(self, timeout: float = 5.0) -> int:
        """Put the other end on hold (sendonly); the status of its answer."""
        return await self._reinvite(held=True, timeout=timeout)

    async def unhold(self, timeout: float = 5.0) -> int:
        return await self._reinvite(held=False, timeout=timeout)

    async def _reinvite(self, *, held: bool, timeout: float) -> int:
        """Holds the call, or takes it up again; returns the status of the answer."""
        self.media.held = held
        response = await self._ask("INVITE", (), self.media.offer(), timeout)
        if response.success:
            self.dialog.learn(response)
            self._acknowledge()
            self.media.accept(response.body)
        return response.status

    async def transfer(self, user: str, timeout: float = 10.0) -> int:
        """Transfers the other end to a number, blind; returns the status that Asterisk reports of that call.

        Asterisk refuses with 400 while the call isn't bridged: wait until the other end is heard. After a success the
        phone hangs up; after a refusal it still has the call.
        """
        return await self._refer(f"<{self.agent.uri(user)}>", timeout)

    async def transfer_to(self, other: Call, timeout: float = 10.0) -> int:
        """Connects the other end of this call with that of the other call (attended transfer); returns the reported
        status."""
        target = f"<{other.dialog.target}?Replaces={quote(other.dialog.replaces(), safe='')}>"
        return await self._refer(target, timeout)

    async def _refer(self, target: str, timeout: float) -> int:
        """Transfers the call by REFER; returns the status with which the transfer ended."""
        me = f"<{self.agent.uri(self.agent.credentials.user)}>"
        self._transfers.clear()
        response = await self._ask("REFER", (("Refer-To", target), ("Referred-By", me)), b"", timeout)
        if not response.success:
            return response.status
        await self._until(self._transfer_is_over, timeout, "to be transferred")
        status = self._transfers[-1] if self._transfers else 200  # the other end hung up: it has the call
        if status < 300:
            await self.hangup(timeout)  # as phones do: Asterisk waits for it
        return status

    def _transfer_is_over(self) -> bool:
        return bool(self._transfers) or self.state is State.ENDED

    async def hangup(self, timeout: float = 5.0) -> None:
        """Ends the call, whatever its state: by CANCEL, 603 or BYE. Raises TimeoutError where nobody confirms."""
        match self.state:
            case State.CALLING:
                self._cancelling = True
                if self.progress:
                    self._send_cancel()
            case State.RINGING:
                self.reject(603)
            case State.UP:
                self._send_bye()
            case State.ENDED:
                return
        await self.ended(timeout)

    def _send_bye(self) -> None:
        """Sends a BYE."""

        def make(credentials: Headers) -> Request:
            return self.dialog.request(self.agent, "BYE", credentials)

        self.agent.ask(make, lambda _: self._end(200))

    def drop(self) -> None:
        """Forget the call without a word to the other end, as a phone without power does."""
        self._end(408)

    def _stop_retransmission(self) -> None:
        if self._retransmission is not None:
            self._retransmission.cancel()

    def _end(self, status: int) -> None:
        """Ends the call on our side; the first status counts."""
        if self.state is State.ENDED:
            return
        self._stop_retransmission()
        self.state = State.ENDED
        self.status = self.status or status
        self.media.close()
        self._changed.set()
