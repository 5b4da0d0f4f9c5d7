"""An AMI that obeys Asterisk's rules for the actions agentbridge sends, and misbehaves when told to.

The contract tests run the same against it and against a real Asterisk, so its answers are Asterisk's.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

Action = dict[str, str]
FULLY_BOOTED = b"Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: 0\r\nStatus: Fully Booted\r\n\r\n"
CHALLENGE = "159753"


@dataclass(eq=False)
class Session:
    """One client."""

    writer: asyncio.StreamWriter
    logged_in: bool = False
    events: str = ""


@dataclass
class ScriptedAmi:
    """An AMI server that answers as Asterisk does, and misbehaves as its fields say.

    `silent_on`: actions never answered. `refused`: actions that the account has no permission for. `raw`: answers sent
    as they are, `{id}` being the ActionID. `greets`: whether there is a banner. `console`: what is printed for a
    command line; where it is given, nothing for any other.
    """

    banner: bytes = b"Asterisk Call Manager/11.0.0\r\n"
    booted: bool = True
    greets: bool = True
    silent_on: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    raw: dict[str, str] = field(default_factory=dict)
    console: dict[str, str] = field(default_factory=dict)
    ami_user: str = "agentbridge"
    ami_secret: str = "scripted-secret"
    ami_port: int = 0

    received: list[Action] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    connections: int = 0
    members: dict[str, dict[str, Action]] = field(default_factory=lambda: {"sales": {}, "support": {}})
    database: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.ami_port)
        self.ami_port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*self._tasks, return_exceptions=True), 5)

    def count(self, action: str) -> int:
        """How often that action was received, over all connections."""
        return Counter(received["Action"] for received in self.received)[action]

    async def until(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Waits until the condition holds; looks whenever something was received, or a client came or went."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    def send(self, data: bytes) -> None:
        """Sends raw bytes to every client that is logged in."""
        for session in self.sessions:
            if session.logged_in:
                session.writer.write(data)

    async def send_bytewise(self, data: bytes) -> None:
        """Sends each byte in a packet of its own, with time for the client to read it."""
        for byte in data:
            self.send(bytes([byte]))
            await asyncio.sleep(0)

    def boot(self) -> None:
        self.booted = True
        self.send(FULLY_BOOTED)

    def drop(self) -> None:
        """Ends every connection, as in a crash."""
        for session in self.sessions:
            session.writer.transport.abort()

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        session = Session(writer)
        self.sessions.append(session)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._talk(session, reader)
        finally:
            self.sessions.remove(session)
            self._tasks.discard(task)
            writer.transport.abort()
            await self._note()

    async def _talk(self, session: Session, reader: asyncio.StreamReader) -> None:
        if self.greets:
            session.writer.write(self.banner)
        await self._note()
        while True:
            data = await reader.readuntil(b"\r\n\r\n")
            # as Asterisk: a bare LF ends a line too
            lines = [line for line in data.decode().replace("\r\n", "\n").split("\n") if ": " in line]
            action = {key: value for key, _, value in (line.partition(": ") for line in lines)}
            self.received.append(action)
            if action["Action"] not in self.silent_on:
                session.writer.write(self._answer(session, action))
            await self._note()

    def _answer(self, session: Session, action: Action) -> bytes:
        """Returns the answer to an action, as the fields say."""
        name = action["Action"]
        if name in self.raw:
            return self.raw[name].replace("{id}", action["ActionID"]).encode()
        if name in self.refused:
            return error(action, "Permission denied")
        if name == "Challenge":
            return answer(action, Challenge=CHALLENGE)
        if name == "Login":
            return self._login(session, action)
        if not session.logged_in:
            return error(action, "Permission denied")
        known: Callable[[Action], bytes] | None = getattr(self, f"_do_{name.lower()}", None)
        if known is None:
            return error(
                action,
                f"Invalid/unknown command: {name}. Use Action: ListCommands to show available commands.",
            )
        if name == "Events":
            session.events = action["EventMask"]
        return known(action)

    def _login(self, session: Session, action: Action) -> bytes:
        key = hashlib.md5((CHALLENGE + self.ami_secret).encode(), usedforsecurity=False).hexdigest()
        knows = action.get("Key") == key or action.get("Secret") == self.ami_secret
        if not knows or action["Username"] != self.ami_user:
            return error(action, "Authentication failed")
        session.logged_in = True
        booted = FULLY_BOOTED if self.booted else b""
        return answer(action, Message="Authentication accepted") + booted

    def _do_ping(self, action: Action) -> bytes:
        return answer(action, Ping="Pong", Timestamp="1.5")

    def _do_events(self, action: Action) -> bytes:
        return answer(action, Events="Off" if action["EventMask"] == "off" else "On")

    def _do_filter(self, action: Action) -> bytes:
        return answer(action, Message="Success")

    def _do_queueadd(self, action: Action) -> bytes:
        queue = self.members.get(action["Queue"])
        if queue is None:
            return error(action, "Unable to add interface to queue: No such queue")
        if action["Interface"] in queue:
            return error(action, "Unable to add interface: Already there")
        queue[action["Interface"]] = action
        for session in self.sessions:
            if "agent" in session.events:
                session.writer.write(event("QueueMemberAdded", member(action, "Interface", "MemberName")))
        return answer(action, Message="Added interface to queue")

    def _do_queueremove(self, action: Action) -> bytes:
        if self.members[action["Queue"]].pop(action["Interface"], None) is None:
            return error(action, "Unable to remove interface: Not there")
        return answer(action, Message="Removed interface from queue")

    def _do_queuepause(self, action: Action) -> bytes:
        found = self.members.get(action["Queue"], {}).get(action["Interface"])
        if found is None:
            return error(action, "Interface not found")
        found["Paused"] = action["Paused"]
        done = "paused" if action["Paused"] == "true" else "unpaused"
        return answer(action, Message=f"Interface {done} successfully")

    def _do_queuestatus(self, action: Action) -> bytes:
        wanted = action["Queue"]
        items = []
        if wanted in self.members:
            items.append(("QueueParams", {"Queue": wanted}))
            added = self.members[wanted].values()
            items += [("QueueMember", member(one, "Location", "Name")) for one in added]
        return listing(action, "Queue status will follow", items, "QueueStatusComplete")

    def _do_dbput(self, action: Action) -> bytes:
        self.database[f"/{action['Family']}/{action['Key']}"] = action["Val"]
        return answer(action, Message="Updated database successfully")

    def _do_dbget(self, action: Action) -> bytes:
        value = self.database.get(f"/{action['Family']}/{action['Key']}")
        if value is None:
            return error(action, "Database entry not found")
        item = {"Family": action["Family"], "Key": action["Key"], "Val": value}
        return listing(action, "Result will follow", [("DBGetResponse", item)], "DBGetComplete")

    def _do_dbgettree(self, action: Action) -> bytes:
        prefix = f"/{action['Family']}/"
        found = [(key, value) for key, value in sorted(self.database.items()) if key.startswith(prefix)]
        items = [("DBGetTreeResponse", {"Key": key, "Val": value}) for key, value in found]
        return listing(action, "Result will follow", items, "DBGetTreeComplete")

    def _do_command(self, action: Action) -> bytes:
        if self.console:
            lines = self.console.get(action["Command"], "").splitlines()
            output = [("Output", line) for line in lines]
            return headers([("Response", "Success"), *echoed(action), ("Message", "Command output follows"), *output])
        if action["Command"] != "core show version":
            output = f"No such command '{action['Command']}' (type 'core show help' for other commands)"
            return headers(
                [("Response", "Error"), *echoed(action), ("Message", "Command output follows"), ("Output", output)]
            )
        return answer(action, Message="Command output follows", Output="Asterisk 22.10.1 (scripted)")


def headers(pairs: list[tuple[str, str]]) -> bytes:
    return "".join(f"{key}: {value}\r\n" for key, value in pairs).encode() + b"\r\n"


def echoed(action: Action) -> list[tuple[str, str]]:
    """The ActionID as Asterisk gives it back: none where none was sent."""
    return [("ActionID", action["ActionID"])] if "ActionID" in action else []


def answer(action: Action, **fields: str) -> bytes:
    return headers([("Response", "Success"), *echoed(action), *fields.items()])


def error(action: Action, message: str) -> bytes:
    return headers([("Response", "Error"), *echoed(action), ("Message", message)])


def event(name: str, fields: dict[str, str]) -> bytes:
    return headers([("Event", name), *fields.items()])


def listing(action: Action, message: str, items: list[tuple[str, dict[str, str]]], complete: str) -> bytes:
    began = answer(action, EventList="start", Message=message)
    middle = [event(name, fields | dict(echoed(action))) for name, fields in items]
    end = {**dict(echoed(action)), "EventList": "Complete", "ListItems": str(len(items))}
    return began + b"".join(middle) + event(complete, end)


def member(added: Action, interface: str, name: str) -> dict[str, str]:
    return {
        "Queue": added["Queue"],
        name: added.get("MemberName", added["Interface"]),
        interface: added["Interface"],
        "Paused": "1" if added.get("Paused") == "true" else "0",
    }
