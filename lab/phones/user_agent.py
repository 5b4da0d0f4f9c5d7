"""The half of a phone that knows SIP and nothing of calls: it asks with credentials and answers once."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable

from lab.phones.digest import Credentials, choose
from lab.phones.sip_message import Headers, Request, Response
from lab.phones.transactions import REMEMBERED, OnResponse, Transactions
from lab.phones.wire import Address, Wire, open_wire

# Makes the next request of its kind (new CSeq, new branch) with these headers added: the credentials.
Make = Callable[[Headers], Request]
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, REFER, NOTIFY, INFO, MESSAGE"


class UserAgent:
    """The SIP side of a phone: sends requests, with credentials when challenged, and answers each received request
    once.

    `on_request` gets each new request, `on_stray` the answers that belong to none of ours.
    """

    def __init__(self, credentials: Credentials, server: Address, transport: str) -> None:
        self.credentials, self.server, self.transport = credentials, server, transport
        self.on_request: Callable[[Request], None] = lambda _: None
        self.on_stray: Callable[[Response], None] = lambda _: None
        self.faults: list[Exception] = []
        self._transactions = Transactions()
        self._answers: OrderedDict[tuple[str, str], bytes | None] = OrderedDict()
        self._wire: Wire | None = None

    async def open(self) -> None:
        """Opens the transport, again after Asterisk has closed the connection. Raises OSError or TimeoutError."""
        if not self.is_open:
            self._wire = await open_wire(self.transport, self.server, self._receive, self.faults.append)

    def close(self) -> None:
        self._transactions.close()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    @property
    def wire(self) -> Wire:
        """The open transport. Raises ConnectionError while there is none."""
        if self._wire is None or self._wire.lost:
            raise ConnectionError(f"the phone {self.credentials.user} has no connection")
        return self._wire

    @property
    def is_open(self) -> bool:
        return self._wire is not None and not self._wire.lost

    @property
    def contact(self) -> str:
        host, port = self.wire.local
        return f"<sip:{self.credentials.user}@{host}:{port};transport={self.transport}>"

    def via(self) -> str:
        host, port = self.wire.local
        return f"SIP/2.0/{self.wire.name} {host}:{port};rport;branch=z9hG4bK{secrets.token_hex(8)}"

    def uri(self, user: str = "") -> str:
        """Returns the SIP URI of a user at the server; without one, the server's own."""
        host, port = self.server
        return f"sip:{user}@{host}:{port}" if user else f"sip:{host}:{port}"

    def send(self, message: Request | Response) -> None:
        self.wire.send(message.encode())

    def ask(self, make: Make, on_response: OnResponse) -> Request:
        """Sends the request that `make` makes, and again with credentials when it is challenged; the answer goes to
        `on_response`."""
        request = make(())

        def answered(response: Response | None) -> None:
            if response is not None and response.status in {401, 407}:
                authorised = make(self._credentials_for(request, response))
                self._transactions.start(self.wire, authorised, on_response)
            else:
                on_response(response)

        self._transactions.start(self.wire, request, answered)
        return request

    def _credentials_for(self, request: Request, challenged: Response) -> Headers:
        """Returns the header that answers the server's challenge."""
        proxy = challenged.status == 407
        challenge = choose(challenged.all("Proxy-Authenticate" if proxy else "WWW-Authenticate"))
        value = self.credentials.answer(challenge, request.method, request.uri, secrets.token_hex(8))
        return (("Proxy-Authorization" if proxy else "Authorization", value),)

    async def request(self, make: Make, timeout: float) -> Response:
        """Sends a request; returns its final answer. Raises TimeoutError where there is none within `timeout`
        seconds."""
        answer: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()

        def finished(response: Response | None) -> None:
            if not answer.done() and (response is None or response.final):
                answer.set_result(response)

        method = self.ask(make, finished).method
        try:
            async with asyncio.timeout(timeout):
                response = await answer
        except TimeoutError:
            response = None
        if response is None:
            raise TimeoutError(f"{self.credentials.user}: no final answer to {method} in {timeout} s")
        return response

    def reply(self, request: Request, response: Response) -> None:
        """Sends the response, and again whenever the request is repeated."""
        data = response.encode()
        self._answers[request.branch, request.method] = data
        self.wire.send(data)

    def _receive(self, message: Request | Response) -> None:
        """Takes a message: a response goes to its transaction, a request to the phone."""
        match message:
            case Response():
                if not self._transactions.receive(self.wire, message):
                    self.on_stray(message)
            case Request():
                self._receive_request(message)

    def _receive_request(self, request: Request) -> None:
        """Hands on a request that is new; one that is repeated gets the answer that it had."""
        key = (request.branch, request.method)
        if key not in self._answers:
            self._remember(key)
            self.on_request(request)
        elif (answer := self._answers[key]) is not None:
            self.wire.send(answer)

    def _remember(self, key: tuple[str, str]) -> None:
        """Keeps an answer for repetitions of its request; the oldest is dropped above a bound."""
        self._answers[key] = None
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
