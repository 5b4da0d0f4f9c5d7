"""One AMI session: logged in, many actions in flight, everything pending fails at once when it ends.

Nothing is ever sent twice: what was pending when a session ended is unknown to us, and the next
observation of Asterisk tells. Bytes are taken off the socket as they come, by the loop itself and not by
a task, since Asterisk holds a queue's lock while it writes QueueStatus to a reader that does not read, and
the lock of the AstDB while it writes DBGetTree: with that nobody can be paused. So the bytes of a long list
are read first, and its messages handled in small parts while they come.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self, cast

from agentbridge import metrics
from agentbridge.asterisk.ami.pending import OnEvent, PendingAction
from agentbridge.asterisk.ami.wire import Fields, Message, Wire, WireBroken, encode
from agentbridge.errors import Refused, Unavailable

IN_FLIGHT = 256  # keeps what a dead Asterisk is owed small; more does not go faster
SENT_AT_ONCE = 65536  # bytes
RECEIVED_AT_ONCE = 65536  # bytes: in each turn of the loop, 20 µs
HANDLED_AT_ONCE = 16384  # bytes: messages of so much are handled before others have their turn, about 0.3 ms
BACKLOG = 2**25  # bytes that are received and not yet handled: above, nothing is read; 10,000 endpoints are 13 MB
CLOSE_WITHIN = 1.0  # seconds
OFF = "off"


def ignore(_: object) -> None:
    """Default callback: ignores what it is told."""


@dataclass(frozen=True, slots=True)
class Account:
    """The address of an AMI and the login there (a user of manager.conf)."""

    host: str
    port: int
    username: str
    secret: str = field(repr=False)


class AmiConnection(asyncio.BufferedProtocol):
    """One AMI session, made by `connect`: many actions at a time; all that is pending fails at once when it ends.

    `reason` says why it has ended; None while it lives.
    """

    def __init__(self, name: str, on_event: OnEvent) -> None:
        self.reason: str | None = None
        self.fully_booted: Message | None = None
        self._name = name
        self._on_event = on_event
        self._bug: RuntimeError | None = None
        self._wire = Wire()
        self._piece = memoryview(bytearray(RECEIVED_AT_ONCE))
        self._pending: dict[str, PendingAction] = {}
        self._sent = 0
        self._further: bytearray | None = None
        """what goes out at the end of this turn of the loop; None in one that has sent nothing"""
        self._answers = 0
        self._handling = False
        """messages that are received already will be handled in a later turn of the loop"""
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._greeted, self._booted, self._writable = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._ended, self._gone = asyncio.Event(), asyncio.Event()

    @classmethod
    async def connect(
        cls,
        account: Account,
        *,
        name: str = "ami",
        on_event: OnEvent = ignore,
        within: float = 10.0,
    ) -> Self:
        """Connects and logs in; returns the session, which gets events of class `system` until `choose_events`.

        The secret is not sent (MD5 challenge). Raises Refused for a wrong account, Unavailable otherwise.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within):
                _, connection = await loop.create_connection(lambda: cls(name, on_event), account.host, account.port)
                await connection._log_in(account, within)
                return connection
        except TimeoutError:
            raise Unavailable(f"{account.host}:{account.port} did not let us in within {within:g} s") from None
        except OSError as error:
            raise Unavailable(f"{account.host}:{account.port}: {error}") from error

    async def _log_in(self, account: Account, within: float) -> None:
        """Waits for the banner and logs in by challenge, so that the secret is never sent.

        Raises Unavailable or Refused.
        """
        try:
            await self._greeted.wait()
            self._raise_if_ended()
            challenge = (await self.action("Challenge", {"AuthType": "MD5"}, timeout=within)).get("Challenge")
            key = hashlib.md5((challenge + account.secret).encode(), usedforsecurity=False).hexdigest()
            login = {"AuthType": "MD5", "Username": account.username, "Key": key, "Events": "system"}
            await self._try_login(account.username, login, within)
        except BaseException:
            self.abort("login failed")
            raise

    async def _try_login(self, username: str, login: Mapping[str, str], within: float) -> None:
        """Sends the login. Raises Refused with all possible causes: Asterisk answers a wrong secret, a missing account
        and an address that is not permitted with the same words."""
        try:
            await self.action("Login", login, timeout=within)
        except Refused as refused:
            if "authentication failed" not in str(refused).lower():
                raise
            address = self._transport.get_extra_info("sockname")[0]
            raise Refused(
                f"{refused}: in manager.conf there is no [{username}], it has another secret, or its deny and permit "
                f"lines leave {address} out"
            ) from refused

    async def wait_booted(self, within: float) -> Message:
        """Waits until Asterisk has booted; returns its FullyBooted event, whose `Uptime` shows a restart. Raises
        Unavailable.

        An open port is not yet an Asterisk that is up.
        """
        try:
            async with asyncio.timeout(within):
                await self._booted.wait()
        except TimeoutError:
            raise Unavailable(
                f"no FullyBooted within {within:g} s: Asterisk is still starting, or the account "
                "may not read class system (read= in manager.conf)"
            ) from None
        self._raise_if_ended()
        return cast(Message, self.fully_booted)

    async def choose_events(self, mask: str, *, timeout: float) -> None:
        """Chooses which classes of events Asterisk sends on this session: 'off', or such as 'agent,call'."""
        await self.action("Events", {"EventMask": mask}, timeout=timeout)

    async def action(self, action: str, fields: Fields = (), *, timeout: float) -> Message:
        """Sends an action and returns Asterisk's answer.

        Raises Refused with Asterisk's message, InvalidValue before anything is sent, or Unavailable.
        """
        [answer] = await self._ask(action, fields, timeout, listing=False)
        return answer

    async def action_list(
        self, action: str, fields: Fields = (), *, timeout: float, on_item: OnEvent | None = None
    ) -> list[Message]:
        """Sends an action that answers with a list; returns the items in Asterisk's order when the list has ended.

        For an unknown queue there are none. With `on_item` each item is handed over as it comes and none is kept:
        10,000 endpoints are 36 MB.
        """
        return await self._ask(action, fields, timeout, listing=True, on_item=on_item)

    async def ping(self, timeout: float) -> bool:
        """Whether Asterisk is alive: it answered this Ping within `timeout` or, as it works in order, something before
        it.

        Events don't count: they come from another thread than the one that may hang.
        """
        answers = self._answers
        try:
            async with asyncio.timeout(timeout):
                await self._exchange("Ping", {}, listing=False)
        except (TimeoutError, Unavailable):
            return self._answers > answers
        except Refused:
            return True
        return True

    def nudge(self) -> None:
        """Sends a Ping whose answer nobody waits for, so that Asterisk sends an event that it holds back
        (docs/asterisk-facts.md, AMI). Does nothing while the socket takes no more."""
        if self.reason is None and self._writable.is_set():
            self._sent += 1
            metrics.AMI_ACTIONS.labels("Ping").inc()
            self._send(encode("Ping", {}, f"{self._prefix}{self._sent}"))

    async def _ask(
        self, action: str, fields: Fields, timeout: float, *, listing: bool, on_item: OnEvent | None = None
    ) -> list[Message]:
        """Sends an action when there is room and waits for its answer.

        Raises Unavailable after `timeout` seconds, or Refused.
        """
        try:
            async with asyncio.timeout(timeout), self._room:
                return await self._exchange(action, fields, listing=listing, on_item=on_item)
        except TimeoutError:
            raise Unavailable(f"{action}: no answer from Asterisk within {timeout:g} s") from None

    async def _exchange(
        self, action: str, fields: Fields, *, listing: bool, on_item: OnEvent | None = None
    ) -> list[Message]:
        """Sends an action and waits for its answer, without a limit of its own. Raises Refused or Unavailable.

        listing: waits for the end of a list; its items go to `on_item`, or are returned.
        """
        self._sent += 1
        action_id = f"{self._prefix}{self._sent}"
        data = encode(action, fields, action_id)
        await self._writable.wait()
        self._raise_if_ended()
        pending = PendingAction(action, listing, asyncio.get_running_loop().create_future(), on_item=on_item)
        self._pending[action_id] = pending
        metrics.AMI_ACTIONS.labels(action).inc()
        try:
            self._send(data)
            outcome = await pending.outcome
        finally:
            del self._pending[action_id]  # a late answer finds nobody
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _send(self, data: bytes) -> None:
        """Writes bytes: the first at once, and what else comes in this turn of the event loop together.

        A thousand system calls would each wake Asterisk, which then takes our core.
        """
        if self._further is None:
            self._further = bytearray()
            asyncio.get_running_loop().call_soon(self._send_further)
            self._transport.write(data)
        else:
            self._further += data
        if len(self._further) >= SENT_AT_ONCE:
            self._transport.write(bytes(self._further))  # and may now say that it takes no more
            self._further.clear()

    def _send_further(self) -> None:
        """Writes the bytes that were gathered since the last write."""
        further, self._further = self._further, None
        if further and self.reason is None:
            self._transport.write(bytes(further))

    @property
    def _prefix(self) -> str:
        return f"{self._name}-"

    @property
    def in_flight(self) -> int:
        """How many actions wait for their answer."""
        return len(self._pending)

    @property
    def unsent_bytes(self) -> int:
        """What the socket has not taken yet."""
        return self._transport.get_write_buffer_size()

    async def ended_within(self, seconds: float) -> bool:
        """Waits for the session's end; returns whether it came. Raises what `on_event` raised: a bug is not a lost
        connection."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        if self._bug is not None:
            raise self._bug
        return True

    def abort(self, reason: str) -> None:
        """Ends the session at once; whatever is pending fails with this reason."""
        self._end(reason)
        self._transport.abort()

    async def close(self) -> None:
        """Ends the session, within CLOSE_WITHIN seconds even if Asterisk no longer reads."""
        self._end("closed")
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._gone.wait()
        except TimeoutError:
            self._transport.abort()

    def _end(self, reason: str) -> None:
        """Ends the session: fails everything that waits on it with this reason. Only the first reason counts."""
        if self.reason is not None:
            return
        self.reason = reason
        for pending in self._pending.values():
            pending.settle(self._bug or Unavailable(f"{pending.action}: {reason}"))
        for awaited in (self._greeted, self._booted, self._writable, self._ended):
            awaited.set()  # whoever waits looks at `reason` next

    def _raise_if_ended(self) -> None:
        """Raises Unavailable, or what `on_event` raised, where the session has ended."""
        if self._bug is not None:
            raise self._bug
        if self.reason is not None:
            raise Unavailable(f"{self._name}: {self.reason}")

    def _receive(self, message: Message) -> None:
        """Hands a message to the action that it answers, or to `on_event`."""
        action_id = message.action_id or ""
        pending = self._pending.get(action_id)
        if message.response is not None:
            self._answers += 1
            if pending is not None:
                pending.answered(message)
        elif message.event == "FullyBooted":
            self.fully_booted = message
            self._booted.set()
        elif action_id.startswith(self._prefix):  # without pending: the rest of a list nobody waits for
            if pending is not None:
                pending.listed(message)
        elif message.event is not None:
            self._on_event(message)

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._writable.set()

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        """Takes received bytes and handles the messages that are complete, of a long list only the first ones."""
        self._wire.receive_data(self._piece[:nbytes])
        if not self._handling:
            self._handle()
        elif self._wire.unread_bytes > BACKLOG:
            self._transport.pause_reading()

    def _handle(self) -> None:
        """Handles some of the complete messages, and the rest in later turns of the loop; what a handler raises ends
        the session."""
        self._handling = False
        left = max(0, self._wire.unread_bytes - HANDLED_AT_ONCE)
        try:
            while self.reason is None and (message := self._wire.next_message()) is not None:
                self._receive(message)
                if self._wire.unread_bytes < left:
                    self._handling = True
                    asyncio.get_running_loop().call_soon(self._handle)
                    break
        except WireBroken as error:
            self.abort(str(error))
        except Exception as bug:
            # asyncio would log it and go on; it is raised instead in everyone who waits on this session,
            # and never as the Unavailable that it may be, since that would only reconnect
            self._bug = RuntimeError(f"a bug in the handling of an event: {bug!r}")
            self._bug.__cause__ = bug
            self.abort(str(self._bug))
        if self._wire.banner is not None:
            self._greeted.set()
        if not self._handling and self.reason is None:
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "Asterisk closed the connection")
        self._gone.set()
