"""A link to Asterisk's AMI that comes back: for actions, for events, for bulk reads, for the task processors.

They are apart since Asterisk cuts off a session that reads slowly, and since an action waits behind a
long answer on the same session.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

import structlog

from agentbridge import metrics
from agentbridge.asterisk.ami.connection import OFF, Account, AmiConnection, ignore
from agentbridge.asterisk.ami.pending import OnEvent
from agentbridge.asterisk.ami.shutdown import PROBE_SECONDS, Shutdown
from agentbridge.asterisk.ami.wire import Fields, Message
from agentbridge.errors import Refused, Unavailable
from agentbridge.reconnecting import Waits, keep_connected

__all__ = ["OFF", "Account", "AmiConnection", "AmiLink", "Timing"]

log = structlog.get_logger()

AGAIN = "nothing is asked or written over it; tries again for ever"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The time limits and waits of an AMI link, all in seconds."""

    connect: float = 10.0
    boot: float = 30.0  # 5,000 endpoints boot in 4 s; after this the link starts over, and waits again
    ping_every: float = 10.0
    ping_within: float = 5.0  # a stopped Asterisk is given up after ping_every + ping_within
    first_wait: float = 0.25
    longest_wait: float = 2.0  # a refused connection costs nothing, and agents wait for a repaired Asterisk


class AmiLink:
    """Keeps one AMI session connected, logged in and filtered, and connects it again when it is lost.

    `on_up`, `on_down` and `on_event` are called in the event loop; what they raise is a bug and ends `run`. Events may
    come before `on_up`, which means: read everything now. shutdown: shared with the other links to this Asterisk, of
    which one `asks` whether it is over. lives: whether Asterisk is known to live by another link; then a long action
    may keep this link's Ping waiting.
    """

    def __init__(
        self,
        account: Account,
        *,
        name: str,
        events: str = OFF,
        filters: Iterable[str] = (),
        on_event: OnEvent = ignore,
        on_up: Callable[[Message], None] = ignore,
        on_down: Callable[[str], None] = ignore,
        timing: Timing | None = None,
        shutdown: Shutdown | None = None,
        asks: bool = False,
        lives: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = name
        self._shutdown = shutdown or Shutdown(lambda _: None, lambda: None)
        self._asks = asks or shutdown is None
        self._lives = lives
        self._account = account
        self._events = events
        self._filters = tuple(filters)
        self._on_event, self._on_up, self._on_down = on_event, on_up, on_down
        self._timing = timing or Timing()
        self._connection: AmiConnection | None = None
        self._up = asyncio.Event()
        self._last_failure = ""

    @property
    def up(self) -> bool:
        return self._connection is not None and self._connection.reason is None and not self._shutdown.pending

    async def wait_up(self, timeout: float) -> None:
        """Waits until the link is up. Raises Unavailable when it is not up within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            raise Unavailable(f"AMI link {self.name}: not connected to Asterisk within {timeout:g} s") from None

    async def action(self, action: str, fields: Fields = (), *, timeout: float) -> Message:
        """Sends an action and returns its answer; see AmiConnection.action.

        Raises Unavailable at once while the link is down: nothing is kept for later.
        """
        try:
            return await self._session().action(action, fields, timeout=timeout)
        except Refused as refused:
            self._shutdown.raise_if_meant(refused)
            raise

    async def action_list(
        self, action: str, fields: Fields = (), *, timeout: float, on_item: OnEvent | None = None
    ) -> list[Message]:
        """Sends an action that answers with a list; see AmiConnection.action_list."""
        try:
            return await self._session().action_list(action, fields, timeout=timeout, on_item=on_item)
        except Refused as refused:
            self._shutdown.raise_if_meant(refused)
            raise

    async def command(self, line: str, *, timeout: float) -> str:
        """Runs a command of Asterisk's console; returns what it prints. Raises Refused with what it printed, or
        Unavailable.

        Needs write class command.
        """
        return (await self.action("Command", {"Command": line}, timeout=timeout)).output

    def _session(self) -> AmiConnection:
        """Returns the connection that is up. Raises Unavailable where none is, or Asterisk shuts down."""
        if self._connection is None:
            raise Unavailable(f"AMI link {self.name}: not connected to Asterisk")
        self._shutdown.check()
        return self._connection

    async def run(self) -> NoReturn:
        """Keeps the session connected. Ends by cancellation, or with what a hook raised."""
        waits = Waits(first=self._timing.first_wait, longest=self._timing.longest_wait)
        await keep_connected(self._session_once, waits, errors=(Unavailable, Refused), on_failure=self._report)

    async def _session_once(self) -> None:
        await self._serve(await self._connect())

    async def _connect(self) -> AmiConnection:
        """Returns a connection that is logged in, booted and filtered. Raises Unavailable or Refused."""
        connection = await AmiConnection.connect(
            self._account, name=self.name, on_event=self._on_event, within=self._timing.connect
        )
        try:
            await self._prepare(connection)
        except BaseException:
            connection.abort("not up")
            raise
        return connection

    async def _prepare(self, connection: AmiConnection) -> None:
        """Waits until Asterisk has booted, then chooses the events: those of the classes that match one of the filters.

        Raises Unavailable or Refused.
        """
        await connection.wait_booted(self._timing.boot)
        try:
            for expression in self._filters:
                filter_ = {"Operation": "Add", "Filter": expression}
                await connection.action("Filter", filter_, timeout=self._timing.connect)
        except Refused as error:  # without write class system: more events than needed, but all that are
            log.warning("ami.refused", link=self.name, reason=str(error), meanwhile="works without its event filter")
        await connection.choose_events(self._events, timeout=self._timing.connect)

    def _report(self, error: BaseException) -> None:
        """Logs why a connect failed, once for each reason."""
        if str(error) == self._last_failure:  # once, and not at every try of a long outage
            return
        self._last_failure = str(error)
        event = "ami.refused" if isinstance(error, Refused) else "ami.unavailable"
        log.warning(event, link=self.name, reason=str(error), meanwhile=AGAIN)

    async def _serve(self, connection: AmiConnection) -> None:
        """Calls `on_up`, watches the session until it is lost, then calls `on_down`."""
        self._connection = connection
        self._last_failure = ""
        self._up.set()
        if self._asks:
            self._shutdown.over()  # it took the log-in
        metrics.link_up(self.name)
        log.info("ami.connected", link=self.name, host=self._account.host, port=self._account.port)
        try:
            if connection.fully_booted is not None:
                self._on_up(connection.fully_booted)
            await self._watch(connection)
        finally:
            self._connection = None
            self._up.clear()
            metrics.link_down(self.name)
            await connection.close()
        log.warning("ami.lost", link=self.name, reason=connection.reason, meanwhile=AGAIN)
        self._on_down(connection.reason or "")

    async def _watch(self, connection: AmiConnection) -> None:
        """Pings at intervals until the session is lost; while Asterisk shuts down it asks whether it still does.

        A session with events gets a Ping at each step: Asterisk may hold an event back until something comes.
        """
        waited, step = 0.0, min(PROBE_SECONDS, self._timing.ping_every)
        while not await connection.ended_within(step):
            waited += step
            if self._shutdown.pending:
                await self._ask_whether_over(connection)
            elif waited >= self._timing.ping_every:
                waited = 0.0
                if not await connection.ping(self._timing.ping_within) and not self._is_at_work(connection):
                    connection.abort(f"Asterisk did not answer a Ping within {self._timing.ping_within:g} s")
            elif self._events != OFF:
                connection.nudge()

    def _is_at_work(self, connection: AmiConnection) -> bool:
        """Whether the session only has a long action to do, such as a list of 20,000 endpoints.

        To end it would help nobody: Asterisk goes on with the action, and does the next session's the same beside it.
        """
        return connection.in_flight > 0 and self._lives()

    async def _ask_whether_over(self, connection: AmiConnection) -> None:
        """Asks by an action whether the shutdown was taken back: Asterisk refuses every action while one is on."""
        if not self._asks:
            return
        try:
            await connection.action("Ping", timeout=self._timing.ping_within)
        except Refused:
            return  # not yet
        except Unavailable as silent:
            connection.abort(str(silent))
            return
        self._shutdown.over()
