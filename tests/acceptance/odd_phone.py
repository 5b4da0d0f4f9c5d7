"""A phone of which more can be asked than calls: where it stands, where it says it stands, what it was told."""

import re
from dataclasses import replace
from typing import Self

from lab.phones import Farm, Phone
from lab.phones.sip_message import Headers, Request, Response
from lab.phones.wire import Address, UdpWire


class WireAt(UdpWire):
    """A UDP transport for SIP at an address of the test's choice."""

    def __init__(self, at: Address, phone: "OddPhone") -> None:
        agent = phone._agent
        super().__init__(agent.server, agent._receive, agent.faults.append)
        super().close()
        self._socket = type(self._socket)(self._socket.family, self._socket.type)
        self._socket.setblocking(False)
        self._socket.bind(at)
        self.local = at
        self._loop.add_reader(self._socket, self._readable)


class OddPhone(Phone):
    """A phone with an address of its choice, which may register another one.

    `notices` are the NOTIFYs that it got; `told_contact` is what it registers instead of where it is.
    """

    notices: list[Request]
    told_contact = ""

    @classmethod
    async def of(cls, farm: Farm, user: str, secret: str, *, transport: str = "udp", at: Address | None = None) -> Self:
        """Opens a phone that is cleared away with the farm."""
        phone = cls(user, secret, farm.server, next(farm._tones), transport=transport, ticker=farm._ticker)
        phone.notices = []
        farm.phones.append(phone)
        if at is not None:
            phone._agent._wire = WireAt(at, phone)
        await phone.open()
        return phone

    async def ask_registrar(self, expires: int) -> Response:
        """The final answer to a REGISTER, whatever it is."""
        return await self._agent.request(lambda extra: self._register_request(expires, extra), 5.0)

    async def granted(self, expires: int) -> int:
        """Registers; returns the seconds for which the registrar keeps that."""
        answer = await self.ask_registrar(expires)
        found = re.search(r";expires=(\d+)", answer.first("Contact"))
        assert found is not None, answer
        return int(found[1])

    def _register_request(self, expires: int, extra: Headers) -> Request:
        request = super()._register_request(expires, extra)
        if not self.told_contact:
            return request
        headers = tuple((name, self.told_contact if name == "Contact" else value) for name, value in request.headers)
        return replace(request, headers=headers)

    def _handle(self, request: Request) -> None:
        if request.method == "NOTIFY":
            self.notices.append(request)
        super()._handle(request)


def offered_codecs(invite: Request) -> list[str]:
    """Returns the payload types of audio that a call offers, in its order, without telephone-event."""
    text = invite.body.decode()
    media = re.search(r"^m=audio \d+ \S+ ([\d ]+)", text, re.MULTILINE)
    assert media is not None
    events = set(re.findall(r"^a=rtpmap:(\d+) telephone-event", text, re.MULTILINE))
    return [payload for payload in media[1].split() if payload not in events]


async def refused_call(phone: Phone, number: str, within: float = 5.0) -> int:
    """Calls the number; returns the SIP status with which that is refused."""
    call = await phone.call(number, within)
    if call.status == 200:
        await call.hangup()
    return call.status or 0


async def both_ways(caller: Phone, callee: Phone, number: str) -> None:
    """Checks that a call to the number rings, is answered, and is heard at both ends."""
    call = await caller.call(number, 5.0)
    assert call.status == 200, call.status
    ringing = await callee.rings(5.0)
    assert caller.tone
    assert callee.tone
    await call.hears(callee.tone, 5.0)
    await ringing.hears(caller.tone, 5.0)
    await call.hangup()
