"""Eyes on Asterisk that share no code with what is tried: a bare AMI client, and panoramisk for queue members."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Self

import panoramisk  # type: ignore[import-untyped]  # it has no types

from lab.asterisk import Asterisk

WITHIN_S = 5.0
Message = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A queue member as app_queue reports it; `reason` is that of its pause, empty when it is not paused."""

    name: str
    penalty: int
    paused: bool
    reason: str


class Manager:
    """A bare AMI client, logged in inside `async with Manager(asterisk) as manager`; it shares no code with
    agentbridge.

    events: the classes of events to receive; they go to `on_event`.
    """

    def __init__(
        self, asterisk: Asterisk, *, events: str = "off", on_event: Callable[[Message], None] | None = None
    ) -> None:
        self._asterisk, self._events = asterisk, events
        self._on_event = on_event or (lambda _: None)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        """Connects and logs in. Raises PermissionError where that is refused."""
        asterisk = self._asterisk
        self._reader, self._writer = await asyncio.open_connection(asterisk.host, asterisk.ami_port, limit=2**20)
        await self._reader.readline()  # the banner
        login = {"Username": asterisk.ami_user, "Secret": asterisk.ami_secret, "Events": self._events}
        answer = (await self.ask("Login", login))[0]
        if answer.get("Response") != "Success":
            raise PermissionError(answer.get("Message", "no answer"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()

    async def ask(self, action: str, fields: Message | None = None, *, within: float = WITHIN_S) -> list[Message]:
        """The answer, and behind it the list that it announces. One question at a time."""
        self.send(action, fields or {})
        async with asyncio.timeout(within):
            messages = [await self._answer()]
            if messages[0].get("EventList") == "start":
                while messages[-1].get("EventList") != "Complete":
                    messages.append(await self.read())
        return messages

    def send(self, action: str, fields: Message) -> None:
        lines = [f"Action: {action}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self._writer.write("\r\n".join(lines).encode())

    async def nudge(self) -> NoReturn:
        """Sends a Ping twice a second until it is cancelled: Asterisk may hold an event back until something comes."""
        while True:
            await asyncio.sleep(0.5)
            self.send("Ping", {})

    async def _answer(self) -> Message:
        """Reads messages until the answer to the last action comes; hands others to `on_event`."""
        while "Response" not in (message := await self.read()):
            self._on_event(message)
        return message

    async def read(self) -> Message:
        """Returns the next message of whatever kind. Raises ConnectionError when Asterisk has gone."""
        block = await self._reader.readuntil(b"\r\n\r\n")
        pairs = (line.partition(": ") for line in block.decode("utf-8", "replace").split("\r\n") if line)
        return {name: value for name, _, value in pairs}


async def members(
    asterisk: Asterisk, queues: Iterable[str] = (), *, within: float = WITHIN_S
) -> dict[tuple[str, str], Seen]:
    """Returns every queue member by queue and interface, asked through panoramisk; of these queues, or of all."""
    status = await _listed(asterisk, "QueueStatus", within)
    wanted = set(queues)
    return {
        (item["Queue"], item["Location"]): _seen(item)
        for item in status
        if item.get("Event") == "QueueMember" and (not wanted or item["Queue"] in wanted)
    }


async def channels(asterisk: Asterisk) -> list[Message]:
    """Returns every channel, asked through panoramisk."""
    items = await _listed(asterisk, "CoreShowChannels", WITHIN_S)
    return [dict(item) for item in items if item.get("Event") == "CoreShowChannel"]


async def _listed(asterisk: Asterisk, action: str, within: float) -> Iterable[Message]:
    """Sends a list action on a connection of its own; returns its items. Raises TimeoutError after `within` seconds."""
    witness = panoramisk.Manager(
        host=asterisk.host,
        port=asterisk.ami_port,
        username=asterisk.ami_user,
        secret=asterisk.ami_secret,
        events="off",
    )
    try:
        async with asyncio.timeout(within):
            await witness.connect()
            items: Iterable[Message] = await witness.send_action({"Action": action})
            return items
    finally:
        witness.close()


def _seen(item: Message) -> Seen:
    """Parses a QueueMember item."""
    paused = item["Paused"] == "1"
    return Seen(
        name=item["Name"],
        penalty=int(item["Penalty"]),
        paused=paused,
        reason=item.get("PausedReason", "") if paused else "",
    )
