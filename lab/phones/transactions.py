"""Client transactions: a request is sent again until it is answered, or time is over (RFC 3261, 17.1)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from lab.phones.sip_message import Request, Response, acknowledge_refusal
from lab.phones.wire import Wire

T1 = 0.5
T2 = 4.0
LIMIT = 64 * T1
REMEMBERED = 256
# Provisional answers, then the final one; None when the time is over without it.
OnResponse = Callable[[Response | None], None]
Key = tuple[str, str]


class _Transaction:
    """A request that waits for its final response; over UDP it is sent again and again."""

    __slots__ = ("_interval", "_limit", "_resend", "_wire", "on_response", "request")

    def __init__(self, wire: Wire, request: Request, on_response: OnResponse, expire: Callable[[], None]) -> None:
        self._wire, self.request, self.on_response = wire, request, on_response
        self._interval = T1
        self._limit: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(LIMIT, expire)
        self._resend: asyncio.TimerHandle | None = None
        self._send()

    def _send(self) -> None:
        """Sends the request, and plans the next time."""
        self._wire.send(self.request.encode())
        if not self._wire.reliable:
            self._resend = asyncio.get_running_loop().call_later(self._interval, self._send)
            self._interval = min(2 * self._interval, T2)

    def calm(self) -> None:
        """Stops repeating, since a provisional answer came: an INVITE may now wait for a person."""
        self._stop(self._resend)
        if self.request.method == "INVITE":
            self._stop(self._limit)

    def close(self) -> None:
        self._stop(self._resend)
        self._stop(self._limit)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


class Transactions:
    """The open client transactions of one phone."""

    def __init__(self) -> None:
        self._open: dict[Key, _Transaction] = {}
        self._acknowledged: OrderedDict[Key, Request] = OrderedDict()

    def start(self, wire: Wire, request: Request, on_response: OnResponse) -> None:
        key = (request.branch, request.method)
        self._open[key] = _Transaction(wire, request, on_response, lambda: self._expire(key))

    def _expire(self, key: Key) -> None:
        """Ends a transaction to which nobody answered."""
        transaction = self._open.pop(key)
        transaction.close()
        transaction.on_response(None)

    def receive(self, wire: Wire, response: Response) -> bool:
        """Gives a response to its transaction; returns whether it had one. A repeated 2xx to an INVITE has none."""
        key = (response.branch, response.cseq_method)
        if (ack := self._acknowledged.get(key)) is not None:
            wire.send(ack.encode())
            return True
        transaction = self._open.get(key)
        if transaction is None:
            return False
        if response.final:
            self._finish(wire, key, response)
        else:
            transaction.calm()
        transaction.on_response(response)
        return True

    def _finish(self, wire: Wire, key: Key, response: Response) -> None:
        """Ends a transaction; a refused INVITE is acknowledged."""
        transaction = self._open.pop(key)
        transaction.close()
        if transaction.request.method == "INVITE" and not response.success:
            ack = acknowledge_refusal(transaction.request, response)
            wire.send(ack.encode())
            self._acknowledged[key] = ack
            if len(self._acknowledged) > REMEMBERED:
                self._acknowledged.popitem(last=False)

    def close(self) -> None:
        """Ends all transactions."""
        for transaction in self._open.values():
            transaction.close()
        self._open.clear()
