"""The directory's side of telephones: where they are registered, and what an agent asks from one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from agentbridge.directory.connecting import PooledConnection
from agentbridge.directory.passwords import verify_password
from agentbridge.directory.queries import QUERIES
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId

LOOK_SECONDS = 1.0
"""without a notification: what a lost one costs at most"""
AT_MOST_EVERY_SECONDS = 0.1
"""one look for all who wait"""
ANSWER_SECONDS = 0.1
"""between looks whether a request about a running call has been carried out, which takes seconds at most"""
Acquire = Callable[[], AbstractAsyncContextManager[PooledConnection]]
"""A connection within one transaction; see Directory.transaction"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What was done to an agent whose telephone was lost or came back: `pause`, `logout` or `unpause`."""

    agent: str
    telephone: EndpointId
    done: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """An administrator gave `telephone`, at which `agent` was logged in, to `taken_by`."""

    agent: str
    telephone: EndpointId
    taken_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The agent who is logged in at the calling device. `own`: the device is the agent's own number."""

    username: str
    internal: EndpointId
    own: bool


class Telephones:
    """Keeps in the directory which telephones are registered with one node. Every method raises Unavailable."""

    def __init__(self, acquire: Acquire, node: str) -> None:
        self._acquire = acquire
        self._node = node

    async def changed(self, registered: Mapping[EndpointId, bool]) -> None:
        await self._execute("telephones_registered", self._node, list(registered), list(registered.values()))

    async def set_registered(self, registered: Collection[EndpointId]) -> None:
        """Notes that these telephones, and no others, are registered with this node."""
        await self._execute("telephones_of_node", self._node, list(registered))

    async def unknown(self) -> None:
        """This node's Asterisk is away: nobody can log in on its telephones."""
        await self._execute("telephones_unknown", self._node)

    async def settle_lost(self, after: float, action: str, back: str) -> list[Settled]:
        """Does `action` to agents whose telephone is unregistered for `after` seconds, and `back` to those whose
        telephone is back.

        Returns what was done.
        """
        async with self._acquire() as connection:
            rows = await connection.fetch(QUERIES["settle_lost_telephones"], after, action, back)
        return [
            Settled(agent=row["username"], telephone=EndpointId(row["telephone"]), done=row["done"]) for row in rows
        ]

    async def settle_lost_browsers(self, after: float, action: str, back: str) -> list[tuple[str, str]]:
        """Does what `settle_lost` does, for agents whose phone is a browser. Returns each username with what was
        done."""
        async with self._acquire() as connection:
            rows = await connection.fetch(QUERIES["settle_lost_browsers"], after, action, back)
        return [(row["username"], row["done"]) for row in rows]

    async def taken_over(self) -> list[Takeover]:
        """Returns the takeovers since the last call by any node's daemon."""
        async with self._acquire() as connection:
            rows = await connection.fetch(QUERIES["takeovers_untold"])
        return [
            Takeover(agent=row["agent"], telephone=EndpointId(row["telephone"]), taken_by=row["taken_by"])
            for row in rows
        ]

    async def _execute(self, query: str, *arguments: object) -> None:
        async with self._acquire() as connection:
            await connection.execute(QUERIES[query], *arguments)


class PhoneDesk:
    """Does in the directory what agents ask from a telephone. Methods raise Refused for a rule, Unavailable without the
    database."""

    def __init__(self, acquire: Acquire) -> None:
        self._acquire = acquire
        # one after the other: side by side all of them would be late, and the calls on this machine would suffer
        self._hashing = asyncio.Semaphore(1)
        self._waiting: dict[asyncio.Future[str | None], str] = {}
        """who waits → the username"""
        self._look: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def caller(self, device: EndpointId) -> Caller | None:
        """Returns who is logged in at the device, or whose own it is; None for nobody."""
        async with self._acquire() as connection:
            row = await connection.fetchrow(QUERIES["agent_of_device"], device)
        if row is None:
            return None
        return Caller(
            username=row["username"],
            internal=EndpointId(row["internal"]),
            own=row["own"],
        )

    async def has_device(self, device: EndpointId) -> bool:
        """Whether it is a telephone of the directory, or an agent's own device."""
        async with self._acquire() as connection:
            if await connection.fetchval(QUERIES["telephone_named"], device) is not None:
                return True
            return await connection.fetchrow(QUERIES["agent_of_device"], device) is not None

    async def identify(self, internal: EndpointId, pin: str) -> str | None:
        """Returns the username of the agent with this number and PIN, else None; a wrong PIN counts towards the lock
        (A10).

        A locked or deactivated agent gives None too, and an unknown number, in the same time.
        """
        async with self._acquire() as connection:
            row = await connection.fetchrow(QUERIES["pin_of"], internal)
        async with self._hashing:
            right = await asyncio.to_thread(verify_password, row["pin_hash"] if row else None, pin)
        if row is None:
            return None
        username = str(row["username"])
        async with self._acquire() as connection:
            if not right:
                await connection.execute(QUERIES["password_failed"], username)
                return None
            await connection.execute(QUERIES["password_ok"], username)
            # asked after the hashing: another wrong PIN may have locked the agent meanwhile
            return username if await connection.fetchval(QUERIES["may_log_in"], username) else None

    async def log_in(self, username: str, device: EndpointId) -> None:
        """Logs the agent in at the telephone that the call comes from, or at the agent's own device."""
        async with self._acquire() as connection:
            telephone = await connection.fetchval(QUERIES["telephone_named"], device)
            if telephone is None and not await self._is_own(connection, username, device):
                raise Refused(f"telephone: there is no telephone {device}")
            await connection.fetchval(QUERIES["login_by_phone"], username, telephone)

    async def log_out(self, username: str) -> None:
        await self._act("logout_by_phone", username)

    async def pause(self, username: str, reason: str) -> None:
        await self._act("pause_by_phone", username, reason)

    async def unpause(self, username: str) -> None:
        await self._act("unpause_by_phone", username)

    async def forward(self, username: str, number: str) -> None:
        """Where the agent's direct calls go; '' for no forwarding."""
        await self._act("forward_by_phone", username, number)

    async def record(self, username: str, what: str, within: float) -> None:
        """Pauses, resumes or starts (`what`) the recording of the agent's call; returns when that is done.

        Raises Refused with the reason of the directory or of the daemon that has the call; Unavailable when none
        answers within `within` seconds.
        """
        async with self._acquire() as connection:
            asked = await connection.fetchval(QUERIES[f"recording_{what}_by_phone"], username, within)
        while True:
            await asyncio.sleep(ANSWER_SECONDS)
            async with self._acquire() as connection:
                answer = json.loads(await connection.fetchval(QUERIES["request_result"], asked))
            match answer["state"]:
                case "done":
                    return
                case "refused":
                    raise Refused(answer["reason"])
                case "timed out":
                    raise Unavailable("no daemon has carried the request out in time")
                case _:
                    pass

    async def in_asterisk(self, username: str, within: float) -> str | None:
        """Waits until Asterisk has what the directory says of this agent; returns None then, else the error or that
        time is up.

        However many wait, one query serves all of them, whenever results are written.
        """
        done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting[done] = username
        self._news.set()
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_for_all(), name="phone waits")
        try:
            async with asyncio.timeout(within):
                return await done
        except TimeoutError:
            return f"Asterisk does not have it within {within:g} s"
        finally:
            self._waiting.pop(done, None)

    def look(self) -> None:
        """Makes those who wait in `in_asterisk` look for their result, since some were written."""
        self._news.set()

    async def _look_for_all(self) -> None:
        """Looks for the results of all who wait, until nobody does. Unavailable is raised to all of them."""
        while self._waiting:
            self._news.clear()
            try:
                await self._answer()
            except Unavailable as away:
                for done in self._waiting:
                    if not done.done():
                        done.set_exception(away)
                return
            await asyncio.sleep(AT_MOST_EVERY_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()

    async def _answer(self) -> None:
        """Queries the state of all who wait at once, and ends the wait of those who have a result."""
        asked = dict(self._waiting)
        async with self._acquire() as connection:
            rows = await connection.fetch(QUERIES["in_asterisk"], list(set(asked.values())))
        found = {row["username"]: row for row in rows}
        for done, username in asked.items():
            row = found.get(username)
            if done.done():
                continue
            if row is None or row["applied"]:
                done.set_result(None)
            elif row["error"] and not row["pending"]:
                done.set_result(str(row["error"]))

    async def _act(self, query: str, *arguments: object) -> None:
        async with self._acquire() as connection:
            await connection.fetchval(QUERIES[query], *arguments)

    @staticmethod
    async def _is_own(connection: PooledConnection, username: str, device: EndpointId) -> bool:
        row = await connection.fetchrow(QUERIES["agent_of_device"], device)
        return row is not None and row["own"] and row["username"] == username
